"""Models that scikit-learn does not run, from packaging to answers, and those that must not be loaded."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from tests.support import bundles
from tests.support.custom_models import Threshold, ThresholdTrainer
from tests.unit.serving.running import Case, run, settings
from xgboost import XGBClassifier, XGBRegressor

from serin_bundle import BundleError, Custom, package
from serin_contract.startup import StartupReason
from serin_serving import startup
from serin_serving.errors import RefusedError
from serin_serving.settings import Code
from serin_serving.startup import Loaded

WINE = load_wine(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
NAMED = CANCER[0], np.array(["malignant", "benign"])[CANCER[1]]
DIABETES = load_diabetes(return_X_y=True)
FEW: dict[str, Any] = {"n_estimators": 5, "n_jobs": 1}
SHADES = WINE[0], np.where(WINE[0][:, 0] > 13, "dark", "light")

BOOSTED = {
    "XGBoost, three classes": (XGBClassifier(**FEW), WINE, "model.xgboost.json"),
    "XGBoost, two classes": (XGBClassifier(**FEW), CANCER, "model.xgboost.json"),
    "XGBoost, numbers": (XGBRegressor(**FEW), DIABETES, "model.xgboost.json"),
    "LightGBM, three classes": (LGBMClassifier(**FEW, verbose=-1), WINE, "model.lightgbm.txt"),
    "LightGBM, two classes that are texts": (LGBMClassifier(**FEW, verbose=-1), NAMED, "model.lightgbm.txt"),
    "LightGBM, numbers": (LGBMRegressor(**FEW, verbose=-1), DIABETES, "model.lightgbm.txt"),
    "LightGBM, a forest": (
        LGBMRegressor(**FEW, verbose=-1, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5),
        DIABETES,
        "model.lightgbm.txt",
    ),
}


def case(out: Path, model: Any, rows: Any, labels: Any, **options: Any) -> Case:
    made = package(model, rows, labels, out, name=out.name, golden_rows=8, **options)
    return Case(out.name, out, made.digest, model, rows, labels)


def load(made: Case, **changes: Any) -> Loaded:
    return startup.load(settings(made, Path("unread"), **changes))


def refused(made: Case, **changes: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        load(made, **changes)
    return caught.value


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("name", BOOSTED)
def test_a_booster_answers_bit_for_bit_as_its_library_does(name: str, tmp_path: Path) -> None:
    model, (rows, labels), file = BOOSTED[name]
    made = case(tmp_path / "boosted", model.fit(rows, labels), rows, labels)
    assert (made.path / file).exists()
    assert not (made.path / "model.skops").exists()
    found = load(made).model
    gaps = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, np.nan, rows)
    for matrix in (rows, gaps, rows[:1]):
        answers = found.answer(matrix)
        assert answers.values == model.predict(matrix).tolist()
        if answers.probabilities is not None:
            assert (answers.probabilities == model.predict_proba(matrix)).all()
    assert found.takes_gaps


def test_a_booster_that_stopped_early_answers_with_its_best_round(tmp_path: Path) -> None:
    rows, labels = CANCER
    model = XGBClassifier(n_estimators=200, learning_rate=1.0, early_stopping_rounds=2, n_jobs=1)
    model.fit(rows[:300], labels[:300], eval_set=[(rows[300:], labels[300:])], verbose=False)
    kept = xgboost.Booster(model_file=None)
    kept.load_model(model.get_booster().save_raw("json"))
    assert 0 < model.best_iteration < kept.num_boosted_rounds() - 1
    # Copies for the quality are trained on all rows of a fold, without a set to stop by.
    model.set_params(early_stopping_rounds=None)
    found = load(case(tmp_path / "early", model, rows, labels)).model
    assert (found.answer(rows).probabilities == model.predict_proba(rows)).all()


def test_a_booster_is_served_by_its_own_pod(tmp_path: Path, keys_file: Path) -> None:
    rows, labels = WINE
    made = case(tmp_path / "wine", XGBClassifier(**FEW).fit(rows, labels), rows, labels)
    with run(made, keys_file) as server:
        reply = server.infer(rows[:20])
    assert reply.json["outputs"][0]["data"] == made.model.predict(rows[:20]).tolist()


def test_neither_library_is_imported_for_a_model_of_scikit_learn(wine: Case) -> None:
    program = (
        "import sys; from pathlib import Path; from serin_serving import startup; "
        "from serin_serving.settings import Settings; "
        f"path, digest = Path({str(wine.path)!r}), {wine.digest!r}; "
        "startup.load(Settings('wine', 'wine-1', 'p', path, digest, Path('k'), None, 0.0)); "
        "print(sorted({'xgboost', 'lightgbm'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert found.stdout.strip() == "[]"


def test_an_image_without_the_library_says_which_one_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = WINE
    made = case(tmp_path / "wine", XGBClassifier(**FEW).fit(rows, labels), rows, labels)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    found = refused(made)
    assert found.reason is StartupReason.ModelTypeRefused
    assert found.message.startswith("the model needs xgboost, which this image has not")


def test_a_damaged_booster_with_a_good_digest_is_refused(tmp_path: Path) -> None:
    rows, labels = WINE
    made = case(tmp_path / "wine", XGBClassifier(**FEW).fit(rows, labels), rows, labels)
    text = (made.path / "model.xgboost.json").read_bytes().replace(b'"left_children":[1,', b'"left_children":[9999,')
    digest = bundles.rewrite(made.path, model_xgboost_json=text)
    found = refused(made, bundle_digest=digest)
    assert found.reason is StartupReason.BundleInvalid
    assert "left_children" in found.message


def trainer() -> ThresholdTrainer:
    return ThresholdTrainer().fit(*SHADES)


@pytest.fixture
def pickled(tmp_path: Path) -> Case:
    return case(tmp_path / "shades", trainer(), *SHADES, allow_pickle=True)


def test_a_pickle_answers_where_it_is_allowed(pickled: Case) -> None:
    answers = load(pickled, code=Code(allows_pickle=True)).model.answer(SHADES[0])
    assert answers.values == pickled.model.predict(SHADES[0]).tolist()


def test_a_pickle_is_not_even_opened_where_it_is_not_allowed(pickled: Case, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    digest = bundles.rewrite(pickled.path, model_joblib=pickle.dumps(Marking(mark)))
    found = refused(pickled, bundle_digest=digest)
    assert found.reason is StartupReason.ModelTypeRefused
    assert "allowPickle" in found.message
    assert not mark.exists()
    assert refused(pickled, bundle_digest=digest, code=Code(allows_pickle=True)).reason is StartupReason.BundleInvalid
    assert mark.exists(), "the pickle of this test runs code, or it shows nothing"


class Marking:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def test_a_changed_pickle_is_refused_before_it_is_opened(pickled: Case) -> None:
    bundles.damage(pickled.path, "model.joblib")
    assert refused(pickled, code=Code(allows_pickle=True)).reason is StartupReason.DigestMismatch


@pytest.fixture
def custom(tmp_path: Path) -> Case:
    made = trainer()
    return case(tmp_path / "shades", made, *SHADES, custom=Custom(Threshold, made.data))


def test_a_class_of_the_image_answers(custom: Case, keys_file: Path) -> None:
    rows = SHADES[0][:30]
    with run(custom, keys_file, code=Code(model_class="tests.support.custom_models:Threshold")) as server:
        reply = server.infer(rows)
        assert server.stats()["requests"] == 1
    predict, probabilities = reply.json["outputs"]
    assert predict["data"] == Threshold(custom.model.data).predict(rows)
    assert probabilities["data"] == Threshold(custom.model.data).predict_proba(rows).ravel().tolist()


CLASSES = {
    "an image that names none": ("", "ModelTypeRefused", "SERIN_MODEL_CLASS names a class as module:Class"),
    "a name without a class": ("tests.support.custom_models", "ModelTypeRefused", "module:Class"),
    "a module that is not there": ("no_such_module:Model", "BundleInvalid", "ModuleNotFoundError"),
    "a class that is not there": ("tests.support.custom_models:Nobody", "BundleInvalid", "AttributeError"),
    "a class that does not start": ("tests.support.custom_models:Refusing", "BundleInvalid", "no such accelerator"),
    "a class without predict": ("tests.support.custom_models:Silent", "ModelTypeRefused", "no method predict(rows)"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_no_model_is_served_by(name: str, custom: Case) -> None:
    named, reason, said = CLASSES[name]
    found = refused(custom, code=Code(model_class=named))
    assert found.reason == reason
    assert said in found.message


def test_a_class_that_loses_rows_is_not_served(custom: Case) -> None:
    found = refused(custom, code=Code(model_class="tests.support.custom_models:Short"))
    assert found.reason is StartupReason.SelfTestFailed
    assert "TypeError" in found.message


UNPACKAGED = {
    "a type that skops does not hold": (lambda: (trainer(), SHADES), {}, "allow_pickle"),
    "a booster without its estimator": (
        lambda: (XGBClassifier(**FEW).fit(*WINE).get_booster(), WINE),
        {},
        "fit and package one of the library's estimators",
    ),
    "a dart booster": (lambda: (XGBClassifier(**FEW, booster="dart").fit(*WINE), WINE), {}, "only gbtree"),
    "a missing value of its own": (lambda: (XGBClassifier(**FEW, missing=-1.0).fit(*WINE), WINE), {}, "than NaN"),
    "what cannot be pickled": (lambda: (unpicklable(), SHADES), {"allow_pickle": True}, "cannot be pickled"),
}


def unpicklable() -> ThresholdTrainer:
    made = trainer()
    made.hook_ = lambda: None
    return made


@pytest.mark.parametrize("name", UNPACKAGED)
def test_is_not_packaged(name: str, tmp_path: Path) -> None:
    made, options, said = UNPACKAGED[name]
    model, (rows, labels) = made()
    with pytest.raises(BundleError, match=said):
        package(model, rows, labels, tmp_path / "b", name="b", **options)


def test_a_bundle_with_two_models_is_refused(wine: Case, tmp_path: Path) -> None:
    copied = bundles.copy(wine.path, tmp_path / "two")
    digest = bundles.rewrite(copied, model_joblib=b"x")
    found = refused(Case(wine.name, copied, digest, None, None, None))
    assert (found.reason, found.message) == (
        StartupReason.BundleInvalid,
        "the manifest lists two models: model.skops and model.joblib",
    )
