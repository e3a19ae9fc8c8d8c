from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import orjson
import pytest
import skops.io
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.support.quick import examples
from tests.unit.serving.running import Case

from serin_contract.bundle import Column, Golden, Signature
from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError, RequestError
from serin_serving.model import Model
from serin_serving.oip import decode_infer, encode_infer
from serin_serving.self_test import self_test
from serin_serving.skops_model import load_skops

NAMES = ("wine", "forest", "boosted", "diabetes", "mixed")


@pytest.fixture(scope="session")
def models(cases: dict[str, Case]) -> dict[str, Model]:
    return {name: loaded(cases[name]) for name in NAMES}


def loaded(case: Case) -> Model:
    signature = orjson.loads((case.path / "signature.json").read_bytes())
    return load_skops((case.path / "model.skops").read_bytes(), as_signature(signature))


def as_signature(document: Any) -> Signature:
    import msgspec

    return msgspec.convert(document, Signature)


@pytest.mark.parametrize("name", NAMES)
@examples(20)
@given(data=st.data())
def test_a_served_answer_is_bit_equal_to_the_model(
    cases: dict[str, Case], models: dict[str, Model], name: str, data: st.DataObject
) -> None:
    case, model = cases[name], models[name]
    indices = data.draw(st.lists(st.integers(0, len(case.rows) - 1), min_size=1, max_size=8))
    rows = case.rows[indices]
    request = decode_infer(orjson.dumps({"inputs": [tensor(rows)]}), model.layout)
    answers = model.answer(request.matrix)
    outputs = orjson.loads(encode_infer(name, "r", request, answers, model.signature, ""))["outputs"]
    assert request.matrix.dtype == case.rows.dtype
    assert outputs[0]["data"] == case.model.predict(rows).tolist()
    if len(outputs) > 1:
        found = np.array(outputs[1]["data"]).reshape(outputs[1]["shape"])
        assert np.array_equal(found, case.model.predict_proba(rows).astype(np.float64))


def tensor(rows: Any) -> dict[str, Any]:
    cells = [[None if cell is None or cell != cell else cell for cell in row] for row in rows.tolist()]
    datatype = "BYTES" if rows.dtype == object else "FP64"
    return {"name": "x", "shape": list(rows.shape), "datatype": datatype, "data": cells}


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_batch_are_the_answers_of_its_requests(
    models: dict[str, Model], cases: dict[str, Case], name: str
) -> None:
    matrix = cases[name].rows[:9]
    whole = models[name].answer(matrix)
    part = whole.part(3, 5)
    assert part.values == whole.values[3:5]
    assert part.score.tolist() == whole.score[3:5].tolist()


GAPS = {"wine": False, "forest": True, "boosted": True, "diabetes": False, "mixed": True}


@pytest.mark.parametrize("name", GAPS)
def test_scikit_learn_says_if_a_model_takes_gaps(models: dict[str, Model], name: str) -> None:
    assert models[name].takes_gaps is GAPS[name]


def test_a_gap_that_the_model_does_not_take_is_the_callers_fault(models: dict[str, Model]) -> None:
    with pytest.raises(RequestError, match="NaN"):
        models["wine"].answer(np.full((1, 13), np.nan))


def test_a_type_outside_the_allow_list_is_refused_by_name() -> None:
    rows = np.arange(8.0).reshape(4, 2)
    model = make_pipeline(FunctionTransformer(orjson.loads), LogisticRegression())
    model.steps[1][1].fit(rows, [0, 1, 0, 1])
    data = skops.io.dumps(model)
    with pytest.raises(RefusedError) as caught:
        load_skops(data, Signature("classification", [], [0, 1]))
    assert caught.value.reason is StartupReason.ModelTypeRefused
    assert "orjson.loads" in caught.value.message


def test_bytes_that_are_no_archive_are_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        load_skops(b"cos\nsystem\n(S'true'\ntR.", Signature("classification", [], [0, 1]))
    assert caught.value.reason is StartupReason.BundleInvalid


MISFITS = {
    "other columns": {"columns": []},
    "other classes": {"classes": [0, 1]},
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_signature_with_is_refused(cases: dict[str, Case], name: str) -> None:
    case = cases["wine"]
    document = {**orjson.loads((case.path / "signature.json").read_bytes()), **MISFITS[name]}
    with pytest.raises(RefusedError) as caught:
        load_skops((case.path / "model.skops").read_bytes(), as_signature(document))
    assert caught.value.reason is StartupReason.BundleInvalid


def damaged(data: bytes, change: Any) -> bytes:
    """The archive with one change to every array of nodes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(content))
                if array.dtype.names:
                    change(array)
                    buffer = io.BytesIO()
                    np.save(buffer, array)
                    content = buffer.getvalue()
            copy.writestr(name, content)
    return out.getvalue()


def write(field: str, value: int) -> Any:
    def change(nodes: Any) -> None:
        nodes[field][0] = value

    return change


DAMAGES = {
    "a forest whose child lies outside": ("forest", write("left_child", 10**6), "points outside itself"),
    "a forest that loops": ("forest", write("right_child", 0), "points outside itself or back"),
    "a forest that splits on no feature": ("forest", write("feature", 999), "the model does not have"),
    "a forest with a negative feature": ("forest", write("feature", -5), "the model does not have"),
    "boosted trees whose child lies outside": ("boosted", write("left", 10**6), "points outside itself"),
    "boosted trees that split on no feature": ("boosted", write("feature_idx", 77), "the model does not have"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_no_server_runs_on(cases: dict[str, Case], name: str) -> None:
    bundle, change, part = DAMAGES[name]
    case = cases[bundle]
    data = damaged((case.path / "model.skops").read_bytes(), change)
    with pytest.raises(RefusedError) as caught:
        load_skops(data, as_signature(json.loads((case.path / "signature.json").read_bytes())))
    assert caught.value.reason is StartupReason.BundleInvalid
    assert part in caught.value.message


def test_gradient_boosting_is_loaded_and_checked(cases: dict[str, Case]) -> None:
    case = cases["wine"]
    model = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(case.rows, case.labels)
    document = json.loads((case.path / "signature.json").read_bytes())
    served = load_skops(skops.io.dumps(model), as_signature(document))
    assert served.answer(case.rows).values == model.predict(case.rows).tolist()


ONE_PASS = (
    make_pipeline(StandardScaler(), LogisticRegression()),
    GaussianNB(),
    LinearDiscriminantAnalysis(),
    RandomForestClassifier(4, random_state=0),
    GradientBoostingClassifier(n_estimators=2, random_state=0),
    HistGradientBoostingClassifier(max_iter=3, random_state=0),
)


@pytest.mark.parametrize("estimator", ONE_PASS, ids=lambda estimator: type(estimator).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_one_pass_gives_the_classes_that_predict_gives(cases: dict[str, Case], estimator: Any, classes: int) -> None:
    case = cases["wine"]
    labels = np.minimum(case.labels, classes - 1)
    fitted = clone(estimator).fit(case.rows, labels)
    columns = [Column(f"x{index}", "FP64") for index in range(13)]
    served = load_skops(
        skops.io.dumps(fitted), Signature("classification", columns, list(range(classes)), probabilities=True)
    )
    assert served._by_argmax
    # Rows between the classes come closest to a tie.
    between = (case.rows[:-1] + case.rows[1:]) / 2
    for rows in (case.rows, between):
        assert served.answer(rows).values == fitted.predict(rows).tolist()


def test_an_exact_tie_is_left_to_the_model(cases: dict[str, Case]) -> None:
    rows = np.array([[-1.0], [1.0]])
    fitted = LogisticRegression().fit(rows, [0, 1])
    columns = [Column("a", "FP64")]
    served = load_skops(skops.io.dumps(fitted), Signature("classification", columns, [0, 1], probabilities=True))
    for value in (0.0, 1e-300, -1e-300, 1e-12, 5e-17):
        row = np.array([[value]])
        assert served.answer(row).values == fitted.predict(row).tolist()


def test_threads_inside_a_call_are_turned_off(models: dict[str, Model]) -> None:
    assert models["forest"]._estimator.n_jobs == 1


def test_golden_rows_that_are_answered_otherwise_fail_the_self_test(
    models: dict[str, Model], cases: dict[str, Case]
) -> None:
    case = cases["wine"]
    golden = Golden(rows=case.rows[:2].tolist(), predictions=[0, 2])
    with pytest.raises(RefusedError) as caught:
        self_test(models["wine"], golden, {"scikit-learn": "0.1"})
    assert caught.value.reason is StartupReason.SelfTestFailed
    assert "golden row 1 is not answered as recorded; scikit-learn 0.1 trained and" in caught.value.message
