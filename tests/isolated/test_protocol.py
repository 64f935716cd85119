"""What a child does with a request; the functions that the children run are in this module."""

import asyncio
import os
import threading
import time
from pathlib import Path

import msgspec
import pytest
from gilscope.isolated.protocol import answer_early, ask

from tests.support import child


@pytest.fixture(autouse=True)
def _children_can_import_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


class Question(msgspec.Struct, frozen=True):
    number: int


class Doubled(msgspec.Struct, frozen=True):
    number: int
    process: int


def doubled(question: Question) -> Doubled:
    return Doubled(2 * question.number, os.getpid())


async def doubled_on_a_loop(question: Question) -> Doubled:
    await asyncio.sleep(0)
    return doubled(question)


def answers_early(question: Question) -> Doubled:
    threading.Thread(target=lambda: answer_early(doubled(question)), daemon=True).start()
    time.sleep(1000)
    raise AssertionError


def answers_twice(question: Question) -> Doubled:
    """Return while another thread answers early: what it writes is still not at its place when this function returns."""
    written, returned = threading.Event(), threading.Event()
    replace = Path.replace

    def replace_late(part: Path, target: Path) -> Path:
        written.set()
        returned.wait()
        time.sleep(0.2)
        return replace(part, target)

    Path.replace = replace_late  # type: ignore[method-assign, assignment]
    threading.Thread(target=answer_early, args=(doubled(question),), daemon=True).start()
    written.wait()
    returned.set()
    return Doubled(0, 0)


def answers_after_an_early_answer_that_failed(question: Question) -> Doubled:
    no_json = threading.Lock()
    early = threading.Thread(target=answer_early, args=(no_json,), daemon=True)
    early.start()
    early.join()
    return doubled(question)


def fails(question: Question) -> Doubled:
    raise LookupError(f"no {question.number}")


def test_a_function_is_called_with_the_record_in_another_process() -> None:
    outcome = ask(f"{__name__}:doubled", Question(21), Doubled, timeout=60)
    assert (outcome.status, outcome.reason) == ("finished", "")
    assert outcome.answer is not None
    assert outcome.answer.number == 42
    assert outcome.answer.process != os.getpid()


def test_a_coroutine_function_runs_on_a_loop() -> None:
    outcome = ask(f"{__name__}:doubled_on_a_loop", Question(21), Doubled, timeout=60)
    assert outcome.answer is not None, outcome.output
    assert outcome.answer.number == 42


def test_a_thread_of_the_child_can_answer_while_the_function_still_runs() -> None:
    outcome = ask(f"{__name__}:answers_early", Question(21), Doubled, timeout=60)
    assert outcome.answer is not None, outcome.output
    assert outcome.answer.number == 42


def test_only_the_first_answer_counts_when_two_threads_of_the_child_answer() -> None:
    outcome = ask(f"{__name__}:answers_twice", Question(21), Doubled, timeout=60)
    assert outcome.answer is not None, (outcome.reason, outcome.output)
    assert outcome.answer.number == 42


def test_an_early_answer_that_cannot_be_written_does_not_prevent_the_answer() -> None:
    outcome = ask(f"{__name__}:answers_after_an_early_answer_that_failed", Question(21), Doubled, timeout=60)
    assert outcome.answer is not None, (outcome.reason, outcome.output)
    assert outcome.answer.number == 42


def test_an_exception_of_the_function_is_the_reason_why_the_child_died() -> None:
    outcome = ask(f"{__name__}:fails", Question(21), Doubled, timeout=60)
    assert (outcome.status, outcome.answer) == ("died", None)
    assert outcome.reason == "exit status 1: LookupError: no 21"


def test_the_main_module_of_a_child_imports_nothing() -> None:
    script = """
        import sys, gilscope
        before = set(sys.modules)
        import gilscope.isolated.child
        print(*sorted(set(sys.modules) - before))
    """
    assert child.output(script) == ["gilscope.isolated gilscope.isolated.child"]
