"""What users install beside Serin: pinned by hash, from one registry, under licences that permit it, and audited."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.server
import importlib.metadata
import json
import re
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import audit

LOCK = tomllib.loads((audit.ROOT / "uv.lock").read_text())
PACKAGES: dict[str, Any] = {package["name"]: package for package in LOCK["package"]}
OWN = "serin-operator"
TODAY = dt.date(2026, 1, 2)

PERMITTED = (
    "0BSD",
    "Apache",
    "BSD",
    "CC0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "Mozilla Public License 2.0",
    "PSF",
    "Python Software Foundation",
    "Python-2.0",
    "Unlicense",
    "Zlib",
)
"""How a licence that asks for no more than its text is named; copyleft that reaches only its own files included."""


def shipped() -> set[str]:
    """The names of all packages that an extra of Serin brings."""
    own = PACKAGES[OWN]
    waiting = [*own["dependencies"], *(item for group in own["optional-dependencies"].values() for item in group)]
    found: set[str] = set()
    while waiting:
        needed = waiting.pop()
        package = PACKAGES[needed["name"]]
        if package["name"] not in found:
            found.add(package["name"])
            waiting += package.get("dependencies", [])
        for extra in needed.get("extra", []):
            waiting += package.get("optional-dependencies", {}).get(extra, [])
    return found - {OWN}


def test_every_file_of_the_lock_is_pinned_by_its_sha256_and_from_one_registry() -> None:
    for name, package in PACKAGES.items():
        if name == OWN:
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}, name
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, name
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", file["hash"]) for file in files), name


def licence(name: str) -> str | None:
    """What a package says of its licence; None where it is not installed, as on another system."""
    try:
        meta, files = importlib.metadata.metadata(name), importlib.metadata.files(name) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    classified = [value for key, value in meta.items() if key == "Classifier" and value.startswith("License ::")]
    free = (meta["License"] or "").splitlines()[:1] if "License" in meta else []
    if "License-Expression" in meta:
        return meta["License-Expression"]
    texts = [file.read_text()[:200] for file in files if "LICENSE" in file.name.upper()]
    return "; ".join([*classified, *free] if any(free) or "License :: OSI Approved ::" in str(classified) else texts)


def test_every_package_that_users_get_has_a_licence_that_permits_it() -> None:
    said = {name: licence(name) for name in sorted(shipped())}
    odd = {
        name: text for name, text in said.items() if text is not None and not any(word in text for word in PERMITTED)
    }
    assert odd == {}
    assert not [name for name, text in said.items() if text and re.search(r"\b[AL]?GPL", text)]
    assert len([text for text in said.values() if text]) > 40, "the packages are installed, or this says nothing"


@contextlib.contextmanager
def database(vulnerable: str | None) -> Iterator[str]:
    """OSV's API on loopback, which knows one vulnerable package or none."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            names = [query["package"]["name"] for query in asked]
            self._say({"results": [{"vulns": [KNOWN]} if name == vulnerable else {} for name in names]})

        def do_GET(self) -> None:
            affected = [{"package": {"ecosystem": "PyPI", "name": vulnerable}, "ranges": [RANGE]}]
            self._say({**KNOWN, "published": KNOWN["modified"], "summary": "it tells", "affected": affected})

        def _say(self, document: Any) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


KNOWN = {"id": "GHSA-0000-0000-0000", "modified": "2026-01-01T00:00:00Z"}
RANGE = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}


def test_a_vulnerable_package_is_named_with_the_version_that_ends_it() -> None:
    with database("orjson") as url:
        outcome = audit.ask(audit.ROOT, "--service-url", url)
    assert outcome.vulnerable is not None, outcome.why
    [line] = outcome.vulnerable
    assert re.fullmatch(r"orjson \S+: GHSA-0000-0000-0000, fixed in 99\.0: it tells", line)


def test_an_answer_holds_for_a_day_and_for_its_lock_file(tmp_path: Path) -> None:
    with database(None) as url:
        found = audit.remembered(audit.ROOT, tmp_path, TODAY, "--service-url", url)
    assert found.vulnerable == [], found.why
    assert found.packages > 40
    nobody = ("--service-url", url)
    assert audit.remembered(audit.ROOT, tmp_path, TODAY, *nobody) == found
    assert audit.remembered(audit.ROOT, tmp_path, TODAY + dt.timedelta(1), *nobody).vulnerable is None


def test_a_database_that_cannot_be_reached_is_no_clean_answer() -> None:
    with database(None) as url:
        pass
    outcome = audit.ask(audit.ROOT, "--service-url", url)
    assert outcome.vulnerable is None
    assert outcome.why


@pytest.mark.parametrize("known", [True, False], ids=["told", "not told"])
def test_the_command_fails_for_a_finding_alone(known: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = hashlib.sha256((audit.ROOT / "uv.lock").read_bytes()).hexdigest()
    day = dt.datetime.now(dt.UTC).date().isoformat()
    kept = {"lock": lock, "day": day, "vulnerable": ["a 1: X"] if known else [], "packages": 7}
    (tmp_path / "audit.json").write_text(json.dumps(kept))
    assert audit.main(tmp_path) == (1 if known else 0)
    assert "7 packages" in capsys.readouterr().out
