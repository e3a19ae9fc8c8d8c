"""What callers do to both arms arrives in the operator's evidence: every request and label once, each row as 1/m."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import CANDIDATE, STABLE, Arms, origin, serving_pod
from tests.support import bundles
from tests.unit.judge.build import policy
from tests.unit.serving.running import Case, Running, run

from serin_contract.keys import derive_ring, encode
from serin_operator.decide.judge import evidence
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.observe.pods import Poller

NOW = 1_000.0


def predicted(server: Running, rows: slice, cohort: str | None) -> tuple[str, list[Any]]:
    """Ask for these rows; the prediction id and the answered classes."""
    reply = server.infer(server.case.rows[rows], cohort=cohort)
    assert reply.status == 200, reply.error
    return reply.prediction_id, reply.json["outputs"][0]["data"]


def label(at: Running, prediction: str, answers: list[Any]) -> None:
    """Post one label for each row."""
    body = [{"id": prediction, "row": row, "label": answer} for row, answer in enumerate(answers)]
    reply = at.call("POST", "/v1/feedback", body)
    assert (reply.status, reply.json["accepted"]) == (200, len(answers)), reply.body


async def absorbed(poller: Poller, arms: Arms, before: Evidence | None = None, now: float = NOW) -> Evidence:
    """One pass of the operator: poll both pods, add what is new."""
    answers = await poller.stats(arms.pods)
    assert [answer.error for answer in answers] == [None, None]
    return evidence.absorb(before or evidence.start(CANDIDATE, STABLE), answers, now, policy())


async def test_requests_of_both_arms_are_counted_by_their_outcome(cohort: str, arms: Arms, poller: Poller) -> None:
    for _ in range(5):
        predicted(arms.stable, slice(0, 1), cohort)
    for _ in range(3):
        predicted(arms.candidate, slice(0, 4), cohort)
    refused = arms.candidate.call("POST", arms.candidate.path("infer"), b"{", x_serin_cohort=cohort)
    assert refused.status == 400
    seen = (await absorbed(poller, arms)).cohorts[cohort]
    assert (seen.stable.requests, seen.stable.errors, seen.stable.predictions) == (5, 0, 5)
    assert (seen.candidate.requests, seen.candidate.errors, seen.candidate.predictions) == (4, 1, 3)


async def test_a_request_without_a_cohort_counts_in_none(arms: Arms, poller: Poller) -> None:
    before = await absorbed(poller, arms)
    prediction, answers = predicted(arms.candidate, slice(0, 2), cohort=None)
    label(arms.stable, prediction, answers)
    assert (await absorbed(poller, arms)).cohorts == before.cohorts


async def test_labels_posted_to_stable_count_for_who_predicted(cohort: str, arms: Arms, poller: Poller) -> None:
    own, own_answers = predicted(arms.stable, slice(0, 1), cohort)
    others, others_answers = predicted(arms.candidate, slice(0, 1), cohort)
    label(arms.stable, own, own_answers)
    label(arms.stable, others, [(others_answers[0] + 1) % 3])
    seen = (await absorbed(poller, arms)).cohorts[cohort]
    assert (seen.stable.labelled, seen.stable.correct) == (1, 1)
    assert (seen.candidate.labelled, seen.candidate.correct) == (1, 0)


@pytest.mark.parametrize("rows", [1, 3, 7])
async def test_each_row_of_a_request_weighs_one_part(cohort: str, arms: Arms, poller: Poller, rows: int) -> None:
    prediction, answers = predicted(arms.candidate, slice(0, rows), cohort)
    wrong_first = [(answers[0] + 1) % 3, *answers[1:]]
    label(arms.stable, prediction, wrong_first)
    seen = (await absorbed(poller, arms)).cohorts[cohort].candidate
    assert seen.labelled == pytest.approx(1.0, abs=1e-12)
    assert seen.correct == pytest.approx((rows - 1) / rows, abs=1e-12)


async def test_looking_often_counts_nothing_twice(cohort: str, arms: Arms, poller: Poller) -> None:
    seen: Evidence | None = None
    for turn in range(4):
        prediction, answers = predicted(arms.candidate, slice(turn, turn + 1), cohort)
        label(arms.stable, prediction, answers)
        for _ in range(3):
            seen = await absorbed(poller, arms, seen, NOW + turn)
    assert seen is not None
    total = seen.cohorts[cohort].candidate
    assert (total.requests, total.predictions, total.labelled, total.correct) == (4, 4, 4, 4)
    assert seen.refused == 0


async def test_a_label_posted_again_counts_once(cohort: str, arms: Arms, poller: Poller) -> None:
    prediction, answers = predicted(arms.candidate, slice(0, 1), cohort)
    label(arms.stable, prediction, answers)
    again = arms.stable.call("POST", "/v1/feedback", {"id": prediction, "label": answers[0]})
    assert (again.status, again.json["accepted"], again.json["duplicates"]) == (200, 0, 1)
    assert (await absorbed(poller, arms)).cohorts[cohort].candidate.labelled == 1


async def test_evidence_restored_from_a_revision_goes_on_without_counting_twice(
    cohort: str, arms: Arms, poller: Poller
) -> None:
    prediction, answers = predicted(arms.candidate, slice(0, 1), cohort)
    label(arms.stable, prediction, answers)
    seen = await absorbed(poller, arms)
    restored = evidence.restore(evidence.dump(seen), CANDIDATE, STABLE)
    assert restored is not None
    prediction, answers = predicted(arms.candidate, slice(1, 2), cohort)
    label(arms.stable, prediction, answers)
    total = (await absorbed(poller, arms, restored)).cohorts[cohort].candidate
    assert (total.requests, total.labelled, total.correct) == (2, 2, 2)


async def test_a_restarted_server_is_a_new_start_and_adds_to_the_old(
    cohort: str, arms: Arms, poller: Poller, candidate_case: Case, keys_file: Path
) -> None:
    predicted(arms.candidate, slice(0, 1), cohort)
    seen = await absorbed(poller, arms)
    with run(candidate_case, keys_file, revision=CANDIDATE, pod_uid=f"uid-of-{CANDIDATE}") as again:
        arms.origins[CANDIDATE] = origin(again.stats_port)
        predicted(again, slice(0, 1), cohort)
        answers = await poller.stats([serving_pod(CANDIDATE)])
        seen = evidence.absorb(seen, answers, NOW + 1, policy())
    assert seen.cohorts[cohort].candidate.requests == 2
    assert seen.refused == 0


async def test_another_pod_at_the_same_address_is_not_counted(cohort: str, arms: Arms, poller: Poller) -> None:
    predicted(arms.candidate, slice(0, 1), cohort)
    (answer,) = await poller.stats([serving_pod(CANDIDATE, uid="uid-of-the-pod-before")])
    assert answer.stats is None
    assert answer.error == f"pod {CANDIDATE}-0: another pod answers at its address"


async def test_a_pod_that_is_gone_is_an_error_and_no_exception(arms: Arms, poller: Poller) -> None:
    arms.origins[CANDIDATE] = origin(1)
    (answer,) = await poller.stats([serving_pod(CANDIDATE)])
    assert answer.stats is None
    assert "it cannot be reached" in str(answer.error)


async def test_an_id_of_another_deployment_is_refused_and_counts_nowhere(
    cohort: str, arms: Arms, poller: Poller, stable_case: Case, tmp_path: Path
) -> None:
    foreign_keys = tmp_path / "keys.json"
    foreign_keys.write_bytes(encode(derive_ring({"k1": b"1" * 32}, "k1", "uid-of-beer")))
    with run(stable_case, foreign_keys, revision="beer-1") as foreign:
        prediction, answers = predicted(foreign, slice(0, 1), cohort)
        refused = arms.stable.call("POST", "/v1/feedback", {"id": prediction, "label": answers[0]})
    assert (refused.status, refused.json["refused"][0]["reason"]) == (403, "NotOurs")
    assert cohort not in (await absorbed(poller, arms)).cohorts


async def test_an_id_signed_under_a_retired_master_is_refused_as_such(
    cohort: str, arms: Arms, stable_case: Case, tmp_path: Path
) -> None:
    old_keys = tmp_path / "keys.json"
    old_keys.write_bytes(encode(derive_ring({"k0": b"0" * 32}, "k0", "uid-of-wine")))
    with run(stable_case, old_keys, revision=STABLE) as before:
        prediction, answers = predicted(before, slice(0, 1), cohort)
    refused = arms.stable.call("POST", "/v1/feedback", {"id": prediction, "label": answers[0]})
    assert (refused.status, refused.json["refused"][0]["reason"]) == (422, "KeyRetired")


async def test_a_new_cohort_opens_with_its_first_answer(cohort: str, arms: Arms, poller: Poller) -> None:
    predicted(arms.stable, slice(0, 1), cohort)
    first = await absorbed(poller, arms, now=NOW)
    predicted(arms.candidate, slice(0, 1), f"{cohort}-next")
    second = await absorbed(poller, arms, first, now=NOW + 5)
    assert second.cohorts[cohort].opened_at == NOW
    assert second.cohorts[f"{cohort}-next"].opened_at == NOW + 5


async def test_an_answer_that_is_no_number_counts_as_failed(
    cohort: str, poller: Poller, arms: Arms, keys_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    case = Case("wine", out, bundles.steep_line(out), None, None, None)
    with run(case, keys_file, revision=CANDIDATE, pod_uid=f"uid-of-{CANDIDATE}") as server:
        arms.origins[CANDIDATE] = origin(server.stats_port)
        assert server.infer([[1e300]], cohort=cohort).status == 500
        assert server.infer([[1.0]], cohort=cohort).status == 200
        seen = evidence.absorb(
            evidence.start(CANDIDATE, STABLE), await poller.stats([serving_pod(CANDIDATE)]), NOW, policy()
        )
    counted = seen.cohorts[cohort].candidate
    assert (counted.requests, counted.errors, counted.predictions) == (2, 1, 1)
