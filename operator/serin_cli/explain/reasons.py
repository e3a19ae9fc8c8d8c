"""What each reason of a gate means to a person, and what to do about it: one sentence each."""

from __future__ import annotations

from typing import NamedTuple

from serin_operator.decide.judge.reasons import GateReason


class Paragraph(NamedTuple):
    """Two sentences."""

    means: str
    advice: str

    def __str__(self) -> str:
        return f"{self.means} {self.advice}"


REASONS: dict[GateReason, Paragraph] = {
    GateReason.WorseThanStable: Paragraph(
        "The candidate is worse than stable by more than the limit, and chance is ruled out at the gate's budget.",
        "Look at what changed between the two bundles, and try a mended one; this one is not tried again.",
    ),
    GateReason.BelowMinimum: Paragraph(
        "The candidate's accuracy is proven to lie below `min`, whatever stable does.",
        "Try a better model; if stable lies below `min` as well, `min` asks for more than the data give.",
    ),
    GateReason.WithinMaxDrop: Paragraph(
        "A loss as large as the limit is excluded: the candidate is good enough.",
        "There is nothing to do for this gate.",
    ),
    GateReason.WithinMaximum: Paragraph(
        "A share as high as `max` is excluded.",
        "There is nothing to do for this gate.",
    ),
    GateReason.NoWorseThanStable: Paragraph(
        "Stable is itself above `max`, and the candidate adds less than `max` to that.",
        "The gate lets the candidate pass; find out why stable lies above what you ask for.",
    ),
    GateReason.AgreesWithStable: Paragraph(
        "On the same requests the two give the same answer at least as often as `min` asks.",
        "There is nothing to do for this gate.",
    ),
    GateReason.DisagreesWithStable: Paragraph(
        "On the same requests the candidate is proven to give other answers more often than `min` allows.",
        "If a different answer is what you want of it, judge it by labels and set this gate to Observe.",
    ),
    GateReason.NoShadow: Paragraph(
        "No copied request has been answered by both arms yet.",
        "See whether stable gets requests at all, and whether the rollout has a shadow step.",
    ),
    GateReason.NoTraffic: Paragraph(
        "One of the arms has answered no request at the present weight, so there is nothing to compare.",
        "Send traffic through the gateway; requests straight to a pod count for nothing.",
    ),
    GateReason.NoLabels: Paragraph(
        "One of the arms has no label for what it predicted at the present weight.",
        "Post labels to /v1/feedback with the prediction ids of the answers, and give them time to come.",
    ),
    GateReason.TooFewSamples: Paragraph(
        "What there is looks well, but there are too few samples of one arm to rely on it.",
        "Wait, or lengthen the step or raise its weight.",
    ),
    GateReason.LikelyWorse: Paragraph(
        "The estimate is beyond the limit, but that may still be chance.",
        "Wait for more samples: it will either fail or recover, and you may stop the roll-out yourself meanwhile.",
    ),
    GateReason.NotProven: Paragraph(
        "The estimate is within the limit, but a loss beyond the limit is not excluded yet.",
        "Wait for more samples; if that takes too long, raise the weight, lengthen the step or allow a larger loss.",
    ),
    GateReason.UnderMinimum: Paragraph(
        "The estimate lies under `min`, but that may still be chance.",
        "Wait for more samples, and check whether stable reaches `min` on the same traffic.",
    ),
    GateReason.LabelsPending: Paragraph(
        "No prediction of this trial is older than `labelDelay`, so nobody can tell whether labels are missing.",
        "Wait for `labelDelay` to pass.",
    ),
    GateReason.LabelsMissing: Paragraph(
        "Too few of the predictions that are older than `labelDelay` have got a label.",
        "Find out which labels do not come back, or set a longer `labelDelay` or a lower `minLabelCoverage`.",
    ),
    GateReason.DriftedFromStable: Paragraph(
        "The two arms are proven to see different values at the same time, and by more than `max`.",
        "Look for a difference in how features reach the two models: units, defaults, columns that changed places.",
    ),
    GateReason.OffOwnProfile: Paragraph(
        "What the candidate sees is not what it was trained on, while stable still sees what it was trained on.",
        "Compare the training data of this bundle with live data: a sample, a unit or a filter may differ.",
    ),
    GateReason.SharedDrift: Paragraph(
        "Both arms have left what they were trained on: the world has changed, not the candidate.",
        "Train on recent data; `onSharedDrift: Ignore` goes on in spite of it.",
    ),
    GateReason.LikelyDrifted: Paragraph(
        "A feature lies beyond `max`, but that may still be chance.",
        "Wait for more requests, and look at the features that are named meanwhile.",
    ),
    GateReason.WithinMaxDrift: Paragraph(
        "A drift as large as `max` is excluded in every feature.",
        "There is nothing to do for this gate.",
    ),
    GateReason.ProfileUnreadable: Paragraph(
        "No pod of an arm has told its reference profile, so its counts cannot be understood.",
        "See whether its pods are ready and the operator can reach their port 8081.",
    ),
    GateReason.OtherProfile: Paragraph(
        "The candidate's pods compare themselves with another profile than that of the present stable.",
        "Let the candidate's pods start anew, so that they read the present one.",
    ),
    GateReason.StatsUnreadable: Paragraph(
        "No pod of an arm answered when it was asked for what it had counted.",
        "See whether its pods are ready and whether a network policy keeps the operator from their port 8081.",
    ),
    GateReason.NotCounted: Paragraph(
        "An arm is a container of your own, and only Serin's own server counts what this gate reads.",
        "Set `mode: Observe` here and ask Prometheus by `gates.custom`, or go by availability alone.",
    ),
    GateReason.NotBreached: Paragraph(
        "Since the promotion no stretch of time shows a loss beyond the limit.",
        "There is nothing to do for this gate.",
    ),
    GateReason.WorseThanProven: Paragraph(
        "The model has become worse than the trial had shown it to be, by more than the gate allows.",
        "Find out what changed in the data since the promotion; the previous revision is at hand while it is kept.",
    ),
    GateReason.AboveMaximum: Paragraph(
        "Since the promotion the share is proven to lie above `max`.",
        "Look at the failed requests; the previous revision is at hand while it is kept.",
    ),
    GateReason.Recovered: Paragraph(
        "A stretch of time lay beyond the limit, but what came last lies within it.",
        "Nothing is undone for what has passed; find out what happened at that time.",
    ),
    GateReason.OffProfile: Paragraph(
        "For a day or more the model has not seen what it was trained on, by more than `max`.",
        "Train on recent data, or find the source of the data that has changed.",
    ),
    GateReason.OffProfileBriefly: Paragraph(
        "For some hours the model has not seen what it was trained on; so short a time only alerts.",
        "Look whether the source of the data is at fault; only a whole day would be acted upon.",
    ),
    GateReason.NothingProven: Paragraph(
        "The trial has shown nothing that could be kept, so the watch has nothing to compare with.",
        "Give the gate a limit of its own, such as `min`.",
    ),
    GateReason.NoProfile: Paragraph(
        "No pod has told its profile, or it is too wide to be kept by the hour.",
        "See whether the bundle has a profile, and leave out features with `ignore` if there are very many.",
    ),
    GateReason.SlowerThanStable: Paragraph(
        "More requests than may be are slower than `max`, and the candidate is proven slower than stable.",
        "Compare the two models' sizes and the resources of their pods.",
    ),
    GateReason.NoSlowerThanStable: Paragraph(
        "Stable is itself slower than `max` asks for, and the candidate adds too little to matter.",
        "The gate lets the candidate pass; give the pods more, or set a `max` that stable meets.",
    ),
    GateReason.WithinMaxRise: Paragraph(
        "A rise of the error as large as `maxRise` is excluded: the candidate is good enough.",
        "There is nothing to do for this gate.",
    ),
    GateReason.WithinTraining: Paragraph(
        "In no feature do more values lie outside what training saw than `maxViolations` allows.",
        "There is nothing to do for this gate.",
    ),
    GateReason.OutsideTraining: Paragraph(
        "More values than may be lie outside what the candidate was trained on, while stable fits its own training.",
        "Look at the features that are named: missing values, unseen categories, or another unit.",
    ),
    GateReason.MoreMalformed: Paragraph(
        "The candidate refuses more requests as malformed than stable does, and by more than may be.",
        "Compare the columns and types of the two bundles: callers send what stable takes.",
    ),
    GateReason.SharedViolations: Paragraph(
        "Values lie outside the training data of both arms: the callers have changed, not the candidate.",
        "Mend what the callers send, or train on recent data; `onSharedDrift: Ignore` goes on in spite of it.",
    ),
    GateReason.ErrorsUnknown: Paragraph(
        "Labels have come, but no pod tells what their errors were clipped at.",
        "Package the bundle anew, so that its profile says how large errors usually are.",
    ),
    GateReason.WithinLimits: Paragraph(
        "Your own number was within its limits when it was last read.",
        "There is nothing to do for this gate.",
    ),
    GateReason.BeyondLimits: Paragraph(
        "Your own number was beyond its limits three times in a row.",
        "Look at where the number comes from; this gate stands outside the error budget, so its limits are all it has.",
    ),
    GateReason.BeyondLimitsOnce: Paragraph(
        "Your own number was beyond its limits, but not yet three times in a row.",
        "Wait for the next readings.",
    ),
    GateReason.NoAnswer: Paragraph(
        "The source of your own number has not answered since the present weight was set.",
        "Wait one interval; if it stays so, ask the source yourself with the same query.",
    ),
    GateReason.SourceFailed: Paragraph(
        "The source of your own number cannot be asked, or answers with something else than one number.",
        "Mend the query or the address; the operator allows only the hosts that its settings name.",
    ),
    GateReason.SourceStale: Paragraph(
        "The last answer of the source is too old to decide on.",
        "See whether the source is up and reachable from the operator.",
    ),
    GateReason.CandidateReady: Paragraph(
        "The candidate's pods are ready and none of them has crashed in this trial.",
        "There is nothing to do for this gate.",
    ),
    GateReason.CandidateNotReady: Paragraph(
        "The candidate has no ready pod at the moment, which may be its start.",
        "Wait; the sentence above says for what, such as a node with room or an image.",
    ),
    GateReason.CandidateCrashed: Paragraph(
        "A container of the candidate ended with an error while it was on trial.",
        "Read `kubectl logs --previous` of the pod that is named; memory that is too small is the usual cause.",
    ),
    GateReason.CandidateUnavailable: Paragraph(
        "The candidate had no ready pod for a minute, or lost its last one again and again.",
        "Look at its pods and their events with `kubectl describe pod`.",
    ),
    GateReason.RevisionReady: Paragraph(
        "The promoted revision's pods are ready and none of them crashes again and again.",
        "There is nothing to do for this gate.",
    ),
    GateReason.RevisionUnavailable: Paragraph(
        "The promoted revision has no ready pod; after a minute of that the watch is breached.",
        "Look at its pods and their events with `kubectl describe pod`.",
    ),
    GateReason.RevisionCrashes: Paragraph(
        "A pod of the promoted revision crashes again and again; after a minute of that the watch is breached.",
        "Read `kubectl logs --previous` of the pod that is named.",
    ),
    GateReason.BundleMissing: Paragraph(
        "The candidate's server does not find its bundle, or one of its files.",
        "Check `model.uri` and what lies there, and apply the right one.",
    ),
    GateReason.BundleInvalid: Paragraph(
        "The candidate's server cannot read its bundle.",
        "Look at it with `serin inspect`, and package the model anew.",
    ),
    GateReason.DigestMismatch: Paragraph(
        "The bundle is not the one that was pinned or recorded, so it was changed in place.",
        "Put each version in a place of its own, and apply that.",
    ),
    GateReason.NotSigned: Paragraph(
        "The bundle is not signed by one of the keys that `model.signedBy` asks for.",
        "Have it signed with `serin sign`, or find out who put it there; `serin verify` tells who has signed.",
    ),
    GateReason.ModelTypeRefused: Paragraph(
        "The model holds a type that the server does not load, since loading it could run any code.",
        "Use a model of types that skops and the server know.",
    ),
    GateReason.SelfTestFailed: Paragraph(
        "In the candidate's server the model does not answer its golden rows as it did when it was packaged.",
        "Compare the library versions of the training and of the serving image.",
    ),
    GateReason.SettingsInvalid: Paragraph(
        "The candidate's server has settings or keys that it cannot use.",
        "Correct `serving.env`; the sentence above names what is wrong.",
    ),
    GateReason.NotCompiled: Paragraph(
        "A compiled model is required, and the bundle has none that the candidate's server can serve.",
        "Package the model with `--compile require` to see why, or set `serving.compile` to auto.",
    ),
    GateReason.SourceRefused: Paragraph(
        "The bundle's place, or one that it redirects to, is not one that pods may fetch from.",
        "Use a public place, or have its address range allowed in the chart (`artefacts.allowedRanges`).",
    ),
    GateReason.SourceDenied: Paragraph(
        "The bundle's place does not let the candidate's credentials read it.",
        "Check the Secret that `model.credentials` names, and what it may read.",
    ),
    GateReason.SourceUnavailable: Paragraph(
        "The bundle's place did not answer in time, or not to the end.",
        "Wait, since it is asked again, and look at the store if it stays so.",
    ),
}

VERDICTS: dict[str, Paragraph] = {
    "Pass": Paragraph("The gate is content.", "There is nothing to do for this gate."),
    "Fail": Paragraph("The gate has failed the revision.", "Read the sentence above and mend what it names."),
    "NotYet": Paragraph("There is data, but not enough to decide.", "Wait for more of it."),
    "NoData": Paragraph("There is nothing to judge by yet.", "Read the sentence above for what is missing."),
    "Error": Paragraph("The gate could not be asked.", "Read the sentence above and mend what it names."),
}
"""For a reason that this version does not know."""


def paragraph(reason: str, verdict: str) -> Paragraph:
    """What that reason means; what its verdict means where the reason is not known here."""
    try:
        return REASONS[GateReason(reason)]
    except ValueError:
        return VERDICTS.get(verdict, VERDICTS["NoData"])
