import asyncio
import time

import gilscope
from gilscope.trial.cpu_time import ProcessTree
from gilscope.trial.strategies import STRATEGIES

from tests.support import child


def test_the_cpu_time_of_a_pools_processes_is_counted() -> None:
    async def main() -> tuple[float, float]:
        async with STRATEGIES["process"](gilscope.countdown_released, 1) as run:
            processes, own_before = ProcessTree(), time.process_time()
            before = processes.cpu_time()
            await run(gilscope.countdown_released, 400_000_000)
            used = (processes.cpu_time() - before).used
        assert used is not None
        return time.process_time() - own_before, used

    own, both = asyncio.run(main())
    assert both > own + 0.02


def test_a_process_that_shares_its_core_with_a_busy_one_queues_for_it() -> None:
    script = """
        import os, subprocess, sys, time
        from gilscope.trial.cpu_time import ProcessTree

        def delay_of_computing(seconds):
            own = ProcessTree()
            before, end = own.cpu_time(), time.process_time() + seconds
            while time.process_time() < end:
                pass
            return (own.cpu_time() - before).queued

        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        busy = subprocess.Popen([sys.executable, "-c", "print(flush=True); exec('while True: pass')"], stdout=subprocess.PIPE)
        busy.stdout.readline()
        queued = delay_of_computing(0.3)
        busy.kill()
        print(queued)
    """
    # Two busy processes share a core by halves: each waits as long as it computes, 0.3 s. The other one's queue counts too.
    assert float(child.output(script)[0]) > 0.15
