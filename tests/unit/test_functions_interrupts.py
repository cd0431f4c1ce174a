"""Ctrl-C while pydantic writes JSON is Ctrl-C: no error of an argument's, and none of a value's."""

# ruff: noqa: D101, D103  # functions and classes as a user writes them

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import PosixPath
from types import FrameType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, PlainSerializer, computed_field, model_serializer

from taskgrid.errors import UsageError
from taskgrid.functions import NamedSignature, Runner, Signature
from taskgrid.model import Cause
from taskgrid.model.outcome import parse_failure


def ctrl_c(value: object) -> object:
    signal.raise_signal(signal.SIGINT)
    return value


def complains(value: object) -> object:
    raise ValueError(f"KeyboardInterrupt: so says {value}")


Interrupted = Annotated[int, PlainSerializer(ctrl_c)]
Wrong = Annotated[int, PlainSerializer(complains)]


class Whole(BaseModel):
    size: int

    @model_serializer
    def written(self) -> Any:
        return ctrl_c(self.size)


class Outer(BaseModel):
    inner: Whole

    @computed_field  # type: ignore[prop-decorator]  # pydantic's way to write it
    @property
    def twice(self) -> int:
        return 2


class Slow(PosixPath):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def by_type(n: Interrupted) -> None:
    """Take an argument whose own serializer is interrupted."""


def by_model(outer: Outer) -> None:
    """Take a model with one inside."""


def by_path(path: PosixPath) -> None:
    """Take a scalar: a batch of them is written in one call."""


def wrong(n: Wrong) -> None:
    """Take an argument that can't be written, and says so in words that mislead."""


def returns_interrupted() -> Interrupted:
    return 1


def returns_wrong() -> Wrong:
    return 1


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Let SIGINT do what it does at a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("function", "item"),
    [(by_type, 1), (by_model, Outer(inner=Whole(size=1))), (by_path, Slow("/x"))],
    ids=["type", "model", "path"],
)
def test_an_interrupt_while_arguments_are_written_is_an_interrupt(function: Callable[..., None], item: object) -> None:
    """Whoever pressed Ctrl-C gets out, whichever way the items are written."""
    signature = Signature.of(function)
    for write in (
        lambda: signature.encode_call((item,), {}),
        lambda: signature.encode_items([item, item]),
        lambda: signature.encode_items([(item,), (item,)], star=True),
    ):
        with pytest.raises(KeyboardInterrupt):
            write()


def test_an_interrupt_while_it_is_asked_what_is_wrong_is_an_interrupt() -> None:
    """An argument without an annotation is tried once more, for the words of its error."""
    with pytest.raises(KeyboardInterrupt):
        NamedSignature("mylogs:count").encode_items([Whole(size=1)])


def test_a_program_that_ends_itself_ends() -> None:
    """A signal's handler that exits is not an argument's error either, and the status stays."""

    def leave(_: int, __: FrameType | None) -> None:
        raise SystemExit(7)

    signal.signal(signal.SIGINT, leave)
    with pytest.raises(SystemExit) as ended:
        Signature.of(by_type).encode_items([1])
    assert ended.value.code == 7


def test_an_error_that_speaks_of_an_interrupt_is_none() -> None:
    """A real error stays one, whatever its words are."""
    with pytest.raises(UsageError, match="so says 1"):
        Signature.of(wrong).encode_items([1])


def test_an_interrupt_while_a_value_is_written_is_not_charged_to_the_value() -> None:
    """It counts as the error that it is, which may be tried again; a value that is rubbish is rubbish."""
    with Runner(returns_interrupted) as interrupted, Runner(returns_wrong) as rubbish:
        failure = parse_failure(interrupted.run(b"[]"))
        assert (failure.cause, failure.type) == (Cause.ERROR, "builtins.KeyboardInterrupt")
        failure = parse_failure(rubbish.run(b"[]"))
        assert (failure.cause, "so says 1" in failure.message) == (Cause.BAD_RESULT, True)
