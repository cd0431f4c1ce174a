"""Kinds of worlds in which one promise is under siege; a mutant that breaks it shows itself there soonest."""

from __future__ import annotations

from .world import Leaning

RESTORED = Leaning(faults=("take_backup", "kill_master", "restore_backup"), longest=3.0, steady=True)
"""Older backups are put back under workers and clients that go on."""
UNSYNCED = Leaning(faults=("lose_power", "lose_power", "bad_weather"), unsynced=True, longest=0.5)
"""Power is lost on a disk that was not synced."""
OUT_OF_TOUCH = Leaning(faults=("strand_worker", "break_connections"), alone=True, longest=9.0, steady=True)
"""Workers that run what is alone lose sight of the master, and live."""
DOUBT = Leaning(faults=("kill_master",), alone=True, longest=8.0)
"""The master dies while what is alone runs."""
DECLARED = Leaning(
    faults=("kill_master", "strand_worker"), share=0.0, alone=False, declared=True, longest=8.0, steady=True
)
"""Likewise, and only the function says that it is alone; workers come back late."""
REPEATED = Leaning(faults=("bad_weather", "bad_weather", "slow_disk", "slow_disk"), longest=0.5)
"""Answers are lost, and commits take seconds."""
LATE = Leaning(faults=("strand_worker", "strand_worker", "pause_worker", "drain_worker"), longest=5.0, steady=True)
"""Workers come back after their leases have ended."""
SUPERSEDED = Leaning(
    faults=("strand_worker",), natures=("crashes", "flaky"), share=0.6, longest=4.0, steady=True, unsynced=False
)
"""Likewise, and the attempts of others have failed meanwhile."""
SUSPENDED = Leaning(faults=("pause_master",), longest=8.0)
"""The master stands still."""
FAILING = Leaning(faults=("bad_weather",), natures=("flaky", "crashes"), share=0.5, longest=1.0, steady=True)
"""Attempts fail, and their reports are repeated."""
FAILING_UNSYNCED = Leaning(faults=("lose_power",), natures=("flaky", "raises"), unsynced=True)
"""Attempts fail, and power is lost on a disk that was not synced."""
BROUGHT_BACK = Leaning(faults=("kill_client",), natures=("raises",), share=0.5, operators=True, longest=0.02)
"""Somebody cancels and retries."""
CUT = Leaning(
    faults=("strand_worker", "strand_worker", "kill_master"),
    share=0.0,
    alone=True,
    operators=True,
    longest=8.0,
    steady=True,
)
"""Somebody cancels and retries what is alone; its workers lose sight of the master, which dies now and then."""
MERGED = Leaning(
    faults=("bad_weather", "bad_weather", "kill_worker", "kill_master", "strand_worker"),
    operators=True,
    longest=0.002,
    merged=True,
)
"""Workers merge the values of two neighbours, and somebody cancels and retries."""
MERGED_RESTORED = Leaning(faults=("take_backup", "kill_master", "restore_backup"), longest=0.002, merged=True)
"""They do, and older backups are put back."""
DEADLY = Leaning(faults=("kill_worker", "break_connections"), natures=("deadly",), share=0.15, longest=0.5)
"""Tasks take their hosts with them, and whatever else is there."""
FULL = Leaning(faults=("full_disk",), longest=3.0)
"""The disk is full now and then."""
AWAY = Leaning(faults=("strand_clients", "bad_weather", "strand_clients"), grace=3.0)
"""Clients are away for longer than their jobs wait for them."""
