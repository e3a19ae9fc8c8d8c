"""Carrying out actions one after the other, each safe to be repeated by a process that knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, assert_never

from serin_operator.apply import hardening, ownership, routes
from serin_operator.apply.announcements import Announcer
from serin_operator.apply.keys import KeyRings
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import (
    Action,
    Announce,
    Apply,
    ApplyKeys,
    Delete,
    EditRule,
    HandOver,
    Plan,
    SetWeights,
    Splitting,
)
from serin_operator.errors import ApiError
from serin_operator.runtime import resources
from serin_operator.runtime.kube import UNREACHABLE, Json, Kube
from serin_operator.runtime.outcome import Applied, Failed, Outcome, Waiting

UNAVAILABLE_SECONDS = 2.0
_DONE = Applied()


class Applier:
    """Writes what a plan says."""

    def __init__(self, kube: Kube, keys: KeyRings, announcer: Announcer) -> None:
        self._kube, self._keys, self._announcer = kube, keys, announcer

    async def apply(self, seen: Observation, plan: Plan) -> Outcome:
        """Carry out the plan's actions in order, up to the first that is not simply done.

        Raises:
            ConflictError: an object is no longer the one that was decided on.
            NotLeadingError: another process may be writing by now.
        """
        for said, actions in groupby(plan.actions, lambda action: isinstance(action, Announce)):
            if said:
                # All pods at once: one that does not answer must not keep the others waiting.
                await self._announcer.send(seen.uid, [action for action in actions if isinstance(action, Announce)])
                continue
            for action in actions:
                outcome = await self._settled(seen, action)
                if not isinstance(outcome, Applied):
                    return outcome
        return _DONE

    async def _settled(self, seen: Observation, action: Action) -> Outcome:
        """One action; a refusal by the API server is an outcome, and only a refusal needs a person."""
        try:
            return await self._one(seen, action)
        except ApiError as error:
            if error.status in (UNREACHABLE, 429) or error.status >= 500:
                return Waiting("ApiUnavailable", str(error), UNAVAILABLE_SECONDS)
            narrowing = isinstance(action, SetWeights | EditRule) and action.narrowing
            return Failed("ApplyFailed", f"{_what(action)}: {error}", narrowing)

    async def _one(self, seen: Observation, action: Action) -> Outcome:
        match action:
            case Apply(manifest=manifest):
                return await self._object(seen, manifest)
            case ApplyKeys(secret_name=name):
                return await self._secret(seen, name)
            case HandOver():
                return await self._hand_over(seen, action)
            case SetWeights() | EditRule():
                return await self._weights(seen, action)
            case Announce():
                await self._announcer.send(seen.uid, [action])
                return _DONE
            case Delete(api_version=api_version, kind=kind, name=name, uid=uid):
                resource = resources.of(api_version, kind)
                await self._kube.delete(resource, seen.namespace, name, uid)
                return _DONE
            case _:
                assert_never(action)

    async def _object(self, seen: Observation, manifest: Mapping[str, Any]) -> Outcome:
        said = hardening.objection(manifest)
        if said is not None:
            return Failed("PodNotHardened", said)
        standing = await self._standing(seen, manifest)
        pinned: Mapping[str, Any] = manifest
        if standing is not None:
            refused = ownership.refusal(standing, seen.name, seen.uid)
            if refused is not None:
                return refused
            # With its UID the write reaches this object or none: no other one that has taken its name.
            metadata = {**manifest["metadata"], "uid": standing["metadata"]["uid"]}
            pinned = {**manifest, "metadata": metadata}
        await self._kube.apply(pinned)
        return _DONE

    async def _standing(self, seen: Observation, manifest: Mapping[str, Any]) -> Json | None:
        """The object of that name as it stands; only what was not seen has to be asked for."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        known = seen.live.get(f"{kind}/{name}")
        if known is not None:
            return dict(known)
        resource = resources.of(manifest["apiVersion"], kind)
        return await self._kube.get(resource, seen.namespace, name)

    async def _hand_over(self, seen: Observation, action: HandOver) -> Outcome:
        await self._kube.hand_over(
            {
                "apiVersion": resources.DEPLOYMENT.api_version,
                "kind": resources.DEPLOYMENT.kind,
                "metadata": {"namespace": seen.namespace, "name": action.name, "uid": action.uid},
                "spec": {"replicas": action.replicas},
            }
        )
        return _DONE

    async def _weights(self, seen: Observation, action: Splitting) -> Outcome:
        if isinstance(action, EditRule):
            written = await routes.edit(self._kube, action)
        else:
            written = await self._object(seen, action.manifest)
        if isinstance(written, Failed):
            return Failed(written.reason, written.message, action.narrowing)
        if not isinstance(written, Applied):
            return written
        match await routes.holds(self._kube, action):
            case True:
                return _DONE
            case False:
                message = "the route does not hold the weights that were just written; something else writes it"
                return Waiting("WeightsNotHeld", message, routes.VERIFY_AGAIN_SECONDS)
            case None:
                message = "the route cannot be read, so whether its weights hold cannot be told"
                return Waiting("WeightsUnknown", message, routes.VERIFY_AGAIN_SECONDS)

    async def _secret(self, seen: Observation, name: str) -> Outcome:
        secret = self._keys.secret(seen.namespace, name, seen.name, seen.uid)
        fingerprint = self._keys.fingerprint(seen.uid)
        # The operator may not read Secrets. A dry run tells what the write would make of one that is there:
        # the API server refuses a second controller, and foreign data shows in the answer.
        trial = await self._kube.apply(secret, dry_run=True)
        if set(trial.get("data") or {}) != set(secret["data"]):
            message = f"Secret {name} exists already with data of its own; Serin does not touch it. Rename it"
            return Failed("NotOwned", message)
        await self._kube.apply(secret)
        self._keys.written(seen.uid, fingerprint)
        return _DONE


def _what(action: Action) -> str:
    """The object of the action, for a sentence."""
    match action:
        case Apply(manifest=manifest) | SetWeights(manifest=manifest):
            return f"{manifest['kind']} {manifest['metadata']['name']} was not applied"
        case EditRule(route=route, rule=rule):
            return f"rule {rule} of HTTPRoute {route['metadata']['name']} was not written"
        case HandOver(name=name):
            return f"Deployment {name} did not keep its number of pods"
        case ApplyKeys(secret_name=name):
            return f"Secret {name} was not applied"
        case Announce(pod_uid=uid):
            return f"pod {uid} was not told"
        case Delete(kind=kind, name=name):
            return f"{kind} {name} was not deleted"
        case _:
            assert_never(action)
