"""The interpreter of another process is read from outside, without any help of that process."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gilscope import _core
from gilscope._core import _ProcessReader
from gilscope.attach.processes import children_of

from tests.support.target import WAIT, python, started, target, until

if TYPE_CHECKING:
    from tests.support.target import Target

THREADS = """
    import sys, threading
    sys.setswitchinterval(0.004)

    class Worker(threading.Thread):
        def __init__(self):
            super().__init__(name="a worker")
            self.own = 1

        def run(self):
            wait()

    def wait():
        entered.release()
        sys.stdin.read()

    entered = threading.Semaphore(0)
    threads = [Worker(), threading.Thread(target=wait, name="dü中")]
    threads += [threading.Thread(target=wait, name=f"number {index}") for index in range(2)]
    vars(threads[2])["more"] = 1  # it keeps its attributes in a dictionary from now on
    for index in range(50):
        setattr(threads[3], f"attribute_{index}", index)  # so does this one
    for thread in threads:
        thread.start()
        entered.acquire()
    print("ready", flush=True)
    threads[0].join()
"""
NAMES = ["MainThread", "a worker", "dü中", "number 0", "number 1"]


@pytest.fixture(params=["3.11", "3.12", "3.13", "3.14", "3.15"])
def version(request: pytest.FixtureRequest) -> str:
    version: str = request.param
    if python(version) is None:
        pytest.skip(f"CPython {version} is not on this machine")
    return version


def test_threads_and_stacks_of_every_version_are_read_by_any_other(version: str) -> None:
    with target(THREADS, python=python(version) or "") as child:
        reader = _ProcessReader(child.pid)
        assert "{}.{}".format(*reader.version()) == version
        threads = {reader.thread_name(native): native for _, native, _ in reader.threads()}
        assert sorted(threads, key=str) == NAMES
        assert all(outer == native for _, native, outer in reader.threads())
        for native in (threads[name] for name in NAMES[1:]):
            until(functools.partial(sleeps, reader, native))  # it has entered `wait`, but may not be in `read` yet
            certainty, frames, left_out = reader.stack(native)
            assert certainty in {"proved", "twice"}
            assert left_out == 0
            functions = [function for _, function, *_ in frames]
            assert functions[0] == "wait"
            assert functions[-2:] == ["Thread._bootstrap_inner", "Thread._bootstrap"]
        assert reader.switch_interval() == 0.004


def sleeps(reader: _ProcessReader, native: int) -> bool:
    return reader.activity(native) == "sleeps"


HOLDER = """
    import ctypes, os, sys, threading
    held, release = os.pipe()
    def release_when_asked():
        sys.stdin.readline()
        os.write(release, b"x")
    # Another program writes to the pipe: no thread of this one can, while the GIL is held.
    if not os.fork():
        release_when_asked()
        os._exit(0)
    entered = threading.Event()
    def wait():
        entered.set()
        for _ in iter(int, 1):  # it runs until it waits for the GIL
            if done:
                return
    done = []
    threading.Thread(target=wait).start()
    entered.wait()
    print("ready", flush=True)
    ctypes.PyDLL(None).read(held, ctypes.create_string_buffer(1), 1)  # with the GIL held
    done.append(True)
    print("released", flush=True)
    sys.stdin.read()
"""


def test_the_holder_of_the_gil_and_who_waits_for_it_are_read(version: str) -> None:
    with target(HOLDER, python=python(version) or "") as child:
        reader = _ProcessReader(child.pid)
        main = child.pid
        until(lambda: reader.gil()[0] == main and reader.activity(main) == "sleeps")
        before = reader.gil()
        (other,) = (native for _, native, _ in reader.threads() if native != main)
        until(lambda: reader.activity(other) == "waits for the GIL")
        assert reader.stack(other)[0] == "proved"
        assert reader.gil() == before
        child.say("release")
        assert child.line() == "released"
        until(lambda: reader.gil()[1] > before[1])  # the other thread acquires it
        until(lambda: reader.gil()[0] is None)
        until(lambda: [native for _, native, _ in reader.threads()] == [main])


def test_a_collection_of_garbage_is_seen_while_it_lasts(version: str) -> None:
    script = """
        import gc, sys
        gc.disable()
        def started(phase, info):
            if phase == "start":
                print("ready", flush=True)
                sys.stdin.readline()
        gc.callbacks.append(started)
        gc.collect()
        gc.callbacks.clear()
        print("collected", flush=True)
        sys.stdin.read()
    """
    with target(script, python=python(version) or "") as child:
        reader = _ProcessReader(child.pid)
        assert reader.is_collecting()
        child.say("go on")
        assert child.line() == "collected"
        assert not reader.is_collecting()


def test_times_of_a_thread_are_those_that_the_system_has_counted() -> None:
    with target(THREADS) as child:
        reader = _ProcessReader(child.pid)
        until(lambda: reader.activity(child.pid) == "sleeps")
        ran, queued, times = reader.times(child.pid) or (0.0, 0.0, 0)
        numbers = Path(f"/proc/{child.pid}/schedstat").read_text().split()
        assert [round(ran * 1e9), round(queued * 1e9), times] == list(map(int, numbers))
        assert reader.activity(2**31) == "unknown"
        assert reader.times(2**31) is None


def test_a_process_that_has_ended_reads_as_such() -> None:
    with target() as child:
        reader = _ProcessReader(child.pid)
        assert not reader.has_ended()
        child.process.kill()
        child.process.wait()
        assert reader.has_ended()
        assert reader.gil() == (None, 0)
        assert not reader.is_collecting()
        assert reader.threads() == []
        assert reader.stack(child.pid)[0] == "no thread"


def test_a_process_that_replaces_its_program_reads_as_ended() -> None:
    script = f"""
        import os, sys
        print("ready", flush=True)
        sys.stdin.readline()
        os.execv(sys.executable, [sys.executable, "-c", {WAIT!r}])
    """
    with target(script) as child:
        reader = _ProcessReader(child.pid)
        assert not reader.has_ended()
        child.say("go on")
        child.wait_until_ready()
        assert reader.has_ended()
        assert _core.find_process(child.pid) == sys.version_info[:3]  # what replaced it is another target


def test_what_ends_while_it_is_read_does_no_harm() -> None:
    for _ in range(5):
        with target("print('ready', flush=True)\nwhile True: pass") as child:
            reader = _ProcessReader(child.pid)
            killer = threading.Timer(0.002, child.process.kill)
            killer.start()
            while not reader.has_ended():
                reader.gil()
                reader.stack(child.pid)
            killer.join()


def permits(*command: str) -> bool:
    return (
        shutil.which(command[0]) is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


@pytest.mark.skipif(
    not permits("unshare", "-p", "-m", "--fork", "true"), reason="the system lets us make no namespaces"
)
def test_a_process_in_namespaces_and_a_file_system_of_its_own_is_read_as_any_other(tmp_path: Path) -> None:
    enter = 'mount --rbind / "$0" && exec chroot "$0" "$@"'
    prefix = ["unshare", "-p", "-m", "--fork", "--kill-child", "sh", "-c", enter, str(tmp_path)]
    with target(THREADS, prefix=prefix) as child:
        (found,) = children_of(child.pid)
        reader = _ProcessReader(found.pid)
        threads = sorted(reader.threads(), key=lambda row: row[1])
        assert threads[0][1] == 1
        tasks = sorted(int(task.name) for task in Path(f"/proc/{found.pid}/task").iterdir())
        assert sorted(outer or 0 for *_, outer in threads) == tasks
        assert [reader.thread_name(native) for _, native, _ in threads] == NAMES
        until(lambda: reader.activity(threads[1][1]) == "sleeps")
        assert reader.stack(threads[1][1])[1][0][1] == "wait"


@pytest.mark.skipif(
    not permits("unshare", "-p", "-m", "--fork", "true"), reason="the system lets us make no namespaces"
)
def test_numbers_of_another_namespace_are_not_taken_for_ours() -> None:
    script = "import sys\nfrom gilscope import _core\ntry: _core.find_process(2)\nexcept LookupError as error: print(error.args[0])"
    inside = ["unshare", "-p", "--fork", "--kill-child", sys.executable, "-c", script]
    assert subprocess.run(inside, capture_output=True, text=True, check=True).stdout == "other-proc\n"


def test_a_python_whose_files_were_deleted_is_read_as_any_other(tmp_path: Path) -> None:
    copy = tmp_path / "my python"
    shutil.copy(Path(sys.executable).resolve(), copy)
    home = {"PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    with target(THREADS, python=copy, environment=home) as child:
        copy.unlink()
        assert Path(f"/proc/{child.pid}/exe").readlink().name == "my python (deleted)"
        reader = _ProcessReader(child.pid)
        names = [reader.thread_name(native) for _, native, _ in reader.threads()]
        assert sorted(map(str, names)) == NAMES


def shared_library() -> str | None:
    """Return the path of a CPython as a library, of any version."""
    folders = {Path(sysconfig.get_config_var("LIBDIR") or "/"), *Path.home().glob(".pyenv/versions/*/lib")}
    libraries = [library for folder in folders for library in folder.glob("libpython3.1?.so.1.0")]
    own = Path("/proc/self/maps").read_text()
    return next((str(library) for library in libraries if str(library) not in own), None)


@pytest.mark.skipif(shared_library() is None, reason="no other CPython is installed as a library")
def test_a_second_python_that_never_starts_is_not_taken_for_the_first() -> None:
    script = f"import ctypes\nctypes.CDLL({shared_library()!r})\n{WAIT}"
    with target(script) as child:
        assert (shared_library() or "") in Path(f"/proc/{child.pid}/maps").read_text()
        reader = _ProcessReader(child.pid)
        assert reader.version() == sys.version_info[:3]
        assert [native for _, native, _ in reader.threads()] == [child.pid]


EMBEDS = """
#include <Python.h>
#include <stdio.h>

static void wait_for_line(const char *line) { puts(line); fflush(stdout); getchar(); }

int main(void) {
    wait_for_line("before");
    Py_Initialize();
    PyRun_SimpleString("import sys; print('ready', flush=True); sys.stdin.readline()");
    Py_FinalizeEx();
    wait_for_line("after");
}
"""


def embedding(tmp_path: Path, *, exports: bool) -> Path | None:
    """Return a program that contains CPython, whose symbols it exports or not; ``None`` if it cannot be built here."""
    config, paths = sysconfig.get_config_vars(), sysconfig.get_paths()
    archive = Path(config["LIBPL"] or "/", config["LIBRARY"] or "")
    if not archive.is_file() or not Path(paths["include"], "Python.h").is_file():
        return None
    source, program = tmp_path / "embeds.c", tmp_path / "embeds"
    source.write_text(EMBEDS)
    command = [
        "gcc",
        "-o",
        str(program),
        str(source),
        f"-I{paths['include']}",
        str(archive),
        *(["-rdynamic"] if exports else []),
    ]
    command += (config["LIBS"] or "").split() + (config["SYSLIBS"] or "").split()
    try:
        built = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return None if built.returncode else program


@pytest.mark.thorough
@pytest.mark.parametrize("exports", [True, False])
def test_a_program_that_contains_python_is_found_from_its_start_to_its_end(tmp_path: Path, *, exports: bool) -> None:
    program = embedding(tmp_path, exports=exports)
    if program is None:
        pytest.skip("this Python cannot be linked into a program here")
    with started([str(program)], {"PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}) as child:
        assert child.line() == "before"
        assert refused(child) == "no-interpreter"
        child.say("")
        child.wait_until_ready()
        reader = _ProcessReader(child.pid)
        assert reader.version() == sys.version_info[:3]
        assert [frame[1] for frame in reader.stack(child.pid)[1]] == ["<module>"]
        child.say("")
        assert child.line() == "after"
        assert refused(child) == "no-interpreter"
        assert reader.threads() == []


def refused(child: Target) -> str:
    with pytest.raises(LookupError) as refusal:
        _core.find_process(child.pid)
    code: str = refusal.value.args[0]
    return code
