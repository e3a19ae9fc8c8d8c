"""`serin replay`: what was decided, why, and what other gates would have made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from serin_cli.replay.again import Replayed
    from serin_operator.api.deployment import GateStatus


@click.command()
@click.argument("records", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="Of the ModelDeployment, where a directory holds records of several.")
@click.option(
    "--gates",
    "gates_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML with other `gates`, and `verdicts` if wanted: tells what they would have decided.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="Draw the evidence.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
def replay(
    records: tuple[Path, ...], name: str | None, gates_file: Path | None, plot: Path | None, *, as_json: bool
) -> None:
    """Go through recorded decisions, decide each again, and say what each gate said.

    The operator writes records where its setting `SERIN_RECORD_DIR` names a directory. The evidence is as it was
    recorded: other gates judge what was counted, not what they would have let happen.

    Exit status 1 where a decision of now is not the recorded one, which another version of Serin may explain.

    \b
    Examples:
      serin replay records/ --name wine
      serin replay records/ --name wine --gates looser.yaml --plot wine.svg
      serin replay records/*_shop_wine.json --json | jq .phase
    """  # noqa: D301 — click reads the escape
    from serin_cli.replay.again import replayed
    from serin_operator.runtime.recorded import RecordError

    paths = _paths(records, name)
    kept: list[Replayed] = []
    try:
        for one in replayed(paths, _changes(gates_file)):
            kept.append(one)
            click.echo(json.dumps(_document(one)) if as_json else "\n".join(_lines(one)))
    except RecordError as error:
        raise click.ClickException(str(error)) from error
    if not as_json:
        click.echo("\n".join(_summary(kept, asked=gates_file is not None)))
    if plot is not None:
        from serin_cli.replay.pictures import picture

        plot.write_text(picture(kept))
        click.echo(f"drawn: {plot}", err=True)
    if any(one.differences for one in kept):
        click.get_current_context().exit(1)


def _paths(records: tuple[Path, ...], name: str | None) -> list[Path]:
    ending = f"_{name}.json" if name is not None else ".json"
    files = [file for path in records for file in (path.glob("*.json") if path.is_dir() else [path])]
    # Names begin with the time in milliseconds, padded, so their order is that of time.
    found = sorted((file for file in files if file.name.endswith(ending)), key=lambda file: file.name)
    if not found:
        raise click.ClickException(f"There are no records{f' of {name}' if name else ''} there")
    if len({file.name.split("_", 1)[-1] for file in found}) > 1 and all(path.is_dir() for path in records):
        names = sorted({file.stem.split("_", 2)[-1] for file in found})
        raise click.UsageError(f"there are records of several; choose one with --name: {', '.join(names)}")
    return found


def _changes(path: Path | None) -> dict[str, Any]:
    import yaml
    from pydantic import ValidationError

    from serin_operator.api.deployment import Gates, Verdicts
    from serin_operator.observe.specs import sentence

    if path is None:
        return {}
    document = yaml.safe_load(path.read_text())
    if not isinstance(document, dict) or not document or not document.keys() <= {"gates", "verdicts"}:
        raise click.ClickException(f"{path} must hold `gates`, `verdicts` or both, as a spec does, and nothing else")
    try:
        Gates.model_validate(document.get("gates") or {})
        Verdicts.model_validate(document.get("verdicts") or {})
    except ValidationError as error:
        raise click.ClickException(f"{path}: {sentence(error, 'spec')}") from error
    return document


def _gate(gate: GateStatus) -> str:
    from serin_operator.decide.judge.findings import ten_to

    numbers = [f"{gate.name} {gate.verdict}/{gate.reason}"]
    if gate.value is not None:
        numbers.append(f"{gate.value:.4g}" + (f" against {gate.reference:.4g}" if gate.reference is not None else ""))
    if gate.log10_e is not None:
        numbers.append(ten_to(gate.log10_e))
    return ", ".join(numbers)


def _document(one: Replayed) -> dict[str, Any]:
    from serin_cli.replay.again import course
    from serin_operator.decide import timestamps

    status = one.recorded.status
    candidate = status.candidate
    return {
        "time": timestamps.text(one.seen.now),
        "phase": status.phase,
        "message": status.message,
        "step": candidate.step if candidate is not None else None,
        "weight": candidate.weight if candidate is not None else None,
        "gates": [gate.model_dump(mode="json", by_alias=True, exclude_none=True) for gate in status.gates],
        "same": not one.differences,
        "differences": list(one.differences),
        "otherwise": list(course(one.otherwise)) if one.otherwise is not None else None,
        "turns": one.turns,
    }


def _lines(one: Replayed) -> list[str]:
    from serin_cli.replay.again import DIFFERENCES_SHOWN
    from serin_operator.decide import timestamps

    status = one.recorded.status
    candidate = status.candidate
    where = f" step {candidate.step + 1}, {candidate.weight} %" if candidate is not None else ""
    phase = status.phase.value if status.phase is not None else "?"
    lines = [f"{timestamps.text(one.seen.now)} {phase}{where}: {status.message or ''}"]
    lines += [f"    {_gate(gate)}" for gate in status.gates]
    lines += [f"    DIFFERENT {difference}" for difference in one.differences[:DIFFERENCES_SHOWN]]
    if one.turns and one.otherwise is not None:
        other = one.otherwise.status
        name = other.phase.value if other.phase is not None else "?"
        lines.append(f"    BY THE OTHER GATES {name}: {other.message or ''}")
        lines += [f"        {_gate(gate)}" for gate in other.gates]
    return lines


def _summary(kept: list[Replayed], *, asked: bool) -> list[str]:
    from serin_operator.decide import timestamps

    wrong = sum(bool(one.differences) for one in kept)
    same = "each decided the same again" if not wrong else f"{wrong} decided otherwise now"
    lines = [f"{len(kept)} records, {same}."]
    turning = next((one for one in kept if one.turns), None)
    if turning is not None and turning.otherwise is not None:
        other = turning.otherwise.status.message or ""
        lines.append(f"The other gates decide otherwise first at {timestamps.text(turning.seen.now)}: {other}.")
        lines.append("From there on the trial would have gone another way than the records tell.")
    elif asked:
        lines.append("The other gates decide the same at every record.")
    return lines
