"""What the demo has shown, in numbers: the share of each step, the promotion, the rollback, the failures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serin_cli.demo.counts import Snapshot
from serin_cli.demo.models import Made
from serin_cli.demo.state import State


@dataclass(frozen=True)
class StepShare:
    """One step of a trial: the weight that was set, and the share of the requests that callers saw."""

    version: int
    weight: int
    seconds: float
    requests: int
    candidate_requests: int

    @property
    def share(self) -> float | None:
        """Percent of the requests that the candidate answered; None without any."""
        return 100 * self.candidate_requests / self.requests if self.requests else None


@dataclass
class Recorder:
    """Notes, look by look, which requests fell into which step."""

    shares: list[StepShare] = field(default_factory=list)
    _cohort: str | None = None
    _seen_at: float = 0.0
    _begin: Snapshot | None = None

    def look(self, version: int, state: State, counted: Snapshot) -> None:
        """Take one look; a step counts from the first counts made after its weight was on the route."""
        if not state.step_running or state.candidate is None or not 0 < state.weight < 100:
            self._cohort = None
        elif state.cohort != self._cohort:
            self._cohort, self._seen_at, self._begin = state.cohort, counted.at, None
        elif self._begin is None:
            # The counts at hand at the first look were made before it, under the weight before.
            if counted.at > self._seen_at:
                self._begin = counted
                self.shares.append(StepShare(version, state.weight, 0.0, 0, 0))
        else:
            self.shares[-1] = _share(version, state, self._begin, counted)


def _share(version: int, state: State, begin: Snapshot, end: Snapshot) -> StepShare:
    both = sum(end.arm(arm).requests - begin.arm(arm).requests for arm in (state.stable, state.candidate))
    mine = end.arm(state.candidate).requests - begin.arm(state.candidate).requests
    return StepShare(version, state.weight, end.at - begin.at, both, mine)


@dataclass(frozen=True)
class Promotion:
    """How the better model went live."""

    revision: str
    seconds: float
    """From kubectl apply to the word that it is stable."""
    trial_seconds: float
    """From its first answer to the same."""
    labels: int
    """Labels of its predictions that the verdict rests on."""


@dataclass(frozen=True)
class Rollback:
    """How the spoiled model came back."""

    revision: str
    to: str
    gate: str
    evidence: str
    seconds: float
    """From its first answer to its last: how long callers met it."""
    requests: int
    """Requests that it answered."""
    wrong: int
    """Wrong answers among these."""
    labels: int


@dataclass(frozen=True)
class Summary:
    """The whole demo; `stopped` says why it did not come to its end, and is empty where it did."""

    models: tuple[Made, ...]
    revisions: dict[int, str]
    """Name of the revision by version."""
    promotion: Promotion | None
    rollback: Rollback | None
    shares: tuple[StepShare, ...]
    counted: Snapshot
    seconds: float
    stopped: str = ""
    busy: str = ""
    """How busy the machine was, where that may be why requests got no answer in time."""

    @property
    def good(self) -> bool:
        """Whether the better model was promoted, the spoiled one rolled back, and no request failed."""
        return self.promotion is not None and self.rollback is not None and self.sent > 0 and self.counted.failed == 0

    @property
    def sent(self) -> int:
        """Requests that were sent."""
        return self.counted.requests

    @property
    def rate(self) -> float:
        """Requests a second that were sent on average."""
        return self.sent / self.counted.seconds if self.counted.seconds else 0.0

    def document(self) -> dict[str, Any]:
        """The summary for a program to read."""
        shares = [{**asdict(step), "share": step.share} for step in self.shares]
        arms = {
            name: {field: getattr(arm, field) for field in (*arm.__struct_fields__, "accuracy")}
            for name, arm in self.counted.arms.items()
        }
        return {
            "good": self.good,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "models": [asdict(model) for model in self.models],
            "revisions": {str(version): name for version, name in self.revisions.items()},
            "promotion": asdict(self.promotion) if self.promotion else None,
            "rollback": asdict(self.rollback) if self.rollback else None,
            "steps": shares,
            "requests": self.sent,
            "failed": self.counted.failed,
            "timeouts": self.counted.timeouts,
            "feedbackPosts": self.counted.feedback_posts,
            "feedbackFailures": self.counted.feedback_failures,
            "requestsPerSecond": self.rate,
            "clientLateMs": self.counted.late_ms,
            "clientCpuSeconds": self.counted.cpu_seconds,
            "arms": arms,
            "troubles": self.counted.troubles,
        }


def render(summary: Summary) -> RenderableType:
    """The summary for a person."""
    parts: list[RenderableType] = [_models(summary), _steps(summary), Text()]
    if summary.promotion is not None:
        good = summary.promotion
        parts.append(
            Text(
                f"v2 went live {good.seconds:.0f} s after kubectl apply, {good.trial_seconds:.0f} s after its first "
                f"answer, on the evidence of {good.labels:,} labels."
            )
        )
    if summary.rollback is not None:
        bad = summary.rollback
        parts.append(
            Text(
                f"v3 was taken back {bad.seconds:.0f} s after its first answer. It had answered {bad.requests:,} "
                f"of {summary.sent:,} requests, {bad.wrong:,} of them wrong; {bad.labels:,} labels proved it:"
            )
        )
        parts.append(Text(f"  {bad.evidence}", style="italic"))
    parts.append(_ending(summary))
    return Group(*parts)


def hints(kubectl: str = "kubectl") -> str:
    """What to look at next."""
    return f"""Look at what is there (it stays until you delete it):
  {kubectl} get mdep -n demo                        what serves, and what became of the last trial
  {kubectl} describe mdep digits -n demo            conditions, gates with their numbers, events
  {kubectl} get mrev -n demo                        one record per trial, with verdict and evidence
  {kubectl} explain mdep.spec.gates                 every field, in the terminal
  {kubectl} delete namespace demo; {kubectl} delete pv demo-models    the end"""


def _models(summary: Summary) -> Table:
    table = Table(title="What training said, and what callers met", title_justify="left")
    for title in ("", "model", "offline", "live", "requests", "failed", "p50", "p99", "labels"):
        table.add_column(title, justify="left" if title in ("", "model") else "right", no_wrap=True)
    for model in summary.models:
        arm = summary.counted.arm(summary.revisions.get(model.version, "-"))
        live = "-" if arm.accuracy is None else f"{arm.accuracy:.1%}"
        table.add_row(
            f"v{model.version}",
            model.what,
            f"{model.offline:.1%}",
            live,
            f"{arm.requests:,}",
            str(arm.failures),
            f"{arm.p50_ms:.0f} ms",
            f"{arm.p99_ms:.0f} ms",
            f"{arm.labels_posted:,}",
        )
    return table


def _steps(summary: Summary) -> Table:
    table = Table(title="What was set, and what callers saw", title_justify="left")
    for title in ("trial", "weight", "observed", "requests", "seconds"):
        table.add_column(title, justify="right")
    for step in summary.shares:
        share = "-" if step.share is None else f"{step.share:.1f} %"
        table.add_row(f"v{step.version}", f"{step.weight} %", share, f"{step.requests:,}", f"{step.seconds:.0f}")
    return table


def _ending(summary: Summary) -> Text:
    counted = summary.counted
    total = f"{summary.sent:,} requests and {counted.feedback_posts:,} posts of labels"
    if summary.good:
        return Text(f"Not one of {total} failed.", style="bold green")
    text = f"Of {total}, {counted.failed:,} failed."
    text += "".join(f"\n  {trouble}" for trouble in dict.fromkeys(counted.troubles) if counted.failed)
    if counted.timeouts and summary.busy:
        late = f"{counted.timeouts:,} got no answer in time, and this machine is busy"
        text += f"\n{late}: {summary.busy}. Try a lower --rate."
    return Text(text, style="bold red")
