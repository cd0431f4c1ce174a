"""Selectors: `17`, `17.42`, `17.40-60`, `3,5-8`, `last`, `last.3`, `all`, as the protocol's `Selector`s.

`last` and `all` mean the caller's own jobs unless `--everyone`. A range of jobs stays a range here:
which of its jobs exist only the master knows, so `door.py` asks it. Ranges include both ends, as
people read them; `Run`s do not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from taskgrid.errors import UsageError

if TYPE_CHECKING:
    from taskgrid.model import JobNumber, Run
    from taskgrid.transport.protocol import Selector

_JOB: Final = re.compile(r"(\d+)(?:-(\d+))?")
_TASK: Final = re.compile(r"(\d+|last)\.(\d+)(?:-(\d+))?")
_FORMS: Final = "Write 17, 17.42, 17.40-60, 3,5-8, last or all"


class Named(NamedTuple):
    """One job with perhaps some of its tasks, a range of jobs, or a word."""

    first: int = 0
    last: int = 0
    runs: tuple[Run, ...] = ()
    word: str = ""

    @property
    def many(self) -> bool:
        """Whether it can stand for more than one job."""
        return self.word == "all" or self.last > self.first

    @property
    def task(self) -> int | None:
        """The task, if it names exactly one."""
        if len(self.runs) != 1:
            return None
        start, stop = self.runs[0]
        return start if stop == start + 1 else None


def parse(words: list[str]) -> tuple[Named, ...]:
    """Read selectors, separated by spaces or commas. Raises `UsageError` for what is none."""
    parts = [part for word in words for part in word.split(",")]
    return _joined([_parse_one(part.strip()) for part in parts])


def parse_single(word: str) -> Named:
    """Read a selector that must stand for one job. Raises `UsageError` for what names several."""
    named = parse([word])
    if len(named) != 1 or named[0].many:
        raise UsageError(f"{word!r} names more than one job", hint="This command takes one: 17, 17.42 or last")
    return named[0]


def to_selector(named: Named, *, owner: str | None) -> Selector:
    """Return the protocol's selector of anything but a range of jobs; `owner` narrows the words."""
    from taskgrid.transport.protocol import Selector

    if named.word:
        return Selector(last=named.word == "last", all=named.word == "all", owner=owner, runs=named.runs)
    return Selector(number=_number(named.first), runs=named.runs)


def _number(value: int) -> JobNumber:
    from taskgrid.model import JobNumber

    return JobNumber(value)


def _parse_one(text: str) -> Named:
    if text in {"last", "all"}:
        return Named(word=text)
    if match := _TASK.fullmatch(text):
        job, start, stop = match.groups()
        runs = (_run(text, start, stop),)
        return Named(word=job, runs=runs) if job == "last" else Named(int(job), int(job), runs)
    if match := _JOB.fullmatch(text):
        start, stop = _run(text, *match.groups())
        return Named(start, stop - 1)
    raise UsageError(f"{text!r} names no job or task", hint=_FORMS)


def _run(text: str, start: str, stop: str | None) -> Run:
    first, last = int(start), int(stop or start)
    if last < first:
        raise UsageError(f"{text!r} ends before it begins", hint=f"Write {last}-{first}")
    return first, last + 1


def _joined(named: list[Named]) -> tuple[Named, ...]:
    """Bring the tasks of one job together; the whole job swallows its tasks."""
    jobs: dict[tuple[int, int, str], Named] = {}
    for one in named:
        place = (one.first, one.last, one.word)
        known = jobs.get(place)
        if known is None:
            jobs[place] = one
        else:
            runs = tuple(sorted({*known.runs, *one.runs})) if known.runs and one.runs else ()
            jobs[place] = known._replace(runs=runs)
    return tuple(jobs.values())
