"""Outcomes as lines of JSON: `{"task": "17.42", "item": ..., "value": ...}`, or with an `"error"`.

Works on bytes: a value's line is JSON already and is passed on as it is. An item is the payload's
one argument, or the whole payload if there are several. Knows nothing of where outcomes come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from taskgrid.model import FAILURE_MARK, Failure, Run, parse_failure

_ONE_STRING: Final = re.compile(rb'\["(?:[^"\\]|\\.)*"\]')
_CANCELLED: Final = b'{"cause": "cancelled", "type": "", "message": "the task was cancelled"}'


class Outcomes(NamedTuple):
    """What consecutive tasks of a job gave."""

    job: int
    first: int
    stop: int
    lines: Sequence[bytes]
    """Empty if they were cancelled."""

    @property
    def run(self) -> Run:
        """The tasks it covers."""
        return self.first, self.stop

    def failures(self) -> Iterator[tuple[int, Failure]]:
        """Yield index and failure of each that failed."""
        for index, line in enumerate(self.lines, self.first):
            if line.startswith(FAILURE_MARK):
                yield index, parse_failure(line)


def as_objects(outcomes: Outcomes, payloads: Sequence[bytes]) -> list[bytes]:
    """Return a JSON object per task."""
    lines = outcomes.lines or [b""] * (outcomes.stop - outcomes.first)
    prefix = f'{{"task": "{outcomes.job}.'.encode()
    return [
        b'%b%d", "item": %b, %b}' % (prefix, index, _item(payload), _outcome(line))
        for index, (payload, line) in enumerate(zip(payloads, lines, strict=True), outcomes.first)
    ]


def as_values(outcomes: Outcomes) -> list[bytes]:
    """Return the bare values; `null` stands for what has none, so that lines stay lined up with items."""
    if not outcomes.lines:
        return [b"null"] * (outcomes.stop - outcomes.first)
    return [b"null" if line.startswith(FAILURE_MARK) else line for line in outcomes.lines]


def failure_text(address: str, failure: Failure, payload: bytes) -> str:
    """Return a failure as a person reads it, with its traceback and what the task printed."""
    where = f" on {failure.worker}" if failure.worker else ""
    head = f"{address} failed ({failure.cause}, attempt {failure.attempt}{where}): {failure.summary}"
    item = f"  item: {_item(payload).decode(errors='replace')}"
    trace = failure.traceback.rstrip()
    output = f"  it printed:\n{failure.output.rstrip()}" if failure.output else ""
    return "\n".join(part for part in (head, item, trace, output) if part) + "\n"


def failure_object(address: str, failure: Failure, payload: bytes) -> dict[str, object]:
    """Return a failure as programs read it."""
    return {"task": address, "item": json.loads(_item(payload)), "error": failure.model_dump(mode="json")}


def _item(payload: bytes) -> bytes:
    if _ONE_STRING.fullmatch(payload):
        return payload[1:-1]
    if not payload.startswith(b"["):
        return payload
    arguments = json.loads(payload)
    return json.dumps(arguments[0], ensure_ascii=False).encode() if len(arguments) == 1 else payload


def _outcome(line: bytes) -> bytes:
    if not line:
        return b'"error": ' + _CANCELLED
    if not line.startswith(FAILURE_MARK):
        return b'"value": ' + line
    failure = parse_failure(line)
    error = {"cause": failure.cause.value, "type": failure.type, "message": failure.message}
    return b'"error": ' + json.dumps(error, ensure_ascii=False).encode()
