import asyncio
import ctypes
import functools
import gc
import hashlib
import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gilscope
import msgspec
import pytest
import rich.console
from gilscope.checks import knocks as waits
from gilscope.checks import rule as ruling
from gilscope.checks import run as checking
from gilscope.checks import shares
from gilscope.checks.assertions import meets
from gilscope.checks.knocks import Heard, Wait
from gilscope.naming import name_of, quoted, shortened
from gilscope.records import verdict
from gilscope.records.machine import Machine, machine
from gilscope.records.verdict import Baseline, Verdict
from gilscope.reports.verdicts import Report

if TYPE_CHECKING:
    from gilscope._core import Knock

HOLD = ctypes.PyDLL(None).usleep
NOBODY = Baseline(held=0.0, longest=0.0)


def has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


needs_gil = pytest.mark.skipif(not has_gil(), reason="there is no GIL to keep")


async def coroutine() -> None: ...


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


class CoroutineObject:
    async def __call__(self) -> None: ...


def wait(*, held: bool = True, least: float = 0.0, most: float | None = None, before: float = 0.0) -> Wait:
    most = least if most is None else most
    return Wait(start=0.0, end=most, weight=1.0, held=held, least=least, most=most, likely=least, before=before)


def heard(*found: Wait, between: float = 1.0) -> Heard:
    return Heard(waits=list(found), between=between)


# What is refused, and what comes out


@pytest.mark.parametrize(
    "what", [coroutine, generator, asynchronous_generator, CoroutineObject(), functools.partial(coroutine)]
)
def test_what_runs_nothing_when_it_is_called_is_refused(what: object) -> None:
    with pytest.raises(TypeError, match="calling it runs nothing"):
        gilscope.check(what)  # type: ignore[arg-type]


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="'int' objects are not callable"):
        gilscope.check(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused_before_anything_is_called(seconds: float) -> None:
    called: list[int] = []
    with pytest.raises(ValueError, match="time must be a finite number of seconds"):
        gilscope.check(called.append, 1, time=seconds)
    assert called == []


@pytest.mark.parametrize("seconds", ["1", None])
def test_a_time_that_is_no_number_is_named(seconds: object) -> None:
    with pytest.raises(TypeError, match=f"^time must be a finite number of seconds from 0 on, not {seconds!r}$"):
        gilscope.check(len, [], time=seconds)  # type: ignore[arg-type]


def test_a_coroutine_that_is_returned_is_told() -> None:
    with pytest.raises(TypeError, match="returned a coroutine"):
        gilscope.check(lambda: coroutine(), time=0.0)  # noqa: PLW0108 - not a coroutine function


def test_what_is_raised_comes_out_as_it_is_and_the_switch_interval_is_put_back() -> None:
    usual, error = sys.getswitchinterval(), ZeroDivisionError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as raised:
        gilscope.check(fail)
    assert raised.value is error
    assert sys.getswitchinterval() == pytest.approx(usual)
    assert not [callback for callback in gc.callbacks if type(callback).__name__ == "Collections"]


def test_arguments_are_passed_on() -> None:
    seen: list[tuple[object, object]] = []

    def note(one: object, *, other: object) -> None:
        seen.append((one, other))

    gilscope.check(note, 1, other=2, time=0.0)
    assert set(seen) == {(1, 2)}


def test_it_is_called_on_this_thread_and_once_at_least() -> None:
    on: list[int] = []
    found = gilscope.check(lambda: on.append(threading.get_ident()), time=0.0)
    assert set(on) == {threading.get_ident()}
    assert found.calls == len(on) >= 1


INTERRUPTED = """
import signal, sys, threading, time
import gilscope
usual = sys.getswitchinterval()
gilscope.check({fn}, time=0.0)  # imports what it needs: CPython swallows an interrupt in importlib's own callbacks
over = time.monotonic() + 30
try:
    threading.Timer(float(sys.argv[1]), signal.raise_signal, [signal.SIGINT]).start()
    while time.monotonic() < over:  # CPython swallows what is raised in a finalizer or in a callback of a weak reference
        gilscope.check({fn}, time=0.05)
    print("not interrupted")
except KeyboardInterrupt:
    assert abs(sys.getswitchinterval() - usual) < 1e-9, sys.getswitchinterval()
    print("interrupted")
"""


@needs_gil
@pytest.mark.parametrize("fn", ["time.sleep, 0.01", "lambda: sum(range(1000))", "lambda: None"])
def test_ctrl_c_puts_the_switch_interval_back_at_whatever_moment(fn: str) -> None:
    for moment in (0.01, 0.03, 0.05, 0.08, 0.12):
        child = subprocess.run(
            [sys.executable, "-c", INTERRUPTED.format(fn=fn), str(moment)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (child.stdout, child.stderr) == ("interrupted\n", "")


@needs_gil
def test_two_checks_at_once_put_the_switch_interval_back() -> None:
    usual = sys.getswitchinterval()
    both = [threading.Thread(target=gilscope.check, args=(time.sleep, 0.001)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sys.getswitchinterval() == pytest.approx(usual)


# What is measured


@needs_gil
def test_the_same_function_of_c_hogs_and_releases_by_how_it_is_called() -> None:
    hog = gilscope.check(HOLD, 20_000)
    assert (hog.kind, meets(hog, "hogs")) == ("hogs", True)
    assert gilscope.check(ctypes.CDLL(None).usleep, 20_000).kind == "releases"


@needs_gil
def test_a_single_long_call_is_enough() -> None:
    found = gilscope.check(HOLD, 200_000, time=0.0)
    assert (found.kind, found.calls) == ("hogs", 1)
    assert found.longest_hold == pytest.approx(0.2, rel=0.1)


@needs_gil
def test_one_that_computes_without_the_gil_is_told_from_one_that_sleeps() -> None:
    data = bytes(4_000_000)
    computing, sleeping = gilscope.check(lambda: hashlib.sha256(data)), gilscope.check(time.sleep, 0.01)
    assert (computing.kind, sleeping.kind) == ("releases", "releases")
    assert computing.cpu > 0.5 > sleeping.cpu
    assert "the call computed meanwhile" in str(computing)
    assert "the call mostly waited meanwhile" in str(sleeping)


@needs_gil
def test_the_shares_add_up_to_one_and_follow_the_time() -> None:
    release = ctypes.CDLL(None).usleep
    found = gilscope.check(lambda: (HOLD(30_000), release(10_000)))
    assert found.released is not None
    assert found.yielded is not None
    assert found.hogged is not None
    assert found.released + found.yielded + found.hogged == pytest.approx(1)
    assert found.hogged == pytest.approx(0.75, abs=0.12)
    assert "the GIL was free" in str(found)


@needs_gil
def test_a_collection_is_named_as_such() -> None:
    kept = [[n] for n in range(200_000)]
    found = gilscope.check(gc.collect)
    assert found.collecting
    assert "garbage collection" in str(found)
    del kept


@needs_gil
def test_an_allocating_hog_is_not_made_to_yield_by_watching_the_collector() -> None:
    others = gc.callbacks[:]
    gc.callbacks.clear()  # hypothesis has one in Python, which does make it yield
    try:
        found = gilscope.check(list, zip(*[iter(range(2_000_000))] * 2, strict=True), time=0.0)
    finally:
        gc.callbacks[:] = others
    assert found.hogged is not None
    assert found.hogged > 0.5


@needs_gil
def test_what_else_holds_the_gil_is_told_and_not_blamed_on_the_callable() -> None:
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            pass

    other = threading.Thread(target=spin)
    other.start()
    try:
        found = gilscope.check(time.sleep, 0.001)
    finally:
        done.set()
        other.join()
    assert found.baseline is not None
    assert (
        found.baseline.held > 0.25
    )  # what is too much for a verdict; on a busy machine the other thread waits as well
    assert found.kind in ("too short", "releases")
    assert "something else in this process held the GIL" in str(found).replace("Something", "something")


def test_where_there_is_no_gil_the_figures_that_mean_something_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gil = machine()
    without = Machine(**{field: getattr(with_gil, field) for field in with_gil.__struct_fields__} | {"gil": False})
    monkeypatch.setattr("gilscope.checks.run.machine", lambda: without)
    found = gilscope.check(time.sleep, 0.01, time=0.05)
    assert (found.kind, found.hogged, found.calls >= 1) == ("no GIL", None, True)
    assert found.duration >= 0.009
    assert str(found).startswith("no GIL:")
    assert meets(found, "releases")
    assert not meets(found, "hogs")


# The rule, on what knocks may tell


def test_a_wait_for_a_long_stretch_is_time_hogged_and_the_time_between_is_shared_as_it_was_found() -> None:
    found = shares.read(heard(wait(held=False), wait(least=1.0), between=1.0), mean_gap=0.0005)
    assert (found.released, found.yielded, found.hogged) == pytest.approx((0.25, 0.0, 0.75))


def test_a_short_wait_long_after_the_last_knock_may_be_for_the_end_of_a_long_stretch() -> None:
    long_after = [wait(least=0.0002, before=0.004)] * 30
    found = shares.read(heard(*[wait(least=0.003)] * 70, *long_after), mean_gap=0.0005)
    assert found.hogged == pytest.approx(1.0)


def test_waits_that_may_have_been_the_knockers_own_delay_make_no_hog() -> None:
    delayed = [wait(least=0.0, most=0.005)] * 100
    assert not shares.read(heard(*delayed), mean_gap=0.0005).sure
    yielding = [wait(least=0.0001)] * 100
    found = shares.read(heard(*delayed, *yielding), mean_gap=0.0005)
    assert (found.word, found.hogged) == ("yields", 0.0)


def test_few_knocks_make_no_word() -> None:
    assert not shares.read(heard(wait(held=False)), mean_gap=0.0005).sure
    assert not shares.read(heard(), mean_gap=0.0005).sure
    assert shares.read(heard(*[wait(held=False)] * 30), mean_gap=0.0005).sure


def test_a_brief_call_that_keeps_the_gil_is_too_short_for_a_word() -> None:
    yields = shares.read(heard(*[wait(least=0.0001)] * 300), mean_gap=0.0005)
    assert ruling.rule(yields, 0.0001, NOBODY, corrected=True)[0] == "too short"
    assert ruling.rule(yields, 0.005, NOBODY, corrected=True) == ("yields", "")
    to_its_end = shares.read(heard(*[wait(least=0.0006)] * 300), mean_gap=0.0005)
    assert ruling.rule(to_its_end, 0.0012, NOBODY, corrected=True)[0] == "too short"


def test_where_run_queues_are_not_known_one_long_wait_makes_no_hog() -> None:
    one = shares.read(heard(wait(least=0.1), between=0.0005), mean_gap=0.0005)
    assert ruling.rule(one, 0.1, NOBODY, corrected=False)[0] == "too short"
    assert ruling.rule(one, 0.1, NOBODY, corrected=True)[0] == "hogs"


def test_beside_something_else_that_holds_the_gil_a_long_wait_makes_no_hog_either() -> None:
    one = shares.read(heard(wait(least=0.1), between=0.0005), mean_gap=0.0005)
    spinner = Baseline(held=0.9, longest=0.0002)
    kind, settle = ruling.rule(one, 0.1, spinner, corrected=True)
    assert kind == "too short"
    assert "Check it in a process of its own" in settle


class FakeKnock:
    """A knock as the core makes it, of whose figures only those that matter are given."""

    def __init__(self, **figures: float | None) -> None:
        self.start, self.wait, self.slept, self.doing, self.of_another = 0.001, 0.0, 0, 1, False
        self.ran_before = self.ran = self.queued_before = self.queued = self.own_queued_before = self.own_queued = 0.0
        self.__dict__.update(figures)


def read_one(**figures: float | None) -> Wait:
    found = Heard()
    knock: Knock = FakeKnock(**figures)  # type: ignore[assignment]
    found.add([knock], begin=0.0, end=1.0)
    return found.waits[0]


def test_time_in_which_the_thread_waited_for_a_processor_is_no_hold() -> None:
    assert read_one(wait=0.010, slept=20, queued=0.0099, ran=0.0001).most == pytest.approx(0.0001)


def test_time_in_which_the_knocker_waited_for_a_processor_is_no_hold_for_certain() -> None:
    found = read_one(wait=0.0042, slept=2, ran=0.0041, own_queued=0.004)
    assert (found.least, found.most) == pytest.approx((0.0002, 0.0041))


def test_a_knock_that_found_the_gil_free_while_the_thread_was_queued_says_nothing() -> None:
    assert read_one(doing=waits.QUEUED, ran_before=0.0).weight == 0
    assert read_one(doing=waits.QUEUED, ran_before=0.001).weight == 1  # the knocker itself has just preempted it
    assert read_one(doing=waits.BLOCKED).weight == 1


# The record


def example() -> Verdict:
    return Verdict(
        name="parse",
        kind="yields",
        released=0.0,
        yielded=0.9,
        hogged=0.1,
        longest_hold=0.0052,
        stretch=0.0052,
        stretches=3,
        waits=verdict.Waits(p50=0.0001, p90=0.0001, p99=0.004, max=0.0052),
        knocks=700,
        duration=0.012,
        calls=40,
        cpu=1.0,
        baseline=NOBODY,
        interval=0.005,
        machine=machine(),
    )


def test_a_verdict_comes_back_from_its_json_as_it_was() -> None:
    assert Verdict.from_json(example().to_json()) == example()


def test_a_newer_verdict_is_refused() -> None:
    newer = example().to_json().replace('"schema": 2', '"schema": 99')
    with pytest.raises(ValueError, match="schema 99"):
        Verdict.from_json(newer)


def test_a_verdict_is_told_in_sentences_with_the_usual_switch_interval_and_its_long_stretches() -> None:
    assert str(example()) == (
        "yields: while parse ran (12.0 ms a call), a thread that asked for the GIL was given it at the next switch, 5.00 ms "
        "after it asked. An event loop in this process is late by that much at each turn. But it was held for up to 5.20 ms "
        "in one stretch (10.0% of the time; met 3 times): an event loop stalls that long now and then. A thread pool does "
        "not make it faster; a process pool, or native code that releases the GIL, does."
    )


@needs_gil
def test_the_assertions_fail_with_the_evidence_and_the_remedy() -> None:
    with pytest.raises(AssertionError) as failed:
        gilscope.assert_releases(HOLD, 20_000)
    text = str(failed.value)
    assert text.startswith("usleep was expected to release the GIL, but it hogs.\nhogs: while usleep ran")
    assert "Py_BEGIN_ALLOW_THREADS" in text
    assert "longest hold" in text
    assert gilscope.assert_releases(time.sleep, 0.01).kind == "releases"
    with pytest.raises(AssertionError, match="expected to yield the GIL, but it releases"):
        gilscope.assert_yields(time.sleep, 0.01)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (hashlib.sha256, "_hashlib.openssl_sha256"),
        (functools.partial(sorted, [1]), "sorted"),
        ([].append, "list.append"),
        (time.sleep, "time.sleep"),
        (asyncio.run, "asyncio.runners.run"),
        (CoroutineObject(), "tests.checks.test_check.CoroutineObject"),
    ],
)
def test_a_callable_is_named_as_a_reader_would(what: object, name: str) -> None:
    assert name_of(what) == name


@pytest.mark.parametrize(
    ("name", "in_a_sentence"),
    [
        ("json.dumps", "json.dumps"),
        ("<lambda>", "<lambda>"),
        ("while True: pass", "`while True: pass`"),
        ("pass", "`pass`"),
        ("for row in rows:\n    parse(row)", "`for row in rows: ...`"),
    ],
)
def test_a_sentence_names_a_callable_and_quotes_a_statement(name: str, in_a_sentence: str) -> None:
    assert quoted(name) == in_a_sentence
    assert f"while {in_a_sentence} ran" in str(msgspec.structs.replace(example(), name=name))


def test_a_long_statement_is_told_by_its_beginning_and_its_end() -> None:
    assert shortened("zlib.compress(text, level=1)", 28) == "zlib.compress(text, level=1)"
    assert [shortened(f"zlib.compress(text, level={n})", 20) for n in (1, 9)] == [
        "zlib.compres...el=1)",
        "zlib.compres...el=9)",
    ]


def test_the_evidence_of_one_knock_in_a_call_without_end_is_no_plural_of_none() -> None:
    endless = msgspec.structs.replace(example(), knocks=1, calls=0, duration=2.5, endless=True)
    assert endless.evidence.endswith("; 1 knock in a call that was ended after 2.50 s")
    assert example().evidence.endswith("; 700 knocks in 40 calls of 12.0 ms")


@pytest.mark.parametrize("columns", [80, 160])
def test_of_several_statements_each_is_one_line_and_no_figure_is_cut(columns: int) -> None:
    names = ["zlib.compress(json.dumps(rows, indent=1).encode('utf-8'), level=9)", "rows[a]\nrows[b]", "pass"]
    console = rich.console.Console(width=columns, markup=False, record=True, file=io.StringIO())
    console.print(Report([msgspec.structs.replace(example(), name=name) for name in names]))
    head, *lines = console.export_text().splitlines()
    figures = "yields 0% 90% 10% 5.20 ms 12.0 ms 100%"
    assert " ".join(head.split()) == "statement verdict released yielded hogged longest hold a call cpu"
    assert [" ".join(line.split())[-len(figures) :] for line in lines] == [figures] * 3
    assert lines[1].startswith("rows[a] ... ")
    assert (names[0] in lines[0]) == (columns == 160)


def test_no_thread_of_ours_is_left() -> None:
    before = set(Path("/proc/self/task").glob("*"))
    gilscope.check(time.sleep, 0.001, time=0.0)
    assert set(Path("/proc/self/task").glob("*")) <= before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert sys.getswitchinterval() > checking.INTERVAL
