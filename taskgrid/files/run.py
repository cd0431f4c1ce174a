"""A run over files: what is due is planned, submitted and read in order, and everything is remembered.

Files have their places in the run by size, the largest first, so that no straggler begins last, and by name.
Results come in that order, those that are remembered among the new ones, so that a run which was killed and
taken up, or which finds most files unchanged, gives what an undisturbed one gives, to the byte.

A run without a ledger has one as well, in a temporary folder: there is one way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from taskgrid.client.callee import callee_of
from taskgrid.client.control import Control
from taskgrid.client.link import Link
from taskgrid.client.results import Deadline, until_complete
from taskgrid.client.tree import Tree
from taskgrid.clock import SystemClock
from taskgrid.errors import TooManyFailed, UnknownJob, UsageError
from taskgrid.files import remembered as kept
from taskgrid.files.agenda import Place, compared, placed, targets_of
from taskgrid.files.as_found import as_found
from taskgrid.files.asking import Asker, indexed
from taskgrid.files.calling import CONVENTION
from taskgrid.files.claim import Claim
from taskgrid.files.closing import publish, sweep
from taskgrid.files.execution import Execution, FileEnded, Slicing
from taskgrid.files.eyes import Eyes, eyes_of
from taskgrid.files.ledger import Ledger
from taskgrid.files.listing import roots_of
from taskgrid.files.recording import Recorder, Replacing, as_done, as_written
from taskgrid.files.remembered import Entry, OpenRun, Planned, places_of, settings_of
from taskgrid.files.report import Progress, Report, Trouble, nothing_yet
from taskgrid.files.results import FileResult, Form, Result
from taskgrid.files.standing import Finding
from taskgrid.files.wish import Settled
from taskgrid.functions.codec import Codec
from taskgrid.lifecycle import ENDED, TaskState
from taskgrid.model import JobId, new_id
from taskgrid.transport.protocol import Selector

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

T = TypeVar("T")


class Run:
    """A run: iterate over it for its results, or ask for `result()`. Made by `Grid.files`.

    It begins when it is first asked for anything. Whoever leaves it early closes it; one that was killed is
    taken up by the next run over its ledger.
    """

    def __init__(self, link: Link, settled: Settled, max_payload: int, *, only_news: bool = False) -> None:
        """`only_news`: end with nothing if no file is to be read, and leave what is written as it is."""
        self.report = Report()
        self.troubles: list[Trouble] = []
        """Files without a result, with why."""
        self.has_news = False
        """Whether a file is to be read, or another run has left something, once that is known."""
        self._only_news = only_news
        self._link = link
        self._settled = settled
        self.notes: list[str] = []
        """What else somebody should know of it."""
        self.asker = Asker(link, max_payload)
        """Asks workers that see the run's files, once it has begun."""
        self._eyes: Eyes = eyes_of(settled, self.asker)
        self._callee = callee_of(settled.wish.function, max_payload)
        self._recipe = settled.recipe()
        self._form = Form(settled, Codec(settled.shape.value), self._recipe.code)
        self._clock = SystemClock()
        self._began = time.monotonic()
        self._tree: Tree[Any] | None = None if settled.merge is None else Tree(settled.merge)
        self._guard = threading.Lock()
        self._places: list[Place] = []
        self._targets: dict[Path, Path] = {}
        self._execution: Execution | None = None
        self._failing = 0
        self._claim = Claim(settled, self._clock.now())
        self._steps = self._run()

    # ------------------------------------------------------------ for the caller

    def __iter__(self) -> Iterator[Result]:
        """Yield what came of each file or, without a reduction, of each slice, in order; errors in their places."""
        return self._steps

    def result(self) -> Any:
        """Return all values merged once the run is over, None if there are none; UsageError without a reduction."""
        _require(self._tree)
        for _ in self._steps:
            pass
        return self.partial()

    def partial(self) -> Any:
        """Return the values so far, merged in order; None before the first. From any thread."""
        tree = _require(self._tree)
        with self._guard:
            return tree.partial()

    def merged_line(self) -> bytes:
        """Return `partial()` as JSON."""
        value = self.partial()
        return b"null" if value is None else self._form.codec.encode(value)

    def close(self) -> None:
        """Leave: what has not ended is cancelled, and is new to the next run over the same ledger."""
        self._steps.close()

    def progress(self) -> Progress | None:
        """Ask the master how far the run's job is; None while there is none. From any thread."""
        execution = self._execution
        if execution is None:
            return nothing_yet(self.asker.waiting())
        view = execution.view()
        ended = sum(view.counts.get(state, 0) for state in ENDED)
        running = view.complete or view.counts.get(TaskState.LEASED, 0) > 0
        why = "" if running else execution.explain().what
        return execution.weights.progress(ended, view.counts.get(TaskState.FAILED, 0), why)

    # ------------------------------------------------------------ the run

    def _run(self) -> Generator[Result, None, None]:
        with ExitStack() as stack:
            planned_at = self._clock.now()
            wish = self._settled.wish
            listing = self._eyes.listing(wish.patterns, self._settled.own, by_name=wish.by_name)
            self._targets = targets_of(self._settled, listing)
            self.asker.places = roots_of(listing)
            ledger = stack.enter_context(Ledger.open(self._place(stack)))
            stack.enter_context(self._claim)
            self._take_up(ledger)
            findings = list(compared(self._settled, self._recipe, ledger, listing, self._eyes))
            self.has_news = self.has_news or any(finding.due for finding in findings)
            if self._only_news and not self.has_news:
                return
            manifest = stack.enter_context(Replacing(self._settled.manifest))
            results = stack.enter_context(Replacing(self._settled.file))
            run = self._plan(ledger, findings, planned_at)
            del listing, findings
            if wish.as_found:
                pieces = stack.enter_context(closing(self._executed(ledger, run, Execution.pieces)))
                yield from as_found(self._places, pieces, self._form, self.report, self.troubles)
                self.report.seconds = time.monotonic() - self._began
                return
            files = stack.enter_context(closing(self._files(ledger, run)))
            for index, (file, trouble) in enumerate(files):
                for result in self._came(index, file, trouble, manifest):
                    if self._tree is None:
                        results.write(result.as_line() + b"\n")
                    yield result
            self._conclude(results, manifest)

    def _place(self, stack: ExitStack) -> Path:
        """Return where the ledger is; without one, where it is for as long as the run."""
        place = self._settled.ledger
        return place or Path(stack.enter_context(TemporaryDirectory(prefix="taskgrid-"))) / "ledger"

    def _came(
        self, index: int, file: FileResult | None, trouble: Trouble | None, manifest: Replacing
    ) -> Iterator[Result]:
        """Enter what came of a file, and yield it."""
        if file is None:
            if self._tree is not None:
                with self._guard:
                    self._tree.skip(index)
            place = self._places[index]
            trouble = trouble or Trouble(place.finding.seen.path, "it has no result")
            self.report.failed += 1
            self.troubles.append(trouble)
            self._failing += place.finding.due
            yield Result(trouble.path, 0, place.finding.seen.size, None, b"", trouble.cause)
            if self._failing > self._settled.bearable(len(self._places)):
                raise _too_many(self._failing, len(self._places), trouble)
            return
        if self._tree is not None:
            with self._guard:
                self._tree.add(index, file.results[0].value)
        manifest.write(file.manifest)
        yield from file.results

    def _conclude(self, results: Replacing, manifest: Replacing) -> None:
        """Write what is known only at the end, and remove what attempts that came to nothing have left."""
        if self._tree is not None:
            results.write(self.merged_line() + b"\n")
        if (row := results.row()) is not None:
            manifest.write(row.line().encode())
        sweep(self._targets.values())
        self.report.seconds = time.monotonic() - self._began

    def _plan(self, ledger: Ledger, findings: Sequence[Finding], planned_at: float) -> OpenRun | None:
        """Say of each file whether it is read; keep the plan if any is."""
        self.report.files = len(findings)
        entries = self._entries(findings)
        first = next(entries, None)
        if first is None:
            return None
        return ledger.begin(
            self._recipe,
            f"files-{new_id()}",
            chain([first], entries),
            settings=settings_of(self.asker.places),
            planned_at=planned_at,
        )

    def _entries(self, findings: Sequence[Finding]) -> Iterator[Entry]:
        """Give each file its place, and yield how those are read that are; none is kept but by the ledger."""
        for place, entry in placed(self._settled, findings, self._eyes, self._index):
            self._places.append(place)
            if entry is not None:
                yield entry

    def _index(self, paths: Sequence[Path]) -> None:
        if (folder := self._settled.indexes) is not None:
            self.notes += indexed(self.asker, paths, folder, is_seen=self._settled.wish.list_on == "client")

    def _files(
        self, ledger: Ledger, run: OpenRun | None
    ) -> Generator[tuple[FileResult | None, Trouble | None], None, None]:
        """Yield what came of each file, in order: read now, remembered, or neither."""
        remembered = self._remembered(ledger)
        with Recorder(ledger, run) as recorder, closing(self._executed(ledger, run, Execution.ended)) as read:
            for place in self._places:
                before = next(remembered) if place.is_known else None
                if place.is_read:
                    yield self._ended(next(read), before, self._targets.get(place.finding.seen.path), recorder)
                elif before is not None:
                    self.report.unchanged += 1
                    yield before, None
                else:
                    yield None, place.trouble

    def _remembered(self, ledger: Ledger) -> Iterator[FileResult]:
        """Yield what came of each file that is done, whole or up to its tail, in order."""
        known = [place.finding for place in self._places if place.is_known]
        found = ledger.remembered(self._recipe, (finding.seen.path for finding in known))
        for each, finding in zip(found, known, strict=True):
            size = finding.since or finding.seen.size
            yield self._form.remembered(each.path, size, each.value or b"", each.manifest)

    def _ended(
        self, ended: FileEnded, before: FileResult | None, target: Path | None, recorder: Recorder
    ) -> tuple[FileResult | None, Trouble | None]:
        """Enter what a file that was read came to."""
        path = ended.planned.entry.path
        if ended.cancelled:
            return None, Trouble(path, "cancelled")
        if ended.cause:
            recorder.add(kept.Failed(ended.planned.number, ended.cause, ended.sample))
            return None, Trouble(path, ended.cause, ended.sample)
        file = self._form.fresh(ended, before, target)
        recorder.add(as_done(ended, file))
        self.report.add(ended)
        return file, None

    def _executed(
        self, ledger: Ledger, run: OpenRun | None, read: Callable[[Execution, Iterator[Planned]], Iterator[T]]
    ) -> Generator[T, None, None]:
        """Submit a run's slices and yield what comes of its files; the job is cancelled if nobody waits for it."""
        if run is None:
            return
        spec = self._callee.spec(self._callee.with_options(self._settled.wish.options), key=run.key)
        spec = spec.model_copy(update={"through": CONVENTION, "places": places_of(run)})
        slicing = _slicing(self._settled, self._targets)
        self._execution = execution = Execution(self._link, spec, slicing, self._settled.shape.value)
        self._claim.goes_on = True
        try:
            execution.submit(ledger.planned(run))
            yield from read(execution, ledger.planned(run))
            self._claim.goes_on = False
        except (GeneratorExit, KeyboardInterrupt):
            self._claim.goes_on = not execution.cancel()
            raise

    def _take_up(self, ledger: Ledger) -> None:
        """Bring runs to their end that were killed: ours with all their results, others by taking them back."""
        for written in ledger.unpublished():
            publish(as_written(written))
        ledger.published([written.target for written in ledger.unpublished()])
        for run in ledger.unfinished():
            if run.recipe == self._recipe:
                self.has_news = True  # what it came to is written nowhere yet
                self._finish(ledger, run)
            else:
                _give_up(self._link, run)
                ledger.end(run)
        self._claim.goes_on = False

    def _finish(self, ledger: Ledger, run: OpenRun) -> None:
        with Recorder(ledger, run) as recorder:
            for ended in self._executed(ledger, run, Execution.ended):
                path, start = ended.planned.entry.path, ended.planned.entry.start
                before = None
                if start:
                    (found,) = ledger.remembered(self._recipe, [path])
                    before = self._form.remembered(path, start, found.value or b"", found.manifest)
                self._ended(ended, before, self._targets.get(path), recorder)
        self._execution, self.report = None, Report()


def _require(tree: Tree[Any] | None) -> Tree[Any]:
    if tree is None:
        raise UsageError("a run without a reduction has no one result", hint="Give `reduce`, or iterate over it.")
    return tree


def _slicing(settled: Settled, targets: Mapping[Path, Path]) -> Slicing:
    writes = settled.shape.output is not None
    return Slicing(
        settled.wish.separator,
        settled.wish.begins,
        target_of=lambda path: targets.get(path) if writes else None,
        aside_of=lambda path, start: settled.aside_of(targets.get(path), start),
        strict=settled.wish.bad == "fail",
        arguments=settled.arguments,
    )


def _too_many(failing: int, files: int, last: Trouble) -> TooManyFailed:
    return TooManyFailed(
        f"{failing:,} of {files:,} files failed, more than was to be borne",
        why=f"The last one was {last.path}: {last.cause}.",
        hint="What is done is kept: run it again with --rerun failed, and --max-fails for what may fail.",
    )


def _give_up(link: Link, run: OpenRun) -> None:
    """Cancel a run of another function or other parameters, and wait until nothing of it goes on."""
    control = Control(link.control)
    try:
        job = control.job(Selector(key=run.key))
    except UnknownJob:
        return
    control.cancel(Selector(job=JobId(job.id)))
    until_complete(link, JobId(job.id), Deadline(None))
