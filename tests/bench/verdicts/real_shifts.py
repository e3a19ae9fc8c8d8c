"""Real models on scikit-learn's bundled data, shifted in ways that happen: what each gate saw, and after how many rows.

`python -m tests.bench.verdicts.real_shifts`. Half of each data set trains the model, which is packaged as a bundle
with its profile; the other half, drawn again and again, is the traffic. Every gate only observes, so that each goes
on looking after another has seen something; the budget is split so that all of them together hold 0.05.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.bench.verdicts.bundle_world import BundleWorld, Served, Shift
from tests.bench.verdicts.cases import a_model
from tests.support.counting import Numbers, Traffic
from tests.support.world import a_spec, is_phase, uri

from serin_bundle.package import package
from serin_contract import profile as profiles
from serin_contract.bundle import PROFILE_FILE

LOADERS = {
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}
CANDIDATE_PERCENT = 25
ROWS_PER_LOOK = 200.0
LOOKS = 40
BUDGET = 0.05
LOOK_SECONDS = 30.0
SHARED = "SharedDrift"
"""The reason by which a gate says that the world has moved, and not the candidate."""


@dataclass(frozen=True)
class Seen:
    """What one roll-out showed."""

    failed: dict[str, float]
    """By gate: rows of the candidate when it first said Fail."""
    shared: float | None
    """Rows of the candidate when a gate first said that both arms have moved."""
    accuracy: float | None
    """Of the candidate over all its labels; None for a regressor."""


def serve(name: str, directory: Path) -> tuple[Served, int]:
    """The model of a data set as a bundle, the rows it has not seen, and its weightiest feature."""
    data = LOADERS[name]()
    half = train_test_split(
        data.data.astype(np.float64),
        data.target,
        test_size=0.5,
        random_state=0,
        stratify=None if name == "diabetes" else data.target,
    )
    train, rest, labels, rest_labels = half
    end = Ridge() if name == "diabetes" else LogisticRegression(max_iter=2000)
    model = make_pipeline(SimpleImputer(), StandardScaler(), end).fit(train, labels)
    package(model, train, labels, directory / name, name=name.replace("_", "-"))
    profile = profiles.decode((directory / name / PROFILE_FILE).read_bytes())
    weights = np.abs(np.atleast_2d(model[-1].coef_)).mean(axis=0)
    return Served(model, profile, rest, rest_labels), int(weights.argmax())


def shifts(matrix: Numbers, top: int) -> dict[str, Shift | None]:
    """The shifts by name; sizes in standard deviations of each feature."""
    spread = matrix.std(axis=0)

    def moved(by: float) -> Shift:
        def shift(_: np.random.Generator, rows: Numbers) -> Numbers:
            rows[:, top] += by * spread[top]
            return rows

        return shift

    def units(_: np.random.Generator, rows: Numbers) -> Numbers:
        rows[:, top] *= 2.54
        return rows

    def missing(share: float, everywhere: bool = False) -> Shift:
        def shift(draws: np.random.Generator, rows: Numbers) -> Numbers:
            lost = draws.random(rows.shape) < share
            rows[lost if everywhere else lost & (np.arange(rows.shape[1]) == top)] = np.nan
            return rows

        return shift

    def noise(draws: np.random.Generator, rows: Numbers) -> Numbers:
        noisy: Numbers = rows + 0.7 * spread * draws.standard_normal(rows.shape)
        return noisy

    def swapped(_: np.random.Generator, rows: Numbers) -> Numbers:
        other = (top + 1) % rows.shape[1]
        rows[:, [top, other]] = rows[:, [other, top]]
        return rows

    def decorrelated(draws: np.random.Generator, rows: Numbers) -> Numbers:
        # Each value from another row of the whole data set: a join that went wrong.
        places = draws.integers(0, len(matrix), size=rows.shape)
        mixed: Numbers = matrix[places, np.arange(rows.shape[1])].astype(np.float64)
        return mixed

    return {
        "none": None,
        "top feature +.5 sd": moved(0.5),
        "top feature +1 sd": moved(1.0),
        "top feature × 2.54 (units)": units,
        "5 % missing in top feature": missing(0.05),
        "30 % missing in top feature": missing(0.30),
        "10 % missing everywhere": missing(0.10, everywhere=True),
        "noise .7 sd on all": noise,
        "two columns swapped": swapped,
        "columns decorrelated": decorrelated,
    }


def a_trial(
    served: Served,
    seed: int,
    candidate: Shift | None,
    shared: Shift | None,
    per_look: float = ROWS_PER_LOOK,
    only: Sequence[str] = (),
) -> BundleWorld:
    """A world that serves the model in both arms, with a candidate asked for."""
    labels: dict[str, Any] = {"accuracy": {}} if served.is_classifier else {"regressionError": {}}
    gates = labels | {"dataDrift": {"max": 0.1}, "predictionDrift": {"max": 0.1}, "schema": {}}
    observed = {name: gate | {"mode": "Observe"} for name, gate in gates.items() if not only or name in only}
    steps = [{"weight": CANDIDATE_PERCENT, "for": "24h"}]
    # A gate that only observes is shown at the whole budget.
    budget = {"falseRollbackBudget": BUDGET / len(observed)}
    spec = a_spec(1, rollout={"steps": steps, "deadline": "48h"}, gates=observed, verdicts=budget)
    world = BundleWorld(
        spec=spec,
        seed=seed,
        models={uri(1): a_model(0.95, error_rate=0.0), uri(2): a_model(0.95, error_rate=0.0)},
        traffic=Traffic(requests_per_second=per_look / LOOK_SECONDS),
        served_by=served,
        candidate_shift=candidate,
        shared_shift=shared,
    )
    assert world.run(is_phase("Stable"), seconds=60), world.status.message
    world.change(spec | {"model": {"uri": uri(2)}})
    return world


def look_at(world: BundleWorld, looks: int) -> Seen:
    """So many looks at a candidate that nothing ends."""
    failed: dict[str, float] = {}
    shared = None
    while world.cohort() is None:
        world.step()
        world.pass_time(1.0)
    for _ in range(looks):
        world.pass_time(LOOK_SECONDS)
        world.step()
        rows = float(world.served_rows.get(world.candidate, 0))
        for gate in world.status.gates:
            if gate.verdict == "Fail":
                failed.setdefault(gate.name, rows)
            if gate.reason == SHARED and shared is None:
                shared = rows
    labelled, correct = world.row_labels.get(world.candidate, np.zeros(2))
    is_classifier = world.served_by is not None and world.served_by.is_classifier
    return Seen(failed, shared, float(correct / labelled) if labelled and is_classifier else None)


def rows_of(name: str, runs: int, directory: Path, only: Sequence[str]) -> Iterator[str]:
    """One line of the table for each shift."""
    served, top = serve(name, directory)
    for what, shift in shifts(served.matrix, top).items():
        alone = [look_at(a_trial(served, 100 + run, shift, None, only=only), LOOKS) for run in range(runs)]
        both = [look_at(a_trial(served, 200 + run, None, shift, only=only), LOOKS) for run in range(runs)]
        accuracies = [seen.accuracy for seen in alone if seen.accuracy is not None]
        accuracy = f"{np.mean(accuracies):.3f}" if accuracies else ""
        gates = ("accuracy" if served.is_classifier else "regressionError", "dataDrift", "predictionDrift", "schema")
        columns = " | ".join(share([seen.failed.get(gate) for seen in alone]) for gate in gates)
        blamed = share([min(seen.failed.values(), default=None) for seen in both])
        yield f"| {name} | {what} | {accuracy} | {columns} | {share([seen.shared for seen in both])} | {blamed} |"


def share(rows: list[float | None]) -> str:
    """Part of the roll-outs, and the median of the rows until then."""
    found = [each for each in rows if each is not None]
    return f"{len(found) / len(rows):.2f}, {np.median(found):.0f}" if found else ".00"


HEADER = (
    "| data | shift | accuracy | label gate | dataDrift | predictionDrift | schema | both arms: SharedDrift "
    "| both arms: any gate fails |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="roll-outs per shift, for each of the two kinds")
    parser.add_argument("--data", nargs="*", choices=list(LOADERS), default=list(LOADERS))
    parser.add_argument("--gates", nargs="*", default=[], help="only these gates look; all by default")
    options = parser.parse_args(arguments)
    print(HEADER)
    with tempfile.TemporaryDirectory() as directory:
        for name in options.data:
            for line in rows_of(name, options.runs, Path(directory), options.gates):
                print(line)
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
