"""One trustworthy output: whoever is killed or comes late, a target holds what the committed attempt wrote."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import proof_files
from proof_grid import HERE, SHORT_LEASE
from real_programs import Programs, eventually

from taskgrid.client.beat import Beat
from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.upload import Chunk, Upload
from taskgrid.clock import SystemClock
from taskgrid.files import plan
from taskgrid.files.calling import CONVENTION, Done
from taskgrid.files.closing import publish, sweep
from taskgrid.model import JobId, JobSpec, new_id
from taskgrid.settings import GridSettings

BEATS = 1.0
"""Seconds in which a worker has said several times what it holds, and was told what it does not."""


def hire(programs: Programs) -> subprocess.Popen[bytes]:
    """Start a worker that runs `proof_files`."""
    return programs.start_worker(functions="proof_files", path=HERE)


def submitted(link: Link, function: Callable[..., object], source: Path, target: Path) -> JobId:
    """Submit one file, whole, with its target."""
    spec = JobSpec(id=JobId(new_id()), function=f"proof_files:{function.__name__}", through=CONVENTION)
    (piece,) = plan(source, "none")
    upload = Upload(spec)
    line = b'[%b,"%b"]' % (piece.model_dump_json().encode(), str(target).encode())
    with Beat(link).of(upload), link.tasks() as proxy:
        upload.send(proxy, Chunk(line, 1), seal=True)
    return upload.job


def done(link: Link, job: JobId) -> Done[str]:
    """Wait for the job's only outcome."""
    from taskgrid.client.results import rows_by_index

    ((_, part, _),) = rows_by_index(link, job)
    return Done[str].model_validate_json(part)


def heard_of(link: Link, pid: int) -> float:
    """Return when the master last heard of a worker."""
    return max(each.seen_at for each in Control(link.control).workers() if each.pid == pid)


def names_in(folder: Path) -> list[str]:
    """Return the names of all files of a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_an_output_of_a_worker_killed_between_commit_and_rename_is_published_by_the_closer(programs: Programs) -> None:
    """The commit decides: what it names is the output, though its writer never came to say so."""
    source, target = programs.folder / "in.log", programs.folder / "out" / "in.txt"
    source.write_text("a\nb\n")
    programs.start_master(*SHORT_LEASE)
    programs.environment["PYTHONPATH"] = str(HERE / "dying_publisher")
    worker = hire(programs)
    link = Link(GridSettings(server=(programs.server,), key_file=programs.key_file))
    try:
        outcome = done(link, submitted(link, proof_files.stamped, source, target))
        assert worker.wait(40) == -signal.SIGKILL
        assert outcome.written is not None
        assert names_in(target.parent) == [outcome.written.temporary.name]
        lost = target.with_name(f".{target.name}.1.99.abc.part")
        lost.write_text("an attempt that was not committed")
        for _ in range(2):  # whoever closes a second time finds all done
            publish(outcome.written)
            sweep([target])
            assert names_in(target.parent) == ["in.txt"]
        assert target.read_text() == f"{outcome.value}\na\nb\n"
    finally:
        link.close()


def test_an_attempt_that_comes_late_leaves_no_trace(programs: Programs) -> None:
    """Two workers run one task; the one whose lease was lost writes beside, is refused, and nothing of it stays."""
    source, target = programs.folder / "in.log", programs.folder / "out" / "in.txt"
    source.write_text("a\nb\n")
    programs.start_master(*SHORT_LEASE)
    stopped = hire(programs)
    link = Link(GridSettings(server=(programs.server,), key_file=programs.key_file))
    try:
        job = submitted(link, proof_files.stamped_in_turn, source, target)
        eventually((programs.folder / "begun-1").exists)
        os.kill(stopped.pid, signal.SIGSTOP)
        hire(programs)
        eventually((programs.folder / "begun-2").exists, what="another worker has the task")
        assert len(names_in(target.parent)) == 2, "each attempt writes a file of its own"
        (programs.folder / "go-1").touch()  # its process ends the task; nobody carries the outcome yet
        (programs.folder / "go-2").touch()
        outcome = done(link, job)
        eventually(target.exists, what="the worker whose report was taken publishes")
        os.kill(stopped.pid, signal.SIGCONT)
        went_on = SystemClock().now()
        eventually(lambda: heard_of(link, stopped.pid) > went_on + BEATS, what="the stopped worker lets go of the task")
        assert outcome.written is not None
        publish(outcome.written)
        sweep([target])
        assert names_in(target.parent) == ["in.txt"]
        assert target.read_text() == f"{outcome.value}\na\nb\n" == "2\na\nb\n"
    finally:
        link.close()
