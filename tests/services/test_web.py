"""The page on services holds: each of its applications and commands is run, stalled, and ended with SIGTERM."""

from __future__ import annotations

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.services.service import command_of_the_page, free_port, from_the_page, get, planted, reported, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough


def test_fastapi_under_uvicorn_is_watched_until_sigterm(tmp_path: Path) -> None:
    app, port = from_the_page(tmp_path, "app.py"), free_port()
    with running(tmp_path, *command_of_the_page("gilscope watch", port)) as service:
        assert [get(service, port, "/report") for _ in range(2)] == ['{"rows":3}'] * 2
        service.end()
    assert reported(tmp_path / "watch.json")[planted(app)] == {"blocked, waiting"}
    assert "gilscope watch: " in service.printed.read_text()


def test_a_watch_in_the_lifespan_logs_stalls_and_exports_them(tmp_path: Path) -> None:
    service_file, port = from_the_page(tmp_path, "service.py"), free_port()
    with running(tmp_path, *command_of_the_page("uvicorn", port)) as service:
        get(service, port, "/report")
        get(service, port, "/report")
        metrics = get(service, port, "/metrics")
        _, printed = service.end()
    assert logged(printed, planted(service_file))
    report = printed[printed.index("gilscope watch: ") :]
    assert re.search(rf"^   at \S*{re.escape(planted(service_file))} in report", report, re.MULTILINE)
    stalls = re.search(r'^gilscope_loop_stalls_total{cause="blocked_waiting"} (\d+)', metrics, re.MULTILINE)
    assert stalls
    assert int(stalls[1]) >= 1
    assert "gilscope_gil_readable" in metrics


def test_each_worker_of_gunicorn_is_watched(tmp_path: Path) -> None:
    service_file, port = from_the_page(tmp_path, "service.py"), free_port()
    answered: Counter[int] = Counter()
    with running(tmp_path, *command_of_the_page("gunicorn", port)) as service, ThreadPoolExecutor(4) as clients:
        # Four at once: while one worker is stalled, the other takes the next. A worker's first request may have been waiting
        # when its loop began, and then the watch has not seen the loop do anything else.
        while len(answered) < 2 or min(answered.values()) < 2:
            answers = clients.map(get, [service] * 4, [port] * 4, ["/report"] * 4)
            answered.update(json.loads(answer)["worker"] for answer in answers)
        status, printed = service.end()
    assert status == 0
    assert set(logged(printed, planted(service_file))) == {str(worker) for worker in answered}


def logged(printed: str, place: str) -> list[str]:
    """Return the processes that logged a wait at ``place``."""
    return re.findall(rf"(\d+): \d+ ms, blocked, waiting at \S*/{re.escape(place)} in report", printed)
