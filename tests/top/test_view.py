"""The view of a made-up process, as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gilscope.attach.live import StallNow
from gilscope.records.stall import Frame, Thread
from gilscope.top.glyphs import ASCII, BLOCKS
from gilscope.top.model import Model
from gilscope.top.view import MIN_COLUMNS, MIN_ROWS, Choice, clock, command_line, screen

from tests.top.service import MAIN, PARSE, POOL, STACK, Service, other_thread, troubled

if TYPE_CHECKING:
    from gilscope.top.picture import Picture

SCREENS = Path(__file__).parent / "screens"
OUTPUT = "/var/tmp/gilscope-shop-1.log"  # noqa: S108 - it is not opened
COMMAND = Service.command
SIZES = [(80, 24), (160, 50)]


def picture(service: Service) -> Picture:
    """Return the picture after a minute, at whose end the service is as it is."""
    late, service.late = service.late, ()
    model = Model(service, threshold=0.05, cpu_time=lambda: 0.012 * service.at)
    for second in range(61):
        service.at = float(second)
        service.late = late if second == 60 else ()
        model.update()
    stacks = {thread.native_id: service.stack(thread.native_id) for thread in (MAIN, POOL)}
    return model.picture()._replace(stacks=stacks)


def shown(seen: Picture, width: int = 80, rows: int = 24, choice: Choice | None = None) -> list[str]:
    lines = screen(seen, choice or Choice(COMMAND), width=width, rows=rows, marks=BLOCKS)
    return [line.plain.rstrip() for line in lines]


@pytest.fixture(scope="module")
def trouble() -> Picture:
    return picture(troubled())


@pytest.mark.parametrize(("width", "rows"), SIZES)
@pytest.mark.parametrize("chosen", [None, MAIN])
def test_the_view_is_the_one_that_was_reviewed(trouble: Picture, width: int, rows: int, chosen: Thread | None) -> None:
    choice = Choice(COMMAND, thread=chosen.native_id if chosen else None, output=OUTPUT if chosen else None)
    expected = SCREENS / f"{width}x{rows}{'-stack' if chosen else ''}.txt"
    assert "\n".join(shown(trouble, width, rows, choice)) + "\n" == expected.read_text()


@pytest.mark.parametrize("rows", [MIN_ROWS, 11, 13, 17, 24, 37, 60])
@pytest.mark.parametrize("width", [MIN_COLUMNS, 61, 79, 80, 119, 120, 161, 250])
def test_every_size_is_filled_and_nothing_is_wider_or_cut_in_a_place(trouble: Picture, width: int, rows: int) -> None:
    for choice in (Choice(), Choice(thread=MAIN.native_id), Choice(output=OUTPUT, paused=True)):
        lines = screen(trouble, choice, width=width, rows=rows, marks=BLOCKS)
        assert len(lines) == rows
        assert all(line.cell_len <= width for line in lines)
        text = "\n".join(line.plain for line in lines)
        assert re.findall(r"\w+\.py:\S*", text), "some place is shown"
        # Each file has its whole number.
        for name, number in re.findall(r"(\w+)\.py(:\d*)?", text):
            assert number[1:] in {"handlers": ["41"], "parse": ["9"], "main": ["7"]}.get(
                name, ["9", "41", "90", "1234", "2042"]
            )


def test_the_sentence_on_a_terminal_that_is_too_small_fits_into_the_terminal(trouble: Picture) -> None:
    assert shown(trouble, 20, 24) == ["gilscope top needs", "60 columns and 10", "rows"]


@pytest.mark.parametrize(("width", "rows"), [(59, 24), (80, 9), (1, 1)])
def test_a_terminal_that_is_too_small_says_so(trouble: Picture, width: int, rows: int) -> None:
    first, *others = shown(trouble, width, rows)
    assert "gilscope top needs 60 columns and 10 rows".startswith(first)
    assert not others


def test_a_stall_is_highlighted_over_the_whole_width_without_colours_too(trouble: Picture) -> None:
    line = screen(trouble, Choice(), width=80, rows=24, marks=BLOCKS)[1]
    assert line.plain == "STALL: loop 1 late by 312 ms, starved by a hog: .../orders/parse.py:9 in parse".ljust(80)
    (span,) = line.spans
    assert (span.start, span.end) == (0, 80)
    assert "reverse" in str(span.style)


def test_a_stall_whose_place_is_long_takes_two_lines(trouble: Picture) -> None:
    frame = Frame("/srv/shop/a_module_with_a_name_that_is_really_long.py", 12_345, "call")
    late = (StallNow(1, 0.3, "blocked, computing", frame, POOL),)
    assert shown(trouble._replace(now=late))[1:3] == [
        "STALL: loop 1 late by 300 ms, blocked, computing",
        "  at /srv/shop/a_module_with_a_name_that_is_really_long.py:12345 in call",
    ]


def test_while_no_loop_is_late_the_line_is_quiet() -> None:
    assert shown(picture(Service()))[1] == "no loop is stalled now"


def test_the_latest_of_several_loops_is_shown(trouble: Picture) -> None:
    late = (StallNow(2, 7.0, "blocked, waiting", None, MAIN), StallNow(1, 0.3, "no CPU", PARSE, POOL))
    assert shown(trouble._replace(now=late))[1] == "STALL: loop 2 late by 7.00 s, blocked, waiting (MainThread); 1 more"


def test_many_loops_have_a_line_each_and_the_rest_is_counted() -> None:
    lines = shown(picture(Service(loops=4)))
    assert [line[:12] for line in lines[3:7]] == [f"{n} MainThread" for n in range(1, 5)]
    many = Service(loops=40)
    many.turn_ends = []
    lines = shown(picture(many))
    assert sum(line.startswith(tuple("123456789")) for line in lines) == 8
    assert "and 32 more loops" in lines


def test_without_a_loop_the_view_says_so_and_shows_the_gil() -> None:
    lines = shown(picture(Service(loops=0)))
    assert lines[2] == "LOOPS  no event loop runs in this process"
    assert any(line.startswith("  MainThread") for line in lines)


def test_the_chosen_thread_is_in_view_however_many_there_are() -> None:
    service = Service()
    service.others = [other_thread(number) for number in range(30)]
    seen = picture(service)
    lines = shown(seen, choice=Choice(thread=other_thread(17).native_id))
    assert any(line.startswith("> worker_17") for line in lines)
    assert "STACK of worker_17" in lines
    assert "the stack cannot be read at this moment" in lines
    assert any("any of 33 threads" in line for line in lines)


def test_a_deep_stack_takes_the_place_of_what_costs_time_and_its_rest_is_counted(trouble: Picture) -> None:
    deep = tuple(Frame(f"/srv/deep_{number}.py", number, "call") for number in range(100))
    lines = shown(trouble._replace(stacks={MAIN.native_id: deep}), choice=Choice(thread=MAIN.native_id))
    begin = lines.index("STACK of MainThread")
    assert lines[begin + 1] == "/srv/deep_0.py:0 in call"
    assert re.fullmatch(r"and \d+ more that called these", lines[-2])
    assert not any(line.startswith("STALLS") for line in lines)


def test_a_thread_that_has_ended_stays_chosen(trouble: Picture) -> None:
    assert "STACK of thread 7, which has ended" in shown(trouble, choice=Choice(thread=7))


def test_without_a_keyboard_no_keys_are_offered(trouble: Picture) -> None:
    assert shown(trouble, choice=Choice(keys=False))[-1].startswith(" Ctrl-C quits")


def test_a_terminal_without_blocks_gets_ascii_only(trouble: Picture) -> None:
    lines = screen(trouble, Choice(thread=MAIN.native_id), width=160, rows=50, marks=ASCII)
    assert "".join(line.plain for line in lines).isascii()


def test_names_of_the_process_cannot_control_the_terminal() -> None:
    evil = "\x1b[2J\n\x07"
    service = troubled()
    service.others = [Thread(900, evil)]
    service.late = (StallNow(1, 0.3, "no CPU", Frame(evil, 1, evil), Thread(900, evil)),)
    service.stacks[MAIN.native_id] = (Frame(evil, 1, evil), *STACK)
    for width in (80, 160):
        lines = screen(
            picture(service),
            Choice((evil, "x"), thread=MAIN.native_id, output=evil),
            width=width,
            rows=50,
            marks=BLOCKS,
        )
        assert all(line.plain.isprintable() for line in lines)


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00"), (83.0, "1:23"), (3723.0, "1:02:03")])
def test_time_is_shown_like_on_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (60, "/opt/python/bin/python3 -m shop /etc/shop.toml"),
        (45, "python3 -m shop /etc/shop.toml"),
        (29, "python3 -m shop shop.toml"),
        (24, "python3 -m shop shop...."),
    ],
)
def test_of_a_long_command_the_names_are_left(width: int, text: str) -> None:
    words = ("/opt/python/bin/python3", "-m", "shop", "/etc/shop.toml")
    assert command_line(words, width) == text
