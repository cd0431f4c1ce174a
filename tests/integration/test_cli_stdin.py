"""Batches of stdin's lines, from producers that take their time and from quick ones, through a real pipe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

READER = """
import json, sys
from taskgrid.cli.stdin import batches_of_stdin
for batch in batches_of_stdin(3, lively=sys.argv[1] == "lively"):
    print(json.dumps([line.decode() for line in batch]), flush=True)
"""


class Producer:
    """Writes into the pipe, and reads which batches come out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def write(self, text: str) -> None:
        """Write, and let it go."""
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def batch(self) -> list[str]:
        """Wait for the next batch."""
        assert self._process.stdout is not None
        lines: list[str] = json.loads(self._process.stdout.readline())
        return lines

    def rest(self) -> list[list[str]]:
        """End the lines, and return the batches that were left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        return [json.loads(line) for line in self._process.stdout]


@contextmanager
def producer(mode: str) -> Iterator[Producer]:
    """Start a reader of batches of three."""
    words = [sys.executable, "-c", READER, mode]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Producer(process)
        finally:
            process.kill()


def test_a_lively_batch_goes_with_what_has_come() -> None:
    """Nobody waits for lines that are not there yet; half a line is none."""
    with producer("lively") as slow:
        slow.write("a\nb\nhal")
        assert slow.batch() == ["a", "b"]
        slow.write("f\r\n")
        assert slow.batch() == ["half"]
        slow.write("c")
        assert slow.rest() == [["c"]]


def test_a_quick_producers_batches_are_full() -> None:
    """Also where they are lively."""
    for mode in ("lively", "steady"):
        with producer(mode) as quick:
            quick.write("".join(f"{n}\n" for n in range(7)))
            assert [quick.batch(), quick.batch()] == [["0", "1", "2"], ["3", "4", "5"]]
            assert quick.rest() == [["6"]]


def test_a_batch_that_is_not_lively_waits_until_it_is_full() -> None:
    """The same lines give the same batches, however they come."""
    with producer("steady") as slow:
        for line in ("a\n", "b\n", "c\nd\n", "\n"):
            slow.write(line)
        assert slow.batch() == ["a", "b", "c"]
        assert slow.rest() == [["d", ""]]
