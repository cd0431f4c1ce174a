"""Arguments and values: what is written, what is read, and what is refused with which words."""

# ruff: noqa: D101, D103  # functions and classes as a user writes them

from __future__ import annotations

import dataclasses
import enum
import io
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from taskgrid.errors import FunctionRefused, NotSerializable, TaskGridError, TooLarge, UsageError
from taskgrid.functions import NamedSignature, Runner, Signature


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0
    raw: bytes = b"\xff"


class Row(NamedTuple):
    name: str
    size: int


class Inner(BaseModel):
    at: datetime
    ratio: float | None = None


class Outer(BaseModel):
    inner: Inner = Field(alias="in")
    tags: set[str] = set()


Small = Annotated[int, Field(ge=0, lt=10)]
TYPED: list[tuple[Any, Any]] = [
    (int, 2**80),
    (float, -math.inf),
    (bool, True),
    (str, 'a\n"b,\u2028[]'),
    (bytes, b"\xff\x00,"),
    (None, None),
    (Path, Path("/a/b\nc")),
    (datetime, datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=1)))),
    (date, date(2024, 2, 29)),
    (timedelta, timedelta(days=-1, microseconds=7)),
    (Decimal, Decimal("0.10")),
    (UUID, UUID(int=7)),
    (Colour, Colour.BLUE),
    (Literal["a", 1], 1),
    (Point, Point(1.5)),
    (list[Point], [Point(math.inf), Point(-1)]),
    (Row, Row("a", 1)),
    (Outer, Outer(**{"in": Inner(at=datetime(2024, 1, 1), ratio=math.inf), "tags": {"x"}})),  # noqa: DTZ001  # naive too
    (Counter[str], Counter("aab")),
    (defaultdict[str, list[int]], defaultdict(list, a=[1])),
    (deque[int], deque([1, 2])),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (tuple[int, str], (1, "a")),
    (dict[int, Path], {1: Path("x")}),
    (dict[date, int], {date(2024, 1, 1): 3}),
    (int | str, "1"),
    (int | None, None),
    (Small, 9),
    (dict[str, Any], {"a": [1, None, "x"]}),
    (Any, {"a": [True, 1.5]}),
]


def function_of(annotation: Any, *, name: str = "made") -> Callable[..., Any]:
    """Make a module-level function from an annotation to the same."""

    def made(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # annotated below
        return x

    made.__annotations__ = {"x": annotation, "return": annotation}
    made.__qualname__ = made.__name__ = name
    globals()[name] = made
    return made


@pytest.mark.parametrize(("annotation", "value"), TYPED, ids=lambda one: str(one)[:30])
def test_values_survive_the_whole_way(annotation: Any, value: Any) -> None:
    """What a caller passes is what the function gets; what it returns is what the caller gets."""
    function = function_of(annotation)
    signature = Signature.of(function)
    globals()["made"] = function
    with Runner(function) as runner:
        single = runner.run(signature.encode_call((value,), {}))
        lines = [runner.run(line) for line in signature.encode_items([value, value])]
    seen = [signature.decode_value(single), *signature.decode_values(b"\n".join(lines))]
    assert seen == [value] * 3
    assert all(type(one) is type(value) for one in seen)
    assert not any(b"\n" in line for line in (single, *lines))


def test_nan_survives_also_inside_a_model() -> None:
    """A NaN is never turned into null, whatever the model's own configuration."""
    for annotation, value in ((float, math.nan), (Any, math.nan)):
        signature = Signature.of(function_of(annotation))
        assert signature.encode_items([value]) == [b"[NaN]"]
        assert math.isnan(signature.decode_value(b"NaN"))
    signature = Signature.of(function_of(Inner))
    line = signature.encode_call((Inner(at=datetime(2024, 1, 1), ratio=math.nan),), {})  # noqa: DTZ001
    assert b"NaN" in line


def add(a: int, b: int = 2, *rest: int, scale: float = 1.0, **more: Path) -> list[str]:
    return [f"{a} {b} {rest} {scale}", *(f"{key}={type(value).__name__}" for key, value in sorted(more.items()))]


def first(a: int, /, b: int) -> int:
    return a - b


@pytest.mark.parametrize(
    ("args", "kwargs", "value"),
    [
        ((1,), {}, ["1 2 () 1.0"]),
        ((1, 3, 4, 5), {}, ["1 3 (4, 5) 1.0"]),
        ((1,), {"b": 5}, ["1 5 () 1.0"]),
        ((), {"a": 1, "scale": 2}, ["1 2 () 2.0"]),
        ((1, 3, 4), {"scale": 2, "p": "x"}, ["1 3 (4,) 2.0", "p=PosixPath"]),
        ((1,), {"p": Path("x"), "a.b": "y"}, ["1 2 () 1.0", "a.b=PosixPath", "p=PosixPath"]),
    ],
)
def test_arguments_of_every_kind_reach_their_parameters(args: Any, kwargs: Any, value: list[str]) -> None:
    """Defaults, keyword-only, `*args` and `**kwargs` work, alone and together."""
    signature = Signature.of(add)
    with Runner(add) as runner:
        assert signature.decode_value(runner.run(signature.encode_call(args, kwargs))) == value


def test_positional_only_arguments_mix_with_named_ones() -> None:
    """What can't be named goes by position in the same payload."""
    with Runner(first) as runner:
        assert runner.run(Signature.of(first).encode_call((5,), {"b": 3})) == b"2"


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "needs a value for a"),
        ((1,), {"a": 2}, "given a twice"),
        (("x",), {}, "a: "),
        ((1,), {"scale": "x"}, "scale: "),
        ((1, 2, "x"), {}, "rest[0]: "),
    ],
)
def test_a_call_that_can_not_be_made_is_refused_before_it_leaves(args: Any, kwargs: Any, says: str) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError) as caught:
        Signature.of(add).encode_call(args, kwargs)
    assert says in caught.value.message


def test_too_many_or_unknown_arguments_are_refused() -> None:
    """As Python itself would."""
    signature = Signature.of(first)
    for args, kwargs in (((1, 2, 3), {}), ((1,), {"c": 1}), ((1, 2), {"a": 3})):
        with pytest.raises(UsageError):
            signature.encode_call(args, kwargs)


def test_star_spreads_tuples_by_position_and_dicts_by_name() -> None:
    """Without it each item is the one argument."""
    signature = Signature.of(add)
    assert signature.encode_items([(1, 2), (3, 4)], star=True) == [b"[1,2]", b"[3,4]"]
    assert signature.encode_items([(1, 2), [3], {"a": 4}], star=True) == [b"[1,2]", b"[3]", b'{"a":4}']
    assert Signature.of(function_of(tuple[int, int])).encode_items([(1, 2)]) == [b"[[1,2]]"]


@pytest.mark.parametrize("items", [[(1,), (2, "x")], [(1, 1), (2, "x")], [{"a": 1}, {"a": 2, "b": "x"}]])
def test_a_wrong_item_of_a_star_batch_is_named(items: list[Any]) -> None:
    """Index and parameter, counted from where the batch begins."""
    with pytest.raises(UsageError, match=r"item 101 of .*: b: Input should be a valid integer"):
        Signature.of(add).encode_items(items, first=100, star=True)


def test_an_item_that_can_not_be_spread_is_refused() -> None:
    """A string is no tuple of arguments."""
    with pytest.raises(UsageError, match="item 1 is a str"):
        Signature.of(add).encode_items([(1,), "ab"], star=True)
    with pytest.raises(UsageError, match=r"item 0: .* needs a value for b"):
        Signature.of(first).encode_items([(1,), (1, 2)], star=True)


def test_a_wrong_item_is_named_by_index_and_field() -> None:
    """One call checks the batch, and yet the error says which."""
    with pytest.raises(UsageError, match=r"item 12 of .*: x\.y: Input should be a valid number") as caught:
        Signature.of(function_of(Point)).encode_items([{"x": 1}, {"x": 1}, {"x": 1, "y": "q"}], first=10)
    assert not isinstance(caught.value, NotSerializable)


NO_JSON = [lambda: None, io.StringIO("x"), object()]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        *((annotation, value) for annotation in (Any, int, dict[str, Any]) for value in NO_JSON),
        *((list[Any], [value]) for value in NO_JSON),
        (Any, ["a", {"b": object()}]),
    ],
)
def test_what_is_no_json_is_refused_with_pass_a_path(annotation: Any, value: object) -> None:
    """An open file or a data frame can't travel."""
    with pytest.raises(NotSerializable, match="Pass a path instead"):
        Signature.of(function_of(annotation)).encode_items([value])


@pytest.mark.parametrize("value", [{1}, {1: 2}, datetime(2024, 1, 1), Path("x"), b"x", Colour.RED, [{"a": (1, {2})}]])  # noqa: DTZ001
def test_unannotated_values_must_be_plain_json(value: object) -> None:
    """Nothing is turned into something else unasked, on the way there and on the way back."""
    function = function_of(Any)
    with pytest.raises(UsageError):
        Signature.of(function).encode_call((value,), {})
    with pytest.raises(UsageError):
        NamedSignature("a:b").encode_items([value])
    globals()["held"] = value
    with Runner(held_value) as runner:
        assert runner.run(b"[]").startswith(b'!{"cause":"bad-result"')


def held_value():  # type: ignore[no-untyped-def]  # noqa: ANN201  # the point
    return globals()["held"]


def test_a_value_that_holds_itself_is_refused() -> None:
    """No endless recursion."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UsageError):
        Signature.of(function_of(Any)).encode_items([loop])


def test_a_payload_over_the_limit_is_refused_with_where_to_put_it() -> None:
    """Data stays where it is; what travels is small."""
    with pytest.raises(TooLarge, match=r"item 1 .*(?s:.*)shared storage"):
        Signature.of(function_of(str), max_payload=10).encode_items(["a", "a" * 10])


def test_lone_surrogates_are_refused_by_item() -> None:
    """A file name that is no UTF-8 can't be JSON."""
    with pytest.raises(UsageError, match="item 1"):
        Signature.of(function_of(str)).encode_items(["a", "\udcff"])


def test_annotations_without_json_are_refused_by_name() -> None:
    """A function of open files is told so before anything is sent."""
    with pytest.raises(FunctionRefused, match=r"x of .*made: StringIO has no form as JSON"):
        Signature.of(function_of(io.StringIO))
    with pytest.raises(FunctionRefused, match="can't be resolved"):
        Signature.of(function_of("Nowhere"))


def test_a_value_that_does_not_fit_here_says_that_the_code_differs() -> None:
    """A worker with other code is the likely cause."""
    with pytest.raises(TaskGridError, match="not the same"):
        Signature.of(function_of(int)).decode_values(b'1\n"x"')


def test_no_lines_are_no_values() -> None:
    """An empty run has no part."""
    assert Signature.of(add).decode_values(b"") == []
    assert Signature.of(add).encode_items([]) == []


def test_functions_known_by_name_take_plain_json() -> None:
    """The same interface, without the function."""
    signature = NamedSignature("a:b")
    assert signature.encode_items([1, "a,b", [1]]) == [b"[1]", b'["a,b"]', b"[[1]]"]
    assert signature.encode_call((1,), {"k": "v"}) == b'{"*":[1],"k":"v"}'
    assert signature.decode_values(b'NaN\n{"a":[1]}')[1] == {"a": [1]}
