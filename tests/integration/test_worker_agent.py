"""An agent with a real master over loopback: leases, reports, drains, restarts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from real_programs import reserved_port
from worker_bench import FUNCTIONS

from taskgrid.errors import FunctionRefused, TaskGridError
from taskgrid.master.program import Master
from taskgrid.model import CodeVersion, JobId, JobSpec, TaskOptions, new_id
from taskgrid.settings import MasterSettings, WorkerSettings
from taskgrid.transport.keys import make_key_files, read_key
from taskgrid.transport.manager import GridManager
from taskgrid.transport.protocol import Cursor, FetchRequest, Order, Selector, SelectRequest, SubmitRequest
from taskgrid.worker import pool
from taskgrid.worker.agent import Agent
from taskgrid.worker.births import no_child_works
from taskgrid.worker.repertoire import Repertoire


class House:
    """A master in this process, and agents in threads of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bench_tasks.py").write_text(FUNCTIONS)
        self.key_file = make_key_files(folder / "keys")
        self._reserved = reserved_port()
        self.port = self._reserved.getsockname()[1]
        self.start_master()
        self.agents: list[tuple[Agent, threading.Thread]] = []
        self.statuses: list[int] = []
        self.manager = self.connect(reconnect_for=20.0)
        self.tasks = self.manager.get_task_queue()
        self.outcomes = self.manager.get_result_queue()
        self.control = self.manager.get_control()

    def start_master(self) -> None:
        """Start the master, at the same port as before."""
        settings = MasterSettings(
            host="127.0.0.1",
            port=self.port,
            journal=str(self.folder / "journal.db"),
            durability="process",
            key_file=self.key_file,
            lease=timedelta(seconds=3),
            beat=timedelta(seconds=0.5),
        )
        self.master = Master(settings)
        self.master.start()

    def connect(self, **options: Any) -> GridManager:
        """Make a manager of this master."""
        return GridManager([f"127.0.0.1:{self.port}"], read_key(self.key_file), **options)

    def hire(self, **settings: object) -> Agent:
        """Start an agent."""
        chosen = WorkerSettings.model_validate(
            {"slots": 1, "functions": ("bench_tasks",), "path": (self.folder,), "name": "tester"} | settings
        )

        def on_wait(why: str) -> None:
            agent.hear_nothing(why)

        agent = Agent(chosen, self.connect(reconnect_for=None, on_wait=on_wait))
        thread = threading.Thread(target=lambda: self.statuses.append(agent.run()))
        thread.start()
        self.agents.append((agent, thread))
        return agent

    def submit(self, function: str, payloads: list[bytes], **options: object) -> JobId:
        """Submit a job of one chunk."""
        job = JobId(new_id())
        spec = JobSpec(
            id=job,
            function=f"bench_tasks:{function}",
            options=TaskOptions.model_validate(options),
            code=CodeVersion(),
        )
        request = SubmitRequest(job=job, ordinal=0, count=len(payloads), spec=spec, seal=True)
        self.tasks.submit(request, (b"\n".join(payloads),))
        return job

    def results(self, job: JobId, within: float = 40.0) -> list[bytes]:
        """Fetch all outcome lines of a job by index."""
        queue, cursor, lines = self.outcomes, Cursor(), []
        until = time.monotonic() + within
        while True:
            reply, parts = queue.fetch(FetchRequest(job=job, order=Order.INDEX, cursor=cursor, wait=1.0))
            for row, part in zip(reply.rows, parts, strict=True):
                lines += [b"cancelled"] * row.count if row.cancelled else part.split(b"\n")
            cursor = reply.cursor
            if reply.complete and not reply.rows:
                return lines
            assert time.monotonic() < until, f"{len(lines)} outcomes came"

    def close(self) -> None:
        """End everything."""
        for agent, thread in self.agents:
            if thread.is_alive():
                agent.stop()
        for _, thread in self.agents:
            thread.join(40)
            assert not thread.is_alive()
        self.manager.close()
        self.master.stop()
        self._reserved.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Give a master that the test may hire workers for."""
    house = House(tmp_path)
    yield house
    house.close()


def wait_until(true: object, within: float = 30.0) -> None:
    """Wait for a condition, with a deadline."""
    until = time.monotonic() + within
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_job_comes_back_complete_and_in_order(house: House) -> None:
    """From the lease to the report nothing is lost or mixed up."""
    house.hire(slots=2)
    job = house.submit("double", [b"[%d]" % n for n in range(20_000)])
    assert house.results(job) == [b"%d" % (2 * n) for n in range(20_000)]


def test_failures_crashes_and_limits_are_reported_with_their_cause(house: House) -> None:
    """One bad task harms one task."""
    house.hire()
    crash = house.submit("die", [b'[%d, "%s"]' % (n, b"exit" if n == 2 else b"live") for n in range(5)])
    limit = house.submit("nap", [b"[30]", b"[0]"], time_limit=0.3)
    results = house.results(crash)
    assert [line for line in results if not line.startswith(b"!")] == [b"0", b"1", b"3", b"4"]
    assert b'"crash"' in results[2]
    results = house.results(limit)
    assert b'"time-limit"' in results[0]
    assert results[1] == b"0.0"


def test_a_drain_ends_with_status_0_and_gives_back_what_waits(house: House) -> None:
    """The next worker gets the rest."""
    first = house.hire()
    notes, gate = house.folder / "notes", house.folder / "gate"
    payloads = [b'["%s", "%d", "%s"]' % (str(notes).encode(), n, str(gate).encode()) for n in range(4)]
    job = house.submit("hold", payloads)
    wait_until(notes.exists)
    first.drain()
    gate.touch()
    house.agents[0][1].join(40)
    assert house.statuses == [0]
    house.hire()
    assert house.results(job) == [b'"%d"' % n for n in range(4)]
    assert sorted(notes.read_text().split()) == ["0", "1", "2", "3"]


def test_a_drain_without_a_master_waits_for_it_only_with_outcomes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has nothing that could be done yet, and leaves; the other leaves when its outcome was taken."""
    monkeypatch.setattr("taskgrid.worker.agent._JOIN", 600.0)  # what is waited for needlessly shows
    for _ in range(2):
        house.hire(drain_timeout=timedelta(minutes=5))
    notes, gate = house.folder / "notes", house.folder / "gate"
    wait_until(lambda: len(house.control.workers()[0].workers) == 2)
    job = house.submit("hold", [b'["%s", "x", "%s"]' % (str(notes).encode(), str(gate).encode())])
    wait_until(notes.exists)
    house.master.stop()
    gate.touch()
    for agent, _ in house.agents:
        agent.drain()
    wait_until(lambda: house.statuses == [0])
    house.start_master()
    wait_until(lambda: house.statuses == [0, 0])
    assert house.results(job) == [b'"x"']
    assert notes.read_text().split() == ["x"]


def test_slots_work_on_while_the_master_restarts(house: House) -> None:
    """Outcomes wait, the leases are taken up again, and nothing runs twice."""
    house.hire(slots=2)
    notes = house.folder / "notes"
    job = house.submit("note", [b'["%s", "%d", 0.05]' % (str(notes).encode(), n) for n in range(60)])
    wait_until(lambda: notes.exists() and len(notes.read_text().split()) > 10)
    house.master.stop()
    time.sleep(0.3)
    house.start_master()
    assert house.results(job) == [b'"%d"' % n for n in range(60)]
    assert sorted(notes.read_text().split()) == sorted(str(n) for n in range(60))


def test_a_cancel_kills_the_running_attempt_at_the_next_beat(house: House) -> None:
    """The slot is free again long before the task would have ended."""
    house.hire()
    notes = house.folder / "notes"
    job = house.submit("note", [b'["%s", "x", 30]' % str(notes).encode()])
    wait_until(notes.exists)
    house.control.cancel(SelectRequest(selectors=(Selector(job=job),)))
    after = house.submit("double", [b"[1]"])
    assert house.results(after, within=25) == [b"2"]


def test_a_module_that_cannot_be_imported_ends_the_worker_at_its_start(house: House) -> None:
    """It says which folders it looked in, and the exit status is not 0."""
    agent = house.hire(functions=("no_such_module",))
    house.agents[0][1].join(40)
    assert house.statuses == [2]
    assert "no_such_module" in str(agent._error)


def test_a_module_that_cannot_be_imported_is_named_also_where_task_processes_try_it_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is quicker to find out, the worker says the same and ends with the same status."""
    given_up, look = threading.Event(), Repertoire._look

    def give_up(trouble: str) -> TaskGridError:
        given_up.set()
        return no_child_works(trouble)

    def look_late(repertoire: Repertoire) -> Any:
        given_up.wait(40)
        return look(repertoire)

    monkeypatch.setattr(pool, "no_child_works", give_up)
    monkeypatch.setattr(Repertoire, "_look", look_late)
    agent = house.hire(functions=("no_such_module",))
    house.agents[0][1].join(40)
    assert house.statuses == [2]
    assert isinstance(agent._error, FunctionRefused)


def test_changed_code_is_noticed_when_a_job_means_it(house: House) -> None:
    """Children are replaced between bundles, and the job runs with the code it means."""
    from taskgrid.functions.offers import offers_in_subprocess

    house.hire()
    assert house.results(house.submit("double", [b"[4]"])) == [b"8"]
    source = house.folder / "bench_tasks.py"
    source.write_text(FUNCTIONS.replace("n * 2", "n * 30"))  # another size: Python compares sizes and whole seconds
    code = next(code for name, code, _ in offers_in_subprocess(["bench_tasks"], [house.folder]) if "double" in name)
    job = JobId(new_id())
    spec = JobSpec(id=job, function="bench_tasks:double", code=code)
    house.tasks.submit(SubmitRequest(job=job, ordinal=0, count=1, spec=spec, seal=True), (b"[4]",))
    assert house.results(job) == [b"120"]
