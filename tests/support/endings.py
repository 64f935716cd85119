"""The ways in which a process can end while native work is under way, and a count of how many processes end well.

If a thread asks for the GIL of an interpreter that is finalizing, CPython unwinds the thread. The unwinding aborts the
process when it reaches Rust, without a message, and only sometimes. So each ending is tried many times, with several
processes at once to vary the order of the threads.
"""

from __future__ import annotations

import math
import re
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.support import child

STATUS = 7
"""The exit status of every script."""
AT_ONCE = 4
WELL = "well"

_ON_TOKIO = """
import asyncio, sys
from gilscope import countdown_tokio

async def main():
    {main}

asyncio.run(main())
sys.exit(7)
"""

_ON_THE_BRIDGE = """
import asyncio, sys, threading, time
from gilscope import countdown_bridge

def run(main):
    with asyncio.Runner(loop_factory={loop}) as runner:
        runner.run(main)

async def many():
    await asyncio.gather(*map(countdown_bridge, range(100)))

async def for_ever():
    while True:
        await many()
        started.set()

started = threading.Event()
{main}
sys.exit(7)
"""
_BRIDGED_LOOPS = {
    "asyncio": "asyncio.SelectorEventLoop",
    "uvloop": "__import__('uvloop').new_event_loop",
}
_BRIDGED_ENDS = {
    "the last act was an await": "run(many())",
    "in flight, the loop left open": """
async def start():
    return [countdown_bridge(n) for n in [0, 2**64 - 1] * 20]

work = {loop}().run_until_complete(start())
""",
    "in flight, never awaited": """
async def start():
    return [countdown_bridge(2**64 - 1) for _ in range(20)]

run(start())
""",
    "awaited in daemon threads": """
for _ in range(3):
    threading.Thread(target=lambda: run(for_ever()), daemon=True).start()
started.wait()
""",
}

_IN_A_DAEMON_THREAD = """
import sys, threading, time
from gilscope import {kernel} as kernel

def work():
    started.set()
    while True:
        kernel({n})

started = threading.Event()
threading.Thread(target=work, daemon=True).start()
started.wait()
time.sleep(0.02)
sys.exit(7)
"""

ENDINGS = {
    "tokio: the last act was an await": _ON_TOKIO.format(main="for _ in range(50): await countdown_tokio(1000)"),
    "tokio: the last act was a gather": _ON_TOKIO.format(
        main="for _ in range(5): await asyncio.gather(*map(countdown_tokio, range(100)))"
    ),
    "tokio: in flight, never awaited": _ON_TOKIO.format(main="work = [countdown_tokio(2**64 - 1) for _ in range(3)]"),
    "tokio: just cancelled": _ON_TOKIO.format(
        main="for work in [countdown_tokio(2**64 - 1) for _ in range(20)]: work.cancel()"
    ),
    "tokio: awaited in a daemon thread": """
import asyncio, sys, threading, time
from gilscope import countdown_tokio

async def work():
    while True:
        await countdown_tokio(1000)
        started.set()

started = threading.Event()
threading.Thread(target=lambda: asyncio.run(work()), daemon=True).start()
started.wait()
time.sleep(0.02)
sys.exit(7)
""",
    **{
        f"bridge, {name}: {end}": _ON_THE_BRIDGE.format(loop=loop, main=main.format(loop=loop))
        for name, loop in _BRIDGED_LOOPS.items()
        for end, main in _BRIDGED_ENDS.items()
    },
    "held: in a daemon thread": _IN_A_DAEMON_THREAD.format(kernel="countdown_held", n=5_000_000),
    "released: in a daemon thread, short": _IN_A_DAEMON_THREAD.format(kernel="countdown_released", n=2_000_000),
    "released: in a daemon thread, for ever": _IN_A_DAEMON_THREAD.format(kernel="countdown_released", n=2**64 - 1),
    "released: in a pool": """
import sys
from concurrent.futures import ThreadPoolExecutor
from gilscope import countdown_released

pool = ThreadPoolExecutor(2)
work = [pool.submit(countdown_released, 50_000_000) for _ in range(3)]
sys.exit(7)
""",
}


def share(ending: str, *, of: int) -> int:
    """Return the number of processes for ``ending`` if all endings of the same function share ``of`` processes."""
    endings_of = Counter(map(_function, ENDINGS))
    return math.ceil(of / endings_of[_function(ending)])


def tally(ending: str, *, processes: int, python: str = sys.executable) -> Counter[str]:
    """Run processes with this ending, and count how they ended: :data:`WELL`, or what went wrong."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(lambda _: _outcome(ending, python), range(processes)))


def _function(ending: str) -> str:
    return re.split("[,:]", ending)[0]


def _outcome(ending: str, python: str) -> str:
    try:
        ended = child.run(ENDINGS[ending], python=python)
    except subprocess.TimeoutExpired:
        return "hang"
    if ended.returncode < 0:
        return signal.Signals(-ended.returncode).name
    if ended.stderr:
        return f"stderr: {ended.stderr.splitlines()[-1]}"
    return WELL if ended.returncode == STATUS else f"status {ended.returncode}"
