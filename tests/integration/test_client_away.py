"""What a client does while its master is away, and without one."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta
from pathlib import Path

import pytest
from client_tasks import same
from real_programs import Programs, eventually

from taskgrid import Grid
from taskgrid.client.beat import Beat
from taskgrid.client.callee import callee_of
from taskgrid.client.upload import Chunk, Upload
from taskgrid.errors import MasterUnreachable, NotLetIn, UsageError
from taskgrid.model import JobId, new_id
from taskgrid.transport.keys import new_key, save_key

HERE = Path(__file__).parent


def started(programs: Programs) -> None:
    """Start a worker for the tests' functions."""
    programs.start_worker(functions="client_tasks", path=HERE, slots=2)


def test_without_a_master_a_grid_says_so_within_its_connect_timeout(programs: Programs) -> None:
    """Nobody waits ten minutes for a wrong address."""
    begun_at = time.monotonic()
    with pytest.raises(MasterUnreachable):
        programs.grid(connect_timeout=1)
    assert time.monotonic() - begun_at < 3


def test_a_wrong_key_is_refused_at_the_door(programs: Programs, tmp_path: Path) -> None:
    """The first call would be too late to learn it."""
    programs.start_master()
    other = tmp_path / "other.key"
    save_key(other, new_key())
    with pytest.raises(NotLetIn):
        Grid(programs.server, key_file=other)


def test_settings_that_make_no_sense_are_refused_by_name() -> None:
    """A typo is not ignored."""
    with pytest.raises(UsageError, match="windw"):
        Grid("127.0.0.1:1", windw=3)


def test_a_killed_master_costs_a_client_nothing_but_time(programs: Programs) -> None:
    """A map, a job's results and futures go on where they were, in order, each once."""
    in_doubt = ("--lease=3s", "--beat=1s")  # tasks that may have been leased wait so long for their holders
    master = programs.start_master(*in_doubt)
    started(programs)
    with programs.grid() as grid:
        job = grid.submit_job(same, range(20_000))
        results, numbers = job.results(), grid.map(same, itertools.count())
        assert [next(results), next(numbers)] == [0, 0]
        programs.kill(master)
        waiting = [grid.submit(same, n) for n in range(100)]
        programs.start_master(*in_doubt)
        assert list(results) == list(range(1, 20_000))
        assert list(itertools.islice(numbers, 300_000)) == list(range(1, 300_001))
        assert [future.result(30) for future in waiting] == list(range(100))
        numbers.close()


def test_a_master_that_stays_away_is_given_up_in_the_end(programs: Programs) -> None:
    """Every wait ends: futures, iterations and control calls raise MasterUnreachable."""
    master = programs.start_master()
    grid = programs.grid(reconnect_for=1)
    job = grid.submit_job(same, range(10))
    results = job.results()
    future = grid.submit(same, 1)
    grid.flush()
    programs.kill(master)
    with pytest.raises(MasterUnreachable):
        next(results)
    with pytest.raises(MasterUnreachable):
        future.result(20)
    with pytest.raises(MasterUnreachable):
        job.view()
    grid.shutdown()


def test_an_open_job_stays_open_while_its_client_beats(programs: Programs) -> None:
    """Without beats the master seals it after the client's grace; another, as old, is open still."""
    programs.start_master()
    with programs.grid() as grid:
        spec = callee_of("client_tasks:same", 1000).spec().model_copy(update={"client_grace": timedelta(seconds=3)})
        kept, forsaken = (Upload(spec.model_copy(update={"id": JobId(new_id())})) for _ in range(2))
        beat = Beat(grid._link, every=0.1)
        with beat.of(kept), grid._link.tasks() as proxy:
            for upload in (kept, forsaken):
                upload.send(proxy, Chunk(b"[1]", 1))
            eventually(lambda: grid.job(forsaken.job).view().abandoned)
            assert not grid.job(kept.job).view().abandoned
        beat.stop()
        beat.join(30)
