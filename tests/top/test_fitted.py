from __future__ import annotations

import pytest
from gilscope.records.stall import Frame
from gilscope.top.fitted import cut, cut_name, place, printable
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

FRAME = Frame("/srv/shop/orders/handlers.py", 41, "OrderHandler.post")


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (60, "/srv/shop/orders/handlers.py:41 in OrderHandler.post"),
        (52, "/srv/shop/orders/handlers.py:41 in OrderHandler.post"),
        (51, ".../shop/orders/handlers.py:41 in OrderHandler.post"),
        (40, ".../handlers.py:41 in OrderHandler.post"),
        (36, "handlers.py:41 in OrderHandler.post"),
        (34, "/srv/shop/orders/handlers.py:41"),
        (30, ".../shop/orders/handlers.py:41"),
        (29, ".../orders/handlers.py:41"),
        (15, "handlers.py:41"),
        (13, "...lers.py:41"),
    ],
)
def test_a_place_is_shortened_from_the_front_and_its_line_number_stays(width: int, text: str) -> None:
    assert place(FRAME, width) == text


@given(
    st.lists(st.text("abé漢.", min_size=1, max_size=12), min_size=1, max_size=6),
    st.integers(1, 99_999),
    st.text("abc漢.<>", min_size=1, max_size=40),
    st.integers(12, 120),
)
def test_a_place_fits_and_is_never_cut_between_file_and_line(
    folders: list[str], line: int, function: str, width: int
) -> None:
    shown = place(Frame("/" + "/".join(folders), line, function), width)
    assert cell_len(shown) <= width
    assert f":{line}" in shown
    if cell_len(f"{folders[-1]}:{line}") <= width:
        assert f"{folders[-1]}:{line}" in shown


def test_frames_that_were_left_out_are_counted() -> None:
    assert place(Frame("", 12, ""), 40) == "... 12 frames left out ..."


def test_names_of_the_other_process_cannot_control_the_terminal() -> None:
    assert printable("pool\x1b[2J\n\x07é漢") == "pool?[2J??é漢"
    assert "\x1b" not in place(Frame("/srv/\x1b[2J.py", 1, "f\x1b"), 60)


@pytest.mark.parametrize(("width", "text"), [(10, "abcdefgh"), (8, "abcdefgh"), (7, "abcd..."), (2, ".."), (0, "")])
def test_text_is_cut_at_its_end(width: int, text: str) -> None:
    assert cut("abcdefgh", width) == text


@pytest.mark.parametrize(
    ("name", "width", "text"),
    [
        ("AnyIO worker thread (18273)", 27, "AnyIO worker thread (18273)"),
        ("AnyIO worker thread (18273)", 19, "AnyIO wo... (18273)"),
        ("a pool without a number", 10, "a pool..."),
    ],
)
def test_the_number_of_a_thread_stays_when_its_name_is_cut(name: str, width: int, text: str) -> None:
    assert cut_name(name, width) == text
