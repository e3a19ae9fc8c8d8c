"""Who gets sampled rows, and what an answer of rows must hold."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from serin_contract import announcements, sampled, seals
from serin_contract.announcements import Announcement
from serin_contract.bundle import Column
from serin_contract.keys import derive_ring
from serin_contract.sampled import AGE_SECONDS_MAX, SampledRows

NOW = 1_800_000_000.0
OURS = derive_ring({"m1": b"1" * 32}, "m1", "uid-of-wine")
ROTATED = derive_ring({"m1": b"1" * 32, "m2": b"2" * 32}, "m2", "uid-of-wine")
OTHERS = derive_ring({"m1": b"1" * 32}, "m1", "uid-of-beer")
ANNOUNCED = announcements.encode(Announcement("pod-1", 1), OURS)[1]

OPENED = {
    "asked of this pod": sampled.ask("pod-1", NOW, OURS),
    "by a clock that is a little slow": sampled.ask("pod-1", NOW - AGE_SECONDS_MAX + 1, OURS),
    "by a clock that is a little fast": sampled.ask("pod-1", NOW + AGE_SECONDS_MAX - 1, OURS),
}

REFUSED = {
    "nothing": "",
    "a seal alone": sampled.ask("pod-1", NOW, OURS).partition(".")[2],
    "a time alone": str(int(NOW)),
    "asked of another pod": sampled.ask("pod-2", NOW, OURS),
    "asked under another deployment's key": sampled.ask("pod-1", NOW, OTHERS),
    "a seal that was overheard long ago": sampled.ask("pod-1", NOW - AGE_SECONDS_MAX - 1, OURS),
    "one for later": sampled.ask("pod-1", NOW + AGE_SECONDS_MAX + 1, OURS),
    "an old one with a new time": f"{int(NOW)}.{sampled.ask('pod-1', NOW - 900, OURS).partition('.')[2]}",
    "the seal of an announcement": f"{int(NOW)}.{ANNOUNCED}",
    "a time that is no number": f"now.{sampled.ask('pod-1', NOW, OURS).partition('.')[2]}",
    "characters that no seal has": f"{int(NOW)}.m1.é",
}


@pytest.mark.parametrize("name", OPENED)
def test_it_opens_with(name: str) -> None:
    sampled.check(OPENED[name], "pod-1", NOW, OURS)


def test_a_key_that_is_being_rotated_out_still_opens() -> None:
    sampled.check(OPENED["asked of this pod"], "pod-1", NOW, ROTATED)


@pytest.mark.parametrize("name", REFUSED)
def test_it_stays_shut_for(name: str) -> None:
    with pytest.raises(seals.ForgedError):
        sampled.check(REFUSED[name], "pod-1", NOW, OURS)


COLUMNS = [Column("age", "FP64"), Column("shade", "BYTES")]
GOOD = SampledRows(
    "wine-2", "pod-1", "wine-2.1.a", COLUMNS, 9, 0, 2, np.array([1.5, np.nan]).tobytes(), [["dark"], [None]]
)

MISFITS = {
    "fewer numbers than rows": {"rows": 3},
    "a number cut in two": {"numbers": GOOD.numbers[:-1]},
    "fewer texts than rows": {"texts": [["dark"]]},
    "a row of too many texts": {"texts": [["dark", "light"], [None]]},
    "texts without a column of texts": {"columns": [Column("age", "FP64")]},
}


def test_an_answer_reads_back() -> None:
    assert sampled.decode(sampled.encode(GOOD)) == GOOD


@pytest.mark.parametrize("name", MISFITS)
def test_an_answer_is_refused_that_has(name: str) -> None:
    data = sampled.encode(msgspec.structs.replace(GOOD, **MISFITS[name]))
    with pytest.raises(ValueError, match="do not fit each other"):
        sampled.decode(data)


def test_what_is_no_answer_is_refused_without_its_words() -> None:
    with pytest.raises(ValueError, match="not an answer of rows") as refused:
        sampled.decode(msgspec.msgpack.encode({"secret": 1}))
    assert "secret" not in str(refused.value)
