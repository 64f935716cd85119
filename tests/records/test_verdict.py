"""A verdict as a record: its JSON and its sentences."""

import msgspec
import pytest
from gilscope.records.codec import UnreadableError
from gilscope.records.remedies import REMEDY, REMEDY_OF_CAUSE
from gilscope.records.verdict import Verdict, remedy, sentences
from gilscope.records.verdict_parts import Background, Waits

from tests.support.constructed import MACHINE


def example(**changed: object) -> Verdict:
    verdict = Verdict(
        name="parse",
        kind="yields",
        released=0.0,
        yielded=0.9,
        hogged=0.1,
        longest_hold=0.0052,
        long_holds=3,
        waits=Waits(p50=0.0001, p90=0.0001, p99=0.004, max=0.0052),
        samples=700,
        duration=0.012,
        calls=40,
        cpu=1.0,
        background=Background(held=0.0, longest=0.0),
        switch_interval=0.005,
        machine=MACHINE,
    )
    return msgspec.structs.replace(verdict, **changed)


def of_schema_1(verdict: Verdict) -> str:
    """Return the JSON that gilscope 0.1 wrote for ``verdict``."""
    raw = msgspec.to_builtins(verdict)
    names = {"background": "baseline", "explanation": "settle", "long_holds": "stretches", "samples": "knocks"}
    names["switch_interval"] = "interval"
    del raw["reason"]
    raw |= {"schema": 1, "stretch": verdict.longest_hold if verdict.long_holds else None}
    raw["kind"] = raw["kind"].replace("undecided", "too short")
    return msgspec.json.encode({names.get(name, name): value for name, value in raw.items()}).decode()


def test_a_verdict_is_equal_after_a_round_trip_through_json() -> None:
    assert Verdict.from_json(example().to_json()) == example()
    assert Verdict.from_json(example().to_json().encode()) == example()


@pytest.mark.parametrize(
    "verdict", [example(), example(kind="undecided", explanation="so it was written"), example(long_holds=0)]
)
def test_a_verdict_of_schema_1_is_read_under_the_present_names(verdict: Verdict) -> None:
    assert Verdict.from_json(of_schema_1(verdict)) == verdict


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (example().to_json().replace('"schema": 2', '"schema": 99'), "the text has schema 99"),
        (example().to_json()[:-20], "the text is not a gilscope result, or was cut short"),
        (example().to_json().replace("yields", "nods"), r"the text is a damaged gilscope result: .*kind"),
        ("{}", "the text is JSON, but not a gilscope result"),
    ],
)
def test_any_other_json_is_refused_by_the_one_reader(text: str, complaint: str) -> None:
    with pytest.raises(UnreadableError, match=complaint):
        Verdict.from_json(text)


def test_a_verdict_that_yields_names_the_usual_switch_interval_and_its_long_holds() -> None:
    assert str(example()) == (
        "yields: while parse ran (12.0 ms a call), a thread that asked for the GIL got it within the switch interval (5.00 "
        "ms). An event loop in this process waits that long at each turn. But in one of 13 calls it held the GIL without a "
        "break, for up to 5.20 ms (10.0% of the time): an event loop stalls that long now and then. Run it in a process "
        "pool: in a thread it keeps the event loop waiting as well."
    )


def test_a_hog_names_the_wait_its_smaller_shares_and_what_else_ran() -> None:
    hog = example(
        kind="hogs",
        released=0.2,
        yielded=0.1,
        hogged=0.7,
        collecting=True,
        background=Background(held=0.3, longest=0.004),
    )
    assert str(hog) == (
        "hogs: while parse ran (12.0 ms a call), a thread that asked for the GIL waited for it up to 5.20 ms. An event loop "
        "in this process stalls that long. For 20% of the time the GIL was free. For 10% of the time it yielded the GIL "
        "within the switch interval. The longest hold was a garbage collection. Before the call, something else in this "
        "process held the GIL 30% of the time, for up to 4.00 ms. Run it in a process pool: in a thread it keeps the event loop waiting as "
        "well. In native code of your own, release the GIL around the work (py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, "
        "nogil in Cython), for 0.1 ms or more each time: a shorter release hands it to no other thread."
    )


def test_an_undecided_verdict_names_its_reason_and_the_readers_own_way_to_measure_longer() -> None:
    undecided = example(
        kind="undecided", reason="too few samples", explanation="That rests on 9 samples.", long_holds=0
    )
    assert sentences(undecided, longer="--time 5") == [
        "undecided (too few samples): That rests on 9 samples.",
        "Measure longer (--time 5), or on a quieter machine.",
    ]
    assert str(undecided).endswith("Measure longer (time=5), or on a quieter machine.")
    short = example(kind="undecided", reason="too short", explanation="It ends too early.", long_holds=0)
    assert str(short) == "undecided (too short): It ends too early. Do more work in each call, 2 ms or more."
    assert str(example(kind="undecided", explanation="It was so.", long_holds=0)).startswith("undecided: It was so. ")


def test_the_evidence_of_an_endless_call_says_that_it_was_stopped() -> None:
    endless = example(samples=1, calls=0, duration=2.5, endless=True)
    assert endless.evidence.endswith("; 1 sample in a call that was stopped after 2.50 s")
    assert example().evidence == (
        "released 0%, yielded 90%, hogged 10% of the time; longest hold 5.20 ms; 700 samples in 40 calls of 12.0 ms"
    )


def test_a_hog_that_releases_the_gil_too_briefly_says_so_and_what_works() -> None:
    brief = example(kind="hogs", reason="brief releases", longest_wait=0.48, starved=1.0, long_holds=0)
    assert str(brief) == (
        "hogs: while parse ran (12.0 ms a call), a thread that asked for the GIL waited for it up to 480 ms. The call "
        "releases the GIL again and again, but too briefly for another thread to acquire it: an event loop in this process "
        "stalls that long. Run it in a process pool: in a thread it keeps the event loop waiting as well. In native code of "
        "your own, release the GIL around the work (py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, nogil in Cython), for 0.1 ms "
        "or more each time: a shorter release hands it to no other thread. time.sleep(0) hands it over too, and sched_yield "
        "does not."
    )
    assert brief.stall == 0.48
    lucky = example(kind="hogs", reason="brief releases", longest_wait=0.2, usual_wait=0.03, longest_wait_elapsed=0.4)
    assert (
        "waited for it up to 200 ms (in half of the calls up to 30.0 ms; 400 ms by the clock, on this busy machine)."
        in str(lucky)
    )


def test_a_wait_that_other_programs_prolonged_is_stated_by_the_clock_too() -> None:
    busy = example(longest_wait=0.0053, longest_wait_elapsed=0.031, starved=0.0, long_holds=0)
    assert "it waited up to 5.30 ms (31.0 ms by the clock, on this busy machine)." in str(busy)
    assert "by the clock" not in str(example(longest_wait=0.03, longest_wait_elapsed=0.031))
    assert "by the clock" not in str(example(longest_wait=0.001, longest_wait_elapsed=0.008))


def test_a_call_that_neither_computes_nor_ends_is_probably_a_deadlock() -> None:
    stuck = example(kind="hogs", reason="deadlock", longest_wait=3.0, calls=0, endless=True, cpu=0.0, duration=3.0)
    assert "the call held the GIL, and neither computed nor ended. That is probably a deadlock." in str(stuck)
    assert "while the call waits for a lock" in str(stuck)


def test_yielding_code_states_the_longest_real_wait() -> None:
    yields = example(longest_wait=0.0053, starved=0.0, long_holds=0)
    assert "got it at the next switch (the interval is 5.00 ms): it waited up to 5.30 ms." in str(yields)
    assert yields.stall == yields.longest_hold


@pytest.mark.parametrize(
    ("holds", "says"),
    [
        (31, "But in every call it held"),
        (93, "But 3 times in every call it held"),
        (2, "But in one of 16 calls it held"),
    ],
)
def test_long_holds_of_a_call_that_releases_the_gil_are_counted_per_call(holds: int, says: str) -> None:
    found = example(
        kind="releases",
        released=0.9,
        yielded=0.0,
        longest_hold=0.025,
        long_holds=holds,
        calls=40,
        real_calls=8,
        first_call=1.0,
    )
    assert says in str(found)


def test_the_advice_on_a_call_that_releases_the_gil_depends_on_how_long_a_loop_may_stall() -> None:
    often = example(kind="releases", released=0.9, yielded=0.0, longest_hold=0.025, long_holds=40)
    rarely = example(kind="releases", released=0.9, yielded=0.0, longest_hold=0.025, long_holds=2)
    assert sentences(often)[-1] == REMEDY["long holds"]
    assert sentences(often, max_hold=0.05)[-1] == "Run it in a thread: asyncio.to_thread(...), or a thread pool."
    assert sentences(rarely)[-1] == "Run it in a thread: asyncio.to_thread(...), or a thread pool."
    assert sentences(rarely, max_hold=0.005)[-1] == REMEDY["long holds"]


def test_releases_that_are_often_too_brief_are_not_advised_into_a_thread() -> None:
    """Nor, with a limit, to do less work at a time, which leads straight into them."""
    brief = example(kind="releases", released=0.55, yielded=0.45, longest_wait=0.2, starved=0.45, long_holds=0)
    assert "But a thread waited for the GIL up to 200 ms, while the call released it only briefly" in str(brief)
    for limit in (None, 0.005):
        assert remedy(brief, max_hold=limit) == REMEDY["brief releases"]
    often = msgspec.structs.replace(brief, longest_hold=0.025, long_holds=40)
    assert remedy(often) == REMEDY["brief releases"]
    assert remedy(brief, max_hold=0.5) == REMEDY["releases"]
    assert remedy(msgspec.structs.replace(brief, starved=0.01)) == REMEDY["releases"]


def test_whoever_calls_the_code_is_advised_before_the_authors_of_native_code() -> None:
    for said in (*REMEDY.values(), *REMEDY_OF_CAUSE.values()):
        callers, authors, theirs = said.partition("In native code of your own, ")
        assert callers.strip()
        assert "release the GIL" not in callers
        assert bool(authors) is ("py.detach" in theirs)
    assert REMEDY["long holds"].startswith("Run it in a process pool")
    assert REMEDY["deadlock"].startswith("Run it in a process of its own")


def test_a_watch_which_does_not_tell_brief_releases_from_a_hold_advises_what_helps_against_both() -> None:
    assert REMEDY_OF_CAUSE["starved by a hog"] == REMEDY["hogs"]
    assert REMEDY["brief releases"].startswith(REMEDY["hogs"])
    assert "for 0.1 ms or more each time" in REMEDY["hogs"]


def test_a_first_call_that_was_unlike_the_others_is_named() -> None:
    assert "The first call was unlike the others: it took 600 ms" in str(example(first_call=0.6))


def test_work_on_the_calls_own_threads_counts_as_computing() -> None:
    assert "and the call computed on 1.9 cores." in str(example(kind="releases", busy_cores=1.9))
    assert "and the call mostly waited." in str(example(kind="releases", busy_cores=0.02, cpu=0.02))
