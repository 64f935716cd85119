"""The stalls of another process's loops are seen from outside: cause, line and thread, while they last and when they are over."""

from __future__ import annotations

import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from gilscope.attach.api import Attachment

from tests.support.stalled_target import BEGIN, attached, line_of, middle, sampled, script, stall_at, stalled
from tests.support.target import python, target, until

DOES = """
async def main():
    ready()
    while True:
        await asyncio.sleep(0.001)
        WHAT()
"""
WAITING, COMPUTING, HOG = "blocked, waiting", "blocked, computing", "starved by a hog"


def runs() -> list[str]:
    return ["asyncio", "in a thread", "poll", *(["uvloop"] if find_spec("uvloop") else [])]


@pytest.mark.parametrize("run", runs())
@pytest.mark.parametrize("what", ["reads", "polls", "selects"])
def test_a_callback_that_waits_for_a_file_of_its_own_is_a_stall_and_the_loop_is_not_taken_for_asleep(
    what: str, run: str
) -> None:
    with attached(DOES.replace("WHAT", what), run) as (process, attachment):
        now = stalled(attachment, lambda it: it.cause == WAITING)
        assert now.culprit
        assert (now.culprit.file, now.culprit.function) == ("<string>", what)
        at = middle(attachment, now)
        process.say("")
        stall = stall_at(attachment, at)
    assert (stall.cause, stall.culprit, stall.culprit_thread) == (WAITING, now.culprit, stall.thread)
    assert stall.thread.name == ("the loop's thread" if run == "in a thread" else "MainThread")
    assert stall.duration > 0.05


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_cause_and_line_are_right_on_every_version(version: str) -> None:
    interpreter = python(version)
    if interpreter is None:
        pytest.skip(f"CPython {version} is not on this machine")
    both = DOES.replace("WHAT()", "reads()\n        computes()")
    with attached(both, python=interpreter) as (process, attachment):
        reading = stalled(attachment, lambda it: it.cause == WAITING)
        process.say("")
        computing = stalled(attachment, lambda it: it.cause == COMPUTING)
        process.process.send_signal(signal.SIGUSR1)
        process.say("")
        assert attachment.python.startswith(version)
    program = script(both)
    assert reading.culprit
    assert reading.culprit.line == line_of("os.read(0, 1)  # stalls", program)
    assert computing.culprit
    assert computing.culprit.line == line_of("while not asked", program)


@pytest.mark.parametrize("run", runs())
def test_a_loop_that_waits_for_the_gil_is_starved_at_the_line_of_the_thread_that_holds_it(run: str) -> None:
    main = """
    async def main():
        ready()
        threading.Thread(target=hogs, name="the hog", daemon=True).start()
        while True:
            await asyncio.sleep(0.001)
    """
    with attached(main, run) as (process, attachment):
        now = stalled(
            attachment, lambda it: it.cause == HOG and it.culprit is not None and it.culprit.function == "hogs"
        )
        until(lambda: ("the hog", now.culprit) in {(it.thread.name, it.frame) for it in attachment.long_holds(0.0)})
        at = middle(attachment, now)
        process.say("")
        stall = stall_at(attachment, at)
    assert now.culprit
    assert now.culprit.line == line_of("with the GIL held", BEGIN)
    assert (stall.cause, stall.culprit) == (HOG, now.culprit)
    assert stall.culprit_thread
    assert stall.culprit_thread.name == "the hog"


@pytest.mark.parametrize("run", runs())
def test_a_loop_that_never_sleeps_and_is_never_late_has_no_stall(run: str) -> None:
    main = """
    async def main():
        ready()
        while True:
            await asyncio.sleep(0)
    """
    with attached(main, run) as (_, attachment):
        sampled(attachment, 300)
    seen = attachment.snapshot()
    # The machine may have had no CPU for it.
    assert {stall.cause for stall in attachment.stalls(0.0)} <= {"no CPU"}
    [loop] = seen.loops
    assert loop.busy > 0.9 * (loop.busy + loop.asleep)


def test_a_loop_that_sleeps_has_no_lag_and_is_not_busy() -> None:
    with attached("async def main():\n    ready()\n    await asyncio.sleep(1000)\n") as (_, attachment):
        # On a busy machine the attachment begins before the loop sleeps.
        until(lambda: any(loop.asleep for loop in attachment.snapshot().loops))
        before = attachment.snapshot()
        sampled(attachment, 200)
    seen = attachment.snapshot()
    assert seen.stalls == before.stalls
    assert seen.lags.count > before.lags.count
    assert seen.lags.p50 == 0
    [loop], [loop_before] = seen.loops, before.loops
    assert loop.busy == loop_before.busy
    assert loop.asleep > loop_before.asleep


def test_the_line_of_a_stall_is_in_the_time_tree() -> None:
    with attached(DOES.replace("WHAT", "reads")) as (process, attachment):
        stalled(attachment, lambda it: it.seconds > 0.3)
        process.say("")
    tree = attachment.time_tree()
    most = tree.stacks[0]
    assert most.doing == "blocked"
    assert most.culprit is not None
    assert tree.frames[most.culprit].function == "reads"
    assert [tree.frames[index].function for index in most.frames] == ["main", "reads"]


def test_a_loop_that_hangs_since_before_the_attachment_is_reported_when_that_ends() -> None:
    main = "async def main():\n    ready()\n    reads()\n"
    with attached(main) as (_, attachment):
        stalled(attachment, lambda it: it.cause == WAITING)
    stall, *_ = attachment.stalls(0.0)  # on a busy machine another one may follow
    assert stall.cause == WAITING
    assert stall.start >= 0  # as far as it was seen
    assert stall.culprit
    assert stall.culprit.function == "reads"


def test_a_loop_that_begins_after_the_attachment_is_found_in_whichever_thread() -> None:
    later = """
        import asyncio, threading
        print("ready", flush=True)
        input()
        async def main():
            await asyncio.sleep(1000)
        thread = threading.Thread(target=lambda: asyncio.run(main()), name="late")
        thread.start()
    """
    with target(later) as process, Attachment(process.pid) as attachment:
        sampled(attachment, 50)
        assert attachment.loops == 0
        process.say("")
        until(lambda: attachment.loops)
        until(lambda: attachment.snapshot().loops)
        assert attachment.snapshot().loops[0].thread.name == "late"


def test_a_loop_that_has_ended_is_not_taken_for_busy() -> None:
    ends = """
        import asyncio, os
        async def main():
            print("ready", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)
        asyncio.run(main())
        while os.read(0, 1): pass
    """
    with target(ends) as process, Attachment(process.pid) as attachment:
        sampled(attachment, 20)
        process.say("")
        sampled(attachment, 400)
        # A stack that shows the end may be read late on a busy machine.
        assert all(it.cause == "no CPU" for it in attachment.stalls(0.0))
        before = attachment.snapshot().loops[0]
        sampled(attachment, 100)
        assert attachment.snapshot().loops[0] == before


def test_a_loop_whose_thread_has_ended_is_neither_busy_nor_late() -> None:
    ends = """
        import asyncio, os, threading
        async def main():
            await asyncio.get_running_loop().run_in_executor(None, os.read, 0, 1)
        print("ready", flush=True)
        while True:
            thread = threading.Thread(target=lambda: asyncio.run(main()))
            thread.start()
            thread.join()
    """
    with target(ends) as process, Attachment(process.pid) as attachment:
        for count in range(1, 9):
            until(lambda count=count: attachment.loops >= count)  # type: ignore[misc]
            process.say("")
        until(lambda: attachment.loops == 9)
        assert not any(it.doing == "unknown" for it in attachment.time_tree().stacks)
        assert all(it.cause == "no CPU" for it in attachment.stalls(0.0))


def test_time_in_which_the_process_is_stopped_counts_as_time_without_a_cpu() -> None:
    with attached(DOES.replace("WHAT", "computes")) as (process, attachment):
        stalled(attachment, lambda it: it.cause == COMPUTING)
        process.process.send_signal(signal.SIGSTOP)
        until(lambda: attachment.now() == ())
        loop, began = attachment.snapshot().loops[0], time.monotonic()
        sampled(attachment, 200)
        assert attachment.snapshot().loops[0] == loop  # neither busy nor asleep
        stopped = time.monotonic() - began
        process.process.send_signal(signal.SIGCONT)
        at = middle(attachment, stalled(attachment, lambda it: it.seconds > stopped))
        process.process.send_signal(signal.SIGUSR1)
        stall = stall_at(attachment, at)
    assert stall.evidence.unsampled >= stopped
    assert (
        sum(part.seconds for part in stall.parts if part.cause == "no CPU") >= 0.9 * stopped or stall.cause == "no CPU"
    )


def test_a_process_that_is_killed_in_a_stall_leaves_the_stall() -> None:
    with attached(DOES.replace("WHAT", "reads")) as (process, attachment):
        at = middle(attachment, stalled(attachment, lambda it: it.cause == WAITING))
        process.process.kill()
        until(lambda: attachment.ended)
        stall = stall_at(attachment, at)
        assert attachment.threads() == []
        assert attachment.stack(process.pid) == ()
    assert stall.cause == WAITING


def test_a_process_that_runs_another_program_has_ended() -> None:
    main = """
    async def main():
        ready()
        await asyncio.sleep(0.05)
        os.read(0, 1)
        os.execv(sys.executable, [sys.executable, "-c", "import sys; sys.stdin.read()"])
    """
    with attached(main) as (process, attachment):
        process.say("")
        until(lambda: attachment.ended)
        assert process.process.poll() is None


def test_the_threads_of_the_process_are_named_and_have_stacks() -> None:
    main = """
    async def main():
        threading.Thread(target=reads, name="a reader", daemon=True).start()
        ready()
        await asyncio.sleep(1000)
    """
    with attached(main) as (process, attachment):
        until(lambda: {"MainThread", "a reader"} == {thread.name for thread in attachment.threads()})
        reader = next(thread for thread in attachment.threads() if thread.name == "a reader")
        for thread, function in ((reader.native_id, "reads"), (process.pid, "EpollSelector.select")):
            until(lambda: any(frame.function == function for frame in attachment.stack(thread)[:1]))  # noqa: B023 - waited for


def test_the_process_is_not_touched() -> None:
    with attached(DOES.replace("WHAT", "reads")) as (process, attachment):
        stalled(attachment, lambda it: it.cause == WAITING)
        assert "TracerPid:\t0\n" in Path(f"/proc/{process.pid}/status").read_text()
        assert attachment.command[0] == sys.executable
