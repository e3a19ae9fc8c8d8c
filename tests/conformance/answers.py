"""What a behaviour is, how its answer is recorded, and what the record looks like."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import pytest
from tests.conformance.api import ApiRefusedError
from tests.conformance.ground import Ground

CHECK_SECONDS = 110
"""A check that takes longer breaks off with a finding; the test's own limit leaves time for the report."""


class Need(StrEnum):
    """What Serin makes of a behaviour."""

    REQUIRES = "requires"
    """A roll-out is not safe without it; a gateway that lacks it fails the suite."""
    USES = "uses"
    """Serin does more where it is there, and says so in status where it is not."""
    KNOWS = "knows"
    """Serin is right either way; people should know of it."""


class Held(StrEnum):
    """Whether the gateway behaves so."""

    YES = "yes"
    NO = "no"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Answer:
    """One answer, and the figures or words that it rests on."""

    held: Held
    seen: str


def yes(seen: str) -> Answer:
    """The gateway behaves so."""
    return Answer(Held.YES, seen)


def no(seen: str) -> Answer:
    """The gateway behaves otherwise."""
    return Answer(Held.NO, seen)


def cannot_tell(why: str) -> Answer:
    """Nothing was seen that decides it."""
    return Answer(Held.CANNOT_TELL, why)


def told(holds: bool, seen: str) -> Answer:
    """Yes or no by a fact."""
    return yes(seen) if holds else no(seen)


@dataclass(frozen=True)
class Finding:
    """One row of the report."""

    need: Need
    behaviour: str
    held: Held
    seen: str


Check = Callable[[Ground], Awaitable[Answer]]

BEHAVIOURS: dict[str, Need] = {}
"""Every behaviour of the suite by its sentence, in the order of the tests."""

FINDINGS: list[Finding] = []


def behaviour(need: Need, sentence: str) -> Callable[[Check], Callable[..., Awaitable[None]]]:
    """Make a test of a check: record its answer, and fail where Serin requires what the gateway does not do."""
    BEHAVIOURS[sentence] = need

    def make(check: Check) -> Callable[..., Awaitable[None]]:
        async def test(ground: Ground) -> None:
            judge(need, sentence, await answered(need, sentence, check, ground, FINDINGS))

        test.__name__, test.__doc__, test.__module__ = check.__name__, sentence, check.__module__
        marks = [
            pytest.mark.cluster,
            pytest.mark.timeout(CHECK_SECONDS + 60),
            pytest.mark.asyncio(loop_scope="session"),
        ]
        if need is Need.REQUIRES:
            marks.append(pytest.mark.required)
        return functools.reduce(lambda marked, mark: mark(marked), marks, test)

    return make


async def answered(need: Need, sentence: str, check: Check, ground: Ground, findings: list[Finding]) -> Answer:
    """The check's answer, added to the findings; a gateway that never gets there is one of which nobody can tell."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            answer = await check(ground)
    except (TimeoutError, ApiRefusedError) as error:
        answer = cannot_tell(one_line(error))
    except Exception as error:
        findings.append(Finding(need, sentence, Held.CANNOT_TELL, f"the check broke off: {one_line(error)}"))
        raise
    findings.append(Finding(need, sentence, answer.held, answer.seen))
    return answer


def judge(need: Need, sentence: str, answer: Answer) -> None:
    """Fail where a required behaviour is missing, or was not seen to be there."""
    if need is Need.REQUIRES and answer.held is not Held.YES:
        pytest.fail(f"Serin requires: {sentence} The answer is {answer.held}: {answer.seen}", pytrace=False)


def one_line(error: BaseException) -> str:
    """The error in one line of bounded length."""
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def as_json(about: dict[str, str], findings: Iterable[Finding]) -> str:
    """The report for programs."""
    rows: list[dict[str, Any]] = [asdict(finding) for finding in findings]
    return json.dumps({**about, "findings": rows}, indent=2) + "\n"


def as_markdown(about: dict[str, str], findings: Iterable[Finding]) -> str:
    """The report for people: one table, ordered by what Serin makes of each behaviour."""
    lines = [*(f"- {name}: {value}" for name, value in about.items()), ""]
    lines += ["| Serin | behaviour | answer | seen |", "|---|---|---|---|"]
    order = list(Need)
    for finding in sorted(findings, key=lambda finding: order.index(finding.need)):
        cells = (finding.need, finding.behaviour, finding.held, finding.seen)
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
