"""Real children: what runs, what is blamed, what is given back, and what is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_bench import Bench, failure

from taskgrid.model import Cause
from taskgrid.worker.words import AT


def lines(*values: object) -> list[bytes]:
    """Return payloads with these arguments."""
    return [f"[{value}]".encode() for value in values]


def is_alive(pid: int) -> bool:
    """Say whether a process runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(true: object, within: float = 30.0) -> None:
    """Wait for a condition, with a deadline."""
    until = time.monotonic() + within
    while not true():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_bundle_comes_back_as_outcome_lines_in_order(tmp_path: Path) -> None:
    """Each payload line gives one outcome line, and durations count every success."""
    with Bench(tmp_path) as bench:
        bench.lease("double", lines(*range(500)), first=100)
        outcomes = bench.collect(500)
    assert outcomes == {100 + n: b"%d" % (2 * n) for n in range(500)}
    assert sum(count for ended in bench.taken for _, count in ended.durations) == 500


def test_a_child_is_ready_within_seconds_and_stays(tmp_path: Path) -> None:
    """Children are kept warm: bundles of one slot run in the same process."""
    with Bench(tmp_path) as bench:
        bench.lease("pid_of", lines(1))
        bench.lease("pid_of", lines(1))
        bench.lease("pid_of", lines(1), first=5)
        outcomes = set(bench.collect(3).values())
    assert len(outcomes) == 1


def test_an_exception_is_told_with_its_index_attempt_and_worker(tmp_path: Path) -> None:
    """A failed attempt is named in the report; its neighbours succeed."""
    with Bench(tmp_path) as bench:
        bench.lease("fail_at", lines("0, 2", "1, 2", "2, 2", "3, 2"), first=10, attempts=((12, 3),))
        outcomes = bench.collect(4)
    failed = failure(outcomes[12])
    assert (failed.cause, failed.attempt, failed.worker) == (Cause.ERROR, 3, "bench")
    assert [outcomes[index] for index in (10, 11, 13)] == [b"0", b"1", b"3"]
    told = [told for ended in bench.taken for told in ended.failures]
    assert [(each.index, each.type) for each in told] == [(12, "builtins.KeyError")]


def test_a_function_can_ask_which_task_it_is(tmp_path: Path) -> None:
    """`current_task()` answers with job, index and attempt."""
    with Bench(tmp_path) as bench:
        bench.lease("address", [b"[]", b"[]"], first=41, attempts=((42, 2),))
        assert bench.collect(2) == {41: b'"1.41 attempt 1"', 42: b'"1.42 attempt 2"'}


@pytest.mark.parametrize(("how", "exit_code", "by"), [("exit", 7, ""), ("segv", None, "SIGSEGV")])
def test_a_crash_blames_exactly_the_task_that_ran(tmp_path: Path, how: str, exit_code: int | None, by: str) -> None:
    """Its neighbours, also those done but not handed over, succeed in a new child."""
    with Bench(tmp_path) as bench:
        bench.lease("die", lines(*(f'{n}, "{how if n == 5 else "live"}"' for n in range(10))))
        outcomes = bench.collect(10)
    failed = failure(outcomes.pop(5))
    assert (failed.cause, failed.exit_code, failed.signal) == (Cause.CRASH, exit_code, by)
    assert f"about to {how} 5" in failed.output
    assert failed.peak_memory
    assert outcomes == {n: b"%d" % n for n in range(10) if n != 5}


def test_a_time_limit_kills_the_whole_process_tree_and_one_task(tmp_path: Path) -> None:
    """Also a program in a session of its own that the task started is gone."""
    noted = tmp_path / "pid"
    with Bench(tmp_path) as bench:
        bench.lease("hang_with_child", [f'["{noted}"]'.encode()], time_limit=1.5)
        failed = failure(bench.collect(1)[0])
        bench.lease("double", lines(2), first=1)
        assert bench.collect(2)[1] == b"4"
    assert failed.cause is Cause.TIME_LIMIT
    assert failed.seconds is not None
    assert 1.5 <= failed.seconds < 30
    wait_until(lambda: not is_alive(int(noted.read_text())))


def test_a_memory_limit_kills_the_task_that_is_over_it(tmp_path: Path) -> None:
    """The failure carries the peak."""
    with Bench(tmp_path, memory_limit=160 << 20) as bench:
        bench.lease("eat", lines(1 << 9))
        failed = failure(bench.collect(1)[0])
    assert failed.cause is Cause.MEMORY
    assert failed.peak_memory is not None
    assert failed.peak_memory > 160 << 20


def test_what_stands_behind_a_long_task_is_given_back(tmp_path: Path) -> None:
    """With no slot free the rest goes to the master, and each task runs or returns, never both."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with Bench(tmp_path) as bench:
        bench.lease("hold", [f'["{notes}", "{n}", "{gate}"]'.encode() for n in range(4)])
        bench.lease("note", [f'["{notes}", "{n}", 0]'.encode() for n in range(4, 6)], first=4)
        assert bench.released(5) == {1, 2, 3, 4, 5}
        gate.touch()
        assert bench.collect(1) == {0: b'"0"'}
        bench.lease("note", [f'["{notes}", "again", 0]'.encode()], first=9)
        bench.collect(2)
    assert notes.read_text().split() == ["0", "again"]


def test_what_comes_while_every_slot_is_at_a_long_task_is_given_back(tmp_path: Path) -> None:
    """The request that brought it was made before anybody knew of that task; another worker may be idle."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with Bench(tmp_path, slots=2) as bench:
        bench.wait_ready(2)
        for n in range(2):
            bench.lease("hold", [f'["{notes}", "{n}", "{gate}"]'.encode()], first=n)
        until = time.monotonic() + 20
        while not all(slot.is_slow for slot in bench.pool._slots):
            assert time.monotonic() < until
            time.sleep(0.01)
        bench.lease("note", [f'["{notes}", "{n}", 0]'.encode() for n in range(2, 4)], first=2)
        assert bench.released(2) == {2, 3}
        gate.touch()
        assert set(bench.collect(2)) == {0, 1}


def test_what_ended_before_a_long_task_is_handed_over_while_it_runs(tmp_path: Path) -> None:
    """A value that is there is not kept back by its neighbour, however long that takes."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    gates = [tmp_path, tmp_path, tmp_path, gate]
    with Bench(tmp_path) as bench:
        bench.lease("hold", [f'["{notes}", "{n}", "{gates[n]}"]'.encode() for n in range(4)])
        assert set(bench.collect(3)) == {0, 1, 2}
        assert not gate.exists()
        gate.touch()
        assert set(bench.collect(4)) == {0, 1, 2, 3}
    assert sum(count for ended in bench.taken for _, count in ended.durations) == 4


def test_what_stands_behind_a_long_task_goes_to_a_free_slot(tmp_path: Path) -> None:
    """The rest of the bundle ends while the long task still runs."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    gate_of = [gate, *[tmp_path] * 20]
    with Bench(tmp_path, slots=2) as bench:
        bench.wait_ready(2)
        bench.lease("hold", [f'["{notes}", "{n}", "{gate_of[n]}"]'.encode() for n in range(21)])
        assert set(bench.collect(20)) == set(range(1, 21))
        gate.touch()
        bench.collect(21)


def test_a_child_is_replaced_after_its_number_of_tasks(tmp_path: Path) -> None:
    """Also in the middle of a bundle: no child runs more than that many."""
    with Bench(tmp_path, max_tasks=4) as bench:
        bench.lease("pid_of", lines(*range(10)))
        pids = Counter(bench.collect(10).values())
    assert max(pids.values()) == 4
    assert len(pids) >= 3


def test_an_output_flood_neither_blocks_nor_fills_memory(tmp_path: Path) -> None:
    """Only the end of what a child prints is kept."""
    with Bench(tmp_path) as bench:
        bench.lease("flood", lines(32))
        assert bench.collect(1) == {0: b"32"}


def test_large_values_are_handed_over_in_pieces(tmp_path: Path) -> None:
    """A hand-over is cut at a mebibyte or one value; one that is too large fails alone."""
    with Bench(tmp_path) as bench:
        bench.lease("large", lines(*[400_000] * 5, 2_000_000))
        outcomes = bench.collect(6)
    assert failure(outcomes[5]).cause is Cause.BAD_RESULT
    assert all(len(ended.lines) <= 1 << 20 for ended in bench.taken)


def test_a_drain_finishes_what_runs_and_gives_back_the_rest(tmp_path: Path) -> None:
    """What had not begun returns at no cost; the running task's outcome is kept."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with Bench(tmp_path) as bench:
        bench.lease("hold", [f'["{notes}", "{n}", "{gate}"]'.encode() for n in range(3)])
        wait_until(notes.exists)
        bench.pool.drain()
        assert bench.released(2) == {1, 2}
        gate.touch()
        assert bench.collect(1) == {0: b'"0"'}
        assert bench.pool.join(30.0)
    assert notes.read_text().split() == ["0"]


def test_a_stop_kills_what_runs_and_gives_it_back(tmp_path: Path) -> None:
    """Nothing is blamed: the worker ended it."""
    notes = tmp_path / "notes"
    with Bench(tmp_path) as bench:
        bench.lease("note", [f'["{notes}", "{n}", 30]'.encode() for n in range(3)])
        wait_until(notes.exists)
        bench.pool.stop()
        assert bench.pool.join(30.0)
        assert bench.released(3) == {0, 1, 2}
        assert not bench.next_batch(0.2)


def test_a_dropped_task_is_killed_and_its_neighbours_are_not(tmp_path: Path) -> None:
    """A cancel kills the running attempt; the rest of the bundle runs in a new child."""
    from taskgrid.transport.protocol import Drop

    notes = tmp_path / "notes"
    with Bench(tmp_path) as bench:
        payloads = [f'["{notes}", "{n}", {30 if n == 1 else 0}]'.encode() for n in range(2)]
        bundle = bench.lease("note", payloads)
        wait_until(lambda: notes.exists() and "1" in notes.read_text())
        bench.ledger.drop([Drop(token=bundle.token, runs=((1, 2),), cancelled=True)])
        bench.pool.drop()
        assert bench.collect(1) == {0: b'"0"'}


def test_nothing_new_begins_under_a_lease_that_is_no_longer_trusted(tmp_path: Path) -> None:
    """What runs goes on; the rest waits, and goes on once a beat got through."""
    notes = tmp_path / "notes"
    with Bench(tmp_path) as bench:
        bench.wait_ready()
        bench.lease("note", [f'["{notes}", "{n}", 0.02]'.encode() for n in range(150)], ttl=0.6)
        begun = stood_still_at(lambda: len(notes.read_text().split()) if notes.exists() else 0)
        assert begun < 150
        bench.ledger.extend(bench.ledger.held(), time.monotonic() + 60)
        bench.collect(150)
    assert sorted(map(int, notes.read_text().split())) == list(range(150))


def stood_still_at(count: Callable[[], int], seconds: float = 0.7) -> int:
    """Wait until a number has not changed for a while, and return it."""
    last = (count(), time.monotonic())
    while time.monotonic() - last[1] < seconds:
        if (now := count()) != last[0]:
            last = (now, time.monotonic())
        time.sleep(0.01)
    return last[0]


def test_a_function_declared_alone_is_killed_at_the_margin(tmp_path: Path) -> None:
    """It runs again only when the lease is trusted again."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with Bench(tmp_path) as bench:
        bench.wait_ready()
        (pid,) = bench.pids()
        bench.lease("hold", [f'["{notes}", "x", "{gate}"]'.encode()], ttl=1.5, alone=True)
        wait_until(notes.exists)
        wait_until(lambda: not is_alive(pid))
        gate.touch()
        slot = bench.pool._slots[0]
        wait_until(lambda: bench.pids() not in ([], [pid]) and slot._is_ready)
        assert not bench.next_batch(0.2)
        bench.ledger.extend(bench.ledger.held(), time.monotonic() + 60)
        assert bench.collect(1) == {0: b'"x"'}
    assert notes.read_text().split() == ["x", "x"]


def test_children_that_cannot_import_end_the_pool_with_the_reason(tmp_path: Path) -> None:
    """Three in a row are enough; the folders looked in are named, and work is given back."""
    with Bench(tmp_path, modules=("no_such_module",)) as bench:
        bench.lease("double", lines(1))
        assert bench.ended.wait(20)
        assert bench.released(1) == {0}
    assert "no_such_module" in str(bench.trouble)
    assert str(tmp_path) in str(bench.trouble)


def test_a_child_that_dies_between_tasks_blames_nobody(tmp_path: Path) -> None:
    """Killed from outside while idle, it is replaced, and work goes on."""
    with Bench(tmp_path) as bench:
        bench.lease("pid_of", lines(1))
        pid = int(bench.collect(1)[0])
        os.kill(pid, 9)
        wait_until(lambda: not is_alive(pid))
        bench.lease("double", lines(4))
        assert bench.collect(2) == {0: b"8"}


def test_too_many_waiting_outcomes_stop_new_work(tmp_path: Path) -> None:
    """While the buffer is full nothing begins; it goes on when the master took some."""
    with Bench(tmp_path, max_bytes=1000) as bench:
        bench.lease("large", lines(2000))
        wait_until(lambda: bench.ledger.is_full)
        bench.lease("large", lines(10), first=1)
        assert bench.pool.demand.wait(0.2, unless=bench.ended) == (0, 0)
        assert bench.collect(2)[1] == b'"xxxxxxxxxx"'


def test_where_anything_may_run_an_edited_module_is_imported_anew(tmp_path: Path) -> None:
    """The job's code decides: a child with older code is replaced, and code that nobody has fails by name."""
    from taskgrid.functions.offers import offers_in_subprocess

    def code() -> str:
        found = offers_in_subprocess(["bench_tasks"], [tmp_path])
        return next(version.version for name, version, _ in found if name == "bench_tasks:double")

    with Bench(tmp_path, modules=(), any_function=True) as bench:
        first = code()
        bench.lease("double", lines(4), code=first)
        assert bench.collect(1) == {0: b"8"}
        source = tmp_path / "bench_tasks.py"
        source.write_text(source.read_text().replace("n * 2", "n * 30"))
        bench.lease("double", lines(4), first=1, code=code())
        assert bench.collect(2)[1] == b"120"
        bench.lease("double", lines(4), first=2, code=first)
        failed = failure(bench.collect(3)[2])
    assert failed.type == "builtins.ImportError"
    assert first in failed.message


def test_a_child_outlives_a_long_task_behind_which_everything_was_taken_back(tmp_path: Path) -> None:
    """Taking back costs the child nothing: it goes on with what it gets next."""
    with Bench(tmp_path, slots=2) as bench:
        bench.wait_ready(2)
        before = bench.pids()
        bench.lease("nap", lines(0.001, 0.4, *[0.001] * 20))
        bench.collect(22)
        bench.lease("nap", lines(*[0.001] * 5), first=22)
        bench.collect(27)
        assert bench.pids() == before


def test_taking_back_at_any_moment_runs_each_task_exactly_once(tmp_path: Path) -> None:
    """Between the child's look at the limit and the agent's look at the index no task is doubled or lost."""
    notes = tmp_path / "notes"
    with Bench(tmp_path, slots=2) as bench:
        bench.wait_ready(2)
        for first in range(0, 1600, 200):
            payloads = [f'["{notes}", "{n}", 0.001]'.encode() for n in range(first, first + 200)]
            bench.lease("note", payloads, first=first)
        until = time.monotonic() + 20
        while len(bench.outcomes) < 1600 and time.monotonic() < until:
            bench.cut_all()
            bench.collect(min(1600, len(bench.outcomes) + 1))
        bench.collect(1600)
    assert sorted(map(int, notes.read_text().split())) == list(range(1600))


def test_a_task_seen_to_begin_after_the_limit_was_lowered_is_the_childs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child had read the old limit: what it began stays its own until it says otherwise."""
    monkeypatch.setattr("taskgrid.worker.slot.STALLED_AFTER", 3600.0)  # the pool takes nothing back by itself
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    with Bench(tmp_path) as bench:
        bench.wait_ready()
        slot, (pid,), done = bench.pool._slots[0], bench.pids(), threading.Event()

        def cut_as_the_child_goes_on() -> None:
            slot.cut(bench.pool.kept, time.monotonic())
            slot.child.words.view[AT] = 1
            done.set()

        bench.lease("hold", [f'["{notes}", "{n}", "{gate}"]'.encode() for n in range(3)])
        wait_until(notes.exists)
        os.kill(pid, signal.SIGSTOP)
        bench.pool._command(cut_as_the_child_goes_on)
        assert done.wait(30)
        wait_until(lambda: slot._assigned.find(2) is None)
        assert slot._assigned.find(1) is not None
        slot.child.words.view[AT] = 0
        gate.touch()
        os.kill(pid, signal.SIGCONT)
        bench.collect(3)
    assert sorted(notes.read_text().split()) == ["0", "1", "2"]


def test_memory_that_ended_tasks_left_behind_is_nobodys_fault(tmp_path: Path) -> None:
    """A child that has grown over the limit is replaced before it gets the next task."""
    with Bench(tmp_path, memory_limit=200 << 20) as bench:
        bench.lease("leak_later", lines(300))
        pid = int(bench.collect(1)[0])
        wait_until(lambda: bench.pool._slots[0].child.resident() > 200 << 20)
        bench.lease("pid_of", lines(1), first=1)
        assert int(bench.collect(2)[1]) != pid
