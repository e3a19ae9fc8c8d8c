"""Where a status is read: from the cluster that the user's kubeconfig names, or from a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import yaml

from serin_contract import labels
from serin_contract import profile as profiles
from serin_contract.profile import Profile
from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.decide import identity

FILE_BYTES_MAX = 16 * 2**20
TIMEOUT_SECONDS = 15.0
GROUP, VERSION = "serin.dev", "v1alpha1"


@dataclass(frozen=True)
class Known:
    """A ModelDeployment, and what was found of its ModelRevisions and their ConfigMaps."""

    namespace: str
    name: str
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    revisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The documents by name."""
    profile: Profile | None = None
    """Stable's, on which both arms of the trial counted; None where no ConfigMap holds it any more."""

    @property
    def subject(self) -> str | None:
        """The revision that the gates speak of: on trial, watched, or whose trial or watch ended last."""
        status = self.status
        if status.candidate is not None:
            return status.candidate.revision
        if status.watch is not None:
            return status.watch.revision
        # What ended last stands first. A promotion ends a trial as well, and a rollback before it is an older story.
        if status.history:
            return status.history[0].revision
        return status.last_rollback.from_ if status.last_rollback is not None else None

    @property
    def evidence(self) -> Mapping[str, Any] | None:
        """As last written for that revision."""
        document = self.revisions.get(self.subject or "")
        found = ((document or {}).get("status") or {}).get("evidence")
        return found if isinstance(found, Mapping) else None


def from_file(path: Path, name: str | None) -> Known:
    """Read what `kubectl get modeldeployments,modelrevisions -o yaml` printed, or one object of it.

    Raises:
        ClickException: the file is too large or no YAML, or holds no such ModelDeployment.
    """
    if path.stat().st_size > FILE_BYTES_MAX:
        raise click.ClickException(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    try:
        documents = list(_items(yaml.safe_load_all(path.read_text())))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    deployments = [item for item in documents if item.get("kind") == "ModelDeployment"]
    named = [item for item in deployments if name is None or item["metadata"]["name"] == name]
    if not named:
        held = ", ".join(item["metadata"]["name"] for item in deployments) or "none at all"
        raise click.ClickException(f"{path} holds no ModelDeployment {name or ''}; it holds {held}")
    return _known(
        named[0],
        [item for item in documents if item.get("kind") == "ModelRevision"],
        {item["metadata"]["name"]: item for item in documents if item.get("kind") == "ConfigMap"},
    )


def from_cluster(namespace: str | None, name: str, context: str | None) -> Known:
    """Read it with the rights of the user's kubeconfig.

    Raises:
        ClickException: there is no kubeconfig, the cluster does not answer, or it has no such object.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        message = "Reading a cluster needs the Kubernetes client: pip install 'serin-operator[cli,operator]'"
        raise click.ClickException(message) from error
    kubeconfig = os.environ.get("KUBECONFIG") or None
    try:
        contexts, active = config.list_kube_config_contexts(kubeconfig)
        chosen = next((item for item in contexts if item["name"] == context), active)
        where = namespace or chosen["context"].get("namespace") or "default"
        connection = config.new_client_from_config(kubeconfig, context=context)
        api = client.CustomObjectsApi(connection)
        place = (GROUP, VERSION, where)
        item = api.get_namespaced_custom_object(*place, "modeldeployments", name, _request_timeout=TIMEOUT_SECONDS)
        found = api.list_namespaced_custom_object(*place, "modelrevisions", _request_timeout=TIMEOUT_SECONDS)
    except config.ConfigException as error:
        raise click.ClickException(
            f"No cluster to ask: {str(error).rstrip(chr(46))}. Name a kubeconfig in KUBECONFIG, or use --file"
        ) from (error)
    except client.ApiException as error:
        if error.status == 404:
            raise click.ClickException(f"There is no ModelDeployment {name!r} in the namespace {where!r}") from error
        raise click.ClickException(f"The API server refused: {error.status} {error.reason}") from error
    except OSError as error:
        raise click.ClickException(f"The API server does not answer: {type(error).__name__}") from error
    except Exception as error:
        if type(error).__module__.startswith("urllib3"):
            raise click.ClickException(f"The API server does not answer: {type(error).__name__}") from error
        raise
    known = _known(item, found.get("items", []), {})
    return replace(known, profile=_read_profile(client, connection, where, known.subject))


def _read_profile(client: Any, connection: Any, namespace: str, subject: str | None) -> Profile | None:
    """Stable's profile from the candidate's ConfigMap; None where it is gone, or may not be read."""
    if subject is None:
        return None
    name = identity.profile_name(subject)
    try:
        found = client.CoreV1Api(connection).read_namespaced_config_map(
            name, namespace, _request_timeout=TIMEOUT_SECONDS
        )
    except client.ApiException:
        return None
    return _profile((found.data or {}).get(labels.STABLE_PROFILE_FILE))


def _profile(text: str | None) -> Profile | None:
    """The profile in that text; None where it is none that this version can read."""
    with contextlib.suppress(ValueError):
        return profiles.decode(text.encode()) if text else None
    return None


def _items(documents: Any) -> Iterator[dict[str, Any]]:
    for document in documents:
        if isinstance(document, dict):
            yield from document["items"] if str(document.get("kind", "")).endswith("List") else [document]


def _known(
    item: Mapping[str, Any], revisions: list[dict[str, Any]], config_maps: Mapping[str, Mapping[str, Any]]
) -> Known:
    metadata = item["metadata"]
    mine = [document for document in revisions if document["spec"]["deployment"] == metadata["name"]]
    with contextlib.suppress(ValueError):
        known = Known(
            namespace=metadata.get("namespace", "default"),
            name=metadata["name"],
            spec=ModelDeploymentSpec.model_validate(item["spec"]),
            status=ModelDeploymentStatus.model_validate(item.get("status") or {}),
            revisions={document["metadata"]["name"]: document for document in mine},
        )
        held = config_maps.get(identity.profile_name(known.subject or "")) or {}
        return replace(known, profile=_profile((held.get("data") or {}).get(labels.STABLE_PROFILE_FILE)))
    raise click.ClickException(f"The ModelDeployment {metadata['name']!r} is not one that this version can read")
