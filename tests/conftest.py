"""Decides which tests share the machine and which are skipped, checks what tests leave behind, and makes records."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest
from gilscope.records.machine import Machine
from gilscope.records.result import Bins, Lag, Measure, Plan, Result, Trial

from tests.support import leftovers, quiet

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

pytest.register_assert_rewrite("tests.support.child", "tests.support.stalling")

# A time limit for each example would be a timed test: it fails when the machine stands still for 0.2 s.
hypothesis.settings.register_profile("no time limit", deadline=None)
hypothesis.settings.load_profile("no time limit")

Finished = Callable[..., Trial]
Run = Callable[..., Result]
MAX_WORKERS = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skip-thorough", action="store_true", help="Skip the tests that are marked as thorough.")


def pytest_configure() -> None:
    """Give the signals their usual actions: a shell, or nohup, lets what it starts in the background ignore some."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest files first, and the tests that need real time last, alone; ``--skip-thorough`` skips thorough tests."""
    thorough = {item.path for item in items if item.get_closest_marker("thorough")}
    items.sort(key=lambda item: (_needs_real_time(item), item.path not in thorough))
    if config.getoption("--skip-thorough"):
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(
                    pytest.mark.skip(reason="thorough: left to the default, the oldest and the newest Python")
                )


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Measure no coverage, here and in child processes: its functions would be on the stacks, and it keeps code objects."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    if sys.version_info < (3, 12):
        yield  # it is native there
        return
    tools = [tool for tool in range(6) if "coverage" in (sys.monitoring.get_tool(tool) or "")]
    events = [sys.monitoring.get_events(tool) for tool in tools]
    for tool in tools:
        sys.monitoring.set_events(tool, 0)
    yield
    for tool, event in zip(tools, events, strict=True):
        sys.monitoring.set_events(tool, event)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores, because many tests wait for a child process."""
    return min(MAX_WORKERS, len(os.sched_getaffinity(0)) + 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    from tests.support.distribution import TimingLast

    return TimingLast(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with quiet.machine(alone=_needs_real_time(item)):
        return (yield)


@pytest.fixture(autouse=True, scope="session")
def all_that_stays_is_open() -> None:
    leftovers.open_what_stays()


@pytest.fixture(scope="session")
def vl_convert_is_open() -> None:
    """Open the descriptors that vl-convert keeps as long as the process lives: a test that leaves one behind fails."""
    import vl_convert  # few tests draw, and loading it takes a while

    vl_convert.vega_to_svg({"$schema": "https://vega.github.io/schema/vega/v6.json"})
    vl_convert.javascript_bundle("")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Fail a test that leaves a thread of gilscope, an open descriptor or a hook behind."""
    before = leftovers.Footprint()
    yield
    assert not (left := before.left_since()), f"the test leaves behind: {', '.join(left)}"


@pytest.fixture
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pytest that a test starts load only the plugins that it names: loading all takes longer than most such tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def _needs_real_time(item: pytest.Item) -> bool:
    return item.get_closest_marker("timing") is not None


@pytest.fixture(scope="session")
def finished() -> Finished:
    """Return a function that makes a trial from its ticks, its lags and its work; one task alone has a rate of 1000."""

    def make(
        case: str,
        *,
        came: int = 200,
        due: int = 200,
        p50: float = 0.001,
        p99: float = 0.002,
        work: float = 1.0,
        start_up: float = 0.01,
        cpu: float = 3.9,
    ) -> Trial:
        bins = Bins(width=0.01, due=[1] * due, came=[1] * came + [0] * (due - came), worst=[p99] * due)
        lag = Lag(due=due, came=came, p50=p50, p90=p50, p99=p99, max=p99)
        measure = Measure(start_up=start_up, elapsed=2.0, tasks=10, rate=1000 * work, cpu=cpu, lag=lag, ticks=bins)
        return Trial(case=case, count=200, status="finished", measure=measure)

    return make


@pytest.fixture(scope="session")
def run_of(finished: Finished) -> Run:
    """Return a function that makes a result from trials."""

    def make(*trials: Trial, plan: Plan | None = None, cores: float = 2.0, interrupted: bool = False) -> Result:
        return Result(
            version="0.1.0",
            created="2026-01-02T03:04:05+00:00",
            machine=Machine(
                python="3.13.0",
                implementation="CPython",
                gil=True,
                system="Linux 6",
                processor="a processor",
                cores=cores,
            ),
            plan=plan or Plan(),
            alone={"python": 1000.0, "held": 1000.0, "released": 1000.0},
            idle=finished("idle"),
            trials=list(trials),
            interrupted=interrupted,
        )

    return make


@pytest.fixture
def blocked() -> Callable[[str, float], Trial]:
    """Return a function that makes a trial whose event loop was blocked until the end, when the first tick came."""

    def make(case: str, seconds: float) -> Trial:
        tick = 0.01
        due = round(seconds / tick) - 1
        worst = [0.0, *(seconds - tick * i for i in range(1, due + 1))]
        ticks = Bins(width=tick, due=[0] + [1] * due, came=[0, 1] + [0] * (due - 1), worst=worst)
        lag = Lag(due=due, came=1, p50=seconds / 2, p90=seconds * 0.9, p99=seconds * 0.99, max=seconds - tick)
        measure = Measure(start_up=0.0, elapsed=seconds, tasks=1, rate=1.0, cpu=seconds, lag=lag, ticks=ticks)
        return Trial(case=case, count=1, status="finished", measure=measure)

    return make
