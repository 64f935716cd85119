"""The bridge in forked children and in exit handlers. ``tests/test_exit.py`` tests how such processes end."""

from __future__ import annotations

import pytest

from tests.support import child

SETTING = """
    import asyncio, os, sys, warnings
    from gilscope import countdown_bridge

    def new_loop():
        if sys.argv[1] == "uvloop":
            import uvloop
            return uvloop.new_event_loop()
        return asyncio.SelectorEventLoop()

    async def one(n=0):
        return await asyncio.wait_for(countdown_bridge(n), 60)

    async def many():
        return await asyncio.gather(*map(countdown_bridge, range(100)))

    def run(main):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main)
"""

on_every_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


@on_every_loop
def test_a_forked_child_gets_its_own_bridge_and_the_parent_keeps_its_own(loop: str) -> None:
    script = """
    warnings.simplefilter("ignore", DeprecationWarning)  # about forking a process with threads, which is what this tests
    loop = new_loop()

    async def start(n):
        return countdown_bridge(n)

    in_flight = loop.run_until_complete(start(300_000_000))
    for _ in range(5):
        if (forked := os.fork()) == 0:
            assert run(many()) == list(range(100))
            os._exit(7)
        assert run(many()) == list(range(100))
        assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 7
    print(loop.run_until_complete(asyncio.wait_for(in_flight, 60)), loop.run_until_complete(one(5)))
    loop.close()
    """
    assert child.output(SETTING + script, loop) == ["300000000 5"]


def test_a_child_forked_from_a_running_loop_can_exit_and_the_parent_still_gets_its_results() -> None:
    script = """
    warnings.simplefilter("ignore", DeprecationWarning)

    async def main():
        in_flight = [countdown_bridge(n) for n in range(100_000, 100_200)]
        if (forked := os.fork()) == 0:
            if sys.version_info >= (3, 14):
                os._exit(3)  # since 3.14 asyncio cannot end a running loop in a forked child, even without the bridge
            sys.exit(3)  # unwinds through the parent's loop, and runs all of Python's finalization
        results = await asyncio.wait_for(asyncio.gather(*in_flight), 60)
        print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), results == list(range(100_000, 100_200)))

    run(main())
    """
    ended = child.run(SETTING + script, "asyncio")
    assert (ended.returncode, ended.stdout) == (0, "3 True\n")


def test_a_pool_of_forked_processes_can_use_the_bridge() -> None:
    script = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    warnings.simplefilter("ignore", DeprecationWarning)

    def work(n):
        return run(one(n))

    print(run(one(1)))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        print(list(pool.map(work, range(10))))
    print(run(one(2)))
    """
    assert child.output(SETTING + script, "asyncio") == ["1", str(list(range(10))), "2"]


@on_every_loop
def test_a_late_exit_handler_gets_its_result(loop: str) -> None:
    script = (
        """
    import atexit
    atexit.register(lambda: print(run(one(4))))  # runs after the exit handlers that are registered later
    """
        + SETTING
        + """
    print(run(one(3)))
    """
    )
    assert child.output(script, loop) == ["3", "4"]
