"""Keys out of the bytes that a terminal sends."""

from __future__ import annotations

from typing import Literal

Key = Literal["quit", "pause", "reset", "up", "down", "escape"]

OF_BYTES: dict[bytes, Key] = {
    b"q": "quit",
    b"Q": "quit",
    b"p": "pause",
    b"P": "pause",
    b"r": "reset",
    b"R": "reset",
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
}
ESCAPE = b"\x1b"


class Keys:
    """Decodes what was read. An arrow is three bytes, which may not arrive together."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def incomplete(self) -> bool:
        """Whether the last bytes may be the beginning of an arrow, or the key Escape."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Key]:
        """Return the keys in what was read. Other keys are ignored."""
        data, self._rest = self._rest + data, b""
        found: list[Key] = []
        while data:
            sequence, complete = _first(data)
            if not complete:
                self._rest = data
                break
            data = data[len(sequence) :]
            if sequence in OF_BYTES:
                found.append(OF_BYTES[sequence])
        return found

    def flush(self) -> list[Key]:
        """Return what is left when nothing has followed for a while: Escape was pressed by itself."""
        alone, self._rest = self._rest == ESCAPE, b""
        return ["escape"] if alone else []


def _first(data: bytes) -> tuple[bytes, bool]:
    """Return the first key or escape sequence of ``data``, and whether it is complete."""
    if not data.startswith(ESCAPE):
        return data[:1], True
    if data[1:2] not in (b"[", b"O"):
        return data[:1], len(data) > 1
    for end in range(2, len(data)):
        if 0x40 <= data[end] <= 0x7E:
            return data[: end + 1], True
    return data, False
