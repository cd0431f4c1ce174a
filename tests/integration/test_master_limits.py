"""Every limit has an answer: which one it is, and how to raise it."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_programs import Programs

from taskgrid.errors import Busy, MasterUnreachable, TaskGridError, TooLarge
from taskgrid.settings import GridSettings, MasterSettings, WorkerSettings
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import pack_request
from taskgrid.transport.keys import read_key
from taskgrid.transport.protocol import MAX_FRAME

TASKS = Path(__file__).parents[1] / "faults"


def _sentences(error: TaskGridError) -> str:
    return f"{error.message} {error.why} {error.hint}"


def test_queue_and_jobs_are_bounded_and_say_by_what(programs: Programs) -> None:
    """A submit beyond is refused with the setting's name; what was accepted before stays, and there is room again."""
    programs.start_master("--max-jobs=2", "--max-queued=10")
    with programs.grid() as grid:
        first = grid.submit_job("door_tasks:square", range(8))
        with pytest.raises(Busy) as queue:
            grid.submit_job("door_tasks:square", range(5))
        assert "10" in queue.value.why
        assert "max_queued" in queue.value.hint
        grid.submit_job("door_tasks:square", range(2))
        with pytest.raises(Busy) as jobs:
            grid.submit_job("door_tasks:square", [1])
        assert "2 jobs" in jobs.value.message
        assert "max_jobs" in jobs.value.hint
        first.cancel()
    assert first.number == 1


def test_connections_are_bounded_and_say_by_what(programs: Programs) -> None:
    """One connection too many hears which setting it ran into, and the others are served on."""
    programs.start_master("--max-connections=8")
    key, address = read_key(programs.key_file), ("127.0.0.1", int(programs.server.rpartition(":")[2]))
    ours = [dial(address, authkey=key, timeout=20) for _ in range(8)]
    with pytest.raises(MasterUnreachable) as full:
        dial(address, authkey=key, timeout=20)
    assert "max_connections" in full.value.why
    assert "--max-connections" in full.value.hint
    ours[0].send(pack_request(1, "health", b"{}", ()))
    assert ours[0].receive(20).envelope.ok
    for connection in ours:
        connection.close()


def test_a_large_payload_is_refused_before_it_leaves(programs: Programs) -> None:
    """The error names the item, its size, the limit, and what to do instead."""
    programs.start_master()
    with programs.grid(max_payload_bytes=1000) as grid, pytest.raises(TooLarge) as payload:
        grid.submit_job("door_tasks:square", ["x" * 2000])
    assert "1,000" in _sentences(payload.value)
    with pytest.raises(TooLarge) as frame:
        pack_request(1, "submit", b"{}", (bytes(MAX_FRAME),))
    assert "pass its path" in frame.value.hint


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (MasterSettings, ["max_connections", "max_queued", "max_jobs", "retention", "retention_bytes"]),
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
