"""What a run over files remembers: which files are done, what came of them, and how far a run is.

    with Ledger.open(Path("logs.ledger")) as ledger:
        recipe = Recipe(function="mylogs:errors", code=code_hash, parameters={"split": "64MiB"})
        findings = list(ledger.compare(recipe, listing))
        run = ledger.begin(recipe, key, [Entry(...) for each in findings if each.due])
        ...                             # the slices of `ledger.planned(run)` are submitted under `run.key`
        ledger.record(run, [Done(number, value), Failed(other, cause="..."), ...])
        ledger.end(run)

A run that was killed is in `unfinished` with its whole plan, or was not begun: `begin` is one
transaction, and so is each `record`. What of a plan has ended is told by `Planned.ended`; the results
of the rest are still the master's, under the run's key.

Only the process that has the run opens the ledger. Knows files and what came of them, and no jobs.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, assert_never

from pydantic import JsonValue

from taskgrid.clock import Clock, SystemClock
from taskgrid.files.identity import Identity
from taskgrid.files.ledger_file import LedgerFile
from taskgrid.files.remembered import (
    Done,
    Entry,
    Failed,
    Failure,
    OpenRun,
    Planned,
    Recipe,
    Remembered,
    Written,
)
from taskgrid.files.standing import Finding, Here, Judge, Look, Recorded, Rerun, Seen, is_settled

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_AT_ONCE: Final = 500
"""Files in one statement: SQLite allows 999 parameters everywhere."""


class Ledger:
    """What is remembered, in one file; a context manager. Methods may be called from any thread."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock

    @classmethod
    def open(cls, path: Path, clock: Clock | None = None) -> Self:
        """Open a ledger, made if it is not there; LedgerLocked if another run has it, else LedgerError."""
        clock = clock or SystemClock()
        return cls(LedgerFile(path, clock), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs have the ledger."""
        self._file.close()

    @property
    def path(self) -> Path:
        """Return where it lies."""
        return self._file.path

    # ------------------------------------------------------------ before a run

    def compare(
        self,
        recipe: Recipe,
        listing: Iterable[Seen],
        *,
        rerun: Rerun = Rerun.CHANGED,
        tail_after: str | None = None,
        look: Look | None = None,
    ) -> Iterator[Finding]:
        """Say of each file of a listing how it stands, in order.

        `tail_after` is the separator of the records if a grown file may be read from where it ended,
        because what comes of its tail merges with what is remembered. `look` looks at files and outputs
        for a machine that doesn't see them. Publish what is `unpublished` first.
        """
        judge = Judge(recipe.code, rerun, tail_after, look or Here())
        with self._file.reading() as connection:
            number = _recipe_number(connection, recipe)
        unread = iter(listing)
        while batch := {os.fsencode(seen.path): seen for seen in islice(unread, _AT_ONCE)}:
            with self._file.reading() as connection:
                recorded = _recorded(connection, number, tuple(batch))
            for path, seen in batch.items():
                yield judge.find(seen, recorded.get(path))

    def remembered(self, recipe: Recipe, paths: Iterable[Path]) -> Iterator[Remembered]:
        """Yield what is remembered of files, in the order asked; those that are not done are left out."""
        with self._file.reading() as connection:
            number = _recipe_number(connection, recipe)
        for path in paths:
            with self._file.reading() as connection:
                row = connection.execute(
                    "SELECT value, manifest FROM files WHERE recipe = ? AND path = ? AND code = ? AND cause IS NULL",
                    (number, os.fsencode(path), recipe.code),
                ).fetchone()
            if row is not None:
                yield Remembered(path, row[0], row[1])

    def failures(self, recipe: Recipe) -> list[Failure]:
        """Return the files in quarantine, by path."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT path, cause, sample, recorded_at FROM files"
                " WHERE recipe = ? AND cause IS NOT NULL ORDER BY path",
                (_recipe_number(connection, recipe),),
            ).fetchall()
        return [Failure(_path(path), cause, sample, at) for path, cause, sample, at in rows]

    # ------------------------------------------------------------ a run

    def begin(
        self,
        recipe: Recipe,
        key: str,
        entries: Iterable[Entry],
        *,
        settings: Mapping[str, JsonValue] | None = None,
        planned_at: float | None = None,
    ) -> OpenRun:
        """Keep a run and its whole plan, durably; after that its slices may be submitted under its key.

        An unfinished run of the same function and parameters is given up: cancel its job before.
        `planned_at` is the grid time at which planning began, before the files were looked at: those
        that changed less than 2 s before are not taken as done by a later run. ValueError if a file is
        planned twice.
        """
        begun_at = self._clock.now() if planned_at is None else planned_at
        with self._file.writing() as connection:
            number = _recipe_number(connection, recipe, make=True)
            connection.execute("DELETE FROM runs WHERE recipe = ?", (number,))
            cursor = connection.execute(
                "INSERT INTO runs (recipe, code, key, settings, begun_at) VALUES (?, ?, ?, ?, ?)",
                (number, recipe.code, key, json.dumps(dict(settings or {})), begun_at),
            )
            run = OpenRun(int(cursor.lastrowid or 0), recipe, key, dict(settings or {}), begun_at)
            _insert_plan(connection, run, entries)
        return run

    def unfinished(self) -> list[OpenRun]:
        """Return the runs that were begun and have not ended, the oldest first, whatever their recipe."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT runs.id, function, code, parameters, key, settings, begun_at"
                " FROM runs JOIN recipes ON recipes.id = recipe ORDER BY runs.id"
            ).fetchall()
        return [
            OpenRun(
                id_, Recipe(function=function, code=code, parameters=json.loads(given)), key, json.loads(settings), at
            )
            for id_, function, code, given, key, settings, at in rows
        ]

    def planned(self, run: OpenRun) -> Iterator[Planned]:
        """Yield a run's files in order, some at a time."""
        last = -1
        while True:
            with self._file.reading() as connection:
                rows = connection.execute(
                    "SELECT number, path, identity, start, first, slices, seek_index, ended FROM planned"
                    " WHERE run = ? AND number > ? ORDER BY number LIMIT ?",
                    (run.id, last, _AT_ONCE),
                ).fetchall()
            if not rows:
                return
            yield from map(_planned, rows)
            last = rows[-1][0]

    def record(self, run: OpenRun, ended: Iterable[Done | Failed]) -> None:
        """Keep what came of planned files, all of it durably or nothing; what is recorded again is replaced.

        An output takes its target over: whatever file had it before, of any recipe, is to be run again.
        """
        now = self._clock.now()
        with self._file.writing() as connection:
            number = _recipe_number(connection, run.recipe)
            for each in ended:
                _record(connection, run, number, each, now)

    def end(self, run: OpenRun) -> None:
        """Forget a run's plan: it is complete, or given up; what is recorded of its files stays."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run.id,))

    # ------------------------------------------------------------ outputs

    def unpublished(self) -> list[Written]:
        """Return the outputs of all recorded files that are not known to be published."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT target, temporary, bytes, checksum FROM outputs WHERE NOT published ORDER BY target"
            ).fetchall()
        return [Written(_path(target), _path(temporary), size, sum_) for target, temporary, size, sum_ in rows]

    def published(self, targets: Iterable[Path]) -> None:
        """Keep that outputs are at their targets."""
        with self._file.writing() as connection:
            connection.executemany(
                "UPDATE outputs SET published = 1 WHERE target = ?", ((os.fsencode(target),) for target in targets)
            )


def _path(stored: bytes) -> Path:
    return Path(os.fsdecode(stored))


def _recipe_number(connection: sqlite3.Connection, recipe: Recipe, *, make: bool = False) -> int:
    """Return the number of a function with its parameters, whatever its code; 0 if there is none."""
    named = (recipe.function, json.dumps(recipe.parameters, sort_keys=True))
    if make:
        connection.execute("INSERT OR IGNORE INTO recipes (function, parameters) VALUES (?, ?)", named)
    row = connection.execute("SELECT id FROM recipes WHERE function = ? AND parameters = ?", named).fetchone()
    return row[0] if row else 0


_RECORDED: Final = """
SELECT path, identity, settled, code, cause, target, bytes, published
FROM files LEFT JOIN outputs ON outputs.file = files.id
WHERE recipe = ? AND path IN ({asked})
"""


def _recorded(connection: sqlite3.Connection, recipe: int, paths: Sequence[bytes]) -> dict[bytes, Recorded]:
    found: dict[bytes, Recorded] = {}
    asked = ", ".join("?" * len(paths))
    for path, identity, settled, code, cause, *output in connection.execute(
        _RECORDED.format(asked=asked), (recipe, *paths)
    ):
        recorded = found.get(path)
        if recorded is None:
            recorded = Recorded(Identity.model_validate_json(identity), bool(settled), code, cause)
            found[path] = recorded
        if output[0] is not None:
            recorded.outputs.append((_path(output[0]), output[1], bool(output[2])))
    return found


def _insert_plan(connection: sqlite3.Connection, run: OpenRun, entries: Iterable[Entry]) -> None:
    first = 0
    for number, entry in enumerate(entries):
        row = (
            run.id,
            number,
            os.fsencode(entry.path),
            entry.identity.model_dump_json(),
            entry.start,
            first,
            entry.slices,
            None if entry.index is None else os.fsencode(entry.index),
            is_settled(entry.identity, run.begun_at),
        )
        try:
            connection.execute("INSERT INTO planned VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", row)
        except sqlite3.IntegrityError:
            raise ValueError(f"{entry.path} is planned twice") from None
        first += entry.slices


def _planned(row: tuple[Any, ...]) -> Planned:
    number, path, identity, start, first, slices, index, ended = row
    entry = Entry(
        _path(path), Identity.model_validate_json(identity), slices, start, None if index is None else _path(index)
    )
    return Planned(number, entry, first, bool(ended))


_RECORD: Final = """
INSERT INTO files (recipe, path, code, identity, settled, recorded_at, cause, sample, value, manifest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (recipe, path) DO UPDATE SET
    code = excluded.code, identity = excluded.identity, settled = excluded.settled,
    recorded_at = excluded.recorded_at, cause = excluded.cause, sample = excluded.sample,
    value = excluded.value, manifest = excluded.manifest
RETURNING id
"""


def _record(connection: sqlite3.Connection, run: OpenRun, recipe: int, ended: Done | Failed, now: float) -> None:
    row = connection.execute(
        "UPDATE planned SET ended = 1 WHERE run = ? AND number = ? RETURNING path, identity, settled",
        (run.id, ended.number),
    ).fetchall()
    if not row:
        raise ValueError(f"the run has no file {ended.number}")
    path, identity, settled = row[0]
    planned = (recipe, path, run.recipe.code, identity, settled, now)
    (file,) = connection.execute(_RECORD, (*planned, *_came_of(ended))).fetchall()[0]
    _record_outputs(connection, file, ended.outputs if isinstance(ended, Done) else ())


def _came_of(ended: Done | Failed) -> tuple[str | None, str | None, bytes | None, bytes]:
    match ended:
        case Done():
            return None, None, ended.value, ended.manifest
        case Failed():
            return ended.cause, ended.sample, None, b""
        case _:
            assert_never(ended)


def _record_outputs(connection: sqlite3.Connection, file: int, outputs: Sequence[Written]) -> None:
    """Give a file these outputs; other files that had one of the targets are forgotten, and thus run again."""
    named = {os.fsencode(each.target): each for each in outputs}
    for (target,) in connection.execute("SELECT target FROM outputs WHERE file = ?", (file,)).fetchall():
        if target not in named:
            connection.execute("DELETE FROM outputs WHERE target = ?", (target,))
    for target, each in named.items():
        connection.execute(
            "DELETE FROM files WHERE id = (SELECT file FROM outputs WHERE target = ? AND file != ?)", (target, file)
        )
        connection.execute(
            "INSERT INTO outputs (target, file, temporary, bytes, checksum) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (target) DO UPDATE SET published = published AND temporary = excluded.temporary,"
            " temporary = excluded.temporary, bytes = excluded.bytes, checksum = excluded.checksum",
            (target, file, os.fsencode(each.temporary), each.bytes, each.checksum),
        )
