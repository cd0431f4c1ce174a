"""Names of things: jobs, workers, runs of tasks, and the token that fences a lease."""

from __future__ import annotations

import secrets
from typing import NamedTuple, NewType

JobId = NewType("JobId", str)
"""128 random bits as 32 hex digits, made by the client: what makes a submission idempotent."""

JobNumber = NewType("JobNumber", int)
"""The small number a person says ("job 17"), given by the master."""

WorkerId = NewType("WorkerId", str)
"""128 random bits as 32 hex digits, made anew at each start of a worker."""

Run = tuple[int, int]
"""The tasks `start` up to and without `stop` of one job."""


class Epoch(NamedTuple):
    """One start of the master: a number that grows, and 64 random bits.

    The bits tell two histories of one number apart, as after a journal was restored from a backup.
    """

    number: int
    salt: str


class Token(NamedTuple):
    """The fence of a lease; a later lease of the same task has a greater one.

    Tokens order by epoch, then counter. The salt takes part in equality only in effect: two tokens
    of one epoch number and different salts are of different histories, and the master refuses one.
    """

    epoch: int
    counter: int
    salt: str

    def next(self) -> Token:
        """Return the least token that is greater than this one in the same epoch."""
        return Token(self.epoch, self.counter + 1, self.salt)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.counter}"


def new_id() -> str:
    """Make 128 random bits, as 32 hex digits."""
    return secrets.token_hex(16)
