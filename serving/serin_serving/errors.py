"""The two ways in which this server says no: to its bundle at start, and to one request."""

from __future__ import annotations

from serin_contract.startup import StartupReason
from serin_contract.stats import MalformedReason


class RefusedError(Exception):
    """The server must not start as it was set up; a person has to act."""

    def __init__(self, reason: StartupReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class RequestError(Exception):
    """One request cannot be answered; the sentence goes to the caller."""

    def __init__(self, status: int, sentence: str, malformed: MalformedReason = "other") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.malformed = malformed
        """What was wrong with an inference request that is refused."""
