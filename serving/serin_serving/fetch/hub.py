"""`hf://owner/repo@revision/path` and `http(s)://`: places whose files have URLs of their own."""

from __future__ import annotations

from urllib.parse import urlsplit

from serin_serving.fetch.credentials import Credentials, header
from serin_serving.fetch.source import Directory, quoted, refused
from serin_serving.fetch.transport import Target

HUB = "https://huggingface.co"
REVISION = "main"
KEYS = ("HF_TOKEN", "username", "password")


def web(uri: str, credentials: Credentials) -> Directory:
    """A directory of a web server, or an archive there; `token`, or `username` and `password`, may open it."""
    url = urlsplit(uri)
    root, secret = url.path.rstrip("/"), header(credentials.authorization())

    def made(path: str) -> Target:
        # The URI's own path is written as URLs are; what the manifest adds to it is not.
        where = root + quoted(path.removeprefix(root))
        return Target(f"{url.scheme}://{url.netloc}{where}", f"{path.rpartition('/')[2]} at {url.hostname}", {}, secret)

    return Directory(root, made)


def hugging_face(uri: str, credentials: Credentials) -> Directory:
    """A repository of the Hugging Face hub, or of a mirror under HF_ENDPOINT; HF_TOKEN opens what is gated."""
    owner, _, rest = uri.removeprefix("hf://").partition("/")
    named, _, root = rest.partition("/")
    repository, _, revision = named.partition("@")
    endpoint = (credentials.line("HF_ENDPOINT") or HUB).rstrip("/")
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise refused("HF_ENDPOINT of the credentials is no URL such as https://huggingface.co")
    secret = header(credentials.authorization(KEYS))
    base = f"{endpoint}/{owner}/{repository}/resolve/{revision or REVISION}"

    def made(path: str) -> Target:
        path = path.strip("/")
        return Target(f"{base}/{quoted(path)}", f"{path} of {owner}/{repository}", {}, secret)

    return Directory(root, made)
