"""The claim of a run on where it writes: one run at a time, whatever its ledger.

Two runs would open the same manifest, remove each other's temporaries and publish over each other. So a run
holds a lock beside its manifest. What its workers publish they go on with when the run itself was killed:
its name in the lock keeps runs with other ledgers away until one with its ledger has brought it to its end.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from taskgrid.errors import OutputClaimed
from taskgrid.files.lock import Holder, Lock
from taskgrid.files.wish import Settled

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing


class Claim:
    """Held from `with` on to its end; nothing where a run writes nothing."""

    def __init__(self, settled: Settled, now: float) -> None:
        self.goes_on = False
        """Whether workers may still publish for the run."""
        self._settled = settled
        self._now = now
        self._lock: Lock | None = None

    def __enter__(self) -> Self:
        """Take it; OutputClaimed if another run has it, or was killed and may go on."""
        if (path := self._settled.claim) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            said = {"ledger": str(self._settled.ledger)} if self._publishes else {}
            self._lock = Lock(path, self._now, self._refusal, said=said, binds=self._binds)
            self.goes_on = "ledger" in self._lock.left
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release(done=not (self._publishes and self.goes_on))

    @property
    def _publishes(self) -> bool:
        return self._settled.shape.output is not None

    def _binds(self, holder: Holder) -> bool:
        """Say whether workers may still publish for a run that is no more; one with its ledger takes it up."""
        return holder.said.get("ledger") not in {None, str(self._settled.ledger)}

    def _refusal(self, holder: Holder) -> OutputClaimed:
        where = self._settled.folder or self._settled.file
        if holder.is_alive:
            return OutputClaimed(
                f"another run writes to {where}: {holder.shown}",
                why="Two at once would remove what the other has not published yet, and publish over each other.",
                hint=f"Wait for it, or name another --out. If its host is gone for good, remove {self._settled.claim}.",
                **holder.fields,
            )
        return OutputClaimed(
            f"a run that was killed may still write to {where}: it was {holder.shown}",
            why=f"Its tasks go on without it. What is done it remembers in {holder.said['ledger']}.",
            hint=f"Run it again with that ledger, or cancel its job and remove {self._settled.claim}.",
            **holder.fields,
        )
