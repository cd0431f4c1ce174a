"""Every limit has an answer: which one it is, and how to raise it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from real_programs import Programs

from taskgrid import Grid
from taskgrid.clock import SystemClock
from taskgrid.errors import Busy, MasterUnreachable, TaskFailed, TaskGridError, TooLarge
from taskgrid.journal import Durability, SqliteJournal
from taskgrid.master.engine import Engine
from taskgrid.master.tasks import TaskQueue
from taskgrid.model import JobId, JobSpec, new_id
from taskgrid.scheduler.limits import Limits
from taskgrid.settings import GridSettings, MasterSettings, WorkerSettings
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import pack_request
from taskgrid.transport.keys import read_key
from taskgrid.transport.protocol import MAX_FRAME, Peer, SubmitRequest

TASKS = Path(__file__).parents[1] / "faults"


def _sentences(error: TaskGridError) -> str:
    return f"{error.message} {error.why} {error.hint}"


def _says_how_to_raise(error: TaskGridError, setting: str, program: str = "master") -> bool:
    ways = (f"--{setting.replace('_', '-')}", f"TASKGRID_{setting.upper()}", f"[{program}] in taskgrid.toml")
    return f"raise {setting}: " in error.hint and all(way in error.hint for way in ways)


def _reached(grid: Grid) -> dict[str, int]:
    """Return the meters that have moved."""
    return {limit.setting: limit.reached for limit in grid.control.status().limits if limit.reached}


def _used(grid: Grid, setting: str) -> int | None:
    """Return what a limit's meter shows as used."""
    return next(limit.used for limit in grid.control.status().limits if limit.setting == setting)


def test_queue_and_jobs_are_bounded_and_say_by_what(programs: Programs) -> None:
    """A submit beyond is refused with the setting's name; what was accepted before stays, and there is room again."""
    programs.start_master("--max-jobs=2", "--max-queued=10")
    with programs.grid() as grid:
        first = grid.submit_job("door_tasks:square", range(8))
        with pytest.raises(Busy) as queue:
            grid.submit_job("door_tasks:square", range(5))
        assert "10" in queue.value.why
        assert _says_how_to_raise(queue.value, "max_queued")
        assert _reached(grid) == {"max_queued": 1}
        assert _used(grid, "max_queued") == 8
        grid.submit_job("door_tasks:square", range(2))
        with pytest.raises(Busy) as jobs:
            grid.submit_job("door_tasks:square", [1])
        assert "2 jobs" in jobs.value.message
        assert _says_how_to_raise(jobs.value, "max_jobs")
        assert _reached(grid) == {"max_queued": 1, "max_jobs": 1}
        assert [note for note in grid.control.status().notes if "max_" in note] == [
            "max_queued is almost reached: 10 of 10",
            "max_jobs is almost reached: 2 of 2",
        ]
        first.cancel()
    assert first.number == 1


def test_connections_are_bounded_and_say_by_what(programs: Programs) -> None:
    """One connection too many hears which setting it ran into, and the others are served on."""
    programs.start_master("--max-connections=8")
    key, address = read_key(programs.key_file), ("127.0.0.1", int(programs.server.rpartition(":")[2]))
    grid = programs.grid()
    assert _reached(grid) == {}
    ours = [dial(address, authkey=key, timeout=20) for _ in range(7)]
    with pytest.raises(MasterUnreachable) as full:
        dial(address, authkey=key, timeout=20)
    assert "max_connections" in full.value.why
    assert _says_how_to_raise(full.value, "max_connections")
    assert _reached(grid) == {"max_connections": 1}
    assert _used(grid, "max_connections") == 8
    ours[0].send(pack_request(1, "health", b"{}", ()))
    assert ours[0].receive(20).envelope.ok
    for connection in ours:
        connection.close()
    grid.shutdown()


def test_a_large_payload_is_refused_before_it_leaves(programs: Programs) -> None:
    """The error names the item, its size, the limit, and what to do instead."""
    programs.start_master()
    with programs.grid(max_payload_bytes=1000) as grid, pytest.raises(TooLarge) as payload:
        grid.submit_job("door_tasks:square", ["x" * 2000])
    assert "1,000" in _sentences(payload.value)
    assert "raise max_payload_bytes" in payload.value.hint
    with pytest.raises(TooLarge) as frame:
        pack_request(1, "submit", b"{}", (bytes(MAX_FRAME),))
    assert "pass its path" in frame.value.hint


def test_a_master_refuses_payloads_that_are_too_large_for_it_whatever_the_client_allows(programs: Programs) -> None:
    """One large payload among small ones is found; many small ones that are large together pass."""
    programs.start_master("--max-payload-bytes=20KiB")
    with programs.grid() as grid:
        grid.submit_job("door_tasks:square", ["x" * 19_000] * 3)
        for items in (["x" * 21_000], ["y", "x" * 21_000]):
            with pytest.raises(TooLarge) as payload:
                grid.submit_job("door_tasks:square", items)
            assert "20,480" in payload.value.message
            assert _says_how_to_raise(payload.value, "max_payload_bytes")
        assert _reached(grid) == {"max_payload_bytes": 2}


def test_a_value_that_is_too_large_fails_its_task_and_says_by_what(programs: Programs) -> None:
    """The failure names the worker's setting, and the master counts it."""
    programs.start_master()
    programs.start_worker("--max-result-bytes=3", functions="door_tasks", path=TASKS)
    with programs.grid() as grid:
        job = grid.submit_job("door_tasks:square", [10, 1000])
        small, large = job.results("yield")
        assert small == 100
        assert isinstance(large, TaskFailed)
        assert "raise max_result_bytes: `taskgrid worker --max-result-bytes`" in str(large)
        assert _reached(grid) == {"max_result_bytes": 1}


def test_an_almost_full_disk_refuses_submits_and_is_counted(tmp_path: Path) -> None:
    """Before it is full, so that reports still find space; the refusal names the place."""
    journal = SqliteJournal(
        tmp_path / "journal.db", Durability.PROCESS, reserve=1 << 60, ballast=0
    )  # more than any disk
    engine = Engine(journal, SystemClock(), Limits())
    engine.meters.watch("journal")
    try:
        spec = JobSpec(id=JobId(new_id()), function="m:f")
        request = SubmitRequest(job=spec.id, ordinal=0, count=1, seal=True, spec=spec)
        with pytest.raises(Busy) as disk:
            TaskQueue(engine).submit(Peer("here", frozenset(), 1), request, (b"[1]",))
        assert str(tmp_path) in disk.value.why
        assert "`taskgrid master --journal`" in disk.value.hint
        assert [limit.reached for limit in engine.meters.show()] == [1]
        assert not engine.core.jobs
    finally:
        journal.close()


def test_status_gives_all_limits_and_what_they_say_to_prometheus(programs: Programs) -> None:
    """One call, rendered as text that a scraper reads: each limit of the master's, and a refusal's step."""
    programs.start_master("--max-queued=10", "--stock-port=0", f"--stock-key-file={programs.folder / 'stock.key'}")
    before = _scraped(programs)
    with programs.grid() as grid:
        grid.submit_job("door_tasks:square", range(8))
        with pytest.raises(Busy):
            grid.submit_job("door_tasks:square", range(5))
        shown = {limit.setting: limit for limit in grid.control.status().limits}
    after = _scraped(programs)
    assert {name for name in after if name.startswith("taskgrid_limit_reached_total")} == {
        f'taskgrid_limit_reached_total{{setting="{setting}"}}' for setting in shown
    }
    changed = {name: (before[name], value) for name, value in after.items() if before[name] != value}
    assert changed['taskgrid_limit_used{setting="max_queued"}'] == (0, 8)
    assert changed['taskgrid_limit_reached_total{setting="max_queued"}'] == (0, 1)
    assert changed['taskgrid_tasks{state="queued"}'] == (0, 8)
    assert after['taskgrid_limit{setting="max_queued"}'] == shown["max_queued"].most == 10
    assert "max_queued (1)" in _status(programs, "table")


def _scraped(programs: Programs) -> dict[str, float]:
    """Return what is read of each sample; lines that are no metrics fail."""
    lines = _status(programs, "prometheus").splitlines()
    samples = [re.fullmatch(r'(taskgrid_\w+(?:\{\w+="[^"]*"\})?) (\S+)', line) for line in lines if line[0] != "#"]
    assert all(samples)
    return {sample[1]: float(sample[2]) for sample in samples if sample}


def _status(programs: Programs, form: str) -> str:
    words = ("status", "-o", form, "--server", programs.server, "--key-file", str(programs.key_file))
    command = [*programs.python, "-m", "taskgrid", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=programs.variables(), timeout=60
    ).stdout


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (
            MasterSettings,
            ["max_connections", "max_queued", "max_jobs", "max_payload_bytes", "retention", "retention_bytes"],
        ),
        (MasterSettings, [f"stock_max_{what}" for what in ("connections", "items", "bytes", "item_bytes")]),
        (WorkerSettings, ["max_result_bytes", "max_buffer_bytes", "memory_limit", "max_tasks_per_child"]),
        (GridSettings, ["max_payload_bytes", "window"]),
    ],
)
def test_limits_are_settings_with_defaults(settings: type[MasterSettings], names: list[str]) -> None:
    """None of them has to be set, each can be, and the documented page of settings has them all."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
    for name in names:
        assert name in settings.model_fields
        assert f"`{name}`" in page
    settings()
