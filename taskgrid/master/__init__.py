"""The master: the scheduler behind a lock, the journal behind that, and the verbs in front.

It never imports client or worker: they meet in `transport/protocol/`.
"""

from taskgrid.master.program import Master, Ready, run_master

__all__ = ["Master", "Ready", "run_master"]
