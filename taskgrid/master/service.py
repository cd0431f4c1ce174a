"""All verbs in one object, as the transport's server calls them, and the word that a connection ended."""

from __future__ import annotations

from taskgrid.master.control import Control
from taskgrid.master.results import ResultQueue
from taskgrid.master.tasks import TaskQueue
from taskgrid.transport.protocol import Peer


class MasterService(Control, TaskQueue, ResultQueue):
    """The three queues over one engine."""

    def disconnected(self, peer: Peer) -> None:
        """Hear that a connection is gone: its long polls end, and its worker's grace may begin."""
        with self._engine.lock:
            self._engine.hang_up(peer.connection)
