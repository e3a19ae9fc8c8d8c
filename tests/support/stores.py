"""What the stores of three clouds check of a signed URL, written from their documents and not from our signer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, quote

from tests.support.web import Asked, Reply, Web

GOOGLE_HOST = "storage.googleapis.com"
"""What is signed, also where a test's server stands in its place."""
S3_KEY, S3_SECRET = "AKIDEXAMPLE", "secret of the store"
AZ_KEY = base64.b64encode(b"k" * 32).decode()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _to_sign(asked: Asked, prefix: str, algorithm: str, host: str) -> tuple[dict[str, str], str]:
    """The query, and the text that version 4 of both S3's and Google's signatures signs."""
    query = dict(parse_qsl(asked.query))
    signed = sorted((quote(k, safe=""), quote(v, safe="")) for k, v in query.items() if k != f"{prefix}-Signature")
    canonical = "\n".join(
        ("GET", quote(asked.path), "&".join(f"{k}={v}" for k, v in signed), f"host:{host}\n", "host",
         "UNSIGNED-PAYLOAD")
    )  # fmt: skip
    scope = query[f"{prefix}-Credential"].partition("/")[2]
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    return query, "\n".join((algorithm, query[f"{prefix}-Date"], scope, hashed))


def signed_for_s3(asked: Asked) -> bool:
    """Whether S3 would hand this out to S3_KEY: Signature Version 4 in the query."""
    if "X-Amz-Signature" not in asked.query:
        return False
    query, text = _to_sign(asked, "X-Amz", "AWS4-HMAC-SHA256", asked.headers["Host"])
    key, date, region, service, end = query["X-Amz-Credential"].split("/")
    secret = f"AWS4{S3_SECRET}".encode()
    for part in (date, region, service, end):
        secret = _hmac(secret, part)
    return key == S3_KEY and hmac.compare_digest(query["X-Amz-Signature"], _hmac(secret, text).hex())


class GoogleKey:
    """The key of a service account."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._run("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem")
        self._run("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
        self.private = (directory / "key.pem").read_text()

    def signed(self, asked: Asked) -> bool:
        """Whether Google's storage would hand this out."""
        if "X-Goog-Signature" not in asked.query:
            return False
        query, text = _to_sign(asked, "X-Goog", "GOOG4-RSA-SHA256", GOOGLE_HOST)
        (self._directory / "signature").write_bytes(bytes.fromhex(query["X-Goog-Signature"]))
        (self._directory / "text").write_text(text)
        return self._run("dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "text") == 0

    def _run(self, *words: str) -> int:
        return subprocess.run(["openssl", *words], cwd=self._directory, capture_output=True, check=False).returncode


def signed_for_azure(asked: Asked, account: str) -> bool:
    """Whether Azure would hand this out: a service SAS of a blob."""
    query = dict(parse_qsl(asked.query))
    if "sig" not in query:
        return False
    blob = asked.path.removeprefix(f"/{account}")
    ends = [""] * 7
    text = "\n".join(
        (query["sp"], query["st"], query["se"], f"/blob/{account}{blob}", "", "", "", query["sv"], query["sr"], *ends)
    )
    return query["sig"] == base64.b64encode(_hmac(base64.b64decode(AZ_KEY), text)).decode()


def guarded(web: Web, allowed: object) -> None:
    """Answer with files to those that the check allows, and with the store's XML to others."""
    assert callable(allowed)

    def answer(asked: Asked) -> Reply | None:
        return None if allowed(asked) else Reply(b"<Error><Code>AccessDenied</Code></Error>", 403)

    web.fallback = answer
