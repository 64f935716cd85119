"""`gilscope watch` runs a program like python does, and reports at exit why its loops stalled."""

from __future__ import annotations

import json
import py_compile
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from gilscope.cli import BadInput, main
from gilscope.cli.watch import command
from gilscope.records import codec

from tests.support.watched import watched

STALLING = """
    import asyncio, time

    def nap():
        time.sleep(0.3)

    async def main():
        for _ in range(3):
            await asyncio.sleep(0.05)
            nap()
        await asyncio.sleep(0.05)
        sum(range(500_000))

    asyncio.run(main())
"""
"""It stalls three times: on a busy machine the line of a single stall may not be sampled. For some milliseconds it holds the GIL,
which samples find."""
HOGGING = """
    import asyncio, ctypes

    def load():
        ctypes.PyDLL(None).usleep(300_000)

    async def main():
        for _ in range(3):
            await asyncio.to_thread(load)
            await asyncio.sleep(0.05)

    asyncio.run(main())
"""
SECONDS_TO_LIVE = 120


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(text: str, name: str = "program.py") -> str:
    Path(name).write_text(dedent(text))
    return name


def python(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False, input=typed
    )


def watch(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return python("-m", "gilscope", "watch", *arguments, typed=typed)


PROGRAMS = {
    "what it sees": """
        import os, sys
        print(list(globals()), sys.argv, sys.path[0], __name__, __file__, __spec__, __package__, __doc__)
        print(sys.modules['__main__'].__dict__ is globals(), sys.exc_info(), hasattr(sys, 'last_value'))
        print(sys.stdin.read(), flush=True)
        if os.fork() == 0:  # one thread until a loop runs
            os._exit(0)
        os.wait()
        if hasattr(os, "unshare"):
            try:
                os.unshare(os.CLONE_NEWUSER)
                print("unshared")
            except OSError as error:
                print("unshare:", error.strerror)
        import atexit, copy, inspect, pickle, signal, threading, traceback, warnings
        print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
        print(threading.active_count(), [thread.name for thread in threading.enumerate()])
        class A: pass
        print(pickle.loads(pickle.dumps(A())).__class__ is A)
        for function in (os.kill, os._exit, os.posix_spawn, os.system):
            print(function, function.__name__, pickle.loads(pickle.dumps(function)), copy.deepcopy(function))
        atexit.register(print, 'bye')
        for level in range(1, 9):
            warnings.warn(f'level {level}', stacklevel=level)
        print(len(inspect.stack()))
        traceback.print_stack()
        try:
            os.posix_spawn("missing", ["missing"], {})
        except OSError:
            traceback.print_exc()
        threading.Thread(target=print, args=('late',)).start()
        sys._getframe(1)
    """,
    "reason": "import sys; sys.exit('a reason')",
    "interrupted loop": """
        import asyncio, os, signal
        async def main():
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(10)
        asyncio.run(main())
    """,
    "syntax error": "def f():\n    return 1 +\n",
    "not UTF-8": "print('caf\xe9')",
    "chain and group": """
        def fail():
            1 / 0
        try:
            fail()
        except ZeroDivisionError as e:
            raise ExceptionGroup('two', [ValueError(1), ExceptionGroup('one', [KeyError(2)])]) from e
    """,
    "excepthook": """
        import sys
        def hook(kind, error, trace):
            print(kind, error, trace.tb_next)
            sys.exit(5)
        sys.excepthook = hook
        1 / 0
    """,
    "SystemExit in a task": """
        import asyncio, sys
        async def quit_soon():
            sys.exit(7)
        async def main():
            task = asyncio.create_task(quit_soon())
            await asyncio.sleep(1)
        asyncio.run(main())
    """,
    "exception in uvloop": """
        import importlib.util
        importlib.util.find_spec("uvloop")
        import uvloop
        async def main():
            1 / 0
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
    """,
}


@pytest.mark.usefixtures("folder")
class TestLikePython:
    @pytest.mark.parametrize("text", PROGRAMS.values(), ids=PROGRAMS)
    def test_output_errors_and_exit_status_are_the_programs_own(self, text: str) -> None:
        Path("program.py").write_text(dedent(text), encoding="latin-1")
        plain, watched = (run("program.py", "a", "--stall", typed="typed") for run in (python, watch))
        assert (watched.stdout, watched.returncode) == (plain.stdout, plain.returncode)
        before_report = watched.stderr.removeprefix(plain.stderr)
        report = watched.stderr.removesuffix(plain.stderr) if before_report == watched.stderr else before_report
        assert re.fullmatch(r"(gilscope( watch)?: (?!.*Traceback).*)?", report, re.DOTALL), report
        assert len(report) + len(plain.stderr) == len(watched.stderr)

    def test_a_module_that_fails_has_the_traceback_that_it_has_with_dash_m(self) -> None:
        script("import warnings\nwarnings.warn('low', stacklevel=9)\n1 / 0", "mod.py")
        plain, watched = python("-m", "mod"), watch("-m", "mod")
        assert (watched.stderr.partition("gilscope watch: ")[0], watched.returncode) == (plain.stderr, plain.returncode)

    def test_modules_folders_compiled_files_and_standard_input_are_run_as_by_python(self) -> None:
        """In a folder with modules that are named like some of gilscope's own, which are imported already."""
        text = """
            import sys, click, statistics
            print(sys.argv, sys.path[0], __name__, __spec__ and __spec__.name, globals().get("__file__"))
            print(type(__loader__), click.MINE, statistics.MINE)
            """
        Path("app").mkdir()
        for name in ("mod.py", "app/__main__.py"):
            script(text, name)
        for name in ("click.py", "statistics.py"):
            script("MINE = __file__", name)
            script("MINE = __file__", f"app/{name}")
        py_compile.compile("mod.py", "compiled.pyc")
        for arguments in (["-m", "mod", "--live", "-o", "x", "--help"], ["app", "a"], ["compiled.pyc"], ["-", "a"]):
            plain, watched = (run(*arguments, typed=dedent(text)) for run in (python, watch))
            assert (watched.stdout, watched.returncode) == (plain.stdout, 0), watched.stderr

    def test_worker_processes_find_the_programs_main(self) -> None:
        name = script(
            """
            import multiprocessing
            def double(x): return 2 * x
            if __name__ == "__main__":
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    print(pool.map(double, [1, 2]))
            """
        )
        assert watch(name).stdout == "[2, 4]\n"

    def test_a_forked_child_that_exits_reports_nothing(self) -> None:
        name = script("import os, sys\nif os.fork() == 0: sys.exit(0)\nos.wait()")
        said = watch("--", name).stderr
        assert said.count("gilscope watch:") == 1
        assert "1 child process was started, but not watched" in said


@pytest.fixture(scope="module")
def stalled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder in which a program has stalled, with the files of its report, and the report."""
    folder = tmp_path_factory.mktemp("stalled")
    (folder / "program.py").write_text(dedent(STALLING))
    outputs = ("-o", "out.json", "-o", "out.perfetto.json")
    run = [sys.executable, "-m", "gilscope", "watch", *outputs, "program.py", "<b>"]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=True, cwd=folder)
    return folder, ended.stderr


class TestItsReport:
    def test_names_cause_line_and_remedy(self, stalled: tuple[Path, str]) -> None:
        _, said = stalled
        assert "blocked, waiting: " in said
        assert "at program.py:5 in nap (thread MainThread)" in said
        assert "-> Await an asynchronous version" in said

    def test_has_everything_in_its_json(self, stalled: tuple[Path, str]) -> None:
        folder, _ = stalled
        report = json.loads((folder / "out.json").read_bytes())
        assert (report["format"], report["kind"], report["command"]) == ("gilscope", "watch", ["program.py", "<b>"])
        culprits = [site["culprit"] for site in report["snapshot"]["sites"] if site["cause"] == "blocked, waiting"]
        assert {"file": str(folder / "program.py"), "line": 5, "function": "nap"} in culprits
        assert max(filter(None, report["timeline"]["worst"])) > 0.2

    def test_has_holders_stalls_and_lag_in_its_trace(self, stalled: tuple[Path, str]) -> None:
        folder, _ = stalled
        events = json.loads((folder / "out.perfetto.json").read_bytes())["traceEvents"]
        assert {"X", "C", "M"} == {event["ph"] for event in events}
        assert "blocked, waiting" in {event["name"] for event in events}
        assert "GIL: MainThread" in {event["args"].get("name") for event in events}
        assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")

    def test_is_printed_and_written_again_from_its_json(
        self, stalled: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, said = stalled
        monkeypatch.chdir(folder)
        assert main(["report", "out.json", "-o", "again.json"]) == 0
        assert capsys.readouterr() == (said, "")
        assert Path("again.json").read_bytes() == Path("out.json").read_bytes()


@pytest.mark.usefixtures("folder")
class TestAReport:
    def test_says_that_nothing_stalled(self) -> None:
        said = watch("--stall", "30s", script("import asyncio; asyncio.run(asyncio.sleep(0.1))")).stderr
        assert "no stall over 30.0 s" in said

    def test_live_prints_stalls_while_the_program_runs(self) -> None:
        name = script(STALLING + "\n    import sys; print('the program is done', file=sys.stderr)")
        said = watch("--live", name).stderr
        assert said.index("blocked, waiting at program.py:5 in nap") < said.index("the program is done")

    def test_live_prints_a_stall_while_it_lasts_and_when_it_is_over(self) -> None:
        said = watch("--live", script(STALLING)).stderr
        begins = re.findall(r"^gilscope: +([\d.]+) s: stalled for \S+ m?s: (.*)$", said, re.MULTILINE)
        ends = re.findall(r"^gilscope: +([\d.]+) s: stalled for \S+ m?s in all: (.*)$", said, re.MULTILINE)
        assert "blocked, waiting at program.py:5 in nap" in [why for _, why in begins]
        assert "blocked, waiting at program.py:5 in nap (thread MainThread)" in [why for _, why in ends]
        assert {when for when, _ in begins} <= {when for when, _ in ends}

    def test_live_names_the_line_that_holds_the_gil(self) -> None:
        said = watch("--live", script(HOGGING)).stderr
        words = r"stalled for \S+ m?s: asyncio_0 holds the GIL at program.py:5 in load\n"
        assert re.search(words, said), said

    def test_log_writes_what_live_prints_as_json(self) -> None:
        assert watch("--log", "stalls.log", script(STALLING)).returncode == 0
        logged = [json.loads(line) for line in Path("stalls.log").read_text().splitlines()]
        assert {line["event"] for line in logged} == {"stall", "end"}

    def test_a_log_that_cannot_be_written_is_reported_before_anything_runs(self) -> None:
        ended = watch("--log", "no/such/folder", script("print('ran')"))
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "--log: cannot write the log to no/such/folder: No such file or directory" in ended.stderr

    def test_and_its_page_depend_neither_on_the_programs_modules_nor_on_another_file(self) -> None:
        Path("out.json").symlink_to("/dev/full")
        script("", "altair.py")
        name = script(STALLING + "\n    import altair; raise SystemExit(7)")
        ended = watch("-o", "out.json", "-o", "out.html", name, "<b>")
        assert ended.returncode == 7
        report, _, last = ended.stderr.rpartition("gilscope: ")
        assert last == f"cannot write {Path('out.json').absolute()}: No space left on device\n"
        assert "blocked, waiting: " in report
        text = Path("out.html").read_text()
        assert "program.py &lt;b&gt;</h1>" in text
        assert "at program.py:5 in nap (thread MainThread)" in text
        assert report.splitlines()[1] in text

    def test_a_missing_extra_is_reported_before_anything_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gilscope.reports.files.find_spec", lambda _: None)
        with pytest.raises(BadInput, match=r"out.html needs altair and vl_convert: pip install 'gilscope\[plot\]'"):
            command.main(["-o", "out.html", script("print('ran')")], standalone_mode=False)

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["out.json", "-o", "out.svg"], "cannot write out.svg: its suffix must be one of .json, .html"),
            (
                ["out.json", "-o", "out.perfetto.json"],
                "write the trace while the program runs, with gilscope watch -o out.perfetto.json",
            ),
            (["out.json", "out.json", "-o", "out.html"], "-o writes one result: leave out OTHER"),
        ],
    )
    def test_an_impossible_report_of_a_watch_is_refused(
        self, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        codec.write(watched(), Path("out.json"))
        assert main(["report", *arguments]) == 2
        said = capsys.readouterr()
        assert complaint in said.err
        assert said.out == ""

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([], "nothing to run: give a SCRIPT, or -m MODULE"),
            (["missing.py"], "cannot open missing.py: it does not exist"),
            (
                ["-o", "out.svg", "program.py"],
                "cannot write out.svg: its suffix must be one of .perfetto.json, .json, .html",
            ),
            (["-o", "out", "program.py"], "its suffix must be one of"),
            (["-o", "no/such/out.html", "program.py"], "cannot write no/such/out.html: No such file or directory"),
            (["-o", "folder.html", "program.py"], "cannot write folder.html: not a regular file"),
            (["--bogus", "program.py"], "No such option"),
            (["--stall", "0", "program.py"], "Invalid value for '--stall': '0' is too short: the shortest is 1ms"),
            (["--stall", "50", "program.py"], "'50' without a unit is 50 seconds: write '50ms', or '50s'"),
        ],
    )
    def test_bad_input_is_refused_before_anything_runs(
        self, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        script("print('ran')")
        Path("folder.html").mkdir()
        assert main(["watch", *arguments]) == 2
        said = capsys.readouterr()
        assert complaint in said.err
        assert said.out == ""


@pytest.mark.usefixtures("folder")
def test_a_process_that_exits_while_it_is_watched_does_not_abort() -> None:
    name = script(
        "import gilscope\nwatch = gilscope.Watch()\nwatch.start()\nimport threading, time\n"
        "threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()\n"
    )
    for _ in range(5):
        ended = python(name)
        assert (ended.returncode, ended.stderr) == (0, "")
