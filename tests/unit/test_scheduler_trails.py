"""Trails in columns against a plain dictionary, what they cost, and how much history they keep."""

from __future__ import annotations

import random
import tracemalloc
from array import array
from dataclasses import dataclass
from functools import partial

from taskgrid.model import Token
from taskgrid.scheduler.pages import stored
from taskgrid.scheduler.runs import as_runs
from taskgrid.scheduler.trails import NO_PAST, Past, Trails, rank

_SINCE = 1000.0


@dataclass
class _Trail:
    past: Past = NO_PAST
    floor: int = 0
    due_at: float | None = None


class _Plain:
    """What columns must agree with."""

    def __init__(self) -> None:
        self.of: dict[int, _Trail] = {}

    def update(self, start: int, stop: int, attempts: int, floor: int) -> None:
        for index in range(start, stop):
            before = self.of.get(index, _Trail()).past
            self.of[index] = _Trail(before._replace(attempts=before.attempts + attempts), floor)

    def drop(self, start: int, stop: int, *, told: bool) -> None:
        for index in [index for index in self.of if start <= index < stop]:
            if told and self.of[index].past.history:
                self.of[index].due_at = None
            else:
                del self.of[index]

    def take_due(self, now: float) -> list[int]:
        due = sorted(index for index, each in self.of.items() if each.due_at is not None and each.due_at <= now)
        for index in due:
            self.of[index].due_at = None
        return due


def _more(attempts: int, past: Past) -> Past:
    return past._replace(attempts=past.attempts + attempts)


def _agree(trails: Trails, plain: _Plain, total: int) -> None:
    assert len(trails) == len(plain.of)
    assert list(trails.within(0, total)) == [(index, plain.of[index].past) for index in sorted(plain.of)]
    for index in range(total):
        each = plain.of.get(index, _Trail())
        assert (trails.past(index), trails.floor(index), trails.due_at(index)) == (each.past, each.floor, each.due_at)
    dues = [each.due_at for each in plain.of.values() if each.due_at is not None]
    assert not dues or trails.next_due() <= min(dues)
    pieces = trails.pieces(0, total)
    assert [index for run, _ in pieces for index in range(*run)] == list(range(total))
    assert all(plain.of.get(index, _Trail()).past == past for run, past in pieces for index in range(*run))


def test_columns_agree_with_a_dictionary() -> None:
    """Random tasks and runs, across pages, through a checkpoint now and then."""
    chance = random.Random(5)
    total, now = 700, _SINCE
    trails, plain = Trails(_SINCE), _Plain()
    for step in range(420):
        start = chance.randrange(total)
        stop = min(total, start + chance.choice([1, 3, 300, 700]))
        history = chance.choice([(), ("attempt 1: error: a",), ("attempt 1: error: b",)])
        match step % 6:
            case 0 | 1:
                past = Past(attempts=chance.randrange(3), alone=chance.random() < 0.5, history=history)
                due = now + chance.randrange(1, 20) / 4 if chance.random() < 0.5 else 0.0
                trails.put(start, past, floor=step, due_at=due)
                plain.of[start] = _Trail(past, step, due or None)
            case 2:
                attempts = chance.randrange(2)
                trails.update(start, stop, partial(_more, attempts), floor=step)
                plain.update(start, stop, attempts, step)
            case 3:
                trails.drop(start, stop)
                plain.drop(start, stop, told=True)
            case 4:
                now += 0.75
                assert trails.take_due(now) == as_runs(plain.take_due(now))
            case _:
                stop = min(stop, start + 50)
                trails.erase(start, stop)
                plain.drop(start, stop, told=False)
        if step % 5 == 4 or step < 60:
            _agree(trails, plain, total)
        if step % 50 == 0:
            trails = Trails.restored(_SINCE, *trails.columns())
    trails.erase(0, total)
    assert (len(trails), bool(trails)) == (0, False)
    assert trails.columns()[0][1:] == () or all(not uses for uses in trails._pasts._uses[1:])


def test_ranks_order_as_tokens_do() -> None:
    """A later epoch is above every lease of an earlier one."""
    tokens = [Token(1, 1, "z"), Token(1, 2, "z"), Token(1, 1 << 39, "z"), Token(2, 0, "a"), Token(1 << 20, 7, "a")]
    assert sorted(tokens, key=rank) == sorted(tokens) == tokens
    assert rank(tokens[0]) > 0


def test_a_delayed_task_costs_few_bytes() -> None:
    """Each with a floor and a backoff of its own, as when single tasks fail one after the other."""
    count = 20_000
    past = Past(attempts=1, errors=1, history=("attempt 1: error: it failed",))
    tracemalloc.start()
    try:
        trails = Trails(_SINCE)
        before, _ = tracemalloc.get_traced_memory()
        for index in range(count):
            trails.put(index, past, floor=index + 1, due_at=_SINCE + 3600.0 + index / 100)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / count <= 13


def test_columns_become_wide_where_they_must() -> None:
    """Floors of several epochs in one page, and more pasts than two bytes count, through checkpoints as well."""
    trails, ranks = Trails(_SINCE), [rank(Token(epoch, counter, "")) for epoch in (7, 9) for counter in (1, (1 << 39))]
    for at, floor in enumerate(ranks):
        trails.put(at, NO_PAST, floor=floor)
        trails.update(256 + 9 * at, 265 + 9 * at, partial(_more, 1), floor=floor)
    trails.update(512, 768, partial(_more, 1), floor=ranks[0])
    trails.update(600, 601, partial(_more, 1), floor=ranks[-1])
    for index in range(1000, 70_000):
        trails.put(index, Past(attempts=index))
    for each in (trails, Trails.restored(_SINCE, *trails.columns())):
        assert [each.floor(index) for index in range(5)] == [*ranks, 0]
        assert [each.floor(256 + 9 * at) for at in range(4)] == ranks
        assert [each.floor(index) for index in (599, 600, 601)] == [ranks[0], ranks[-1], ranks[0]]
        assert all(each.past(index).attempts == index for index in range(1000, 70_000, 17))


def test_columns_of_before_they_could_be_narrow_are_read() -> None:
    """Journals outlive the version that wrote them."""
    floors = [rank(Token(3, 5, "")), rank(Token(4, 1, ""))]
    columns = [
        stored(array("Q", [2])),
        stored(array("H", [2])),
        bytes([1, 4]),
        stored(array("Q", floors)),
        stored(array("I", [1, 2])),
        stored(array("I", [0, 250])),
    ]
    trails = Trails.restored(_SINCE, (NO_PAST, Past(attempts=1), Past(attempts=2)), columns)
    again = Trails.restored(_SINCE, *trails.columns())
    for each in (trails, again):
        assert [each.floor(index) for index in (512, 513, 516)] == [0, *floors]
        assert [each.past(index).attempts for index in (513, 516)] == [1, 2]
        assert (each.due_at(516), each.next_due()) == (_SINCE + 2.5, _SINCE + 2.5)


def test_only_so_many_different_histories_are_kept_in_full() -> None:
    """A message of its own for each task must not cost a text each; the newest line's cause stays."""
    trails = Trails(_SINCE)
    for index in range(3000):
        trails.put(index, Past(attempts=2, history=("attempt 1: crash: c", f"attempt 2: error: line {index}")))
    assert trails.past(10).history == ("attempt 1: crash: c", "attempt 2: error: line 10")
    assert trails.past(2999) == Past(attempts=2, history=("attempt 2: error",))
    assert len(trails.columns()[0]) <= 1001
    trails.drop(0, 3000)
    trails.erase(0, 2000)
    trails.put(0, Past(history=("attempt 1: error: of a new task",)))
    assert trails.past(0).history == ("attempt 1: error: of a new task",), "there is room again"


def test_a_long_history_loses_its_oldest_lines() -> None:
    """A task that is tried a thousand times tells of the last few."""
    past = NO_PAST
    for attempt in range(1000):
        past = past._replace(history=past.with_line(f"attempt {attempt}: error: x"))
    assert past.history[-1] == "attempt 999: error: x"
    assert len(past.history) == 8
