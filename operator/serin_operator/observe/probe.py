"""Asking through the Gateways whether they lead to the candidate. Nothing that a gateway answers can raise here.

A round of probes goes on in the background and an observation takes what the latest one found: a gateway that does
not answer holds up no decision, a rollback above all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from serin_contract import http
from serin_operator.decide.observation import PROBES_IN_A_ROW, ParentProbe, ProbeFacts
from serin_operator.observe import gateways
from serin_operator.observe.background import Background
from serin_operator.observe.gateways import Json, Parent, Target

log = logging.getLogger(__name__)

REQUEST_SECONDS = 2.0
ROUND_SECONDS = 10.0
BETWEEN_SECONDS = 1.0
"""Between the starts of two rounds while a candidate is being introduced."""
LATER_BETWEEN_SECONDS = 15.0
"""The same while a step runs: then the probe decides nothing, and a step without traffic may last for days."""
ROUNDS_AT_ONCE = 8
"""For the whole operator."""


@dataclass(frozen=True)
class Question:
    """What to ask, of whom, and which answer is the right one."""

    parents: tuple[Parent, ...]
    value: str
    """Of the probe header."""
    model: str
    candidate: str
    stable: str
    """Names of the revisions: only an answer of one of these is called by its name."""
    between_seconds: float = BETWEEN_SECONDS


class _OddError(Exception):
    """An answer came, and it is not the candidate's; the text says what it was."""


class _UnknownError(Exception):
    """No answer came; the text says why."""


class Prober:
    """Sends probes within one budget for all deployments together."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        addresses: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """The session is the caller's to close; `addresses` are URLs by `namespace/name` of a Gateway."""
        self._session, self._addresses = session, dict(addresses or {})
        self._request_seconds = request_seconds
        self._rounds: Background[str, Question, ProbeFacts] = Background(self._found, clock)
        self._budget = asyncio.Semaphore(ROUNDS_AT_ONCE)

    def parents(self, route: Json, known: Mapping[str, Json]) -> tuple[Parent, ...]:
        """The parents of a route, and where to ask them. `known` are Gateways by `namespace/name`."""
        return gateways.parents_of(route, known, self._addresses)

    def ask(self, uid: str, question: Question) -> ProbeFacts:
        """What the latest round for the deployment of that UID found; begins another where its time has come.

        No parents while the first round of a question is under way.
        """
        return self._rounds.ask(uid, question, question.between_seconds) or ProbeFacts()

    async def close(self) -> None:
        """End what is under way."""
        await self._rounds.close()

    async def _found(self, question: Question) -> ProbeFacts:
        """A round; one that fails in a way nobody thought of finds nothing out."""
        try:
            return await self.round(question)
        except Exception as error:
            log.exception("a probe failed")
            unknown = f"the probe failed ({type(error).__name__}); the operator's log says where"
            return ProbeFacts(tuple(ParentProbe(parent.name, unknown=unknown) for parent in question.parents))

    async def round(self, question: Question) -> ProbeFacts:
        """Ask every parent, each at all its addresses."""
        async with self._budget:
            return ProbeFacts(tuple(await asyncio.gather(*(self._parent(question, one) for one in question.parents))))

    async def _parent(self, question: Question, parent: Parent) -> ParentProbe:
        if parent.unknown is not None:
            return ParentProbe(parent.name, unknown=parent.unknown)
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                found = await asyncio.gather(*(self._row(question, parent.name, target) for target in parent.targets))
        except TimeoutError:
            return ParentProbe(parent.name, unknown=f"it did not answer within {ROUND_SECONDS:g} s")
        # What answers wrongly says most, then what does not answer.
        return min(found, key=lambda row: 1 if row.unknown is not None else 2 * (row.in_a_row == PROBES_IN_A_ROW))

    async def _row(self, question: Question, name: str, target: Target) -> ParentProbe:
        for passed in range(PROBES_IN_A_ROW):
            try:
                await self._once(question, target)
            except _OddError as odd:
                return ParentProbe(name, passed, answered=str(odd))
            except _UnknownError as silent:
                if passed == 0:
                    return ParentProbe(name, unknown=str(silent))
                return ParentProbe(name, passed, answered=f"no answer to one of several requests: {silent}")
        return ParentProbe(name, PROBES_IN_A_ROW)

    async def _once(self, question: Question, target: Target) -> None:
        url = f"{target.origin}{http.INFERENCE_PATH_PREFIX}/models/{question.model}"
        try:
            async with self._session.get(
                url,
                headers={"Host": target.host, http.PROBE_HEADER: question.value},
                server_hostname=urlsplit(f"//{target.host}").hostname if url.startswith("https:") else None,
                timeout=aiohttp.ClientTimeout(total=self._request_seconds),
                allow_redirects=False,
            ) as answer:
                revision = answer.headers.get(http.REVISION_HEADER)
                if answer.status != 200 or revision != question.candidate:
                    raise _OddError(_words(answer.status, revision, question))
        except TimeoutError as error:
            raise _UnknownError(f"it did not answer within {self._request_seconds:g} s") from error
        except aiohttp.ClientSSLError as error:
            raise _UnknownError("its certificate does not hold for the host by the system's authorities") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _UnknownError(f"it cannot be reached ({type(error).__name__})") from error


def _words(status: int, revision: str | None, question: Question) -> str:
    """What was answered. A header's text is quoted only where it is one that we gave."""
    if revision == question.candidate:
        return f"{status} from the candidate"
    if revision == question.stable:
        return f"{status} from {question.stable}"
    return f"{status} without a revision" if revision is None else f"{status} from another revision"
