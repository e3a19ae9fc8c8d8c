"""Asks the sources of custom gates. Nothing that a source answers can raise here.

Each gate is asked in the background once per interval, and an observation takes what the latest answer was: a source
that is slow or silent holds up no decision, a rollback above all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from serin_contract.addresses import IPNetwork
from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.decide import gate_policies
from serin_operator.decide.gate_policies import CustomPolicy
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.observe import custom_fetch, custom_query
from serin_operator.observe.background import Background
from serin_operator.observe.custom_fetch import SourceError
from serin_operator.observe.custom_query import Parameters, RefusedError

log = logging.getLogger(__name__)

ROUNDS_AT_ONCE = 8
"""Sources asked at the same time, for the whole operator."""
LONGEST_SECONDS = 30.0
"""For one question with its wait for a place among those: longer than this is an answer as well."""


@dataclass(frozen=True)
class Addresses:
    """Where custom gates may ask, from the operator's settings. Nothing by default."""

    prometheus_url: str | None = None
    """Without a path of its own query API, such as `http://prometheus.monitoring.svc:9090`."""
    hosts: frozenset[str] = frozenset()
    """`host` or `host:port` of JSON documents."""
    allowed_ranges: tuple[IPNetwork, ...] = ()
    """Loopback, link-local or metadata ranges that are asked all the same."""


@dataclass(frozen=True)
class Trial:
    """For what the sources are asked: the arms and the cohort of now."""

    candidate: str
    stable: str
    cohort: str


@dataclass(frozen=True)
class _Question:
    gate: CustomPolicy
    parameters: Parameters


class CustomSources:
    """Asks within one budget for all deployments together."""

    def __init__(
        self,
        addresses: Addresses,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        request_seconds: float = custom_fetch.REQUEST_SECONDS,
    ) -> None:
        """To be made inside a running loop, and closed."""
        self._addresses, self._now, self._request_seconds = addresses, now, request_seconds
        self._documents = custom_fetch.session(addresses.allowed_ranges)
        self._prometheus = custom_fetch.trusting_session()
        self._asked: Background[tuple[str, str], _Question, CustomAnswer] = Background(self._answered, clock)
        self._budget = asyncio.Semaphore(ROUNDS_AT_ONCE)

    def ask(
        self, uid: str, namespace: str, name: str, gates: tuple[CustomPolicy, ...], trial: Trial
    ) -> tuple[CustomAnswer, ...]:
        """What each gate's source answered last; asks anew those whose time has come.

        A gate has no answer while it is asked for the first time in a cohort.
        """
        parameters = Parameters(name, namespace, trial.candidate, trial.stable, trial.cohort)
        answers = [
            self._asked.ask((uid, gate.name), _Question(gate, parameters), gate.interval_seconds) for gate in gates
        ]
        return tuple(answer for answer in answers if answer is not None)

    async def close(self) -> None:
        """End what is under way, and the connections."""
        await self._asked.close()
        await self._documents.close()
        await self._prometheus.close()

    async def _answered(self, question: _Question) -> CustomAnswer:
        """Ask, and put whatever happens into words."""
        gate, asked_at = question.gate.name, self._now()
        try:
            async with asyncio.timeout(LONGEST_SECONDS), self._budget:
                asked_at = self._now()
                return CustomAnswer(gate, asked_at, await self._value(question))
        except (RefusedError, SourceError) as error:
            return CustomAnswer(gate, asked_at, None, str(error))
        except TimeoutError:
            return CustomAnswer(gate, asked_at, None, "the operator is busy asking other sources")
        except Exception as error:
            log.exception("a custom gate could not be asked")
            said = f"asking failed ({type(error).__name__}); the operator's log says where"
            return CustomAnswer(gate, asked_at, None, said)

    async def _value(self, question: _Question) -> float:
        gate, addresses = question.gate, self._addresses
        if gate.query is not None:
            if addresses.prometheus_url is None:
                raise RefusedError("queries are off; whoever runs Serin sets customGates.prometheusUrl of the chart")
            query = custom_query.query_of(gate.query, question.parameters)
            url = f"{addresses.prometheus_url.rstrip('/')}/api/v1/query"
            wanted = {"query": query, "timeout": f"{self._request_seconds:g}s"}
            return custom_fetch.single(await self._get(self._prometheus, url, wanted))
        if not addresses.hosts:
            raise RefusedError("documents are off; whoever runs Serin sets customGates.hosts of the chart")
        url = custom_query.url_of(gate.url or "", question.parameters, addresses.hosts)
        return custom_fetch.at_pointer(await self._get(self._documents, url), gate.field or "")

    async def _get(self, session: aiohttp.ClientSession, url: str, wanted: dict[str, str] | None = None) -> object:
        return await custom_fetch.document(session, url, wanted, self._request_seconds)


def gates_of(spec: ModelDeploymentSpec | None) -> tuple[CustomPolicy, ...]:
    """The custom gates of a spec."""
    gates = gate_policies.resolve(spec.gates, shadows=False) if spec is not None else ()
    return tuple(gate for gate in gates if isinstance(gate, CustomPolicy))


def trial_of(status: ModelDeploymentStatus) -> Trial | None:
    """For what custom gates are asked now; None while no step runs and nothing is watched.

    A step counts from when the gateway took it: what a source says of the time before is not about this weight.
    """
    candidate, stable = status.candidate, status.stable
    if candidate is not None:
        if stable is None or candidate.outcome is not None or candidate.cohort is None:
            return None
        return Trial(candidate.revision, stable.revision, candidate.cohort) if candidate.step_started_at else None
    if status.watch is None:
        return None
    return Trial(status.watch.revision, status.previous.revision if status.previous else "", status.watch.cohort)
