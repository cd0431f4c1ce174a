"""Wall clocks that are set by an hour or a year, forth and back, under everybody's feet.

The programs run with a wall clock that the test can set (`shifted_clock`); their monotonic clock is
the machine's, as it is when somebody sets a real clock.
"""

from __future__ import annotations

import time

import pytest
from conftest import Record
from history import History
from proof_grid import HERE, SHORT_LEASE, attempts_begun, hire, traced
from proof_tasks import fails_at_first, waits_for_file
from real_programs import Programs, eventually
from scale import in_full_only

HOUR, YEAR = 3600, 365 * 86400
JUMPS = (HOUR, -HOUR, YEAR, -YEAR)


@pytest.fixture
def clock(programs: Programs) -> Clock:
    """Give the programs a wall clock to be set."""
    return Clock(programs)


class Clock:
    """The wall clock of all programs of a grid."""

    def __init__(self, programs: Programs) -> None:
        self._file = programs.folder / "clock"
        self._file.write_text("0")
        programs.environment |= {"PROOF_CLOCK": str(self._file), "PYTHONPATH": str(HERE / "shifted_clock")}

    def jump(self, seconds: float) -> None:
        """Set the clock forth, or back."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)


@in_full_only
@pytest.mark.parametrize("seconds", JUMPS)
@pytest.mark.timeout(180)
def test_a_clock_that_is_set_ends_no_lease_and_fires_delays_once(
    programs: Programs, clock: Clock, seconds: float, record_property: Record
) -> None:
    """Leases, delays and answers go by a clock that is never set."""
    go = programs.folder / "go"
    master = traced(programs).start_master(*SHORT_LEASE)
    workers = [hire(programs, slots=2) for _ in range(2)]
    with programs.grid() as grid:
        waiting = grid.submit_job(waits_for_file, [str(go)])
        delayed = grid.submit_job(fails_at_first, range(3), max_attempts=2, backoff=1.5)
        eventually(lambda: len(attempts_begun(programs)) == 4)
        clock.jump(seconds)
        assert delayed.wait(30)
        time.sleep(2.0)  # longer than a lease
        go.touch()
        assert list(waiting.results()) == [1]
        assert list(delayed.results()) == [2] * 3
    assert len(attempts_begun(programs)) == 7, "nothing ran twice, but what was to be tried again"
    assert [programs.end(program) for program in (*workers, master)] == [0, 0, 0]
    record_property("tasks", 4)


@in_full_only
@pytest.mark.parametrize("seconds", JUMPS)
@pytest.mark.timeout(180)
def test_a_master_that_starts_with_another_date_goes_on_with_what_waits(
    programs: Programs, history: History, clock: Clock, seconds: float, record_property: Record
) -> None:
    """A delay of seconds is one of seconds still, though the date at which it ends is a year off."""
    go = programs.folder / "go"
    master = programs.start_master(*SHORT_LEASE)
    worker = hire(programs, slots=2)
    with programs.grid() as grid:
        waiting = grid.submit_job(waits_for_file, [str(go)])
        delayed = grid.submit_job(fails_at_first, range(3), max_attempts=2, backoff=3)
        eventually(lambda: len(attempts_begun(programs)) == 4)
        eventually(lambda: delayed.progress().counts == {"delayed": 3})
        programs.kill(master)
        clock.jump(seconds)
        master = programs.start_master(*SHORT_LEASE)
        assert delayed.wait(30), delayed.progress()
        go.touch()
        assert list(waiting.results()) == [1]
        assert list(delayed.results()) == [2] * 3
    assert [programs.end(program) for program in (worker, master)] == [0, 0]
    record_property("tasks", 4)
