"""What a run says it did: a line for each slice, and one for a file with all results; and whether that still holds.

A line of `manifest.jsonl` has `input`, `slice` (its first and last stored byte, the latter not included),
`bytes` (stored bytes read), `records`, `bad` (records), `output`, its `size` and `checksum` (SHA-256), `attempt`,
`worker`, `code` (the function's code hash) and `seconds`. Where several slices have one output, each names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from taskgrid.errors import UsageError
from taskgrid.files.output import checksum_of

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


class Row(BaseModel):
    """A line of a manifest."""

    model_config = ConfigDict(frozen=True)

    input: Path | None = None
    """None in the line of the file that has all results."""
    slice: tuple[int, int] | None = None
    output: Path | None = None
    """None if the slice has no file of its own."""
    bytes: int | None = None
    records: int | None = None
    bad: int = 0
    size: int | None = None
    checksum: str = ""
    attempt: int | None = None
    worker: str = ""
    code: str = ""
    seconds: float | None = None

    def line(self) -> str:
        """Return it as a line of JSON."""
        return self.model_dump_json(exclude_defaults=True) + "\n"


def rows_of(lines: bytes) -> list[Row]:
    """Return what lines of a manifest say."""
    return [Row.model_validate_json(line) for line in lines.splitlines()]


class Mismatch(NamedTuple):
    """An output that is not what the manifest says."""

    output: Path
    why: str


def verify(manifest: Path) -> Iterator[Mismatch | None]:
    """Read every output that a manifest names; yield for each None if it is as written, else what is wrong.

    Raises UsageError if it is no manifest.
    """
    checked: set[Path] = set()
    with manifest.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = _row(manifest, number, line)
            if row.output is not None and row.output not in checked:
                checked.add(row.output)
                why = _difference(row, row.output)
                yield Mismatch(row.output, why) if why else None


def _row(manifest: Path, number: int, line: str) -> Row:
    try:
        return Row.model_validate_json(line)
    except ValidationError as error:
        raise UsageError(
            f"line {number} of {manifest} is no line of a manifest", why=error.errors()[0]["msg"]
        ) from None


def _difference(row: Row, output: Path) -> str:
    try:
        size, checksum = checksum_of(output)
    except OSError as error:
        return f"{error.strerror or error}"
    if size != row.size:
        return f"it has {size:,} bytes, and was written with {row.size or 0:,}"
    return "" if checksum == row.checksum else "its content is not what was written"
