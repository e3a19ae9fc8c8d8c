"""Build images and bring them into the cluster, each only when what it is made of has changed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, flock
from pathlib import Path

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.choose import ENGINES
from serin_cli.cluster.containerd import image_names, import_archive, remove_images
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.packages import find
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.progress import Progress, Stage
from serin_cli.cluster.run import run, succeeds

DOCKERFILES = Path(__file__).parent / "dockerfiles"
PUBLIC_BASE = "python:3.11-slim-bookworm"
OWN_BASE = "localhost/serin-python-base:bookworm"
BUILD_SECONDS = 1800.0
CERTIFICATES = Path("/etc/ssl/certs")

# The parts of `pip`'s settings that decide where packages come from, as environment variables.
PIP_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")

# What makes a Debian of this machine's package source behave like the public Python image.
BASE_RECIPE = (
    "--mode=root",
    "--variant=minbase",
    "--include=python3,python3-pip,ca-certificates",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    '--customize-hook=rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
    '--customize-hook=ln -s python3 "$1"/usr/bin/python',
    "bookworm",
)


@dataclass(frozen=True)
class Image:
    """An image to build; `inputs` are the files and directories that decide its content."""

    tag: str
    dockerfile: Path
    context: Path
    inputs: tuple[Path, ...]
    build_args: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> str:
        """Return a hash of all that decides the image's content."""
        digest = hashlib.sha256()
        for path in _files((self.dockerfile, *self.inputs)):
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        digest.update(json.dumps(sorted(self.build_args.items())).encode())
        return digest.hexdigest()


def ensure_image(cluster: Cluster, image: Image, progress: Progress) -> bool:
    """Build an image and bring it into the cluster unless the cluster has it; return whether it was built.

    Raises ClusterError if the build fails, or on a context that names no registry to push to.
    """
    if cluster.mode == "context":
        raise ClusterError(f"Push an image named {image.tag} where the context's nodes can pull it; none was built.")
    if cluster.mode == "kind":
        return _for_kind(cluster, image, progress)
    return ensure_in_containerd(cluster.paths, image, progress)


def ensure_in_containerd(paths: Paths, image: Image, progress: Progress) -> bool:
    """Do as `ensure_image` for a namespace cluster, of which only containerd need run."""
    key = image.key()
    with _one_at_a_time(paths):
        record = _read_record(paths.image_record)
        if record.get(image.tag) == key and image.tag in image_names(paths):
            return False
        with progress.stage(f"Image {image.tag}") as stage:
            stage.say("building")
            build_with_buildah(paths, image)
            _import(paths, image.tag, stage)
            stage.finish("built and imported")
        _write_record(paths.image_record, {**record, image.tag: key})
    return True


def _import(paths: Paths, tag: str, stage: Stage) -> None:
    with tempfile.TemporaryDirectory(dir=paths.images) as room:
        archive = Path(room) / "image.tar"
        stage.say("exporting")
        _buildah(paths, "push", tag, f"docker-archive:{archive}:{tag}")
        stage.say("importing into containerd")
        import_archive(paths, archive)


@contextmanager
def _one_at_a_time(paths: Paths) -> Iterator[None]:
    """Wait until nobody else builds into the cache, another thread or another process; both records are whole then."""
    with (_made(paths.images) / "building.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def forget_other_tags(paths: Paths, current: Image) -> None:
    """Remove the images that differ from `current` in their tag only, from containerd and buildah's store."""
    with _one_at_a_time(paths):
        old = other_tags(image_names(paths), current.tag)
        remove_images(paths, old)
        stored = _buildah(paths, "images", "--noheading", "--format", "{{.Name}}:{{.Tag}}").split()
        for tag in other_tags(stored, current.tag):
            _buildah(paths, "rmi", tag)
        record = _read_record(paths.image_record)
        _write_record(paths.image_record, {tag: key for tag, key in record.items() if tag not in old})


def other_tags(names: Iterable[str], current: str) -> list[str]:
    """Return those of `names` that are the image `current` under another tag."""
    repository = current.rpartition(":")[0]
    return sorted(name for name in names if name.rpartition(":")[0] == repository and name != current)


def build_with_buildah(paths: Paths, image: Image) -> None:
    """Build an image into buildah's store under the cache.

    Its RUN steps reach the package index the way this machine does; no setting of that ends up in the image.
    """
    with _network_settings() as volumes:
        argv: list[str | Path] = ["build", "--isolation", "chroot", "--network", "host", "--layers"]
        for source, target in volumes.items():
            argv += ["--volume", f"{source}:{target}:ro"]
        for name, value in sorted(image.build_args.items()):
            argv += ["--build-arg", f"{name}={value}"]
        _buildah(paths, *argv, "-f", image.dockerfile, "-t", image.tag, image.context)


def ensure_base(paths: Paths, progress: Progress) -> str:
    """Return the name of the Python base image in buildah's store, made first if its recipe is new."""
    dockerfile = DOCKERFILES / "python-base.Dockerfile"
    key = hashlib.sha256(json.dumps(BASE_RECIPE).encode() + dockerfile.read_bytes()).hexdigest()
    record_file = paths.images / "base.json"
    with _one_at_a_time(paths):
        if _read_record(record_file).get(OWN_BASE) != key or not _in_store(paths, OWN_BASE):
            _make_base(paths, dockerfile, progress)
            _write_record(record_file, {OWN_BASE: key})
    return OWN_BASE


def _make_base(paths: Paths, dockerfile: Path, progress: Progress) -> None:
    with progress.stage("Python base image") as stage, tempfile.TemporaryDirectory(dir=paths.images) as room:
        stage.say("installing Debian packages into it")
        tar = Path(room) / "base.tar"
        run([find("mmdebstrap") or "mmdebstrap", *BASE_RECIPE, tar], timeout=BUILD_SECONDS)
        stage.say("making the image")
        build_with_buildah(paths, Image(OWN_BASE, dockerfile, Path(room), (tar,)))


def base_image(cluster: Cluster, progress: Progress) -> str:
    """Return the base image that Dockerfiles build on in this mode, made first where it must be."""
    return ensure_base(cluster.paths, progress) if cluster.mode == "netns" else PUBLIC_BASE


def pip_configuration(environment: Mapping[str, str]) -> str:
    """Return a `pip.conf` with the package sources of `environment` and the mounted certificates."""
    lines = ["[global]", f"cert = {CERTIFICATES}/ca-certificates.crt"]
    for name in PIP_VARIABLES:
        option = name.removeprefix("PIP_").lower().replace("_", "-")
        lines += [f"{option} = {environment[name]}"] if environment.get(name) else []
    return "\n".join(lines) + "\n"


@contextmanager
def _network_settings() -> Iterator[dict[Path, Path]]:
    """Yield what to mount while building: this machine's certificates and package sources."""
    with tempfile.TemporaryDirectory() as room:
        configuration = Path(room) / "pip.conf"
        configuration.write_text(pip_configuration(os.environ))
        yield {CERTIFICATES: CERTIFICATES, configuration: Path("/etc/pip.conf")}


def _buildah(paths: Paths, *words: str | Path) -> str:
    images = _made(paths.images)
    # In mounts of its own, as buildah leaves some behind when it is interrupted.
    argv: list[str | Path] = [find("unshare") or "unshare", "--mount", "--", find("buildah") or "buildah"]
    argv += ["--root", images / "store", "--runroot", images / "store-run", "--storage-driver", "overlay"]
    return run([*argv, *words], timeout=BUILD_SECONDS)


def _in_store(paths: Paths, tag: str) -> bool:
    try:
        _buildah(paths, "inspect", "--type", "image", tag)
    except ClusterError:
        return False
    return True


def _for_kind(cluster: Cluster, image: Image, progress: Progress) -> bool:
    record = _read_record(cluster.paths.live / "images.json")
    key = image.key()
    if record.get(image.tag) == key:
        return False
    engine = next(name for name in ENGINES if shutil.which(name) and succeeds([name, "info"]))
    argv = [engine, "build", "-f", str(image.dockerfile), "-t", image.tag]
    for name, value in sorted(image.build_args.items()):
        argv += ["--build-arg", f"{name}={value}"]
    with progress.stage(f"Image {image.tag}") as stage:
        stage.say("building")
        run([*argv, image.context], timeout=BUILD_SECONDS)
        stage.say("loading into kind")
        # By an archive, as kind looks for images by name in docker only, never in podman.
        with tempfile.TemporaryDirectory() as room:
            archive = Path(room) / "image.tar"
            run([engine, "save", "-o", archive, image.tag], timeout=BUILD_SECONDS)
            run(["kind", "load", "image-archive", archive, "--name", cluster.name], timeout=BUILD_SECONDS)
    _write_record(cluster.paths.live / "images.json", {**record, image.tag: key})
    return True


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(inner for inner in path.rglob("*") if inner.is_file())
        else:
            yield path


def _read_record(path: Path) -> dict[str, str]:
    try:
        record: dict[str, str] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return record


def _write_record(path: Path, record: Mapping[str, str]) -> None:
    _made(path.parent)
    path.write_text(json.dumps(record, indent=2))


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
