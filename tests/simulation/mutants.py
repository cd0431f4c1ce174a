"""Production code made wrong on purpose: each mutant breaks one promise, and some seed must show it.

A mutant replaces one function (or one number) by what a hurried change could have left there. What
the simulation does not notice, it does not test.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from taskgrid.client import results as client_results
from taskgrid.client import tree, upload
from taskgrid.lifecycle import BYTE, ENDED
from taskgrid.master import engine, results
from taskgrid.model import Verdict
from taskgrid.scheduler import apply, checkpoint, control, isolation, lease, report, state, submit, workers
from taskgrid.worker import ledger

from .leanings import (
    AWAY,
    BROUGHT_BACK,
    CUT,
    DEADLY,
    DECLARED,
    DOUBT,
    FAILING,
    FAILING_UNSYNCED,
    FULL,
    LATE,
    MERGED,
    MERGED_RESTORED,
    OUT_OF_TOUCH,
    REPEATED,
    RESTORED,
    SUPERSEDED,
    SUSPENDED,
    UNSYNCED,
)
from .world import Leaning

_ENDED = frozenset(BYTE[each] for each in ENDED)


@dataclass(frozen=True)
class Mutant:
    """What is replaced, by what, in which kind of world, and the seeds among which one must show it."""

    where: Any
    name: str
    worse: Any
    leaning: Leaning | None = None
    first: int = 0
    within: int = 60


def _any_token_is_taken(job: Any, token: Any, index: int) -> Any:
    if index >= job.total:
        return Verdict.STALE
    return None if job.states[index] in _ENDED else Verdict.TAKEN


def _expire_and_forget(core: Any, lost: Any, done: Any, now: float) -> None:
    core.drop_lease(lost)


def _lease_without_floor(job: Any, record: Any) -> None:
    for start, stop in record.runs:
        job.unqueue(start, stop)


def _forget_floors(job: Any) -> None:
    for page in job.trails._pages.values():
        page.floors = array("Q", bytes(8 * len(page.floors)))


def _restore_without_floors(core: Any, job: Any, now: float) -> None:
    _forget_floors(job)
    _restore(core, job, now)


def _restore_without_doubt(core: Any, job: Any, now: float) -> None:
    _restore(core, job, now)
    for run in job.doubt.take(len(job.doubt)):
        job.again.add(*run)


_restore = checkpoint.restore


def _floor_of_records(job: Any, index: int) -> int:
    return job.trails.floor(index)


def _restore_and_bring_back(core: Any, job: Any, now: float) -> None:
    _restore(core, job, now)
    for run in job.held_back.take(len(job.held_back)):
        job.again.add(*run)
    core.waiting.settle(job)


def _restore_what_jobs_say(core: Any, job: Any, now: float) -> None:
    job.alone = job.spec.options.alone
    _restore(core, job, now)


def _leased_without_tries(job: Any, lost: Any, runs: Any) -> Any:
    return _leased(job, lost, runs).model_copy(update={"tries": ()})


_leased = lease._leased


def _suspect_among_others(
    core: Any, job: Any, index: int, done: Any, now: float, *, charged: bool, singly: bool
) -> None:
    past = job.trails.past(index)
    job.trails.put(index, past._replace(attempts=past.attempts + 1))
    apply.place(job, index, index + 1)


def _suspect_by_mere_presence(
    core: Any, job: Any, index: int, done: Any, now: float, *, charged: bool, singly: bool
) -> None:
    _suspect(core, job, index, done, now, charged=charged or singly, singly=singly)


_suspect = workers._suspect


def _settle_without_counting(core: Any, job: Any) -> None:
    queued, was_active = core.queued, job.number in core.active
    _settle(core, job)
    if job.next_record > 3 and not was_active:
        core.queued = queued


_settle = state.Core.settle


def _take_up_whatever_ended(core: Any, job: Any, worker: Any, held: Any, now: float) -> Any:
    _forget_floors(job)
    return _take_up(core, job, worker, held, now)


_take_up = workers._take_up


def _try_again_under_the_same_token(job: Any, record: Any, again: Any) -> None:
    earlier = record.token._replace(counter=record.token.counter - 1)
    _try_again(job, record.model_copy(update={"token": earlier}), again)


_try_again = apply._try_again


def _fall_due_never(job: Any, done: Any, now: float) -> None:
    """Forget that a backoff is over."""


def _all_expire_at_the_grace(job: Any, worker: Any) -> Any:
    return lease.options_for(job, worker).model_copy(update={"alone": False})


def _owned_without_looking(_: Any, asked: Any, run: Any) -> Any:
    return [(run, Verdict.YOURS)]


def _position_as_asked(_: Any, job: Any, request: Any) -> int:
    return request.cursor.position


def _shared_by_all_starts(queue: Any, job: Any, cursor: Any) -> int:
    current = cursor.epoch == queue._engine.core.epoch.number
    return job.committed_sequence if current else job.restored_sequence


def _repeat_is_new(core: Any, chunk: Any, now: float) -> Any:
    job = core.by_id.get(chunk.job)
    if job is not None and chunk.ordinal < job.next_ordinal and not job.sealed:
        return submit._accept(core, job, chunk, [], now)
    return _submit(core, chunk, now)


_submit = submit.submit


def _put_nothing_back(held: Any, batch: Any) -> None:
    held._in_flight = 0


def _visible_at_once(job: Any) -> None:
    _note_position(job)
    job.committed(job.next_record - 1)


_note_position = state.Job.note_position


def _sealed_is_enough(self: Any, proxy: Any, chunk: Any, *, seal: bool = False) -> None:
    if not self.sealed:
        _send(self, proxy, chunk, seal=seal)


_send = upload.Upload.send


def _complete_as_committed(job: Any) -> Any:
    return job.committed_ended and job.committed_sequence == job.next_sequence - 1


def _never(*_: Any, **__: Any) -> None:
    """Do nothing."""


def _enlist_as_if_it_held_nothing(core: Any, worker: Any) -> None:
    _enlist(core, worker)
    worker.told = True


_enlist = workers.enlist


def _any_beat_will_do(core: Any, worker_id: Any, held: Any, now: float) -> Any:
    if worker := core.workers.get(worker_id):
        worker.under_way.clear()
    return _extend(core, worker_id, held, now)


_extend = workers.extend


def _yes(*_: Any, **__: Any) -> bool:
    return True


def _no(*_: Any, **__: Any) -> bool:
    return False


def _doubt_ends_soon(core: Any, job: Any) -> float:
    return core.doubt_until - core.limits.lease + 0.1


def _as_judged(verdicts: Any, whole: Any) -> Any:
    return verdicts


def _add_block_again(self: Any, number: int, value: Any) -> None:
    self.count += tree.MERGE_BLOCK
    self._grow((number + 1) * tree.MERGE_BLOCK - 1)
    self._put(1, number, value)


MUTANTS: dict[str, Mutant] = {
    "a merged value is taken for some of its tasks": Mutant(report, "_without_broken", _as_judged, MERGED, first=41),
    "a merged value counts once more when it comes again": Mutant(
        tree.Tree, "add_block", _add_block_again, MERGED_RESTORED
    ),
    "no fencing: a report is taken whatever its token": Mutant(report, "_verdict", _any_token_is_taken, LATE, first=3),
    "a commit is answered before its fsync": Mutant(engine.Ticket, "wait", _yes),
    "memory is shown before its commit": Mutant(state.Job, "note_position", _visible_at_once),
    "the tasks of a lost worker are forgotten": Mutant(workers, "_expire", _expire_and_forget, first=2),
    "leases expire while the master is suspended": Mutant(workers, "_extend_all", _never, SUSPENDED, first=3),
    "a cursor beyond the end is answered with silence": Mutant(
        results.ResultQueue, "_position", _position_as_asked, UNSYNCED, first=5
    ),
    "a job is called complete while a retry of it is on its way": Mutant(
        results, "is_complete", _complete_as_committed, first=35_681, within=1
    ),
    "a later lease sets no floor": Mutant(apply, "_lease", _lease_without_floor, first=14),
    "a first lease is good whenever it was": Mutant(state.Job, "floor", _floor_of_records, first=40_693, within=1),
    "floors are not restored on replay": Mutant(checkpoint, "restore", _restore_without_floors, first=9),
    "nobody waits for those who may still hold a task": Mutant(checkpoint, "restore", _restore_without_doubt, first=14),
    "doubt ends before an alone task's lease does": Mutant(
        state.Core, "doubt_ends_at", _doubt_ends_soon, DOUBT, first=1
    ),
    "what may still run where it was cancelled is brought back": Mutant(
        control, "_hold_back", _never, first=38_367, within=1
    ),
    "a restart brings back what may still run where it was cancelled": Mutant(
        checkpoint, "restore", _restore_and_bring_back, CUT, first=106, within=1
    ),
    "what only a function says is forgotten with the master": Mutant(
        checkpoint, "restore", _restore_what_jobs_say, DECLARED, first=35, within=1
    ),
    "suspects are not leased singly": Mutant(workers, "_suspect", _suspect_among_others, first=5),
    "who was only there when a worker was lost is charged": Mutant(
        workers, "_suspect", _suspect_by_mere_presence, DEADLY
    ),
    "a worker that has a task to itself gets others": Mutant(isolation, "gets_nothing", _no, DEADLY),
    "a worker gets tasks before it has said what it holds": Mutant(
        workers, "enlist", _enlist_as_if_it_held_nothing, first=23_784, within=1
    ),
    "a beat of before a lease came says that it is not there": Mutant(
        workers, "extend", _any_beat_will_do, SUPERSEDED, first=50_100, within=1
    ),
    "losses are forgotten with the master": Mutant(lease, "_leased", _leased_without_tries, first=14),
    "a job that goes on after its end is not counted": Mutant(
        state.Core, "settle", _settle_without_counting, BROUGHT_BACK
    ),
    "a lease of before is taken up whatever came since": Mutant(
        workers, "_take_up", _take_up_whatever_ended, SUPERSEDED, first=4
    ),
    "a failed attempt's token stays good": Mutant(
        apply, "_try_again", _try_again_under_the_same_token, FAILING, first=2
    ),
    "backoffs never end": Mutant(workers, "_fall_due", _fall_due_never, first=1),
    "alone tasks move when the connection does": Mutant(
        workers, "options_for", _all_expire_at_the_grace, OUT_OF_TOUCH, first=34
    ),
    "already yours, without a look at the journal": Mutant(
        results.ResultQueue, "_owners", _owned_without_looking, REPEATED, first=2
    ),
    "a repeated chunk is taken for a new one": Mutant(submit, "submit", _repeat_is_new, first=7),
    "the mark is not written ahead": Mutant(lease, "next_mark", _never, first=2),
    "tokens of another history are known": Mutant(state.Core, "known_token", _yes, RESTORED),
    "a token of before a job speaks of it": Mutant(
        state.Job, "floor", _floor_of_records, FAILING_UNSYNCED, first=115, within=1
    ),
    "a worker trusts its lease longer than the master": Mutant(ledger, "MARGIN", -0.5, OUT_OF_TOUCH, first=3),
    "outcomes that shall come later are forgotten": Mutant(ledger.Ledger, "_put_back", _put_nothing_back, FULL),
    "an iteration forgets what it gave": Mutant(client_results._Given, "before", _no, UNSYNCED, first=1),
    "chunks after a repeat of a sealed job are dropped": Mutant(
        upload.Upload, "send", _sealed_is_enough, AWAY, first=24
    ),
    "a backoff whose end no record tells stays": Mutant(apply, "_fall_due", _never, FAILING_UNSYNCED, first=3),
    "a cursor is trusted whatever started since": Mutant(
        results.ResultQueue, "_shared", _shared_by_all_starts, RESTORED, first=8
    ),
}
