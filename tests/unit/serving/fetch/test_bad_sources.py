"""What a source can do wrong, and what the user reads of it. No sentence holds a word of what came."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable

import pytest
from tests.support.web import Asked, Reply, Web
from tests.unit.serving.fetch.conftest import Pod, manifest

from serin_contract.startup import StartupReason
from serin_serving.fetch import archive, bundle, download

DIRECTORY, TAR, ZIP = "/models/wine", "/wine.tar", "/wine.zip"
MODEL = f"{DIRECTORY}/model.skops"
Files = list[tuple[str, bytes]]
SECRET = b"secret words of the source"

MISSING, INVALID, MISMATCH = StartupReason.BundleMissing, StartupReason.BundleInvalid, StartupReason.DigestMismatch
REFUSED, DENIED, UNAVAILABLE = (
    StartupReason.SourceRefused,
    StartupReason.SourceDenied,
    StartupReason.SourceUnavailable,
)

Spoil = Callable[[Web, Pod], str]
"""Spoils the source and returns its URI."""


def at_model(reply: Reply | Callable[[bytes], Reply]) -> Spoil:
    """A bundle whose model file is answered like this, perhaps by what the file is."""

    def spoil(web: Web, pod: Pod) -> str:
        web.put(pod.case.path, DIRECTORY)
        web.answers[MODEL] = reply(web.files[MODEL]) if callable(reply) else reply
        return web.url + DIRECTORY

    return spoil


def a_manifest(data: bytes) -> Spoil:
    """A directory that holds this manifest, which nobody pinned."""

    def spoil(web: Web, pod: Pod) -> str:
        pod.unpin()
        web.files[f"{DIRECTORY}/manifest.json"] = data
        return web.url + DIRECTORY

    return spoil


def redirect(where: str) -> Spoil:
    return at_model(Reply(SECRET, 302, {"Location": where}))


def pinned_another(web: Web, pod: Pod) -> str:
    web.put(pod.case.path, DIRECTORY)
    pod.env["SERIN_BUNDLE_DIGEST"] = f"sha256:{'b' * 64}"
    return web.url + DIRECTORY


def elsewhere(uri: str) -> Spoil:
    """A URI, whatever the server has."""
    return lambda web, _: uri.replace("WEB", web.url)


def round_and_round(web: Web, pod: Pod) -> str:
    web.fallback = Reply(status=302, headers={"Location": "/more"})
    return web.url + DIRECTORY


def slow_head(web: Web, pod: Pod) -> str:
    pod.total_seconds = 0.4
    web.fallback = Reply(drip_seconds=0.02)
    return web.url + DIRECTORY


def behind_a_name(*addresses: str, scheme: str = "http") -> Spoil:
    """A name that leads to these addresses."""

    def spoil(web: Web, pod: Pod) -> str:
        pod.env["SERIN_FETCH_RANGES"] = ""
        pod.names["store.example"] = list(addresses)
        return f"{scheme}://store.example/models/wine"

    return spoil


# Archives.


def a_tar(*members: tarfile.TarInfo | tuple[str, bytes], packed: bool = False) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz" if packed else "w") as tar:
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
            else:
                tar.addfile(member)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def a_zip(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return out.getvalue()


def archived(path: str, made: bytes | Callable[[Files], bytes]) -> Spoil:
    """An archive with these bytes, perhaps made of the bundle's files."""

    def spoil(web: Web, pod: Pod) -> str:
        web.files[path] = made(sorted(pod.whole().items())) if callable(made) else made
        return web.url + path

    return spoil


def a_zip_bomb(files: Files) -> bytes:
    """A model of 64 MiB where the manifest says a few KiB."""
    return a_zip({**dict(files), "model.skops": bytes(64 * 1024**2)}.items())


def a_linking_zip(files: Files) -> bytes:
    link = zipfile.ZipInfo("model.skops")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return a_zip([*((name, data) for name, data in files if name != "model.skops"), (link, b"/etc/passwd")])


def a_lying_zip(files: Files) -> bytes:
    """Its directory claims to be larger than any that is read."""
    data = bytearray(a_zip(files))
    at = data.rindex(b"PK\x05\x06")
    data[at + 12 : at + 16] = struct.pack("<I", 0xFFFFFFFF)
    return bytes(data)


def a_tar_with_a_name_of_gigabytes() -> bytes:
    member = special("././@LongLink", b"L")
    member.size = 3 * 1024**3
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(8 * 1024**2)


def a_gzip_bomb(files: Files) -> bytes:
    """A file of 64 MiB before the manifest, packed to a few KiB."""
    return a_tar(("zeros", bytes(64 * 1024**2)), *files, packed=True)


def listed(**files: bytes) -> bytes:
    return manifest({name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()})


BAD: list[tuple[str, Spoil, StartupReason, str]] = [
    # The bundle.
    (
        "nothing is there",
        elsewhere(f"WEB{DIRECTORY}"),
        MISSING,
        "manifest.json at 127.0.0.1: it is not there (status 404)",
    ),
    ("the manifest is not the pinned one", pinned_another, MISMATCH, "was pinned"),
    ("a page where the manifest should be", a_manifest(b"<html>" + SECRET), INVALID, "manifest.json is no manifest"),
    ("a manifest of megabytes", a_manifest(b"[" * 1024**2 + SECRET), INVALID, "more than 1048576 bytes"),
    ("a manifest that names a file above", a_manifest(listed(**{"../x": b""})), INVALID, "outside the bundle"),
    ("a manifest that names a file from the root", a_manifest(listed(**{"/x": b""})), INVALID, "outside the bundle"),
    ("a manifest that names itself", a_manifest(listed(**{"manifest.json": b""})), INVALID, "not the plain one"),
    ("a manifest with a second spelling", a_manifest(listed(**{"./a//b": b""})), INVALID, "not the plain one"),
    (
        "a manifest of too many files",
        a_manifest(manifest({f"f{n}": (1, "0" * 64) for n in range(1000)})),
        INVALID,
        "at most 1000",
    ),
    ("a file of five gigabytes", a_manifest(manifest({"big": (5 * 1024**3, "0" * 64)})), INVALID, "at most 4 GiB"),
    (
        "files of nine gigabytes together",
        a_manifest(manifest({f"f{n}": (3 * 1024**3, "0" * 64) for n in range(3)})),
        INVALID,
        "8 GiB together",
    ),
    # The files.
    ("a file that is not there", at_model(Reply(SECRET, 404)), MISSING, "model.skops at 127.0.0.1"),
    ("a file with another byte", at_model(lambda model: Reply(b"x" + model[1:])), MISMATCH, "its SHA-256 is not"),
    ("a file that says to be longer", at_model(lambda model: Reply(model + SECRET)), MISMATCH, "are recorded"),
    ("a file that says to be shorter", at_model(lambda model: Reply(model[:-1])), MISMATCH, "are recorded"),
    (
        "a file that is longer and says nothing",
        at_model(lambda model: Reply(model + SECRET, headers={"Content-Length": "x"})),
        MISMATCH,
        "or more",
    ),
    (
        "a file that ends early at every try",
        at_model(lambda model: Reply(b"", length=len(model))),
        UNAVAILABLE,
        "stopped in the middle",
    ),
    ("a part where the whole was asked for", at_model(Reply(SECRET, 206)), REFUSED, "status 206"),
    (
        "an answer that is compressed",
        at_model(Reply(gzip.compress(SECRET), headers={"Content-Encoding": "gzip"})),
        REFUSED,
        "compressed",
    ),
    # The server.
    ("no access", at_model(Reply(SECRET, 403)), DENIED, "status 403"),
    ("no login", at_model(Reply(SECRET, 401, {"WWW-Authenticate": "Basic"})), DENIED, "status 401"),
    ("a server that fails and fails", at_model(Reply(SECRET, 500)), UNAVAILABLE, "status 500; tried 5 times"),
    (
        "a server that asks for patience beyond the time",
        at_model(Reply(SECRET, 503, {"Retry-After": "99999"})),
        UNAVAILABLE,
        "503",
    ),
    ("a status that means nothing here", at_model(Reply(SECRET, 418)), REFUSED, "status 418"),
    ("a head that drips in for ever", slow_head, UNAVAILABLE, "the bundle was not there after 0.4 s"),
    # Where it leads.
    (
        "a redirect to the node's credentials",
        redirect("http://169.254.169.254/latest/meta-data"),
        REFUSED,
        "169.254.169.254 leads to an address that is not public",
    ),
    ("a redirect to a private address", redirect("http://10.0.0.1/x"), REFUSED, "not public"),
    ("a redirect to a file", redirect("file:///etc/passwd"), REFUSED, "redirects to another scheme"),
    ("a redirect to nowhere", redirect(""), REFUSED, "what is no URL"),
    ("a redirect to a port that is none", redirect("http://127.0.0.1:99999/"), REFUSED, "what is no URL"),
    ("a redirect with a password", redirect("http://ann:pw@127.0.0.1/"), REFUSED, "what is no URL"),
    ("redirects without end", round_and_round, REFUSED, "more than 3 times"),
    ("a name that leads to loopback", behind_a_name("127.0.0.1"), REFUSED, "not public"),
    ("a name that leads to loopback in IPv6", behind_a_name("::1"), REFUSED, "not public"),
    ("a name that leads to IPv4 in IPv6", behind_a_name("::ffff:169.254.169.254"), REFUSED, "not public"),
    ("a name that leads through NAT64", behind_a_name("64:ff9b::a9fe:a9fe"), REFUSED, "not public"),
    ("a name that leads to a metadata address", behind_a_name("168.63.129.16", "fd00:ec2::254"), REFUSED, "not public"),
    ("a name that is not known", elsewhere("https://nobody.invalid/models/wine"), UNAVAILABLE, "is not found"),
    ("a place that is none", elsewhere("ftp://store.example/models/wine"), REFUSED, "names no place"),
    ("a path upwards", elsewhere("WEB/models/../wine"), REFUSED, "names no place"),
    # Archives.
    ("an archive without a manifest", archived(TAR, a_tar(("a", SECRET))), MISSING, "holds no manifest.json"),
    (
        "an archive with two",
        archived(TAR, a_tar(("a/manifest.json", b""), ("b/manifest.json", b""))),
        INVALID,
        "several",
    ),
    ("an archive that lacks a file", archived(TAR, lambda files: a_tar(*files[:-1])), MISSING, "does not hold"),
    (
        "an archive with another model",
        archived(TAR, lambda files: a_tar(*({**dict(files), "model.skops": SECRET}).items())),
        MISMATCH,
        "model.skops is not the file",
    ),
    (
        "a symbolic link in a tar",
        archived(TAR, lambda files: a_tar(*files, special("x", tarfile.SYMTYPE, "/etc/passwd"))),
        INVALID,
        "a link or a device",
    ),
    (
        "a hard link in a tar",
        archived(TAR, lambda files: a_tar(*files, special("x", tarfile.LNKTYPE, "model.skops"))),
        INVALID,
        "a link or a device",
    ),
    (
        "a device in a tar",
        archived(TAR, lambda files: a_tar(*files, special("x", tarfile.CHRTYPE))),
        INVALID,
        "a link or a device",
    ),
    (
        "a path upwards in a tar",
        archived(TAR, lambda files: a_tar(*files, ("a/../../x", SECRET))),
        INVALID,
        "leads out of it",
    ),
    (
        "a path from the root in a tar",
        archived(TAR, lambda files: a_tar(*files, ("/etc/passwd", SECRET))),
        INVALID,
        "leads out of it",
    ),
    (
        "one name twice in a tar",
        archived(TAR, lambda files: a_tar(*files, ("model.skops", SECRET))),
        INVALID,
        "one name twice",
    ),
    ("a tar that ends early", archived(TAR, lambda files: a_tar(*files)[:700]), INVALID, "damaged"),
    ("what is no archive", archived(TAR, SECRET * 100), INVALID, "damaged"),
    ("a tar with a name of gigabytes", archived(TAR, a_tar_with_a_name_of_gigabytes()), INVALID, "several MiB"),
    (
        "a gzip that ends early",
        archived("/wine.tgz", lambda files: a_tar(*files, packed=True)[:500]),
        INVALID,
        "damaged",
    ),
    ("a symbolic link in a zip", archived(ZIP, a_linking_zip), INVALID, "a link or a device"),
    (
        "a path upwards in a zip",
        archived(ZIP, lambda files: a_zip([*files, ("../x", SECRET)])),
        INVALID,
        "leads out of it",
    ),
    (
        "a Windows path upwards in a zip",
        archived(ZIP, lambda files: a_zip([*files, ("..\\x", SECRET)])),
        INVALID,
        "leads out of it",
    ),
    ("a zip bomb", archived(ZIP, a_zip_bomb), MISMATCH, "it has not the"),
    (
        "a zip packed by what may unpack without end",
        archived(ZIP, lambda files: a_zip(files, zipfile.ZIP_BZIP2)),
        INVALID,
        "something else than deflate",
    ),
    ("a zip whose directory is too large", archived(ZIP, a_lying_zip), INVALID, "more than 10000 members"),
    ("a zip without an end", archived(ZIP, b"PK" + SECRET * 10), INVALID, "damaged"),
]


@pytest.mark.parametrize(("spoil", "reason", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_source_gets_its_reason_and_a_sentence(
    web: Web, pod: Pod, spoil: Spoil, reason: StartupReason, words: str
) -> None:
    refused = pod.refusal(spoil(web, pod))
    assert refused.reason == reason, refused.message
    assert words in refused.message
    for quoted in (SECRET.decode(), "/etc/passwd", "Traceback", "ann:pw"):
        assert quoted not in refused.message


def test_an_archive_of_too_many_members(web: Web, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBERS_MAX", 3)
    refused = pod.refusal(archived(TAR, lambda files: a_tar(*files))(web, pod))
    assert (refused.reason, "members" in refused.message) == (INVALID, True)


def test_an_archive_that_unpacks_to_more_than_may_be(web: Web, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FETCHED_BYTES_MAX", 32 * 1024**2)
    refused = pod.refusal(archived("/wine.tar.gz", a_gzip_bomb)(web, pod))
    assert (refused.reason, "unpacks to more than" in refused.message) == (INVALID, True)


def test_an_archive_that_is_larger_than_may_be(web: Web, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "FETCHED_BYTES_MAX", 1000)
    refused = pod.refusal(archived(TAR, lambda files: a_tar(*files))(web, pod))
    assert (refused.reason, "more than 1000 bytes" in refused.message) == (INVALID, True)


def test_what_makes_no_progress_is_given_up(web: Web, pod: Pod) -> None:
    refused = pod.refusal(at_model(Reply(SECRET, 500))(web, pod))
    assert refused.reason == UNAVAILABLE
    assert web.times(MODEL) == download.TRIES_MAX


def test_a_fourth_redirect_is_not_followed(web: Web, pod: Pod) -> None:
    pod.refusal(round_and_round(web, pod))
    assert len(web.asked) == 4


def test_nothing_is_fetched_beside_a_manifest_that_is_not_the_pinned_one(web: Web, pod: Pod) -> None:
    pod.refusal(pinned_another(web, pod))
    assert [asked.path for asked in web.asked] == [f"{DIRECTORY}/manifest.json"]


def test_a_manifest_in_pieces_is_the_same_manifest(web: Web, pod: Pod) -> None:
    assert json.loads(listed(x=b"1"))["files"]["x"]["size"] == 1
    web.put(pod.case.path, DIRECTORY)

    def once_cut(asked: Asked) -> Reply | None:
        return Reply(web.files[asked.path], cut=10) if web.times(asked.path) == 1 else None

    web.answers[f"{DIRECTORY}/manifest.json"] = once_cut
    assert pod.fetch(web.url + DIRECTORY) == pod.whole()
