"""The cluster, the bundles, and how independent stories are told side by side."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e import spoilt
from tests.support import kubernetes_objects as objects
from tests.support.figures import Ended, Figures
from tests.support.stories import Models, Place, place

from serin_cli.cluster import status
from serin_cli.cluster.access import Cluster, load
from serin_cli.cluster.paths import DEFAULT_NAME

Story = Callable[[Place], None]

AT_ONCE = 3
"""Places where something happens at the same time: each has pods and callers, and the machine may have two cores."""

STORY_SECONDS = 900

FIGURES_FILE = os.environ.get("E2E_FIGURES", "")
"""Where what the stories measured is written as Markdown; nowhere if it is empty."""

_figures = Figures()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(STORY_SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _figures.lines:
        terminalreporter.section("what the stories measured")
    for title, words in _figures.lines.items():
        terminalreporter.write_line(f"{title}: {words}")
    if FIGURES_FILE:
        Path(FIGURES_FILE).write_text(_figures.markdown())
        terminalreporter.write_line(f"written to {FIGURES_FILE}")


def measured(title: str, words: str) -> None:
    """Show this at the end of the run."""
    _figures.measured(title, words)


def ended(row: Ended) -> None:
    """Show this row of the table of verdicts at the end of the run."""
    _figures.ended(row)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The local cluster with the operator in it."""
    found = status.look(DEFAULT_NAME)
    if not (found.running and found.node_ready and found.gateway_ready and found.operator_ready):
        pytest.fail("these tests need the local cluster with gateway and operator ready; run `make cluster`")
    made = load()
    if made.mode != "netns":
        pytest.fail(f"the bundles lie in a directory that the node sees, which mode {made.mode} does not offer")
    _clear_earlier(made)
    return made


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Good models and spoilt ones of handwritten digits, trained once."""
    return spoilt.prepare(tmp_path_factory.mktemp("models"))


@pytest.fixture
def digits(request: pytest.FixtureRequest, cluster: Cluster, models: Models) -> Iterator[Place]:
    """A place of this test's own."""
    own = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:6]
    with place(cluster, f"e2e-{own}", models) as made:
        yield made


@pytest.fixture(scope="session")
def crew(request: pytest.FixtureRequest, cluster: Cluster, models: Models) -> Iterator[Crew]:
    """Begins to tell all chosen stories that may be told side by side."""
    made = Crew(cluster, models)
    chosen = [getattr(item, "function", None) for item in request.session.items]
    made.begin([function.story for function in chosen if hasattr(function, "story")])
    yield made
    made.end()


class Crew:
    """Tells stories side by side: those of one place one after the other, several places at once."""

    def __init__(self, cluster: Cluster, models: Models) -> None:
        self._cluster, self._models = cluster, models
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="story")
        self._told: dict[Story, Future[None]] = {}

    def begin(self, stories: list[Story]) -> None:
        by_place: dict[str, list[Story]] = {}
        for story in stories:
            self._told[story] = Future()
            by_place.setdefault(_places[story], []).append(story)
        for name, there in by_place.items():
            self._pool.submit(self._tell, f"e2e-{name}", there)

    def hear(self, story: Story) -> None:
        """Wait for the end of a story; its failure is raised here."""
        self._told[story].result()

    def end(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _tell(self, namespace: str, stories: list[Story]) -> None:
        try:
            with place(self._cluster, namespace, self._models) as made:
                for story in stories:
                    self._tell_one(story, made)
        # Whatever went wrong with the place, each story that waits for it must hear of it.
        except BaseException as error:
            for story in stories:
                if not self._told[story].done():
                    self._told[story].set_exception(error)
            raise

    def _tell_one(self, story: Story, made: Place) -> None:
        began = time.monotonic()
        try:
            story(made)
        except BaseException as error:  # noqa: BLE001 — raised again in the test that hears it
            self._told[story].set_exception(error)
        else:
            self._told[story].set_result(None)
        measured(f"{story.__name__} took", f"{time.monotonic() - began:.0f} s")


_places: dict[Story, str] = {}


def beside_others(where: str) -> Callable[[Story], Callable[[Crew], None]]:
    """Make a test of a story that may be told beside others, in the place of that name."""

    def make(story: Story) -> Callable[[Crew], None]:
        def test(crew: Crew) -> None:
            crew.hear(story)

        test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
        test.story = story  # type: ignore[attr-defined]
        _places[story] = where
        return test

    return make


def _clear_earlier(cluster: Cluster) -> None:
    """What a run before this one may have left; the names of the places are used again."""
    for kind in ("namespace", "persistentvolume"):
        cluster.kubectl("delete", kind, "-l", f"{objects.LABEL}=e2e", "--timeout=120s", timeout=130)
