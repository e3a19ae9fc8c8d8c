"""From exec to the first right answer, and the memory then: `python -m tests.bench.serving.cold_start --rounds 9`.

The compiled model and scikit-learn's own are started in turn, so that what else the machine does meets both;
medians are told. `--against` another checkout starts that one's in the same rounds. Processor time is what the
targets of the compiled linear model are judged on, since seconds of a busy machine are mostly waiting; it ends with
1 where one does not hold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tests.bench.serving import processes, servers
from tests.bench.serving.models import MODELS, Served, prepare
from tests.bench.serving.report import Process
from tests.bench.serving.servers import Setup

FORMS = {"ONNX": "require", "skops": "never"}
"""What runs the model, and the policy that makes it so."""
CPU_SECONDS_MAX = 0.4
MEMORY_MB_MAX = 100.0
"""Half of what MLServer and KServe hold for this model."""


def main() -> int:
    """Measure and print; 1 where a target does not hold."""
    wishes = _parser().parse_args()
    checkouts = {"": None, "other ": wishes.against and wishes.against.resolve()}
    setups = {
        f"{checkout}{form}": servers.serin(sources, {"SERIN_COMPILE": policy})
        for checkout, sources in checkouts.items()
        if sources is not None or not checkout
        for form, policy in FORMS.items()
    }
    held = True
    print("| model | served | seconds | of a core | least of a core | memory MB (PSS) |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in wishes.model or ["linear"]:
            model = prepare(name, Path(scratch) / name)
            found = _measure(model, setups, wishes.rounds, Path(scratch))
            for label, each in found.items():
                print(_line(name, label, each), flush=True)
            held = held and (name != "linear" or _holds(found["ONNX"]))
    return int(not held)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", choices=sorted(MODELS), help="repeatable; linear by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout of Serin")
    return parser


def _measure(model: Served, setups: dict[str, Setup], rounds: int, scratch: Path) -> dict[str, list[Process]]:
    found: dict[str, list[Process]] = {name: [] for name in setups}
    for number in range(rounds + 1):
        for name, setup in setups.items():
            room = scratch / f"{model.name}-{name}-{number}".replace(" ", "-")
            with servers.running(name, setup, model, room) as server:
                memory = processes.memory_mb(server.pid)
            # The first start writes byte code.
            if number:
                found[name].append(Process(server.cold_start_seconds, server.cold_start_cpu_seconds, memory))
        sys.stderr.write(f"{model.name}: round {number} of {rounds}\n")
    return found


def _line(model: str, label: str, each: list[Process]) -> str:
    seconds = statistics.median(process.cold_start_seconds for process in each)
    least = min(process.cold_start_cpu_seconds for process in each)
    memory = statistics.median(process.memory_mb for process in each)
    return f"| {model} | {label} | {seconds:.2f} | {_cpu(each):.2f} | {least:.2f} | {memory:.0f} |"


def _cpu(each: list[Process]) -> float:
    return statistics.median(process.cold_start_cpu_seconds for process in each)


def _holds(compiled: list[Process]) -> bool:
    memory = statistics.median(process.memory_mb for process in compiled)
    return _cpu(compiled) <= CPU_SECONDS_MAX and memory <= MEMORY_MB_MAX


if __name__ == "__main__":
    sys.exit(main())
