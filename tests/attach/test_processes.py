"""Python processes are listed, and one that cannot be attached to is refused with a sentence that says why and what to do."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from gilscope import _core
from gilscope.attach.processes import CannotAttach, children_of, python_processes, version_of
from gilscope.attach.refusal import REASONS
from gilscope.attach.rights import Rights, missing
from gilscope.attach.status import command_of, parent_of, status_of

from tests.support import child as script_runner
from tests.support.target import WAIT, python, started, target

OWN_VERSION = "{}.{}.{}".format(*sys.version_info)
MAY = Rights(is_root=False, may_trace=False, could_trace=True, owner="", scope=0)
SUDO = f"sudo {sys.executable} -m gilscope attach 4711"
LOOP = """
    import asyncio, sys
    async def main():
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    asyncio.run(main())
"""


def reason(pid: int) -> tuple[str, str]:
    """Return the code and the sentence with which a process is refused."""
    with pytest.raises(CannotAttach) as refusal:
        version_of(pid)
    assert str(refusal.value) == f"cannot attach to {pid}: {refusal.value.reason}"
    return refusal.value.code, refusal.value.reason


def test_every_code_of_a_reason_has_a_sentence() -> None:
    assert set(_core.CANNOT_ATTACH_CODES) == {*REASONS, "rights"}
    for code in _core.CANNOT_ATTACH_CODES:
        sentence = str(CannotAttach(os.getpid(), code, "3.16.0"))
        assert "{" not in sentence
        assert not sentence.endswith(".")


def test_a_python_that_can_be_attached_to_has_its_version() -> None:
    with target() as child:
        assert version_of(child.pid) == OWN_VERSION


def test_a_process_that_does_not_exist_is_refused() -> None:
    with target() as child:
        pass
    assert reason(child.pid) == (
        "gone",
        "no process has this PID: gilscope attach without a PID lists the processes",
    )
    assert reason(2**31 - 1)[0] == "gone"
    for no_pid in (0, -1):
        assert reason(no_pid)[0] == "gone"


def test_a_process_that_has_ended_and_still_has_its_number_is_refused() -> None:
    with started([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        code, sentence = reason(child.pid)
        assert code == "zombie"
        assert "has ended" in sentence


def test_gilscope_does_not_attach_to_itself() -> None:
    assert reason(os.getpid())[0] == "own"


def test_a_thread_is_refused_with_the_process_that_it_belongs_to() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        code, sentence = reason(thread.native_id or 0)
    finally:
        done.set()
        thread.join()
    assert code == "thread"
    assert sentence == f"it is a thread of process {os.getpid()}: attach to {os.getpid()} instead"


@pytest.mark.skipif(command_of(2) != "kthreadd", reason="the kernel's threads are in another PID namespace")
def test_a_thread_of_the_kernel_is_refused() -> None:
    code, sentence = reason(2)
    assert code == "kernel-thread"
    assert sentence.startswith("it is a thread of the kernel (kthreadd), which runs no Python: ")


def test_a_program_that_is_not_python_is_refused() -> None:
    with started(["cat"]) as child:
        child.say("")
        assert child.line() == ""
        assert reason(child.pid) == (
            "not-python",
            "no CPython was found in the memory of the process (cat): gilscope attach without a PID lists the processes",
        )


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.10"])
def test_a_python_that_is_too_old_is_refused(version: str) -> None:
    if python(version) is None:
        pytest.skip(f"CPython {version} is not on this machine")
    script = 'import sys\nsys.stdout.write("ready\\n")\nsys.stdout.flush()\nsys.stdin.read()'
    with target(script, python=python(version) or "") as child:
        assert reason(child.pid) == (
            "version",
            "the process runs Python 3.10 or older, and gilscope reads CPython 3.11 to 3.15",
        )


def test_a_free_threaded_python_is_refused() -> None:
    free_threaded = next((path for minor in (13, 14, 15) if (path := python(f"3.{minor}t"))), None)
    if free_threaded is None:
        pytest.skip("no free-threaded CPython is on this machine")
    with target(python=free_threaded) as child:
        code, sentence = reason(child.pid)
        assert code == "free-threaded"
        assert "it has no GIL" in sentence


def test_a_32_bit_program_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "small"
    # mov $4, %eax (write); mov $1, %ebx; mov $text, %ecx; mov $1, %edx; int $0x80; then mov $29, %eax (pause); int $0x80
    code = bytes.fromhex("b804000000bb01000000b9010004 08ba01000000cd80b81d000000cd80".replace(" ", ""))
    code = code.replace(bytes.fromhex("b901000408"), b"\xb9" + struct.pack("<I", 0x08048000 + 84 + len(code)))
    size = 84 + len(code) + 1
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", 2, 3, 1, 0x08048054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    part = struct.pack("<IIIIIIII", 1, 0, 0x08048000, 0x08048000, size, size, 5, 4096)
    program.write_bytes(header + part + code + b"\n")
    program.chmod(0o755)
    try:
        running = started([str(program)])
        with running as child:
            if child.line() != "" or child.process.poll() is not None:
                pytest.skip("this system runs no 32-bit programs")
            assert reason(child.pid) == ("32-bit", "small is a 32-bit program, and gilscope reads 64-bit ones only")
    except OSError:
        pytest.skip("this system runs no 32-bit programs")


IN_A_FILTER = """
    import ctypes, struct, sys
    from gilscope.attach.processes import CannotAttach, version_of
    # Load the number of the system call; refuse process_vm_readv (310), as a container's filter may; permit all others.
    program = struct.pack("<HBBIHBBIHBBIHBBI", 0x20, 0, 0, 0, 0x15, 0, 1, 310, 0x06, 0, 0, 0x50000 | ERROR, 0x06, 0, 0, 0x7FFF0000)
    program = ctypes.create_string_buffer(program)
    filter = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 4, ctypes.addressof(program)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    if prctl(22, 2, ctypes.c_void_p(ctypes.addressof(filter)), 0, 0):  # PR_SET_SECCOMP
        print("no filter")
    else:
        try:
            version_of(int(sys.argv[1]))
        except CannotAttach as error:
            print(error.code)
"""


@pytest.mark.parametrize("error", [1, 38], ids=["EPERM", "ENOSYS"])
def test_a_filter_of_system_calls_is_named_as_the_reason(error: int) -> None:
    with target() as child:
        (code,) = script_runner.output(IN_A_FILTER.replace("ERROR", str(error)), str(child.pid))
    if code == "no filter":
        pytest.skip("this system has no filters of system calls")
    assert code == "filter"


OTHER_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_another_users_process_is_refused_with_what_to_type() -> None:
    other = next((path for path in (sys.executable, "/usr/bin/python3") if _may_run(path)), None)
    if other is None:
        pytest.skip("another user may run no Python here")
    # What another user may not even load cannot be tried as that user: the sentence is made here.
    with target(python=other, prefix=OTHER_USER) as child:
        rights = Rights.over(child.pid)._replace(is_root=False, may_trace=False, could_trace=True)
        assert rights.owner == "nobody"
        assert missing(4711, rights, "attach") == f"the process belongs to nobody: type {SUDO}"


def _may_run(path: str) -> bool:
    return subprocess.run([*OTHER_USER, path, "-c", ""], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can drop capabilities")
def test_root_without_the_capability_is_told_which_option_the_container_needs() -> None:
    with target() as child:
        script = """
            import sys
            from gilscope.attach.processes import CannotAttach, version_of
            try:
                version_of(int(sys.argv[1]))
            except CannotAttach as error:
                print(error.code, error)
        """
        drop = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace", sys.executable]
        command = ["setpriv", *drop, "-c", script.replace("\n            ", "\n"), str(child.pid)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("rights ")
    assert ended.stdout.endswith("start the container with --cap-add=SYS_PTRACE, and run gilscope in it as root\n")


@pytest.mark.parametrize(
    ("rights", "sentence"),
    [
        (
            MAY._replace(scope=1),
            (
                "kernel.yama.ptrace_scope is 1, so a process may read only those that it has started: type "
                f"{SUDO}, or sudo sysctl kernel.yama.ptrace_scope=0 to permit it until the next boot"
            ),
        ),
        (MAY._replace(scope=1, owner="ann"), f"the process belongs to ann: type {SUDO}"),
        (
            MAY._replace(scope=2),
            f"kernel.yama.ptrace_scope is 2, so only root may read other processes: type {SUDO}",
        ),
        (
            MAY._replace(scope=3, is_root=True, may_trace=True),
            "kernel.yama.ptrace_scope is 3: no process may read another until the system is restarted with a lower value",
        ),
        (MAY._replace(owner="ann"), f"the process belongs to ann: type {SUDO}"),
        (
            MAY,
            (
                "the process has protected its memory, as a program does that has changed its user, or has more rights: "
                f"type {SUDO}"
            ),
        ),
        (
            MAY._replace(could_trace=False, owner="ann"),
            (
                "the process belongs to ann, and there is no CAP_SYS_PTRACE here: start the container with "
                "--cap-add=SYS_PTRACE, and run gilscope in it as root"
            ),
        ),
        (
            MAY._replace(is_root=True),
            "this root user lacks CAP_SYS_PTRACE: start the container with --cap-add=SYS_PTRACE",
        ),
        (
            MAY._replace(is_root=True, may_trace=True),
            (
                "gilscope has CAP_SYS_PTRACE, but the process has more rights or belongs to another user namespace: run "
                "gilscope as root outside of the container"
            ),
        ),
    ],
)
def test_missing_rights_come_with_what_to_type(rights: Rights, sentence: str) -> None:
    assert missing(4711, rights, "attach") == sentence


def test_what_to_type_names_the_subcommand_that_was_used() -> None:
    assert missing(7, MAY._replace(owner="ann"), "top").endswith(f"sudo {sys.executable} -m gilscope top 7")


def test_the_list_has_each_python_with_its_version_its_command_and_its_loops() -> None:
    with target(LOOP, "an argument") as child, started(["cat"]) as other:
        listed = {process.pid: process for process in python_processes()}
        found = listed[child.pid]
        assert (found.parent, found.version, found.loops, found.why_not) == (os.getpid(), OWN_VERSION, 1, None)
        assert found.command.startswith(f"{sys.executable} -c")
        assert found.command.endswith("an argument")
        assert other.pid not in listed
        assert os.getpid() not in listed
        assert list(listed) == sorted(listed)


def test_loops_are_counted_by_the_threads_that_run_one() -> None:
    script = """
        import asyncio, sys, threading
        import uvloop
        async def main():
            entered.release()
            await asyncio.Event().wait()
        def by_hand(new_loop):
            new_loop().run_until_complete(main())
        entered = threading.Semaphore(0)
        for new_loop in (asyncio.new_event_loop, uvloop.new_event_loop):
            threading.Thread(target=by_hand, args=(new_loop,), daemon=True).start()
            entered.acquire()
        print("ready", flush=True)
        sys.stdin.read()
    """
    with target(script) as child:
        assert _core.count_loops(child.pid) == 2
    assert _core.count_loops(child.pid) is None


def test_a_python_that_cannot_be_attached_to_is_listed_with_the_reason() -> None:
    if python("3.10") is None:
        pytest.skip("CPython 3.10 is not on this machine")
    with target(python=python("3.10") or "") as child:
        (found,) = (process for process in python_processes() if process.pid == child.pid)
        assert (found.version, found.loops) == (None, None)
        assert found.why_not == "the process runs Python 3.10 or older, and gilscope reads CPython 3.11 to 3.15"


def test_children_are_found_through_what_is_not_python() -> None:
    script = f"""
        import subprocess, sys
        with subprocess.Popen(["sh", "-c", '"$0" -c "$1"; true', sys.executable, {WAIT!r}]):
            sys.stdin.read()
    """
    with target(script) as child:
        (grandchild,) = children_of(child.pid)
        assert grandchild.version == OWN_VERSION
        assert parent_of(grandchild.parent) == child.pid
        assert children_of(child.pid, except_for=[grandchild.pid]) == []
        assert children_of(grandchild.pid) == []


def test_what_proc_says_of_a_process_that_is_gone_is_nothing() -> None:
    gone = 2**31 - 1
    assert (status_of(gone), parent_of(gone), command_of(gone)) == (None, None, "")


def test_the_command_of_a_process_without_arguments_is_its_name() -> None:
    with started([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert command_of(child.pid) == Path(f"/proc/{child.pid}/comm").read_text().strip()
