"""A certificate authority for one cluster, and the certificates and kubeconfig files that it backs."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from serin_cli.cluster.run import run

VALID_DAYS = 365
# As this the API server passes requests on to extensions of it. Whoever holds a certificate of this authority may
# speak for any user, so it signs no other.
FRONT_PROXY = "front-proxy-client"
FRONT_PROXY_AUTHORITY = "front-proxy-ca"


@dataclass(frozen=True)
class Subject:
    """Who a certificate speaks for; `names` are the addresses under which a server may be called.

    `authority` signs it: the file name of one that `create` makes.
    """

    file: str
    common_name: str
    organisation: str = ""
    names: tuple[str, ...] = ()
    authority: str = "ca"

    def openssl_name(self) -> str:
        """Return the subject the way the openssl program wants it."""
        organisation = f"/O={self.organisation}" if self.organisation else ""
        return f"{organisation}/CN={self.common_name}"

    def extensions(self) -> str:
        """Return the X.509 extensions; one certificate may serve and call, as the API server's do."""
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature,keyEncipherment",
            "extendedKeyUsage=serverAuth,clientAuth",
        ]
        if self.names:
            lines.append("subjectAltName=" + ",".join(alternative_name(name) for name in self.names))
        return "\n".join(lines) + "\n"


def alternative_name(name: str) -> str:
    """Return `name` marked as an IP address or a DNS name."""
    kind = "IP" if name.replace(".", "").isdigit() or ":" in name else "DNS"
    return f"{kind}:{name}"


def subjects(node: str, addresses: tuple[str, ...]) -> list[Subject]:
    """Return everyone who needs a certificate; `addresses` are those of the API server."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    local = ("localhost", "kubernetes.default.svc.cluster.local")
    return [
        Subject(
            "apiserver",
            "kube-apiserver",
            names=(*service, *local, *addresses),
        ),
        Subject("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Subject("kubelet", f"system:node:{node}", "system:nodes", (node, *addresses)),
        Subject("controller-manager", "system:kube-controller-manager"),
        Subject("scheduler", "system:kube-scheduler"),
        Subject("proxy", "system:kube-proxy"),
        Subject("admin", "serin-admin", "system:masters"),
        Subject(FRONT_PROXY, FRONT_PROXY, authority=FRONT_PROXY_AUTHORITY),
    ]


def create(directory: Path, wanted: list[Subject]) -> None:
    """Make new authorities and all certificates in `directory`; keys are readable by their owner only."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in sorted({subject.authority for subject in wanted}):
        _authority(directory, authority)
    for subject in wanted:
        _sign(directory, subject)
    # Service-account tokens have a key pair of their own, known to the API server and the controllers.
    _key(directory / "service-account.key")
    run(
        ["openssl", "pkey", "-in", "service-account.key", "-pubout", "-out", "service-account.pub"],
        cwd=directory,
    )


def kubeconfig(directory: Path, server: str, file: str) -> str:
    """Return a kubeconfig with the certificate `file` inside; JSON, which every reader of YAML takes."""
    user = {
        "client-certificate-data": _encoded(directory / f"{file}.crt"),
        "client-key-data": _encoded(directory / f"{file}.key"),
    }
    cluster = {"server": server, "certificate-authority-data": _encoded(directory / "ca.crt")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "serin", "cluster": cluster}],
            "users": [{"name": file, "user": user}],
            "contexts": [{"name": "serin", "context": {"cluster": "serin", "user": file}}],
            "current-context": "serin",
        },
        indent=2,
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def _key(path: Path) -> None:
    write_private(path, "")
    algorithm = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    run(["openssl", "genpkey", *algorithm, "-out", path])


def _authority(directory: Path, name: str) -> None:
    _key(directory / f"{name}.key")
    wanted = ["-x509", "-new", "-key", f"{name}.key", "-subj", f"/CN=serin-local-cluster-{name}"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]
    run(["openssl", "req", *wanted, "-out", f"{name}.crt", "-days", str(VALID_DAYS), *usage], cwd=directory)


def _sign(directory: Path, subject: Subject) -> None:
    base = subject.file
    _key(directory / f"{base}.key")
    (directory / f"{base}.ext").write_text(subject.extensions())
    request = ["-new", "-key", f"{base}.key", "-subj", subject.openssl_name(), "-out", f"{base}.csr"]
    run(["openssl", "req", *request], cwd=directory)
    authority = subject.authority
    signer = ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", str(VALID_DAYS)]
    files = ["-in", f"{base}.csr", "-extfile", f"{base}.ext", "-out", f"{base}.crt"]
    run(["openssl", "x509", "-req", *files, *signer], cwd=directory)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
