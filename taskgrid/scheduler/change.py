"""What a command decided for one job, as the journal takes it. Knows nothing of the state that it came from."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskgrid.model import JobNumber, Record


@dataclass(slots=True)
class Row:
    """An outcome row to be committed with a change; `lines` is None where a report's part has them."""

    sequence: int
    first: int
    count: int
    cancelled: bool = False
    lines: bytes | None = None


@dataclass(slots=True)
class Change:
    """What a command decided for one job: records numbered from `first_record`, and outcome rows."""

    job: JobNumber
    first_record: int
    records: list[Record]
    rows: list[Row] = field(default_factory=list)
