"""Every series that needs neither cluster, peers nor other packages still runs, in its shortest form.

Only that it comes to its end and tells figures: in so short a run a bound may be broken by chance.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SERIES = {
    "telling callers apart": "serve_callers --rounds 2",
    "counting rows": "serve_bins --rounds 2",
    "the way of a request": "serving.hot_path --rounds 2 --connections 1 --rows 32",
    "shadow traffic": "mirror_traffic --rounds 1",
    "the model server's start": "serving.cold_start --rounds 1",
    "the model server for long": "serving.soak --minutes 0.05",
    "profiles of many rows": "profile_rows --rows 70000",
    "labels alone": "simulate_rollouts --runs 1 --seeds 1",
    "equal models": "verdicts --runs 1 --naive-runs 1 --seeds 1 --cases identical --kept {scratch}",
    "what a look costs": "verdicts.cost --repeats 1",
    "shifts of real data": "verdicts.real_shifts --runs 1 --data wine --gates dataDrift",
    "the watch": "simulate_watch --runs 1 --cases 0",
    "telling rows apart": "tell_rows_apart --rows 100 --repetitions 1 --nulls 2",
}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", SERIES)
def test_a_series_tells_its_figures(name: str, tmp_path: Path) -> None:
    module, *options = (word.format(scratch=tmp_path) for word in SERIES[name].split())
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", *options], cwd=ROOT, capture_output=True, text=True, timeout=220
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.returncode in (0, 1), done.stderr[-2000:]
    assert any(character.isdigit() for character in done.stdout), done.stdout
