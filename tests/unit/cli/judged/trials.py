"""One trial in which every gate has counted something, as `kubectl get mdep,mrev,cm -o yaml` would print it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.judge.bins_build import EVEN, FAR, NEAR, counted, profile

from serin_contract import labels
from serin_contract import profile as profiles
from serin_contract.stats import (
    LATENCY_BOUNDS_SECONDS,
    CohortStats,
    LabelCounts,
    PodStats,
    QualityCounts,
    ShadowCounts,
)
from serin_operator.api.deployment import CandidateStatus, GateStatus, ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.decide import policy
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge import judge, shadowed
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.look import Look
from serin_operator.decide.observation import StatsAnswer

CANDIDATE, STABLE = "m-2", "m-1"
COHORTS = (f"{CANDIDATE}.1.a", f"{CANDIDATE}.2.b")
STABLES, OWN = profile(), profile({"age": EVEN, "income": EVEN}, rows=8000)
GATES: dict[str, Any] = {
    "accuracy": {"maxDrop": 0.05},
    "errorRate": {"max": 0.02},
    "dataDrift": {"max": 0.2},
    "predictionDrift": {"max": 0.2},
    "latency": {"quantile": 0.95, "max": "250ms"},
    "schema": {"maxViolations": 0.01},
}
NUMBERS: dict[str, Any] = {"regressionError": {"metric": "mae", "maxRise": 0.1}}
SHADOW: dict[str, Any] = {"agreement": {"min": 0.95}}


@dataclass(frozen=True)
class Trial:
    """What was counted, and what the gates said of it."""

    spec: dict[str, Any]
    evidence: Evidence
    gates: tuple[GateStatus, ...]

    @property
    def by_name(self) -> dict[str, GateStatus]:
        return {gate.name: gate for gate in self.gates}

    def written(self, path: Path, *, config_map: bool = True) -> Path:
        """As a file that `serin explain --file` reads."""
        status = ModelDeploymentStatus(
            candidate=CandidateStatus.model_validate(
                {"revision": CANDIDATE, "cohort": COHORTS[-1], "step": 1, "trialStartedAt": "2026-01-01T00:00:00Z"}
            ),
            gates=self.gates,
        )
        plain = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        evidence = json.loads(json.dumps(evidences.dump(self.evidence)))
        items: list[dict[str, Any]] = [
            {"kind": "ModelDeployment", "metadata": {"name": "wine"}, "spec": self.spec, "status": plain},
            {
                "kind": "ModelRevision",
                "metadata": {"name": CANDIDATE},
                "spec": {"deployment": "wine"},
                "status": {"evidence": evidence, "updatedAt": "2026-01-01T00:10:00Z"},
            },
        ]
        if config_map:
            data = {labels.STABLE_PROFILE_FILE: profiles.encode(STABLES).decode()}
            items.append({"kind": "ConfigMap", "metadata": {"name": f"{CANDIDATE}-stable-profile"}, "data": data})
        path.write_text(json.dumps({"kind": "List", "items": items}))
        return path


def a_trial(gates: dict[str, Any] = GATES) -> Trial:
    """Ten looks at two cohorts, one after the other; the candidate drifts, is slow and is a little worse."""
    steps: list[dict[str, Any]] = [{"weight": 10, "for": "5m"}, {"weight": 50, "for": "5m"}]
    shadow = [{"shadow": {"percent": 100}, "for": "5m"}] if "agreement" in gates else []
    traffic = {"parentRefs": [{"name": "public"}]}
    spec = {
        "model": {"uri": "pvc://models/wine/2"},
        "traffic": traffic,
        "rollout": {"steps": [*shadow, *steps]},
        "gates": gates,
    }
    resolved = policy.resolve(ModelDeploymentSpec.model_validate(spec))
    evidence, now = evidences.start(CANDIDATE, STABLE), 1_767_225_600.0
    known = {CANDIDATE: OWN, STABLE: STABLES}
    for look in range(1, 21):
        now += 15.0
        parts = (min(1.0, look / 10), max(0.0, look / 10 - 1.0))
        answers = tuple(
            StatsAnswer(name, name, PodStats(name, name, "1", cohorts=_cohorts(name, parts)))
            for name in (CANDIDATE, STABLE)
        )
        evidence = evidences.absorb(evidence, answers, now, resolved, known)
    look_now = Look(evidence, resolved, 0.0, COHORTS[-1], now, "t", known)
    return Trial(spec, evidence, judge(look_now, resolved.shares))


def _cohorts(name: str, parts: tuple[float, float]) -> dict[str, CohortStats]:
    requests = {CANDIDATE: (100.0, 700.0), STABLE: (900.0, 800.0)}[name]
    told = {
        cohort: _counted(name, whole * part, slow)
        for cohort, whole, part, slow in zip(COHORTS, requests, parts, (0.02, 0.2), strict=True)
        if part > 0.0
    }
    if name == CANDIDATE:
        n = 300.0 * parts[0]
        told[shadowed.cohort_name(CANDIDATE, 1, "ab")] = CohortStats(
            shadow=ShadowCounts(compared=n, agreed=0.9 * n, received=round(n), failed=0, sent=round(n), dropped=3)
        )
    return told


def _counted(name: str, n: float, slow: float) -> CohortStats:
    worse = name == CANDIDATE
    income = FAR if worse else NEAR
    shares = {"age": EVEN, "income": income}
    own = counted(OWN if worse else STABLES, shares, n)
    hits, error = (0.85, 1.3) if worse else (0.92, 1.0)
    labelled = 0.5 * n
    times = np.zeros(len(LATENCY_BOUNDS_SECONDS) + 1)
    late = np.floor(n * slow) if worse else 0.0
    times[LATENCY_BOUNDS_SECONDS.index(0.02)] = np.floor(n) - late
    times[LATENCY_BOUNDS_SECONDS.index(0.4)] = late
    missing = [0.0, n * 0.04 if worse else 0.0]
    return CohortStats(
        requests=round(n),
        failed=round(0.03 * n) if worse else 0,
        malformed={"shape": round(0.02 * n)} if worse else {},
        refused=round(0.02 * n) if worse else 0,
        predictions=n,
        labels={
            name: LabelCounts(
                labelled, hits * labelled, error * labelled, 1.5 * error**2 * labelled, 4 * error**4 * labelled
            )
        },
        error_clip=8.0,
        latency=times.tolist(),
        quality=QualityCounts("p", n, missing, [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
        own_bins=own,
        stable_bins=counted(STABLES, shares, n) if worse else None,
    )
