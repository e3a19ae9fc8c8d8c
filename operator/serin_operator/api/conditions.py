"""The condition types of a ModelDeployment. All but the last two are set from the first pass on."""

from __future__ import annotations

from enum import StrEnum


class ConditionType(StrEnum):
    """What can be observed of a deployment; True is always the good answer, Unknown means it cannot be told."""

    Ready = "Ready"
    """A good revision serves. It stays True through a rollback."""
    Progressing = "Progressing"
    """The roll-out moves or is complete. False where it holds, is paused, was rolled back or failed."""
    Promoted = "Promoted"
    """The revision of the spec is stable: what `kubectl wait --for=condition=Promoted` waits for."""
    GatesPassing = "GatesPassing"
    """Every enforced gate passes. Unknown while one has no data, too little evidence or a broken source."""
    RouteProgrammed = "RouteProgrammed"
    """Every Gateway named in the spec has taken the route as it stands."""
    CapacityAvailable = "CapacityAvailable"
    """Every pod has a node."""
    ArtifactVerified = "ArtifactVerified"
    """The bundle's digest is resolved, or equal to the one that was pinned, and a signature that is asked for holds."""
    TrafficAsTrained = "TrafficAsTrained"
    """Traffic is what the models were trained on, as the drift gates see it. Set only where one of them is named;
    Unknown outside a trial and a watch. False: retrain on recent data and apply the new bundle."""
    WatchPassing = "WatchPassing"
    """No gate of the watch is breached. Set only while a promoted revision is watched."""
