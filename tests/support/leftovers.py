"""What gilscope could leave behind in a process: threads, descriptors, hooks and settings of the interpreter."""

from __future__ import annotations

import asyncio
import ctypes  # noqa: F401 - libffi keeps a descriptor from its first import on
import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE = 10.0
"""Wait this many seconds for threads that are ending and for event loops that only the garbage collector closes."""
STAYS = {"gilscope-bridge", "gilscope-tokio"}
"""The names of threads that live as long as the process: the workers of two pools."""
HOOKS: dict[str, Callable[[], object]] = {
    "gc.callbacks": lambda: _ours(gc.callbacks),
    "sys.meta_path": lambda: _ours(sys.meta_path),
    "asyncio.BaseEventLoop.run_forever": lambda: asyncio.BaseEventLoop.run_forever,
    "os.posix_spawn": lambda: os.posix_spawn,
    "subprocess._fork_exec": lambda: subprocess._fork_exec,  # type: ignore[attr-defined]
    "sys.unraisablehook": lambda: sys.unraisablehook,
    "the switch interval": sys.getswitchinterval,
    "the signals' handlers": lambda: {
        str(each): handler for each in signal.valid_signals() if (handler := signal.getsignal(each))
    },
    "the blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
}


class Footprint:
    """The threads, descriptors and hooks of this process at one moment."""

    def __init__(self) -> None:
        self.hooks = {name: read() for name, read in HOOKS.items()}
        self.threads = threads()
        self.descriptors = descriptors()
        self.runtimes = runtimes()

    def left_since(self) -> list[str]:
        """Return what was added or changed since, after a wait for whatever is about to end."""
        give_up = time.monotonic() + PATIENCE
        while (left := self._left()) and time.monotonic() < give_up:
            gc.collect()
            time.sleep(0.01)
        return left

    def _left(self) -> list[str]:
        new_threads, new_descriptors = threads() - self.threads, descriptors() - self.descriptors
        if runtimes() != self.runtimes:
            new_descriptors.clear()
        return [
            *(f"thread {name}" for name in new_threads.elements()),
            *(f"descriptor of {target}" for target in new_descriptors.elements()),
            *(
                f"{name}: {read()} instead of {self.hooks[name]}"
                for name, read in HOOKS.items()
                if read() != self.hooks[name]
            ),
        ]


def threads() -> Counter[str]:
    """Count gilscope's threads by name, the native ones too, but for those that stay."""
    names = map(_name, Path("/proc/self/task").iterdir())
    return Counter(name for name in names if name.startswith("gilscope") and name not in STAYS)


def descriptors() -> Counter[str]:
    """Count the open descriptors by what they refer to, without the numbers in it."""
    return Counter(map(_target, Path("/proc/self/fd").iterdir()))


def runtimes() -> set[str]:
    """Return which modules are loaded that keep descriptors open from their first use to the end of the process."""
    return {"playwright", "vl_convert"} & sys.modules.keys()


def open_what_stays() -> None:
    """Open the descriptors that Python and uvloop keep as long as the process lives."""
    resource_tracker.ensure_running()
    uvloop.new_event_loop().close()


def _target(descriptor: Path) -> str:
    try:
        return re.sub(r"\d+", "N", str(descriptor.readlink()))
    except FileNotFoundError:  # the one that lists the others
        return ""


def _name(thread: Path) -> str:
    try:
        return (thread / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _ours(hooks: Iterable[object]) -> list[object]:
    return [hook for hook in hooks if "gilscope" in (getattr(hook, "__module__", None) or type(hook).__module__)]
