"""Numbers as compact text and back: most of a trial's are small or 0, and a status has a limit."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray

UNPACKED_BYTES_MAX = 64_000_000

Whole = NDArray[np.int64]
"""Numbers of 8 bytes; floats are told as the bits that they are, by `view`."""


def pack(values: Whole) -> str:
    """Byte by byte of all numbers, the lowest bytes first: the high ones are mostly 0 and cost nothing compressed."""
    planes = np.ascontiguousarray(values, dtype="<i8").view(np.uint8).reshape(-1, 8).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 6)).decode()


def unpack(text: str) -> Reader:
    """The numbers, to be taken one array after the other.

    Raises:
        ValueError: the text is none that `pack` gives, or of too many numbers.
    """
    unzip = zlib.decompressobj()
    try:
        data = unzip.decompress(base64.b64decode(text, validate=True), UNPACKED_BYTES_MAX)
    except zlib.error as error:
        raise ValueError("the packed numbers are broken") from error
    if not unzip.eof or len(data) % 8:
        raise ValueError("the packed numbers are broken")
    planes = np.frombuffer(data, dtype=np.uint8).reshape(8, -1)
    return Reader(np.ascontiguousarray(planes.T).view("<i8").ravel().astype(np.int64))


class Reader:
    """Takes numbers off the front of an array, neither more nor fewer than it holds."""

    def __init__(self, values: Whole) -> None:
        self.values, self._at = values, 0

    def take(self, size: int) -> Whole:
        """The next numbers.

        Raises:
            ValueError: there are not so many.
        """
        if size < 0 or self._at + size > len(self.values):
            raise ValueError("the dump holds too few numbers")
        self._at += size
        return self.values[self._at - size : self._at]

    def take_floats(self, size: int) -> NDArray[np.float64]:
        """The next numbers as floats.

        Raises:
            ValueError: there are not so many, or one is not finite.
        """
        values = self.take(size).view(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("not the numbers that a dump holds")
        return values

    def finish(self) -> None:
        """Nothing is left.

        Raises:
            ValueError: something is.
        """
        if self._at != len(self.values):
            raise ValueError("the dump holds too many numbers")
