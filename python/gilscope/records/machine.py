"""The machine that a record was taken on."""

from __future__ import annotations

import platform
import sys

from gilscope.records.base import Positive, Record
from gilscope.records.cores import cores


class Machine(Record, frozen=True, kw_only=True):
    """The Python and the machine of a run."""

    python: str
    implementation: str
    gil: bool
    """Whether this Python has a GIL and it is on."""
    system: str
    processor: str
    cores: Positive
    """CPUs that the process may use: its affinity mask, limited by the quota of its cgroup."""


def machine() -> Machine:
    """Describe this Python and this machine."""
    return Machine(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        gil=has_gil(),
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=cores(),
    )


def has_gil() -> bool:
    """Whether this Python has a GIL and it is on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


def _processor() -> str:
    """Return the processor's model name, which ``platform.processor`` does not know on Linux."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a stream of lines
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
