"""`Grid`: a standard executor over all workers of a master, and the door to its jobs.

This file only wires: `callee` says what is submitted, `streams` carries single calls, `feed` a map,
`upload` a job's chunks, `results` brings outcomes back, `beat` keeps open jobs open, `link` has the
connections. It is safe to use from any thread. A forked child gets connections and threads of its
own; futures made before the fork are the parent's.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from pydantic import ValidationError

from taskgrid.client.beat import Beat
from taskgrid.client.callee import Callee, Function, callee_of
from taskgrid.client.control import Control
from taskgrid.client.feed import Feed
from taskgrid.client.future import TaskFuture
from taskgrid.client.job import Job
from taskgrid.client.link import Link
from taskgrid.client.local import LocalCluster
from taskgrid.client.reduced import Reduction
from taskgrid.client.streams import Streams
from taskgrid.client.upload import Packer, Upload
from taskgrid.errors import TaskGridError, UsageError
from taskgrid.functions import NamedSignature
from taskgrid.functions.reduction import Merge, reduce_of
from taskgrid.loading import grid_settings
from taskgrid.model import JobId, JobNumber, JobView
from taskgrid.settings import GridSettings
from taskgrid.transport.protocol import Selector

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 5.0
"""Seconds that leaving by an exception, or the interpreter's end, may take for the master's sake."""


class Grid(Executor):
    """Run functions on the workers of a master.

    `Grid("host:port")` names the master, several if there are more; `Grid()` finds the one that
    `taskgrid join`, `master` or `up` of this user wrote, or TASKGRID_SERVER. Further settings are
    those of `GridSettings`, by name; durations in seconds; what is not given here comes from
    `TASKGRID_*` and `taskgrid.toml`, as on the command line. Raises MasterUnreachable, NotLetIn or
    VersionMismatch when no master can be used within `connect_timeout`.
    """

    def __init__(self, *servers: str, settings: GridSettings | None = None, **changes: Any) -> None:
        self.settings = _settings(servers, settings, changes)
        self._cluster: LocalCluster | None = None
        self._link = Link(self.settings)
        self._begin()
        self._link.connect()
        _GRIDS.add(self)

    def _begin(self) -> None:
        self._shut = False
        self._callees: dict[Function, Callee] = {}
        self._feeds: set[Feed] = set()
        self._beat = Beat(self._link)
        self._streams = Streams(self._link, self._beat)

    @classmethod
    def local(
        cls,
        workers: int = 2,
        functions: Sequence[str] = (),
        durability: str = "process",
        path: Sequence[Path | str] = (),
        **changes: Any,
    ) -> Self:
        """Start a private master and `workers` on this machine, one slot each; they end with the Grid.

        They run whatever this user can import, unless `functions` names modules or packages; `path`
        adds folders to look in. Functions of the script that was started run too.
        """
        cluster = LocalCluster(workers, functions=functions, durability=durability, path=path)
        try:
            grid = cls(*cluster.servers, key_file=cluster.key_file, **changes)
        except BaseException:
            cluster.stop()
            raise
        grid._cluster = cluster
        return grid

    @property
    def control(self) -> Control:
        """The control calls of the master: its jobs, tasks, workers and itself."""
        return Control(self._link.control)

    # ---- an executor

    @overload
    def submit(self, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]: ...

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]: ...

    @overload
    def submit(self, fn: str, /, *args: Any, **kwargs: Any) -> TaskFuture[Any]: ...

    def submit(self, fn: Function, /, *args: Any, **kwargs: Any) -> TaskFuture[Any]:
        """Run one call; return its future. Calls made close together travel together."""
        callee = self._callee(fn)
        return self._streams.submit(callee, callee.codec.encode_call(args, kwargs))

    @overload
    def map(
        self, fn: Callable[..., Awaitable[T]], *iterables: Iterable[Any], **how: Any
    ) -> Generator[T, None, None]: ...

    @overload
    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **how: Any) -> Generator[T, None, None]: ...

    @overload
    def map(self, fn: str, *iterables: Iterable[Any], **how: Any) -> Generator[Any, None, None]: ...

    def map(
        self,
        fn: Function,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **options: Any,
    ) -> Generator[Any, None, None]:
        """Yield `fn`'s values for the items in order; with several iterables, for their zip.

        Works through endless iterables: at most `window` tasks are under way. Raises at the first
        failed item, and TimeoutError if a value isn't there `timeout` seconds from now. Closing the
        iterator early cancels the rest. `chunksize` is taken as standard executors take it, and
        changes nothing: batches are sized by the time that tasks take. `options` are `@task`'s.
        """
        del chunksize
        if not iterables:
            raise UsageError("map needs at least one iterable")
        callee = self._callee(fn)
        spec = callee.spec(callee.with_options(options))
        forget = self._feeds.discard
        feed = Feed(self._link, self._beat, callee.codec, spec=spec, window=self.settings.window, ended=forget)
        self._feeds.add(feed)
        star = len(iterables) > 1
        return feed.start(zip(*iterables, strict=False) if star else iterables[0], self._packer(callee, star), timeout)

    # ---- jobs

    def submit_job(
        self,
        function: Function,
        items: Iterable[Any],
        key: str | None = None,
        star: bool = False,
        name: str | None = None,
        *,
        reduce: Merge | str | None = None,
        **options: Any,
    ) -> Job:
        """Submit a task per item and return when the last is accepted.

        An item is the function's one argument; with `star` a tuple is spread by position and a dict by
        name. The same `key` twice is one job: the items of an unfinished submission are not added
        again. A function given as `module:qualname` need not be importable here. `options` are
        `@task`'s. If `items` raises or one doesn't fit the function, what was accepted is cancelled,
        unless there is a key under which the submission can go on. With `reduce` the job has one
        `result()`: all values merged by that function of a sequence of them or, with "merge", as they
        say themselves by `merge(parts)` or `+`. It must not change the values it is given.
        """
        callee = self._callee(function)
        spec = callee.spec(callee.with_options(options), key=key, title=name, reduce=reduce_of(reduce))
        upload = Upload(spec)
        chunks = self._packer(callee, star).pack_all(items)
        try:
            with self._beat.of(upload), self._link.tasks() as proxy:
                upload.send_all(proxy, chunks)
        except BaseException:
            if key is None and upload.number is not None:
                self._within(_PATIENCE, partial(self.control.cancel, Selector(job=upload.job)))
            raise
        if upload.number is None:
            raise TaskGridError("the master accepted the job and gave it no number")
        reduction = None if reduce is None else Reduction(function, reduce)
        return Job(self._link, upload.job, upload.number, callee.codec, name=name or callee.title, reduction=reduction)

    def job(self, which: int | str | None = None, *, key: str | None = None, function: Function | None = None) -> Job:
        """Take up a job by its number, its id or its key; UnknownJob if there is none.

        Values are decoded by the return annotation of `function` if it is given, else as plain JSON.
        """
        view = self.control.job(_selector(which, key))
        codec = NamedSignature(view.function) if function is None else self._callee(function).codec
        reduction = Reduction(function or view.function, view.reduce) if view.reduce else None
        return Job(self._link, JobId(view.id), view.number, codec, name=view.name, reduction=reduction)

    def jobs(self, limit: int = 1000) -> tuple[JobView, ...]:
        """Return the jobs that the master knows, in order of number, the newest `limit` at most."""
        return self.control.jobs(limit=limit)

    def _callee(self, function: Function) -> Callee:
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        found = self._callees.get(function)
        if found is None:
            found = self._callees.setdefault(function, callee_of(function, self.settings.max_payload_bytes))
        return found

    def _packer(self, callee: Callee, star: bool) -> Packer:
        def encode(batch: list[Any], first: int) -> list[bytes]:
            return callee.codec.encode_items(batch, first=first, star=star)

        return Packer(encode)

    # ---- the end

    def flush(self) -> None:
        """Return when every call made so far is accepted, and survives from then on; or raise what stopped one."""
        self._streams.settle()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; with `wait` return when every future is done and every map's window read.

        With `cancel_futures` calls that no worker holds are cancelled first. Jobs of `submit_job` are
        the master's, and go on.
        """
        if self._shut:
            return
        self._shut = True
        if wait:
            self._finish(cancel_futures)
        else:
            threading.Thread(target=self._finish, args=(cancel_futures,), name="taskgrid-shutdown", daemon=True).start()

    def _finish(self, cancel: bool) -> None:
        if cancel:
            self._streams.cancel_waiting()
        for feed in tuple(self._feeds):
            feed.settle()
        self._streams.close()
        self._streams.join()
        self._end()

    def _end(self) -> None:
        self._beat.stop()
        self._link.close()
        self._beat.join(_PATIENCE)
        _GRIDS.discard(self)
        if self._cluster is not None:
            self._cluster.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave: wait for what is under way or, after an exception, cancel what is queued and go."""
        if kind is None or self._shut:
            self.shutdown()
            return
        self._shut = True
        self._within(_PATIENCE, self._give_up)
        self._end()

    def _give_up(self) -> None:
        for feed in tuple(self._feeds):
            feed.abort()
        self._streams.cancel_waiting()
        self._streams.close()

    def _within(self, seconds: float, act: Callable[[], object]) -> None:
        """Do what the master may hinder, and go on without it after `seconds`."""

        def quietly() -> None:
            with suppress(TaskGridError):
                act()

        thread = threading.Thread(target=quietly, name="taskgrid-leave", daemon=True)
        thread.start()
        thread.join(seconds)

    def _at_exit(self) -> None:
        """Let what was submitted arrive before the interpreter ends; a private master ends with it."""
        if self._cluster is not None:
            self._cluster.stop()
        elif not self._shut:
            self._streams.close()
            self._streams.join_flusher(_PATIENCE)

    def _after_fork(self) -> None:
        self._link.after_fork()
        self._cluster = None
        self._begin()


def _settings(servers: tuple[str, ...], settings: GridSettings | None, changes: dict[str, Any]) -> GridSettings:
    given = (settings or grid_settings()).model_dump()
    if servers:
        changes = {"server": servers, **changes}
    try:
        return GridSettings.model_validate({**given, **changes})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        known = ", ".join(GridSettings.model_fields)
        raise UsageError(f"Grid({place}=...): {first['msg']}", hint=f"Its settings are {known}.") from None


def _selector(which: int | str | None, key: str | None) -> Selector:
    if (which is None) == (key is None):
        raise UsageError("name one job: by its number, its id, or key=...")
    if key is not None:
        return Selector(key=key)
    text = str(which)
    return Selector(number=JobNumber(int(text))) if text.isdecimal() and len(text) < 32 else Selector(job=JobId(text))


_GRIDS: weakref.WeakSet[Grid] = weakref.WeakSet()


def _after_fork() -> None:
    for grid in tuple(_GRIDS):
        grid._after_fork()  # noqa: SLF001  # this file's own class


def _at_exit() -> None:
    for grid in tuple(_GRIDS):
        grid._at_exit()  # noqa: SLF001  # this file's own class


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
