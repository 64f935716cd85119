"""Which right is missing to read another process, and what to type to have it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from gilscope.attach.status import status_of, user_name

YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
NOBODY = 3
"""The scope with which no process may read another until the system is restarted."""
ONLY_PRIVILEGED = 2
ONLY_DESCENDANTS = 1


class Rights(NamedTuple):
    """What decides whether this process may read another one."""

    is_root: bool
    may_trace: bool
    """Whether this process has ``CAP_SYS_PTRACE``."""
    could_trace: bool
    """Whether root could have it here: not in a container that was started without it."""
    owner: str
    """The user whose process it is, if another one's."""
    scope: int
    """``kernel.yama.ptrace_scope``; 0 if the system has none."""

    @classmethod
    def over(cls, pid: int) -> Rights:
        """Read them."""
        own, its = status_of("self"), status_of(pid)
        uids = its.uids if its else ()
        other = next((uid for uid in uids if uid != os.geteuid()), None)
        return cls(
            is_root=os.geteuid() == 0,
            may_trace=bool(own and own.may_trace),
            could_trace=own is None or own.could_trace,
            owner="" if other is None else user_name(other),
            scope=_scope(),
        )


def missing(pid: int, rights: Rights, subcommand: str) -> str:
    """Return the end of the sentence: why the system does not permit to read the process, and what to type."""
    if rights.scope == NOBODY:
        return "kernel.yama.ptrace_scope is 3: no process may read another until the system is restarted with a lower value"
    if rights.may_trace:
        return (
            "gilscope has CAP_SYS_PTRACE, but the process has more rights or belongs to another user namespace: run "
            "gilscope as root outside of the container"
        )
    if not rights.could_trace:
        return (
            f"{_obstacle(rights)}, and there is no CAP_SYS_PTRACE here: start the container with --cap-add=SYS_PTRACE, and "
            "run gilscope in it as root"
        )
    if rights.is_root:
        return "this root user lacks CAP_SYS_PTRACE: start the container with --cap-add=SYS_PTRACE"
    remedy = f"type sudo {sys.executable} -m gilscope {subcommand} {pid}"
    if rights.scope == ONLY_DESCENDANTS and not rights.owner:
        remedy += ", or sudo sysctl kernel.yama.ptrace_scope=0 to permit it until the next boot"
    return f"{_obstacle(rights)}: {remedy}"


def _obstacle(rights: Rights) -> str:
    if rights.owner:
        return f"the process belongs to {rights.owner}"
    if rights.scope == ONLY_PRIVILEGED:
        return "kernel.yama.ptrace_scope is 2, so only root may read other processes"
    if rights.scope == ONLY_DESCENDANTS:
        return "kernel.yama.ptrace_scope is 1, so a process may read only those that it has started"
    return "the process has protected its memory, as a program does that has changed its user, or has more rights"


def _scope() -> int:
    try:
        return int(YAMA.read_text())
    except (OSError, ValueError):
        return 0
