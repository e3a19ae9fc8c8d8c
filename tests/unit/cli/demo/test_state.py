"""What the demo reads from a ModelDeployment."""

from __future__ import annotations

from serin_cli.demo.state import read_state

ENDED = {
    "metadata": {"generation": 3},
    "status": {
        "observedGeneration": 3,
        "phase": "RolledBack",
        "gates": [
            {"name": "availability", "verdict": "Pass"},
            {"name": "accuracy", "verdict": "Fail", "samples": 11.0},
        ],
    },
}


def test_the_labels_of_a_trial_are_told_after_it_has_ended() -> None:
    state = read_state(ENDED)
    assert state.candidate is None
    assert state.samples("accuracy") == 11


def test_a_gate_that_does_not_say_has_none() -> None:
    assert (read_state(ENDED).samples("availability"), read_state({}).samples("accuracy")) == (0, 0)
