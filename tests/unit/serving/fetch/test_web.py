"""`http(s)://`: a directory or an archive, through a server that fails as servers do."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile

import pytest
from tests.support.web import Asked, Certificate, Reply, Web
from tests.unit.serving.fetch.conftest import Pod, manifest

from serin_serving.errors import RefusedError

MODEL = "/models/wine/model.skops"


@pytest.fixture
def uri(web: Web, pod: Pod) -> str:
    web.put(pod.case.path, "/models/wine")
    return f"{web.url}/models/wine"


def packed(pod: Pod, how: str, below: str = "") -> bytes:
    """The bundle as an archive, its manifest last."""
    out = io.BytesIO()
    files = sorted(pod.whole().items(), reverse=True)
    if how == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files:
                archive.writestr(below + name, data)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=f"w:{how}") as tar:
        for name, data in files:
            member = tarfile.TarInfo(below + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_the_manifest_comes_first_and_then_exactly_the_files_that_it_names(web: Web, pod: Pod, uri: str) -> None:
    web.files["/models/wine/extra.bin"] = b"not in the manifest"
    assert pod.fetch(uri + "/") == pod.whole()
    paths = [asked.path for asked in web.asked]
    assert paths[0] == "/models/wine/manifest.json"
    assert sorted(paths) == sorted(f"/models/wine/{name}" for name in pod.whole())


@pytest.mark.parametrize(
    ("how", "end", "below"),
    [
        ("", ".tar", ""),
        ("gz", ".tar.gz", "./"),
        ("gz", ".tgz", "wine-7/"),
        ("zip", ".zip", ""),
        ("zip", ".zip", "a/b/"),
    ],
)
def test_an_archive_holds_the_bundle_at_its_root_or_in_a_directory(
    web: Web, pod: Pod, how: str, end: str, below: str
) -> None:
    web.files[f"/wine{end}"] = packed(pod, how, below)
    assert pod.fetch(f"{web.url}/wine{end}") == pod.whole()
    assert [path.name for path in pod.out.parent.iterdir()] == ["bundle"], "the archive itself is gone"


def test_a_bundle_that_is_there_is_not_fetched_again(web: Web, pod: Pod, uri: str) -> None:
    pod.fetch(uri)
    before = len(web.asked)
    assert pod.fetch(uri) == pod.whole()
    assert len(web.asked) == before


def test_a_bundle_that_was_damaged_since_is_fetched_again(pod: Pod, uri: str) -> None:
    pod.fetch(uri)
    (pod.out / "model.skops").write_bytes(b"other")
    assert pod.fetch(uri) == pod.whole()


def test_a_file_that_is_cut_off_is_taken_up_where_it_stopped(web: Web, pod: Pod, uri: str) -> None:
    web.answers[MODEL] = [Reply(web.files[MODEL], headers={"ETag": '"v1"'}, cut=1000)]
    assert pod.fetch(uri) == pod.whole()
    again = [asked.headers for asked in web.asked if asked.path == MODEL][1]
    assert (again["Range"], again["If-Range"]) == ("bytes=1000-", '"v1"')


def test_a_file_that_is_cut_off_again_and_again_comes_in_pieces(web: Web, pod: Pod, uri: str) -> None:
    def cut(asked: Asked) -> Reply:
        reply = web.file(asked, web.files[MODEL])
        reply.cut = 500
        return reply

    web.answers[MODEL] = cut
    assert pod.fetch(uri) == pod.whole()
    assert web.times(MODEL) > 5, "what makes progress is not given up"


def test_a_server_that_knows_no_ranges_begins_anew(web: Web, pod: Pod, uri: str) -> None:
    web.ranges = False
    web.answers[MODEL] = [Reply(web.files[MODEL], cut=1000)]
    assert pod.fetch(uri) == pod.whole()


def test_two_versions_that_were_pasted_together_are_fetched_once_more_in_one_piece(
    web: Web, pod: Pod, uri: str
) -> None:
    size = len(web.files[MODEL])
    web.answers[MODEL] = [Reply(b"x" * size, cut=1000)]
    assert pod.fetch(uri) == pod.whole()
    assert web.times(MODEL) == 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_tried_again_with_growing_pauses(web: Web, pod: Pod, uri: str, status: int) -> None:
    web.answers[MODEL] = [Reply(status=status)] * 3
    assert pod.fetch(uri) == pod.whole()
    assert pod.pauses == [0.5, 1.0, 2.0]


def test_a_source_that_asks_to_be_left_alone_is(web: Web, pod: Pod, uri: str) -> None:
    web.answers[MODEL] = [Reply(status=503, headers={"Retry-After": "7"})]
    pod.fetch(uri)
    assert pod.pauses == [7.0]


def test_redirects_are_followed_up_to_three(web: Web, pod: Pod, uri: str) -> None:
    for number in range(3):
        where = f"/hop{number + 1}" if number < 2 else MODEL + "?signed=1"
        web.answers[f"/hop{number}"] = Reply(status=302, headers={"Location": where})
    web.answers[MODEL] = [Reply(status=307, headers={"Location": "/hop1"})]
    assert pod.fetch(uri) == pod.whole()


def test_the_path_of_the_uri_is_a_urls_and_names_of_the_manifest_are_quoted(web: Web, pod: Pod) -> None:
    pod.unpin()
    data = {**pod.whole(), "a b?#é.txt": b"1"}
    data["manifest.json"] = manifest({name: (len(body), hashlib.sha256(body).hexdigest()) for name, body in data.items()
                                      if name != "manifest.json"})  # fmt: skip
    web.files = {f"/models/wine 7/é/{name}": body for name, body in data.items()}
    assert pod.fetch(f"{web.url}/models/wine%207/%C3%A9") == data


# Credentials.


@pytest.mark.parametrize(
    ("secret", "header"),
    [
        ({"token": "t0ken\n"}, "Bearer t0ken"),
        ({"username": "ann", "password": "pw"}, "Basic YW5uOnB3"),
        ({"token": "wins", "username": "ann", "password": "pw"}, "Bearer wins"),
        ({"username": "ann"}, None),
        ({}, None),
    ],
)
def test_the_secret_opens_the_source(web: Web, pod: Pod, uri: str, secret: dict[str, str], header: str | None) -> None:
    pod.credential(**secret)
    pod.fetch(uri)
    assert {asked.headers.get("Authorization") for asked in web.asked} == {header}


def test_a_redirect_to_another_origin_goes_without_the_credentials(
    web: Web, tls: Web, pod: Pod, uri: str, certificate: Certificate
) -> None:
    pod.credential(**{"token": "t0ken", "ca.crt": certificate.file.read_text()})
    web.answers[MODEL] = Reply(status=302, headers={"Location": f"{tls.url}/far?signed=1"})
    tls.files["/far"] = web.files[MODEL]
    assert pod.fetch(uri) == pod.whole()
    assert [asked.headers.get("Authorization") for asked in tls.asked] == [None]
    assert {asked.headers.get("Authorization") for asked in web.asked} == {"Bearer t0ken"}


def test_credentials_go_by_plain_http_only_where_the_operator_allows_the_range(web: Web, pod: Pod) -> None:
    pod.credential(token="t0ken")
    pod.names["store.example"] = ["93.184.216.34"]
    refused = pod.refusal("http://store.example/models/wine")
    assert (refused.reason, "plain http" in refused.message) == ("SourceRefused", True)


def test_a_certificate_of_an_authority_of_ones_own_holds_where_the_secret_names_it(
    tls: Web, pod: Pod, certificate: Certificate
) -> None:
    tls.put(pod.case.path, "/models/wine")
    refused = pod.refusal(f"{tls.url}/models/wine")
    assert (refused.reason, "ca.crt" in refused.message) == ("SourceRefused", True)
    pod.credential(**{"ca.crt": certificate.file.read_text()})
    assert pod.fetch(f"{tls.url}/models/wine") == pod.whole()


def test_a_volume_that_cannot_be_written_is_a_sentence(pod: Pod, uri: str) -> None:
    pod.out.parent.write_text("a file where the volume should be")
    with pytest.raises(RefusedError, match="cannot be written to its volume"):
        pod.fetch(uri)
