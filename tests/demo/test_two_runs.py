import io
import random
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import msgspec
import pytest
from gilscope.cli import main
from gilscope.demo.two_runs import Change, changes
from gilscope.records import codec, result
from gilscope.records.result import Baseline, Bins, Lane, Measure, Plan, Result, Trial
from gilscope.reports.difference import Difference
from rich.console import Console

Run = Callable[..., Result]
Finished = Callable[..., Trial]
RECORDED = Path(__file__).parents[1] / "recorded"


def noisy(
    case: str, seed: int, *, lag: float = 0.001, late: float = 0.0, busy: float = 0.2, others: float = 0.0
) -> Trial:
    """Make a trial of 2 s whose lags scatter about ``lag``, of which the share ``late`` never came, with tasks of ``busy``."""
    chance = random.Random(seed)
    worst = [lag * chance.uniform(0.5, 2.0) for _ in range(200)]
    came = [int(chance.random() >= late) for _ in range(200)]
    begin = [i * busy for i in range(int(2 / busy))]
    lane = Lane(
        process=1,
        thread=2,
        loop=False,
        begin=begin,
        end=[at + busy * chance.uniform(0.9, 1.0) for at in begin],
        tasks=[1] * len(begin),
        busy=[busy] * len(begin),
    )
    lags = result.Lag(due=200, came=sum(came), p50=lag, p90=lag, p99=2 * lag, max=2 * lag)
    measure = Measure(
        start_up=0.0,
        elapsed=2.0,
        tasks=len(begin),
        rate=1.0,
        cpu=2.0,
        lag=lags,
        ticks=Bins(width=0.01, due=[1] * 200, came=came, worst=worst),
        lanes=[lane],
        others_share=others,
        idle_share=0.0,
    )
    return Trial(case=case, count=100, status="finished", measure=measure)


def shown(before: Result, after: Result, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(Difference(before, after))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def beyond(found: list[Change]) -> list[tuple[str, str]]:
    return [(change.case, change.figure) for change in found if change.beyond and not change.doubt]


def test_what_changed_is_reported_and_what_did_not_is_not(run_of: Run) -> None:
    before = run_of(noisy("thread/held", 1, lag=0.1, late=0.9), noisy("thread/released", 2))
    after = run_of(noisy("thread/held", 3, lag=0.001), noisy("thread/released", 4))
    assert beyond(changes(before, after)) == [
        ("thread/held", "came"),
        ("thread/held", "lag"),
        ("thread/held", "worst lag"),
    ]


def test_the_ratio_is_after_over_before(run_of: Run) -> None:
    before, after = run_of(noisy("thread/held", 1, busy=0.2)), run_of(noisy("thread/held", 2, busy=0.05))
    found = {change.figure: change for change in changes(before, after) if change.case == "thread/held"}
    assert found["steps/s"].ratio == pytest.approx(4.0, rel=0.1)
    assert found["steps/s"].before.median == pytest.approx(100 / 0.2, rel=0.1)
    assert found["steps/s"].beyond


def test_two_runs_of_the_same_are_never_called_different(run_of: Run) -> None:
    runs = [run_of(noisy("thread/python", seed, lag=0.02, late=0.3)) for seed in range(20)]
    assert [beyond(changes(one, other)) for one, other in combinations(runs, 2)] == [[]] * 190


def test_a_change_below_the_timers_resolution_does_not_count(run_of: Run) -> None:
    before, after = run_of(noisy("thread/held", 1, lag=0.0001)), run_of(noisy("thread/held", 2, lag=0.0009))
    assert beyond(changes(before, after)) == []


def test_a_difference_on_a_busy_machine_is_shown_and_not_judged(run_of: Run) -> None:
    before = run_of(noisy("thread/held", 1, lag=0.02, others=0.6))
    after = run_of(noisy("thread/held", 2, lag=0.1, others=0.65))
    assert beyond(changes(before, after)) == []
    text = shown(before, after, 200)
    assert (
        "Not judged: thread/held: other programs used 60% of the CPU time before and 65% after; only a ratio over 6 would "
        "count." in text
    )
    lines = text.splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith("thread/held"))
    assert [line.split()[-1] for line in lines[row + 1 : row + 3]] == ["?", "?"]


def test_a_large_difference_counts_where_both_runs_were_as_busy(run_of: Run) -> None:
    before, after = noisy("thread/held", 1, lag=0.1, others=0.6), noisy("thread/held", 2, lag=0.001, others=0.65)
    assert beyond(changes(run_of(before), run_of(after))) == [("thread/held", "lag"), ("thread/held", "worst lag")]


@pytest.mark.parametrize(("before", "after"), [(0.6, 0.0), (0.0, 0.6), (0.9, 0.7)])
def test_no_difference_counts_where_one_run_was_more_busy(run_of: Run, before: float, after: float) -> None:
    one, other = noisy("thread/held", 1, lag=0.1, others=before), noisy("thread/held", 2, lag=0.001, others=after)
    assert beyond(changes(run_of(one), run_of(other))) == []


def test_tasks_of_different_sizes_are_not_judged(run_of: Run) -> None:
    one = noisy("thread/held", 1, lag=0.1)
    other = msgspec.structs.replace(noisy("thread/held", 2), count=150)
    assert "a task had 100 steps before and 150 steps after (give --count)" in shown(run_of(one), run_of(other), 200)
    assert beyond(changes(run_of(one), run_of(other))) == []


def test_what_else_differs_between_the_runs_is_reported(run_of: Run) -> None:
    before = run_of(noisy("thread/held", 1), plan=Plan(seconds=2.0))
    after = run_of(noisy("thread/python", 1), plan=Plan(seconds=5.0), cores=8.0)
    text = shown(before, after, 200)
    assert "the two runs differ in their plan: seconds 2.0 -> 5.0" in text
    assert "the two runs differ in their machine: cores 2.0 -> 8.0" in text
    assert "measured in only one of the two runs: thread/held, thread/python" in text


def test_no_line_is_wider_than_the_terminal(run_of: Run) -> None:
    before = run_of(msgspec.structs.replace(noisy("interpreter/python", 1, lag=123.456, late=0.9), count=900_000_000))
    after = run_of(msgspec.structs.replace(noisy("interpreter/python", 2, busy=0.05), count=999_999_999))
    assert max(map(len, shown(before, after, 80).splitlines())) <= 80
    assert "…" not in shown(before, after, 80)


def test_a_result_without_lanes_has_no_steps_in_time(run_of: Run, finished: Finished) -> None:
    found = changes(run_of(finished("thread/held")), run_of(finished("thread/held")))
    assert {change.figure for change in found} == {"came", "lag", "worst lag"}


def test_two_comparisons_show_calls_per_second() -> None:
    run = codec.decode(Result, (RECORDED / "compare-hogs-3.13.json").read_bytes(), "a recorded comparison")
    calls = [change for change in changes(run, run) if change.figure == "calls/s"]
    assert any(change.case == "process x1" and change.before.median > 1 for change in calls)
    text = shown(run, run, 100)
    assert "calls/s" in text
    assert "steps/s" not in text
    assert "0.00 (0.00-0.00)" not in "".join(line for line in text.splitlines() if "calls/s" in line)


def test_two_files_are_compared(run_of: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    codec.write(run_of(noisy("thread/held", 1, lag=0.1, late=0.9)), files[0])
    codec.write(run_of(noisy("thread/held", 2)), files[1])
    assert main(["report", *map(str, files)]) == 0
    assert "Beyond the runs' own spread, 3 of 7 figures: thread/held: came, lag, worst lag." in capsys.readouterr().out


def test_one_picture_of_two_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "a.json", "b.json", "-o", str(tmp_path / "x.json")]) == 2
    assert "-o writes one result: leave out OTHER" in capsys.readouterr().err


def sliced(trial: Trial, *, rate: float, cores: list[float], wanted: float = 2.0) -> Trial:
    """Give a trial a baseline of ``rate`` steps a second; its tasks did the same steps in a second of CPU time."""
    assert trial.measure is not None
    cpu = [busy * 0.1 for busy in cores]
    baseline = Baseline(
        cores=wanted,
        elapsed=[0.1] * len(cores),
        cpu=cpu,
        queued=[0.0] * len(cores),
        rate=[rate] * len(cores),
        change=[0.0] * len(cores),
    )
    measure = msgspec.structs.replace(trial.measure, tasks=round(rate * sum(cpu) / 100), baseline_slices=baseline)
    return msgspec.structs.replace(trial, count=100, measure=measure)


def work_and_speed(before: Trial, after: Trial, run_of: Run) -> tuple[Change, Change]:
    found = {change.figure: change for change in changes(run_of(before), run_of(after)) if change.case != "idle"}
    return found["work"], found["steps/s"]


def test_a_machine_that_was_faster_changes_the_steps_a_second_and_not_the_work(run_of: Run) -> None:
    before = sliced(noisy("thread/released", 1), rate=2e9, cores=[2.0] * 20)
    after = sliced(noisy("thread/released", 2, busy=0.1), rate=4e9, cores=[2.0] * 20)
    work, speed = work_and_speed(before, after, run_of)
    assert work.ratio == pytest.approx(1.0)
    assert (work.beyond, work.doubt) == (False, "")
    assert speed.beyond
    assert speed.doubt.startswith("one task alone was 2.00 times as fast after")


def test_work_that_changed_is_reported(run_of: Run) -> None:
    before = sliced(noisy("thread/released", 1), rate=2e9, cores=[1.0] * 20, wanted=1.0)
    after = sliced(noisy("thread/released", 2), rate=2e9, cores=[2.0] * 20)
    work, _ = work_and_speed(before, after, run_of)
    assert work.ratio == pytest.approx(2.0)
    assert (work.beyond, work.doubt) == (True, "")


def test_doubtful_work_is_not_judged(run_of: Run) -> None:
    before = sliced(noisy("thread/released", 1), rate=2e9, cores=[2.0] * 20)
    after = sliced(noisy("thread/released", 2), rate=2e9, cores=[0.5] * 20)
    work, _ = work_and_speed(before, after, run_of)
    assert work.beyond
    assert work.doubt == "after, other programs used the cores nearly all the time"
    text = shown(run_of(before), run_of(after), 200)
    assert "?0.50 (0.50-0.50)" in text
    assert "Not judged: thread/released: after, other programs used the cores nearly all the time." in text


def test_doubtful_work_is_marked_also_where_it_did_not_change(run_of: Run) -> None:
    busy = sliced(noisy("thread/released", 1), rate=2e9, cores=[0.5] * 20)
    text = shown(run_of(busy), run_of(busy), 200)
    assert text.count("?0.50 (0.50-0.50)") == 2
    why = "in both runs, other programs used the cores nearly all the time."
    assert f"Do not rely on the work of thread/released: {why}" in text


def compared(run: Result, *, rate: float, calls: int, task: str = "gilscope:countdown_released") -> Result:
    """Give each trial of a recorded comparison a baseline, and this many calls in its 2 CPU seconds."""
    trials = []
    for trial in run.trials:
        assert trial.measure is not None
        given = sliced(msgspec.structs.replace(trial, count=1), rate=rate, cores=[1.0] * 20, wanted=1.0).measure
        assert given is not None
        assert given.baseline_slices is not None
        baseline = msgspec.structs.replace(given.baseline_slices, task=task)
        measure = msgspec.structs.replace(given, tasks=calls, baseline_slices=baseline)
        trials.append(msgspec.structs.replace(trial, count=1, measure=measure))
    return msgspec.structs.replace(run, trials=trials)


def test_two_comparisons_are_compared_at_one_speed_of_the_machine() -> None:
    run = codec.decode(Result, (RECORDED / "compare-hogs-3.13.json").read_bytes(), "a recorded comparison")
    before, after = compared(run, rate=2e9, calls=100), compared(run, rate=4e9, calls=200)
    found = [change for change in changes(before, after) if change.figure == "same speed"]
    assert [change.ratio for change in found] == [pytest.approx(1.0)] * len(run.trials)
    assert found[0].before.median == pytest.approx(75)  # of 50 and 100, halfway between the two speeds
    faster = next(c for c in changes(before, compared(run, rate=2e9, calls=200)) if c.figure == "same speed")
    assert (faster.beyond, faster.doubt) == (True, "")
    assert "same speed" in shown(before, after, 100)


def test_comparisons_whose_baselines_are_different_tasks_have_no_common_speed() -> None:
    """The reference of a call that yields is in Python, which is 70 times as slow as that in Rust."""
    run = codec.decode(Result, (RECORDED / "compare-hogs-3.13.json").read_bytes(), "a recorded comparison")
    before = compared(run, rate=3e7, calls=100, task="gilscope:countdown_python")
    found = changes(before, compared(run, rate=2e9, calls=100))
    assert {change.figure for change in found} == {"came", "lag", "worst lag", "calls/s"}
    assert not [change.doubt for change in found if "as fast" in change.doubt]
