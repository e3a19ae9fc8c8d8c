"""The page of bad inputs is made of the tables that test them; `python -m` with this module's name writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.unit.serving import (
    test_binary,
    test_feedback,
    test_grpc,
    test_http,
    test_ladder,
    test_predict,
    test_signers,
    test_startup,
)
from tests.unit.serving.fetch import test_bad_sources, test_oci

PAGE = Path(__file__).parents[3] / "docs" / "serving" / "bad-inputs.md"
ROWS_MIN = 40
HEAD = """# Bad inputs, and what each gets

Every row is a test with the real server, program or reader. The requests of a table all go to one running server, which
must answer and count each, once, as refused in the cohort that it came with; a refused label counts nowhere; a pod that
refuses its bundle never listens. No sentence quotes a value, a key, a token or an id. `make fuzz` sends mutated bytes
beside these.

The words are part of the sentence that the caller, or `status.message`, gets.
"""

Row = tuple[str, str, str]


def sections() -> Iterator[tuple[str, Iterable[Row]]]:
    """Each title with its rows: the input, what it gets, and words of the sentence."""
    yield (
        "Inference requests",
        ((name, str(status), words) for name, (_, status, words, _) in test_http.REFUSED.items()),
    )
    yield "Binary tensors", ((name, "400", words) for name, (*_, words) in test_binary.REFUSED.items())
    yield (
        "`/v1/predict`",
        ((name, "400", words) for name, (_, words, _) in test_predict.REFUSED.items()),
    )
    yield (
        "gRPC",
        ((name, code.name, words) for name, (_, code, words) in test_grpc.REFUSED.items()),
    )
    yield (
        "Labels",
        ((name, f"403 or 422 {reason}", "") for name, (_, reason) in test_feedback.REFUSED.items()),
    )
    yield (
        "Bundles, digests and settings",
        ((name, reason.value, words) for name, (_, reason, words) in test_startup.DAMAGES.items()),
    )
    yield (
        "Compiled models",
        ((name, reason.value, words) for name, (_, _, reason, words) in test_ladder.REFUSED.items()),
    )
    yield (
        "Signatures",
        ((name, "NotSigned", words) for name, (_, words) in test_signers.UNSIGNED.items()),
    )
    yield (
        "Sources of bundles",
        ((name, str(getattr(reason, "value", reason)), words) for name, _, reason, words in test_bad_sources.BAD),
    )
    yield "Registries", ((name, reason, words) for name, _, reason, words in test_oci.BAD)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, rows in sections():
        parts += [f"\n## {title}\n", "| input | gets | says |", "| --- | --- | --- |"]
        parts += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    return "\n".join(parts) + "\n"


def test_the_page_lists_what_the_tests_try() -> None:
    assert PAGE.read_text() == page()


def test_they_are_forty_at_the_least() -> None:
    assert sum(len(list(rows)) for _, rows in sections()) >= ROWS_MIN


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page())
