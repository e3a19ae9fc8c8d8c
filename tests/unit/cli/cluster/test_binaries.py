from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from serin_cli.cluster import binaries
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.toolchain import parse_go_version

BUILT = [
    binaries.KUBERNETES,
    binaries.TRAEFIK,
    binaries.HELM,
    binaries.COREDNS,
    binaries.METRICS_SERVER,
    binaries.FLAGGER,
]


@dataclass(frozen=True)
class LocalModule(binaries.Module):
    """A module whose files lie where a test wrote them."""

    place: Path = Path()

    @property
    def directory(self) -> Path:
        return self.place


@pytest.fixture
def module(tmp_path):
    (tmp_path / "go.mod").write_text("module example\n")
    (tmp_path / "go.sum").write_text("sums\n")
    return LocalModule("example", "Example", ("example.com/cmd/one",), place=tmp_path)


def test_the_key_is_the_same_for_the_same_content(module):
    assert binaries.content_key(module, "x86_64") == binaries.content_key(module, "x86_64")


@pytest.mark.parametrize("file", ["go.mod", "go.sum"])
def test_the_key_changes_with_each_file(module, file):
    before = binaries.content_key(module, "x86_64")
    (module.place / file).write_text("other\n")
    assert binaries.content_key(module, "x86_64") != before


def test_the_key_changes_with_flags_packages_and_processor(module):
    keys = {
        binaries.content_key(module, "x86_64"),
        binaries.content_key(module, "aarch64"),
        binaries.content_key(replace(module, ldflags="-s"), "x86_64"),
        binaries.content_key(replace(module, packages=("example.com/cmd/two",)), "x86_64"),
    }
    assert len(keys) == 4


def test_programs_are_named_after_their_packages():
    assert "kube-apiserver" in binaries.KUBERNETES.programs
    assert "kubectl" in binaries.KUBERNETES.programs
    assert binaries.PAUSE.programs == ("pause",)
    assert binaries.COREDNS.programs == ("coredns",)


@pytest.mark.parametrize("module", BUILT)
def test_every_built_package_is_a_pinned_tool(module):
    pinned = (module.directory / "go.mod").read_text()
    assert (module.directory / "go.sum").stat().st_size > 0
    for package in module.packages:
        assert package in pinned


@pytest.mark.parametrize(
    ("module", "required"),
    [
        (binaries.KUBERNETES, f"k8s.io/kubernetes {binaries.KUBERNETES_VERSION}"),
        (binaries.TRAEFIK, f"github.com/traefik/traefik/v3 {binaries.TRAEFIK_VERSION}"),
        (binaries.TRAEFIK, f"sigs.k8s.io/gateway-api {binaries.GATEWAY_API_VERSION}"),
        (binaries.HELM, f"helm.sh/helm/v4 {binaries.HELM_VERSION}"),
        (binaries.COREDNS, f"github.com/coredns/coredns {binaries.COREDNS_VERSION}"),
        (binaries.METRICS_SERVER, f"sigs.k8s.io/metrics-server {binaries.METRICS_SERVER_VERSION}"),
        (binaries.FLAGGER, f"github.com/fluxcd/flagger {binaries.FLAGGER_VERSION}"),
    ],
)
def test_the_versions_told_are_the_versions_pinned(module, required):
    assert required in (module.directory / "go.mod").read_text()


def test_a_program_that_was_not_built_is_an_error_with_advice(tmp_path):
    with pytest.raises(ClusterError, match="serin cluster up"):
        binaries.program(binaries.KUBERNETES, "kubectl", Paths("serin", tmp_path))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.9 linux/arm64", (1, 9)),
        ("go version devel", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_compilers_version_is_read(said, version):
    assert parse_go_version(said) == version
