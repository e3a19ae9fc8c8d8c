from __future__ import annotations

import base64
import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serin_contract import keys, profile, startup, stats
from serin_contract.bundle import Column, is_digest, matrix_type
from serin_contract.keys import KeyRing, derive_key, derive_ring
from serin_contract.model_types import MODEL_TYPES_ALLOWED
from serin_contract.profile import CategoryFeature, NumericFeature, PredictionBins, Profile, row_scalar
from serin_contract.startup import ResolvedDigest, StartupFailure, StartupReason
from serin_contract.stats import BinCounts, CohortStats, LabelCounts, PodStats

PROFILE = Profile(
    [NumericFeature("a", [0.0], [1.0, 2.0, 0.0], -1.0, 1.0), CategoryFeature("b", ["x"], [1.0, 2.0, 0.0])],
    PredictionBins("classification", ["no", "yes"], [0.5], [1.0, 1.0, 1.0, 0.0]),
    rows=3,
)


def test_a_key_depends_on_master_and_deployment() -> None:
    found = {derive_key(bytes([n]) * 32, uid) for n in range(3) for uid in ("a", "b")}
    assert len(found) == 6
    assert {len(key) for key in found} == {32}


def test_a_short_master_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        derive_key(b"short", "uid")


def test_a_ring_is_read_back() -> None:
    ring = derive_ring({"m1": b"1" * 32, "m2": b"2" * 32}, "m2", "uid")
    assert keys.decode(keys.encode(ring)) == ring
    assert ring.key("m3") is None
    assert ring.signing_key() == ring.key("m2")


BROKEN_RINGS = {
    "noise": b"noise",
    "a key that is no base64": b'{"current":"a","keys":{"a":"*"}}',
    "no current key": keys.encode(KeyRing("b", {"a": base64.b64encode(b"1" * 32).decode()})),
    "a short key": keys.encode(KeyRing("a", {"a": base64.b64encode(b"1").decode()})),
}


@pytest.mark.parametrize("name", BROKEN_RINGS)
def test_a_keys_file_is_refused_with(name: str) -> None:
    with pytest.raises(ValueError, match="keys file"):
        keys.decode(BROKEN_RINGS[name])


def test_a_profile_is_read_back_and_known_by_its_bytes() -> None:
    data = profile.encode(PROFILE)
    assert profile.decode(data) == PROFILE
    assert profile.profile_hash(PROFILE) == hashlib.sha256(data).hexdigest()[:16]


OLD_NUMERIC = b'{"kind":"numeric","name":"a","edges":[0.0],"counts":[1.0,2.0,0.0],"minimum":-1.0,"maximum":1.0}'


def test_a_feature_that_is_not_derived_is_written_without_a_word_of_it() -> None:
    data = profile.encode(PROFILE)
    assert json.loads(OLD_NUMERIC) == json.loads(data)["features"][0]
    found = profile.decode(data).features[0]
    assert isinstance(found, NumericFeature)
    assert (found.of, found.source) == ("value", "a")


ROW_SCALARS = {
    "of what is there": ([3.0, math.nan, -4.0], -0.5, 5.0),
    "of truth values": ([1.0, 0.0, 1.0, 0.0], 0.5, math.sqrt(2.0)),
    "of nothing": ([math.nan], math.nan, math.nan),
    "beyond all numbers": ([1e300, 1e300], 1e300, math.inf),
}


@pytest.mark.parametrize("name", ROW_SCALARS)
def test_the_mean_and_the_norm_of_a_row(name: str) -> None:
    values, mean, norm = ROW_SCALARS[name]
    assert row_scalar("mean", values) == pytest.approx(mean, nan_ok=True)
    assert row_scalar("norm", values) == pytest.approx(norm, nan_ok=True)


BROKEN_PROFILES = {
    "a norm of one column": (
        profile.encode(Profile([NumericFeature("a", [], [1.0, 0.0], of="norm")], PROFILE.prediction, 1)),
        "'a' is the norm of column 'a'",
    ),
    "a length of the whole row": (
        profile.encode(Profile([NumericFeature("a", [], [1.0, 0.0], of="length", column="")], PROFILE.prediction, 1)),
        "'a' is the length of column ''",
    ),
    "noise": (b"noise", "not a reference profile"),
    "another format": (profile.encode(Profile([], PROFILE.prediction, 0, format=2)), "format 2"),
    "counts that do not fit": (
        profile.encode(Profile([NumericFeature("a", [0.0], [1.0])], PROFILE.prediction, 0)),
        "'a' has 1 counts for 3 bins",
    ),
    "prediction counts that do not fit": (
        profile.encode(Profile([], PredictionBins("regression", [], [], []), 0)),
        "do not fit the prediction bins",
    ),
}


@pytest.mark.parametrize("name", BROKEN_PROFILES)
def test_a_profile_is_refused_with(name: str) -> None:
    data, part = BROKEN_PROFILES[name]
    with pytest.raises(ValueError, match=part):
        profile.decode(data)


def test_stats_are_read_back() -> None:
    cohort = CohortStats(
        requests=2, latency=[0, 2], labels={"r": LabelCounts(1.0, 0.5)}, own_bins=BinCounts("h", [0.5], [1.0])
    )
    document = PodStats("r", "pod", "start", cohorts={"c": cohort}, labels_refused={"NotOurs": 1})
    assert stats.decode(stats.encode(document)) == document


@pytest.mark.parametrize("data", [b"noise", b'{"revision":"r","pod_uid":"p","started_at":"s","format":2}'])
def test_other_stats_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="stats"):
        stats.decode(data)


@given(st.sampled_from(StartupReason), st.text(max_size=3000))
def test_a_failure_is_read_back_from_a_short_termination_message(reason: StartupReason, message: str) -> None:
    text = startup.encode(StartupFailure(reason, message)).decode()
    found = startup.decode_failure(text)
    assert found == StartupFailure(reason, message[: startup.MESSAGE_CHARS_MAX])


def test_a_digest_is_no_failure_and_the_other_way_round() -> None:
    digest = startup.encode(ResolvedDigest("sha256:0")).decode()
    failure = startup.encode(StartupFailure(StartupReason.BundleMissing, "gone")).decode()
    assert (startup.decode_digest(digest), startup.decode_failure(digest)) == ("sha256:0", None)
    assert (startup.decode_digest(failure), startup.decode_failure("exit 1")) == (None, None)


MATRIX_TYPES = {
    "columns of one type keep it": (["FP32", "FP32"], "float32"),
    "mixed numbers become float64": (["INT64", "FP32"], "float64"),
    "text makes objects": (["FP64", "BYTES"], "object"),
    "booleans alone stay booleans": (["BOOL"], "bool"),
    "booleans among whole numbers become float64": (["BOOL", "INT64"], "float64"),
}


@pytest.mark.parametrize("name", MATRIX_TYPES)
def test_the_array_that_a_model_is_fed(name: str) -> None:
    datatypes, expected = MATRIX_TYPES[name]
    assert matrix_type([Column("x", datatype) for datatype in datatypes]) == expected


DIGESTS = {
    "sha256:" + "a" * 64: True,
    "sha256:" + "a" * 63: False,
    "sha256:" + "A" * 64: False,
    "sha256:" + "a" * 64 + "\n": False,
    "a" * 64: False,
}


@pytest.mark.parametrize("text", DIGESTS)
def test_a_digest_is_told(text: str) -> None:
    assert is_digest(text) is DIGESTS[text]


def test_no_allowed_type_runs_code_of_its_own_choosing() -> None:
    assert list(MODEL_TYPES_ALLOWED) == sorted(set(MODEL_TYPES_ALLOWED))
    for name in MODEL_TYPES_ALLOWED:
        assert name == "numpy.dtype" or name.startswith("sklearn.")
