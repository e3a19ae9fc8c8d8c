"""The Secret that spec.model.credentials names, as files of the fetching container alone."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from serin_contract.startup import StartupReason
from serin_serving.errors import RefusedError

FILE_BYTES_MAX = 64 * 1024
WEB_KEYS = ("token", "username", "password")
_ONE_LINE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Credentials:
    """Values by key; no value is ever part of a message, a log line or this object's text."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def text(self, key: str) -> str | None:
        """The whole value, or None where the Secret has no such key.

        Raises:
            RefusedError: it is too long, or no text (SettingsInvalid).
        """
        if self._directory is None:
            return None
        try:
            with (self._directory / key).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
            if len(data) > FILE_BYTES_MAX:
                raise _invalid(key, f"more than {FILE_BYTES_MAX // 1024} KiB")
            return data.decode()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError as error:
            raise _invalid(key, "no text") from error
        except OSError as error:
            raise _invalid(key, "nothing that can be read") from error

    def line(self, key: str) -> str | None:
        """A value of one line, such as a token, without the line end that editors add.

        Raises:
            RefusedError: it has several lines or characters that no header may hold (SettingsInvalid).
        """
        text = self.text(key)
        if text is None:
            return None
        line = text.strip()
        if not _ONE_LINE.fullmatch(line):
            raise _invalid(key, "something else than one line of printable characters")
        return line

    def authorization(self, keys: tuple[str, str, str] = WEB_KEYS) -> str | None:
        """The Authorization header of a bearer token, else of user and password, by their keys; None without them."""
        bearer = self.line(keys[0])
        if bearer is not None:
            return f"Bearer {bearer}"
        user, secret = self.line(keys[1]), self.line(keys[2])
        if user is None or secret is None:
            return None
        return basic(user, secret)


def basic(user: str, password: str) -> str:
    """The Authorization header of a user and a password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def header(authorization: str | None) -> dict[str, str]:
    """The header, or none."""
    return {} if authorization is None else {"Authorization": authorization}


def _invalid(key: str, what: str) -> RefusedError:
    return RefusedError(StartupReason.SettingsInvalid, f"{key} of the credentials holds {what}")
