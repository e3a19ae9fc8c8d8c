"""A web server of bundles in the cluster: a pod that hands out what lies in a place's claim, behind a Service."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support import web
from tests.support.kubernetes_objects import CLAIM
from tests.support.stories import OPERATOR, OPERATOR_NAMESPACE, START_SECONDS, Place

Json = dict[str, Any]

NAME = "bundles"
PROGRAM = Path(__file__).parent / "bundle_server" / "server.py"
PORTS = {"http": 8080, "https": 8443}
TOKEN = "token-of-the-stories"
SELECTOR = {"app": NAME}


class BundleWeb:
    """The server of one place."""

    def __init__(self, place: Place, authority: str) -> None:
        self._place = place
        self.authority = authority
        """The certificate that callers by TLS must trust."""

    def url(self, path: str, scheme: str = "http", *, private: bool = False) -> str:
        """Where a path of the claim `models` is handed out; a private one to those alone who bring TOKEN."""
        host = f"{NAME}.{self._place.namespace}.svc"
        return f"{scheme}://{host}:{PORTS[scheme]}/{'private/' if private else ''}{path}"

    def asked(self) -> Counter[str]:
        """How often each path was handed out."""
        lines = self._place.kubectl("logs", NAME, "--tail=-1").splitlines()
        return Counter(path for path, _, status in (line.rpartition(" ") for line in lines) if status == "200")

    @contextmanager
    def away(self) -> Iterator[None]:
        """For the block nothing stands behind the Service, as while a server is down."""
        self._select({"app": "nobody"})
        try:
            yield
        finally:
            self._select(SELECTOR)

    def _select(self, selector: dict[str, str]) -> None:
        patch = json.dumps({"spec": {"selector": selector}})
        self._place.kubectl("patch", "service", NAME, "--type=merge", "-p", patch)


@cache
def bundle_web(place: Place) -> BundleWeb:
    """The server of this place, ready; made for its first story."""
    with TemporaryDirectory() as room:
        made = web.certificate(Path(room), f"{NAME}.{place.namespace}.svc")
        pair = {"tls.crt": made.file.read_text(), "tls.key": made.key.read_text()}
    ports = [{"name": name, "port": port} for name, port in PORTS.items()]
    place.apply(
        _object("ConfigMap", place, data={PROGRAM.name: PROGRAM.read_text()}),
        _object("Secret", place, type="kubernetes.io/tls", stringData=pair),
        _object("Pod", place, metadata={"labels": SELECTOR}, spec=_pod(_serving_image(place))),
        _object("Service", place, spec={"selector": SELECTOR, "ports": ports}),
    )
    wait = ("wait", "--for=condition=Ready", f"pod/{NAME}", f"--timeout={START_SECONDS}s")
    place.kubectl(*wait, timeout=START_SECONDS + 5)
    return BundleWeb(place, pair["tls.crt"])


def _object(kind: str, place: Place, *, metadata: Json | None = None, **fields: Any) -> Json:
    where = {"name": NAME, "namespace": place.namespace, **(metadata or {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": where, **fields}


def _serving_image(place: Place) -> str:
    """It is in the cluster, and has a Python."""
    where = ["-n", OPERATOR_NAMESPACE, "get", "deployments", "-l", OPERATOR, "-o", "json"]
    (operator,) = json.loads(place.cluster.kubectl(*where))["items"]
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    found: str = next(one["value"] for one in container["env"] if one["name"] == "SERIN_SERVING_IMAGE")
    return found


def _pod(image: str) -> Json:
    mounts = {"program": "/program", "models": "/models", "tls": "/tls"}
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "web",
                "image": image,
                "command": ["python", f"/program/{PROGRAM.name}"],
                "env": [{"name": "TOKEN", "value": TOKEN}],
                "readinessProbe": {"tcpSocket": {"port": PORTS["https"]}, "periodSeconds": 1},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": name, "mountPath": path, "readOnly": True} for name, path in mounts.items()],
            }
        ],
        "volumes": [
            {"name": "program", "configMap": {"name": NAME}},
            {"name": "models", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}},
            {"name": "tls", "secret": {"secretName": NAME, "defaultMode": 0o440}},
        ],
    }
