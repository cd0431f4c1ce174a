"""The result queue's verbs: report, fetch, payloads. Parse, call, answer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial

from taskgrid.errors import TooLarge, UnknownJob, UsageError
from taskgrid.master.engine import Engine
from taskgrid.master.polls import LongPoll
from taskgrid.model import JobId, Run, Verdict
from taskgrid.model.outcome import TOO_LARGE
from taskgrid.scheduler import report as reporting
from taskgrid.scheduler.change import Change
from taskgrid.scheduler.runs import count
from taskgrid.scheduler.state import Job
from taskgrid.scheduler.view import is_complete
from taskgrid.transport.protocol import (
    CUT,
    Answer,
    Cursor,
    Deferred,
    FetchReply,
    FetchRequest,
    Judged,
    Order,
    OutcomeRun,
    Parts,
    PayloadsReply,
    PayloadsRequest,
    Peer,
    Report,
    ReportReply,
    ReportRequest,
)

_LONGEST_WAIT = 30.0
_MOST_ANSWERS = 16
_SMALL = 512
"""Bytes of one outcome: as many answers as that, each no larger and read by nobody yet, fit into the connection."""
_LOOK_AHEAD = 1 << 20
"""Tasks, at most, that one fetch by index looks over."""
_Fetched = tuple[list[OutcomeRun], list[bytes], int]


class ResultQueue:
    """What `get_result_queue` gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def report(self, peer: Peer, request: ReportRequest, parts: Parts) -> tuple[ReportReply, Parts]:
        """Judge outcomes, and answer when what was taken is in the journal."""
        engine = self._engine
        _check(request.reports, parts)
        if engine.journal_full:
            later = tuple((Judged(runs=report.runs, verdict=Verdict.LATER),) for report in request.reports)
            return ReportReply(reports=later), ()
        judgements = []
        with engine.lock:
            engine.heard(peer, request.worker)
            tickets = []
            for report, lines in zip(request.reports, parts, strict=True):
                judgement = reporting.report(engine.core, request.worker, _outcomes(report), engine.now())
                judgements.append(judgement)
                if judgement.change:
                    self._note_large(report)
                    cut = _cut(report.runs, lines, judgement.change)
                    tickets.append(
                        engine.append([judgement.change], lines=cut, source=(report.token, report.number), wake=False)
                    )
            engine.wake_if_work(attended=bool(tickets))
        for ticket in tickets[-1:]:
            if ticket:
                ticket.wait()
        answers = [self._verdicts(report, done) for report, done in zip(request.reports, judgements, strict=True)]
        return ReportReply(reports=tuple(answers)), ()

    def _note_large(self, report: Report) -> None:
        """Count values that a worker refused: its limit is its owner's, but here all of them are seen."""
        large = sum(failed.type == TOO_LARGE for failed in report.failures)
        if large:
            self._engine.meters.reached("max_result_bytes", large)

    def fetch(self, peer: Peer, request: FetchRequest, parts: Parts) -> Answer | Deferred:
        """Return outcomes after a cursor, at once or when there are some."""
        del parts
        wait = min(request.wait, _LONGEST_WAIT)
        look = partial(self._look_for_outcomes, peer, request)
        return self._engine.poll(peer.connection, wait, look, min(request.answers, _MOST_ANSWERS))

    def _look_for_outcomes(self, peer: Peer, request: FetchRequest, poll: LongPoll) -> Answer | None:
        engine = self._engine
        while True:
            with engine.lock:
                job = self._job(request.job)
                complete = is_complete(job)
                position = self._position(job, request.order, poll.reached or request.cursor)
                seen = job.committed_sequence
                stop = self._stop(job, request.order, position)
            rows, given, after = self._read(job, request, position, stop) if position < stop else ([], [], position)
            with engine.lock:
                if rows or complete or engine.now() >= poll.deadline or engine.is_gone(peer):
                    break
                if job.committed_sequence == seen and not is_complete(job):  # else there was a commit since we looked
                    engine.polls.wait_for_job(poll, job.number)
                    return None
        # `complete` and `seen` are as of the read: who is told that the job is complete has seen all of it.
        cursor = Cursor(epoch=engine.core.epoch.number, salt=engine.core.epoch.salt, position=after)
        poll.reached = cursor
        if len(rows) != 1 or complete or len(given[0]) > _SMALL:
            poll.answers = 1
        return FetchReply(rows=tuple(rows), cursor=cursor, complete=complete, sequence=seen), tuple(given)

    def payloads(self, peer: Peer, request: PayloadsRequest, parts: Parts) -> tuple[PayloadsReply, Parts]:
        """Return the payloads of tasks, up to about a mebibyte."""
        del peer, parts
        with self._engine.lock:
            job = self._job(request.job)
            start = request.run[0]
            most = max(1, int(CUT / job.payload_bytes))
            stop = min(request.run[1], job.committed_total, start + most)
        if start >= stop:
            return PayloadsReply(run=(start, start)), ()
        return PayloadsReply(run=(start, stop)), (self._engine.journal.read_payloads(job.number, start, stop),)

    def _job(self, identity: JobId) -> Job:
        job = self._engine.core.by_id.get(identity)
        if job is None:
            raise UnknownJob(
                "there is no such job",
                why="it never was, or it was forgotten",
                hint="taskgrid jobs lists those there are",
            )
        return job

    def _position(self, job: Job, order: Order, cursor: Cursor) -> int:
        """Return where to read on; a cursor beyond the journal's end is put there."""
        end = job.committed_total if order is Order.INDEX else self._shared(job, cursor)
        return min(cursor.position, end)

    def _shared(self, job: Job, cursor: Cursor) -> int:
        """Return up to which outcome row the history that the cursor is of, and this one, are the same.

        What an earlier start showed may have been lost with its machine's power: a cursor of then is
        good up to where this start began, since what came after is numbered anew. A start that this
        journal does not know showed nothing of it, as far as anybody can tell; neither did one that
        others followed: rows may have been lost, with the power or for a backup put back, and numbered
        anew in between.
        """
        core = self._engine.core
        known = core.epochs.get(cursor.epoch) == cursor.salt or not cursor.salt  # older clients name no salt
        if not known:
            return 0
        if cursor.epoch == core.epoch.number:
            return job.committed_sequence
        return job.restored_sequence if cursor.epoch + 1 >= core.epoch.number else 0

    def _stop(self, job: Job, order: Order, position: int) -> int:
        """Return how far there is something to read: by index to the first task that has not ended.

        The journal still has what a retried task gave before, and would give that.
        """
        if order is Order.ARRIVAL:
            return job.committed_sequence
        most = min(job.committed_total, position + _LOOK_AHEAD)
        return next(job.live_runs(position, most), (most, most))[0]

    def _read(self, job: Job, request: FetchRequest, position: int, stop: int) -> _Fetched:
        journal = self._engine.journal
        if job.any_code and request.order is Order.INDEX:
            journal.flush()  # a retried task that ended again: its newest outcome may be on its way
        if request.order is Order.ARRIVAL:
            rows = journal.read_arrivals(job.number, position, request.limit)
            runs = [OutcomeRun(first=row.first, count=row.count, cancelled=row.cancelled) for row in rows]
            return runs, [row.lines for row in rows], rows[-1].sequence if rows else position
        pieces = journal.read_index(job.number, position, stop, request.limit)
        runs = [OutcomeRun(first=piece.first, count=piece.count, cancelled=piece.cancelled) for piece in pieces]
        return runs, [piece.lines for piece in pieces], pieces[-1].first + pieces[-1].count if pieces else position

    def _verdicts(self, report: Report, judgement: reporting.Judgement) -> tuple[Judged, ...]:
        by_verdict: dict[Verdict, list[Run]] = {}
        for run, verdict in judgement.verdicts:
            if verdict is not None:
                by_verdict.setdefault(verdict, []).append(run)
                continue
            for piece, theirs in self._owners(report, run):
                by_verdict.setdefault(theirs, []).append(piece)
        return tuple(Judged(runs=tuple(runs), verdict=verdict) for verdict, runs in by_verdict.items())

    def _owners(self, report: Report, run: Run) -> list[tuple[Run, Verdict]]:
        """Tell tasks that ended under this token from those that ended otherwise."""
        self._engine.journal.flush()
        pieces = self._engine.journal.read_index(report.job, *run, limit=1 << 40)
        return [
            ((piece.first, piece.first + piece.count), Verdict.YOURS if piece.token == report.token else Verdict.STALE)
            for piece in pieces
        ]


def _outcomes(report: Report) -> reporting.Outcomes:
    return reporting.Outcomes(
        token=report.token,
        number=report.number,
        job=report.job,
        runs=report.runs,
        faults={failed.index: reporting.Fault(failed.cause, failed.type, failed.summary) for failed in report.failures},
        seconds=report.seconds,
        durations=report.durations,
        whole=report.whole,
    )


def _check(reports: Sequence[Report], parts: Parts) -> None:
    if len(reports) != len(parts):
        raise UsageError(f"{len(reports)} reports came with {len(parts)} parts")
    for report, lines in zip(reports, parts, strict=True):
        if not _are_ascending(report.runs):
            raise UsageError("a report's runs are not in order, or overlap")
        if lines.count(b"\n") + 1 != count(report.runs):
            raise UsageError(f"a report of {count(report.runs)} tasks came with another number of outcomes")
        if report.whole and not _are_within(report):
            raise UsageError("a report's merged values are of tasks that are not all in one of its runs, or failed")
        if len(lines) > 4 * CUT and count(report.runs) > 1:
            raise TooLarge(f"a report of {len(lines):,} bytes", why=f"reports are cut at {CUT:,}")


def _are_ascending(runs: Sequence[Run]) -> bool:
    at = 0
    for start, stop in runs:
        if not at <= start < stop:
            return False
        at = stop
    return True


def _are_within(report: Report) -> bool:
    """Say whether runs that are to be taken whole are in order, and each of tasks of one run that succeeded."""
    starts = [start for start, _ in report.runs]
    failed = sorted(each.index for each in report.failures)
    return _are_ascending(report.whole) and all(
        (at := bisect_right(starts, low) - 1) >= 0
        and high <= report.runs[at][1]
        and bisect_left(failed, low) == bisect_left(failed, high)
        for low, high in report.whole
    )


def _cut(runs: Sequence[Run], lines: bytes, change: Change) -> list[bytes]:
    """Cut a report's lines into those of its outcome rows; the usual report is one row, and not cut at all."""
    rows = change.rows
    if len(rows) == 1 and len(runs) == 1 and runs[0] == (rows[0].first, rows[0].first + rows[0].count):
        return [lines]
    split = lines.split(b"\n")
    offsets: list[tuple[Run, int]] = []
    at = 0
    for start, stop in runs:
        offsets.append(((start, stop), at))
        at += stop - start
    cut = []
    for row in rows:
        (start, _), offset = next((run, at) for run, at in offsets if run[0] <= row.first < run[1])
        low = offset + row.first - start
        cut.append(b"\n".join(split[low : low + row.count]))
    return cut
