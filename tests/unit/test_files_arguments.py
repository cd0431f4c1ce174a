"""What a function over files is given beside the slice: checked before it leaves, and where it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from files_scene import slices_of

from taskgrid.errors import UsageError
from taskgrid.files import FileSlice, Output
from taskgrid.files.calling import Shape, carried
from taskgrid.functions import Runner


class Level(StrEnum):
    """How loud."""

    INFO = "info"


def gifted(  # type: ignore[no-untyped-def]  # one parameter says nothing, on purpose
    piece: FileSlice,
    out: Output,
    level: Level,
    *,
    times: int = 2,
    words: list[str] | None = None,
    pause: timedelta = timedelta(0),
    anything=None,  # noqa: ANN001  # likewise
) -> str:
    """Say what came."""
    out.open("wb").write(piece.read_bytes())
    return repr((level, times, words, pause.total_seconds(), anything))


def only_by_place(piece: FileSlice, more: int, /) -> int:
    """Take what can't be named."""
    return piece.end + more


ARGUMENTS = Shape.of(gifted).arguments


def test_values_arrive_as_they_are_annotated(tmp_path: Path) -> None:
    """Through JSON and back; what was not given has its default."""
    (tmp_path / "in").write_text("x\n")
    (piece,) = slices_of(tmp_path / "in", 100)
    given = ARGUMENTS.encode({"level": Level.INFO, "words": ["a", "b"], "pause": timedelta(seconds=3)})
    payload = b"[%b,%b,null,false,%b]" % (
        piece.model_dump_json().encode(),
        json.dumps(str(tmp_path / "out")).encode(),
        given,
    )
    with Runner(carried(gifted)) as runner:
        done = json.loads(runner.run(payload))
    assert done["value"] == repr((Level.INFO, 2, ["a", "b"], 3.0, None))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "gifted needs a value for level"),
        ({"level": "info", "loud": 1}, "gifted has no parameter loud"),
        ({"level": "info", "piece": 1}, "gifted has no parameter piece"),
        ({"level": "info", "out": 1}, "gifted has no parameter out"),
        ({"level": "shout"}, "gifted: level: "),
        ({"level": "info", "times": "many"}, "gifted: times: "),
        ({"level": "info", "anything": {1}}, "gifted: anything"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: dict[str, Any], says: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError) as refused:
        ARGUMENTS.encode(given)
    assert str(refused.value).startswith(says)


def test_text_becomes_what_the_parameter_is() -> None:
    """As text where that is enough, as JSON where it is not."""
    texts = {"level": "info", "times": "5", "words": '["a", "b"]', "pause": "PT3S", "anything": "[1]"}
    assert ARGUMENTS.read(texts) == {
        "level": Level.INFO,
        "times": 5,
        "words": ["a", "b"],
        "pause": timedelta(seconds=3),
        "anything": "[1]",
    }
    with pytest.raises(UsageError, match="gifted can't be given times=many"):
        ARGUMENTS.read({"level": "info", "times": "many"})


def test_a_parameter_without_a_name_can_be_given_no_value() -> None:
    """So a function that needs one is refused."""
    with pytest.raises(UsageError, match="only_by_place needs a value for more"):
        Shape.of(only_by_place).arguments.encode({})


def test_sets_are_written_alike_by_every_process() -> None:
    """A run that is taken up repeats its payloads to the byte, and a ledger knows its parameters again."""
    names = "{'alpha', 'beta', 'gamma', 'delta'}"
    program = f"from test_files_arguments import SETS; print(SETS.encode({{'names': {names}}}).decode())"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert told == {'{"names": ["alpha", "beta", "delta", "gamma"]}\n'}


def with_names(piece: FileSlice, names: set[str]) -> int:
    """Take a set."""
    return piece.end + len(names)


SETS = Shape.of(with_names).arguments
