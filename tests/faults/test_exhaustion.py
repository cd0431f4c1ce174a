"""A master that has run out of something: it neither dies nor spins, and serves again when it has it again."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from history import History
from leaks import held
from proof_grid import hire, traced
from proof_tasks import big, poison, traced_square
from real_programs import Programs, eventually
from scale import in_full_only

from taskgrid.transport.address import parse_address
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import pack_request
from taskgrid.transport.keys import read_key
from taskgrid.transport.protocol import Cursor, FetchRequest, Order

_PIDS = Path("/sys/fs/cgroup/pids")
SPIN = 0.4
"""Of what a process gets that does nothing but spin, on a machine that may be busy."""


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, as proc_pid_stat(5) tells."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spins(pid: int, seconds: float = 2.0) -> bool:
    """Say whether a process uses anything like what this one does, which spins for so long to compare."""
    theirs, ours, until = processor_seconds(pid), time.process_time(), time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return processor_seconds(pid) - theirs > SPIN * (time.process_time() - ours)


@contextlib.contextmanager
def strangers(server: str, count: int) -> Iterator[None]:
    """Hold that many connections open that say nothing."""
    address = parse_address(server)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(address, timeout=10))
        yield


@in_full_only
@pytest.mark.timeout(120)
def test_a_master_without_descriptors_waits_for_them_without_a_spin(programs: Programs) -> None:
    """Connections beyond its limit wait in the kernel; those that were there are served, and later ones again."""
    pid = traced(programs).start_master().pid
    with programs.grid() as grid:
        hire(programs)
        assert list(grid.submit_job(poison, ["before"]).results()) == [1]
        in_use = held(pid).descriptors
        limit_descriptors(pid, in_use + 6)
        with strangers(programs.server, 40):
            assert not spins(pid)
            assert grid.control.status(), "who was connected is served"
        limit_descriptors(pid, 1024)
        with programs.grid() as another:
            assert list(another.submit_job(poison, ["after"]).results()) == [1]


def limit_descriptors(pid: int, most: int) -> None:
    """Bound the descriptors of a process that runs."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, 1024))


@pytest.fixture
def few_threads() -> Iterator[Path]:
    """Give a control group that can bound the threads of the processes put into it."""
    group = _PIDS / f"taskgrid-{secrets.token_hex(3)}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group to bound threads with: {error}")
    yield group
    with contextlib.suppress(OSError):
        group.rmdir()


@in_full_only
@pytest.mark.timeout(120)
def test_a_master_without_threads_waits_for_them_without_a_spin(programs: Programs, few_threads: Path) -> None:
    """A connection whose thread can't start is closed; the client tries again, and is served once one can."""
    master = traced(programs).start_master()
    pid = master.pid
    with programs.grid() as grid:
        assert grid.control.status()
        (few_threads / "cgroup.procs").write_text(str(pid))
        (few_threads / "pids.max").write_text((few_threads / "pids.current").read_text())
        with strangers(programs.server, 10):
            assert not spins(pid)
            assert grid.control.status(), "who was connected is served"
        (few_threads / "pids.max").write_text("max")
        hire(programs)
        assert list(grid.submit_job(traced_square, range(20)).results())
    assert programs.end(master) == 0


@in_full_only
@pytest.mark.timeout(120)
def test_a_client_that_never_reads_its_answer_is_let_go(programs: Programs, history: History) -> None:
    """Its connection ends when its patience does; meanwhile others are served, and afterwards nothing is left of it."""
    master = programs.start_master()
    hire(programs)
    with programs.grid() as grid:
        job = grid.submit_job(big, [500_000] * 40)
        assert job.wait(60)
        before = held(master.pid).descriptors
        connection = dial(parse_address(programs.server), authkey=read_key(programs.key_file), timeout=10)
        fetch = FetchRequest(job=job.id, order=Order.INDEX, cursor=Cursor(), limit=7 << 20)
        for number in range(1, 4):
            connection.send(pack_request(number, "fetch", fetch.model_dump_json().encode(), ()))
        eventually(lambda: held(master.pid).descriptors > before, what="the master serves it")
        assert [len(value) for value in job.results()] == [500_000] * 40, "others are served meanwhile"
        eventually(lambda: held(master.pid).descriptors <= before, 60, "the master lets it go")
        assert grid.control.status()
        connection.close()
    assert programs.end(master) == 0
