"""The key rings: read from the operator's master keys, derived per deployment, written, never read back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serin_contract import keys, labels
from serin_contract.keys import KeyRing
from serin_operator.errors import SettingsError

FINGERPRINT_CHARS = 16


@dataclass(frozen=True)
class Masters:
    """The operator's master keys by id. Their bytes stay out of every text."""

    by_id: dict[str, bytes]
    current: str

    def __repr__(self) -> str:
        return f"Masters({sorted(self.by_id)}, current={self.current!r})"

    def ring(self, uid: str) -> KeyRing:
        """The ring of the deployment with that UID."""
        return keys.derive_ring(self.by_id, self.current, uid)


def read_masters(directory: Path) -> Masters:
    """The master keys in a mounted Secret: each file is one, named by its id, the last id is current.

    Raises:
        SettingsError: there is none, or one is too short; the text names the file and never its content.
    """
    try:
        # A mounted Secret keeps its versions in directories whose names start with two dots.
        files = sorted(path for path in directory.iterdir() if not path.name.startswith("..") and path.is_file())
        by_id = {path.name: path.read_bytes() for path in files}
    except OSError as error:
        raise SettingsError(
            f"the master keys in {directory} cannot be read ({error.strerror}); mount the Secret that holds them"
        ) from error
    if not by_id:
        raise SettingsError(f"{directory} holds no master key; put one file in it, named by the key's id")
    for key_id, master in by_id.items():
        if len(master) < keys.KEY_BYTES or len(key_id) > keys.KEY_ID_CHARS_MAX:
            raise SettingsError(
                f"the master key {directory / key_id} must have at least {keys.KEY_BYTES} bytes, "
                f"and its id at most {keys.KEY_ID_CHARS_MAX} characters"
            )
    return Masters(by_id, max(by_id))


def fingerprint(ring: KeyRing) -> str:
    """Changes when the ring does; of the keys themselves only a one-way digest of digests goes in."""
    digests = [f"{key_id}:{hashlib.sha256(base64.b64decode(key)).hexdigest()}" for key_id, key in ring.keys.items()]
    text = "\n".join((ring.current, *sorted(digests)))
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARS]


class KeyRings:
    """The rings of all deployments, and which of them this process has written."""

    def __init__(self, directory: Path) -> None:
        """Raises SettingsError where the master keys cannot be read."""
        self._directory = directory
        self._masters = read_masters(directory)
        self._written: dict[str, str] = {}

    def refresh(self) -> None:
        """Read the master keys again, so that a rotation needs no restart.

        Raises:
            SettingsError: they cannot be read now; those read before stay in use.
        """
        self._masters = read_masters(self._directory)

    def ring(self, uid: str) -> KeyRing:
        """The ring of the deployment with that UID, to sign with; it must not leave `apply`."""
        return self._masters.ring(uid)

    def fingerprint(self, uid: str) -> str:
        """Of the ring as it should be now."""
        return fingerprint(self._masters.ring(uid))

    def applied(self, uid: str) -> bool:
        """Whether this process has written exactly that ring."""
        return self._written.get(uid) == self.fingerprint(uid)

    def secret(self, namespace: str, name: str, deployment: str, uid: str) -> dict[str, Any]:
        """The Secret's manifest: the one value in the operator that must not be logged or recorded."""
        content = keys.encode(self._masters.ring(uid))
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "labels": {
                    labels.MANAGED_BY_LABEL: labels.MANAGED_BY,
                    labels.DEPLOYMENT_LABEL: deployment,
                },
                "ownerReferences": [
                    {
                        "apiVersion": labels.API_VERSION,
                        "kind": "ModelDeployment",
                        "name": deployment,
                        "uid": uid,
                        "controller": True,
                        "blockOwnerDeletion": True,
                    }
                ],
            },
            "type": "Opaque",
            "data": {labels.KEYS_FILE: base64.b64encode(content).decode()},
        }

    def written(self, uid: str, ring_fingerprint: str) -> None:
        """The ring of that fingerprint stands in the cluster."""
        self._written[uid] = ring_fingerprint

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget the ModelDeployments that are gone."""
        for uid in self._written.keys() - set(uids):
            del self._written[uid]
