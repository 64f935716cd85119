"""How quickly the bridge reacts to a cancellation."""

from __future__ import annotations

from tests.support import child


def test_cancelling_frees_the_worker_at_once() -> None:
    script = """
        import asyncio, os, statistics, time
        from gilscope import countdown_bridge
        from gilscope._core import bridge_workers

        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        assert bridge_workers() == 1
        os.sched_setaffinity(0, cores)

        async def main():
            times = []
            for _ in range(51):
                endless, queued = countdown_bridge(2**64 - 1), countdown_bridge(0)
                await asyncio.sleep(0.001)
                start = time.perf_counter()
                endless.cancel()
                await queued  # starts when the only worker is free
                times.append(time.perf_counter() - start)
            print(statistics.median(times))

        asyncio.run(main())
    """
    assert float(child.output(script)[0]) < 0.05  # 0.1 ms on a quiet machine
