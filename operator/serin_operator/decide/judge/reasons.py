"""Why a gate says what it says: a closed set of words for programs."""

from __future__ import annotations

from enum import StrEnum


class GateReason(StrEnum):
    """One word beside each verdict of a statistical gate."""

    WorseThanStable = "WorseThanStable"
    """Fail: the estimate is beyond the limit and the candidate is proven worse than stable."""
    BelowMinimum = "BelowMinimum"
    """Fail: the candidate's accuracy is proven to lie below `min`."""
    WithinMaxDrop = "WithinMaxDrop"
    """Pass: a loss of `maxDrop` or more is excluded, and every other demand of the gate is met."""
    WithinMaximum = "WithinMaximum"
    """Pass: an error rate of `max` or more is excluded."""
    NoWorseThanStable = "NoWorseThanStable"
    """Pass: stable's own error rate is above `max`; more than `max` on top of it is excluded."""
    AgreesWithStable = "AgreesWithStable"
    """Pass: an agreement of `min` or less is excluded."""
    DisagreesWithStable = "DisagreesWithStable"
    """Fail: the agreement is proven to lie below `min`."""
    NoShadow = "NoShadow"
    """NoData: no mirrored request has been compared."""
    NoTraffic = "NoTraffic"
    """NoData: no cohort is open, or an arm has answered no request in it."""
    NoLabels = "NoLabels"
    """NoData: an arm has no label in the current cohort."""
    TooFewSamples = "TooFewSamples"
    """NotYet: an arm has fewer samples than a Pass asks for, in the current cohort or in all."""
    LikelyWorse = "LikelyWorse"
    """NotYet: the estimate is beyond the limit, but that may still be chance."""
    NotProven = "NotProven"
    """NotYet: the estimate is within the limit, but a loss beyond it is not excluded."""
    UnderMinimum = "UnderMinimum"
    """NotYet: the estimate lies under `min`, but that may still be chance."""
    LabelsPending = "LabelsPending"
    """NotYet: no prediction is older than `labelDelay`, so coverage cannot be told."""
    LabelsMissing = "LabelsMissing"
    """NotYet: an arm has fewer labels than `minLabelCoverage` of its predictions older than `labelDelay`."""
    StatsUnreadable = "StatsUnreadable"
    """Error: no serving pod of an arm answered when it was asked for its stats."""
