"""The progress line, and when the reason for a standstill is wanted."""

from __future__ import annotations

from typing import Any

from taskgrid.cli.progress import Progress, summary
from taskgrid.cli.quantities import show_duration
from taskgrid.cli.tables import job_state, show_run
from taskgrid.model import JobNumber, JobView


def _job(total: int = 100, *, sealed: bool = True, **counts: int) -> JobView:
    known: dict[str, Any] = dict(counts)
    ended = sum(counts.get(state, 0) for state in ("succeeded", "failed", "cancelled"))
    return JobView(
        id="0" * 32,
        number=JobNumber(7),
        function="m:f",
        name="f",
        owner="u@h",
        created_at=0.0,
        sealed=sealed,
        complete=sealed and ended == total,
        counts=known,
        total=total,
    )


def test_the_line_says_done_failed_rate_and_time_left() -> None:
    """Ten tasks a second with half of a hundred to go are five seconds."""
    progress = Progress(0.0)
    progress.update(_job(leased=10, queued=90), 0.0)
    progress.update(_job(succeeded=48, failed=2, leased=4, queued=46), 5.0)
    assert progress.line() == "job 7: 50/100, 2 failed, 10/s, 5s left, 4 leased"


def test_an_open_job_has_no_time_left() -> None:
    """While more may come, only what is known is told."""
    progress = Progress(0.0)
    progress.update(_job(sealed=False, queued=100), 0.0)
    progress.update(_job(sealed=False, succeeded=10, queued=90), 1.0)
    assert progress.line() == "job 7: 10/100+, 10/s"


def test_the_rate_is_of_the_last_seconds() -> None:
    """What was fast a minute ago doesn't promise anything."""
    progress = Progress(0.0)
    for second in range(61):
        progress.update(_job(10_000, succeeded=min(second, 30) * 100, leased=1), float(second))
    assert progress.rate == 0.0


def test_nothing_running_for_two_seconds_wants_a_reason() -> None:
    """A job that stands still is explained; one that moves is not."""
    progress = Progress(0.0)
    progress.update(_job(queued=100), 1.0)
    assert not progress.stuck(1.9)
    assert progress.stuck(2.0)
    progress.update(_job(queued=99, leased=1), 2.5)
    assert not progress.stuck(3.0)


def test_the_reason_takes_the_place_of_the_pace() -> None:
    """What people need when nothing runs is why."""
    progress = Progress(0.0)
    progress.update(_job(queued=100), 1.0)
    assert progress.line("no worker is connected") == "job 7: 0/100, waiting: no worker is connected"


def test_the_summary_counts_what_happened() -> None:
    """The last line names every state that tasks ended in."""
    assert summary(_job(3, succeeded=2, failed=1), 65.0) == "job 7: 2 succeeded, 1 failed in 1m05s"


def test_a_job_has_one_word() -> None:
    """A list of jobs can be read down its column."""
    states = [
        job_state(_job(2, sealed=False, queued=2)),
        job_state(_job(2, queued=2)),
        job_state(_job(2, leased=1, queued=1)),
        job_state(_job(2, succeeded=2)),
        job_state(_job(2, succeeded=1, failed=1)),
        job_state(_job(2, cancelled=2)),
    ]
    assert states == ["open", "waiting", "running", "succeeded", "failed", "cancelled"]


def test_times_and_runs_are_short() -> None:
    """Two units are enough, and runs read as selectors."""
    shown = [show_duration(seconds) for seconds in (0.85, 12, 185, 7800, 356400)]
    assert shown == ["850ms", "12s", "3m05s", "2h10m", "4d03h"]
    assert [show_run((4, 5)), show_run((4, 9))] == ["4", "4-8"]
