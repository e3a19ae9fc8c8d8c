import json
import subprocess

import pytest

from serin_cli.cluster import certificates
from serin_cli.cluster.certificates import Subject


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cluster") / "pki"
    certificates.create(directory, certificates.subjects("node", ("192.0.2.2", "127.0.0.1")))
    return directory


def openssl(*words, cwd):
    done = subprocess.run(["openssl", *words], cwd=cwd, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("subject", certificates.subjects("node", ()), ids=lambda subject: subject.file)
def test_its_authority_vouches_for_every_certificate(pki, subject):
    authority = f"{subject.authority}.crt"
    assert "OK" in openssl("verify", "-x509_strict", "-CAfile", authority, f"{subject.file}.crt", cwd=pki)


def test_who_may_speak_for_any_user_has_an_authority_alone():
    signed = {}
    for subject in certificates.subjects("node", ()):
        signed.setdefault(subject.authority, []).append(subject.file)
    assert signed[certificates.FRONT_PROXY_AUTHORITY] == [certificates.FRONT_PROXY]
    assert len(signed["ca"]) > 1


def test_the_api_server_may_be_called_by_all_its_addresses(pki):
    for option, name in [
        ("-checkip", "192.0.2.2"),
        ("-checkip", "127.0.0.1"),
        ("-checkhost", "kubernetes.default.svc"),
        ("-checkhost", "localhost"),
    ]:
        assert "does match" in openssl("x509", "-in", "apiserver.crt", "-noout", option, name, cwd=pki)


def test_the_kubelet_speaks_as_a_node(pki):
    subject = openssl("x509", "-in", "kubelet.crt", "-noout", "-subject", cwd=pki).replace(" ", "")
    assert "CN=system:node:node" in subject
    assert "O=system:nodes" in subject


def test_keys_are_for_their_owner_only(pki):
    keys = list(pki.glob("*.key"))
    assert len(keys) == 11
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)


def test_a_kubeconfig_names_the_server_and_holds_the_certificate(pki):
    config = json.loads(certificates.kubeconfig(pki, "https://127.0.0.1:1", "admin"))
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert config["contexts"][0]["name"] == config["current-context"] == "serin"
    assert config["users"][0]["user"]["client-key-data"]


@pytest.mark.parametrize(
    ("name", "marked"),
    [("192.0.2.2", "IP:192.0.2.2"), ("::1", "IP:::1"), ("localhost", "DNS:localhost"), ("a.b.c", "DNS:a.b.c")],
)
def test_addresses_and_names_are_told_apart(name, marked):
    assert certificates.alternative_name(name) == marked


def test_a_subject_without_an_organisation_has_only_a_name():
    assert Subject("proxy", "system:kube-proxy").openssl_name() == "/CN=system:kube-proxy"
