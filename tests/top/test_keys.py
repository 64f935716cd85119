from __future__ import annotations

import pytest
from gilscope.top.keys import Key, Keys


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"q", ["quit"]),
        (b"Q", ["quit"]),
        (b"pr", ["pause", "reset"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),  # the terminal is in application mode
        (b"x\x00\xc3\xa4", []),
        (b"\x1b[15~q", ["quit"]),  # F5
        (b"\x1b[1;5Aq", ["quit"]),  # Ctrl and an arrow
        (b"\x1bq", ["quit"]),  # Alt and q
    ],
)
def test_keys_are_told_apart_and_others_ignored(typed: bytes, keys: list[Key]) -> None:
    assert Keys().feed(typed) == keys


def test_an_arrow_may_arrive_in_pieces() -> None:
    keys = Keys()
    assert [keys.feed(piece) for piece in (b"\x1b", b"[", b"A")] == [[], [], ["up"]]
    assert not keys.incomplete


def test_escape_is_a_key_if_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.incomplete
    assert keys.flush() == ["escape"]
    assert keys.flush() == []


def test_the_beginning_of_an_arrow_that_never_ends_is_forgotten() -> None:
    keys = Keys()
    keys.feed(b"\x1b[")
    assert keys.flush() == []
    assert keys.feed(b"q") == ["quit"]
