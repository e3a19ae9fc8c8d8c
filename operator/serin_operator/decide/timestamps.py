"""Times as the API writes them: RFC 3339 in UTC, to the microsecond where they carry one."""

from __future__ import annotations

from datetime import UTC, datetime


def text(unix_seconds: float) -> str:
    """The time as `2026-01-31T12:00:00Z`, with a fraction where there is one."""
    moment = datetime.fromtimestamp(round(unix_seconds, 3), UTC)
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")


def seconds(rfc3339: str) -> float:
    """The Unix time in seconds.

    Raises:
        ValueError: the text is no RFC 3339 time.
    """
    return datetime.fromisoformat(rfc3339.replace("Z", "+00:00")).timestamp()


def elapsed(since: str | None, now: float) -> float:
    """Seconds since that time, never negative; 0 where there is no time."""
    return 0.0 if since is None else max(0.0, now - seconds(since))


def moved(rfc3339: str | None, by_seconds: float) -> str | None:
    """The time moved on by so many seconds; None stays None."""
    return None if rfc3339 is None else text(seconds(rfc3339) + by_seconds)
