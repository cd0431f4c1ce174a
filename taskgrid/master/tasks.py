"""The task queue's verbs: submit, lease, extend, release. Parse, call, answer."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import partial

from taskgrid.errors import Busy, ChunkRefused, TooLarge, UsageError
from taskgrid.journal.protocol import ChunkRow
from taskgrid.master.engine import Engine, Ticket
from taskgrid.master.polls import LongPoll
from taskgrid.model import Reduce, Run, WorkerId
from taskgrid.scheduler import lease as leasing
from taskgrid.scheduler import submit as submitting
from taskgrid.scheduler import workers
from taskgrid.scheduler.runs import RunSet, count
from taskgrid.scheduler.state import Job
from taskgrid.settings import how_to_raise
from taskgrid.transport.protocol import (
    CUT,
    Answer,
    Bundle,
    Deferred,
    Drop,
    Empty,
    ExtendReply,
    ExtendRequest,
    HeldLease,
    LeaseReply,
    LeaseRequest,
    Parts,
    Peer,
    Recheck,
    ReleaseRequest,
    SubmitReply,
    SubmitRequest,
)

_LONGEST_WAIT = 30.0
_REPLY_BYTES = 6 * CUT


class TaskQueue:
    """What `get_task_queue` gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def submit(self, peer: Peer, request: SubmitRequest, parts: Parts) -> tuple[SubmitReply, Parts]:
        """Accept a chunk, and answer when it is in the journal."""
        del peer
        try:
            return self._submit(request, _checked(request, parts))
        except (Busy, TooLarge) as error:
            self._engine.meters.refused(error)
            raise

    def _submit(self, request: SubmitRequest, lines: bytes) -> tuple[SubmitReply, Parts]:
        engine = self._engine
        self._check_room(lines)
        chunk = submitting.Chunk(request.job, request.ordinal, request.count, len(lines), request.seal, request.spec)
        with engine.lock:
            done = submitting.submit(engine.core, chunk, engine.now())
            row = ChunkRow(request.ordinal, done.first, request.count, lines) if request.count else None
            ticket = engine.append([done.change] if done.change else [], chunk=row, wake=False)
            ticket = ticket or engine.ticket(done.job, done.job.next_record - 1)
            reply = _accepted(done.job, done.first)
        if ticket:
            ticket.wait()
        if done.repeat:
            reply = reply.model_copy(update={"first": self._first_time(done.job, request, lines)})
        return reply, ()

    def _check_room(self, lines: bytes) -> None:
        engine, most = self._engine, self._engine.core.limits.max_payload_bytes
        if len(lines) > most and (longest := max(map(len, lines.split(b"\n")))) > most:
            raise TooLarge(
                f"a payload has {longest:,} bytes of JSON, more than the {most:,} that this master takes",
                hint=f"write it to shared storage and pass its path, or {how_to_raise('max_payload_bytes')}",
                setting="max_payload_bytes",
            )
        if not engine.journal.room():
            raise Busy(
                "the master's disk is almost full",
                why=engine.journal.path,
                hint="free space there, or move the journal and name it with `taskgrid master --journal`",
                setting="journal",
            )

    def lease(self, peer: Peer, request: LeaseRequest, parts: Parts) -> Answer | Deferred:
        """Give work to a worker, at once or when there is some."""
        del parts
        wait = min(request.wait, _LONGEST_WAIT)
        return self._engine.poll(peer.connection, wait, partial(self._look_for_work, peer, request))

    def _look_for_work(self, peer: Peer, request: LeaseRequest, poll: LongPoll) -> Answer | None:
        engine = self._engine
        with engine.lock:
            if engine.is_gone(peer):  # asked first: what it got would be its worker's until it expires
                engine.polls.pass_on(poll)
                return LeaseReply(ttl=engine.core.limits.lease), ()
            engine.heard(peer, request.worker)
            answer = leasing.lease(engine.core, request.worker, request.nonce, request.bundles, engine.now())
            if answer.changes:
                engine.append(answer.changes)
            tickets = [engine.ticket(job, record) for job, record in answer.rests_on.items()]
            recheck = _recheck(engine, request.worker) if not answer.grants else ()
            look_at = _look_at(engine, request.worker) if not answer.grants else ()
            if not (answer.grants or not answer.known or recheck or look_at or engine.now() >= poll.deadline):
                engine.polls.wait_for_work(poll)
                return None
            if not answer.grants:
                engine.polls.pass_on(poll)
        if not answer.grants:
            return LeaseReply(known=answer.known, ttl=engine.core.limits.lease, recheck=recheck, look_at=look_at), ()
        return self._granted(answer, tickets)

    def extend(self, peer: Peer, request: ExtendRequest, parts: Parts) -> tuple[ExtendReply, Parts]:
        """Hear a worker's beat."""
        del parts
        engine = self._engine
        held = [workers.Held(lease.token, lease.job, lease.runs) for lease in request.leases]
        with engine.lock:
            engine.heard(peer, request.worker)
            was_silent = workers.is_silent(engine.core, request.worker)
            gone = workers.extend(engine.core, request.worker, held, engine.now())
            if was_silent:
                engine.wake_if_work()
            recheck = _recheck(engine, request.worker, again=True)
            look_at = _look_at(engine, request.worker, again=True)
        drop = tuple(Drop(token=lost.token, runs=tuple(lost.runs), cancelled=lost.cancelled) for lost in gone or ())
        ttl = engine.core.limits.lease
        return ExtendReply(known=gone is not None, ttl=ttl, drop=drop, recheck=recheck, look_at=look_at), ()

    def release(self, peer: Peer, request: ReleaseRequest, parts: Parts) -> tuple[Empty, Parts]:
        """Take back tasks that were not begun."""
        del parts
        engine = self._engine
        with engine.lock:
            engine.heard(peer, request.worker)
            workers.release(engine.core, request.worker, [_held(lease) for lease in request.leases])
            engine.wake()
        return Empty(), ()

    def _first_time(self, job: Job, request: SubmitRequest, lines: bytes) -> int:
        """Answer a repeated chunk as the first time; refuse the same ordinal with other content."""
        if not request.count:
            return job.total
        stored = self._engine.journal.read_chunk(job.number, request.ordinal)
        if stored is None or (stored.count, stored.digest) != (request.count, zlib.crc32(lines)):
            raise ChunkRefused(
                f"chunk {request.ordinal} of job {job.number} was accepted with other content",
                why="a chunk may be repeated, not changed",
                hint="submit a new job, or use another key",
            )
        return stored.first

    def _granted(self, answer: leasing.Leases, tickets: Sequence[Ticket | None]) -> tuple[LeaseReply, Parts]:
        for ticket in tickets:
            if ticket:
                ticket.wait()
        bundles: list[Bundle] = []
        parts: list[bytes] = []
        size = 0
        for grant in answer.grants:
            payloads = b"\n".join(self._engine.journal.read_payloads(grant.job.number, *run) for run in grant.runs)
            kept = _fitting(payloads, _REPLY_BYTES - size, at_least=not bundles)
            runs = self._keep(grant, kept, payloads)
            if not kept:
                continue
            bundles.append(_bundle(grant, runs))
            parts.append(payloads if runs == grant.runs else b"\n".join(payloads.split(b"\n", kept)[:kept]))
            size += len(parts[-1])
        return LeaseReply(bundles=tuple(bundles), ttl=self._engine.core.limits.lease), tuple(parts)

    def _keep(self, grant: leasing.Grant, most: int, payloads: bytes) -> tuple[Run, ...]:
        """Keep the first tasks of a grant, give those back that the answer has no room for; return what is kept."""
        granted = count(grant.runs)
        bytes_each = len(payloads) / granted
        if most >= granted and bytes_each <= grant.job.payload_bytes:
            return grant.runs
        rest = RunSet(grant.runs)
        kept = grant.runs if most >= granted else tuple(rest.take(most))
        with self._engine.lock:
            # Not journaled: after a restart the first bundles, of one task each, teach how large they may grow.
            grant.job.payload_bytes = max(grant.job.payload_bytes, bytes_each)
            if kept != grant.runs:
                held = workers.Held(grant.lease.token, grant.job.number, rest.runs())
                workers.release(self._engine.core, grant.lease.worker, [held])
                self._engine.wake_if_work()
        return kept


def _fitting(payloads: bytes, room: int, *, at_least: bool) -> int:
    """Return how many of the lines fit into `room` bytes; one, `at_least`, for the wire took it when it came."""
    if len(payloads) <= room:
        return payloads.count(b"\n") + 1
    fitting = payloads.count(b"\n", 0, max(0, room))
    return max(fitting, at_least)


def _held(lease: HeldLease) -> workers.Held:
    return workers.Held(lease.token, lease.job, lease.runs)


def _checked(request: SubmitRequest, parts: Parts) -> bytes:
    lines = parts[0] if parts else b""
    if (lines.count(b"\n") + 1 if lines else 0) != request.count:
        raise UsageError(f"a chunk of {request.count} tasks came with another number of payloads")
    return lines


def _accepted(job: Job, first: int) -> SubmitReply:
    sealed = job.sealed and not (job.abandoned and job.spec.key)
    return SubmitReply(job=job.id, number=job.number, first=first, total=job.total, sealed=sealed)


def _bundle(grant: leasing.Grant, runs: tuple[tuple[int, int], ...]) -> Bundle:
    spec = grant.job.spec
    return Bundle(
        token=grant.lease.token,
        job=grant.job.number,
        function=spec.function,
        through=spec.through,
        runs=runs,
        options=grant.options,
        code="" if grant.job.any_code else spec.code.version,
        attempts=grant.attempts,
        reduce=_reduce(grant.job),
        alone=grant.alone,
        retries=grant.job.retries,
    )


def _reduce(job: Job) -> Reduce | None:
    """Return how values may be merged; after a retry any code will do, as for the function."""
    reduce = job.spec.reduce
    return reduce.model_copy(update={"code": ""}) if reduce and job.any_code else reduce


def _recheck(engine: Engine, worker_id: WorkerId, *, again: bool = False) -> tuple[Recheck, ...]:
    """Name functions whose code this worker should look at again: some job waits for other code.

    A lease request is told once per job, or the worker would ask in a circle; a beat is told each time.
    """
    worker = engine.core.workers.get(worker_id)
    waiting = leasing.waiting_for_code(engine.core, worker, again=again) if worker else ()
    return tuple(Recheck(function=job.spec.function, code=job.spec.code) for job in waiting)


def _look_at(engine: Engine, worker_id: WorkerId, *, again: bool = False) -> tuple[str, ...]:
    """Name folders that this worker should look at; like code, once to a lease request, and to beats again."""
    worker = engine.core.workers.get(worker_id)
    return leasing.places_to_look_at(engine.core, worker, again=again) if worker else ()
