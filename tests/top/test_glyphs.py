from __future__ import annotations

import pytest
from gilscope.top.glyphs import ASCII, BLOCKS, glyphs


@pytest.mark.parametrize(
    ("share", "bar"),
    [(0.0, "····"), (0.001, "▏···"), (0.25, "█···"), (0.5, "██··"), (0.97, "███▉"), (1.0, "████"), (1.3, "████")],
)
def test_a_bar_is_as_full_as_the_share_and_what_is_little_is_seen(share: float, bar: str) -> None:
    assert BLOCKS.bar(share, 4) == bar


def test_each_row_of_a_chart_is_a_power_of_ten() -> None:
    top, middle, bottom = BLOCKS.chart([None, 0.0, 0.001, 0.01, 0.1, 1.0, 100.0], 3)
    assert bottom == " ▁▁████"
    assert middle == "    ███"
    assert top == "     ██"


def test_one_row_has_all_powers_of_ten() -> None:
    assert BLOCKS.chart([None, 0.001, 0.01, 0.1, 1.0], 1) == [" ▁▃▅█"]


def test_a_terminal_without_blocks_gets_ascii() -> None:
    assert glyphs("utf-8") is BLOCKS
    assert glyphs("ascii") is glyphs("latin-1") is glyphs("no such encoding") is ASCII
    assert ASCII.bar(0.5, 4) == "##.."
    assert "".join(ASCII.chart([None, 0.001, 1.0], 1)).isascii()
