"""Where a journal may lie: local file systems, told from networked ones by the table of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskgrid.disks import file_system
from taskgrid.errors import JournalError
from taskgrid.journal import MemoryJournal, open_journal
from taskgrid.journal.place import refuse_network
from taskgrid.settings import state_folder

MOUNTS = """\
/dev/vda / ext4 rw 0 0
server:/export /srv/shared nfs4 rw 0 0
host:/ /srv/ssh fuse.sshfs rw 0 0
//nas/files /srv/with\\040space cifs rw 0 0
/dev/vdb /srv/shared/local xfs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """Write a table of mounts."""
    path = tmp_path / "mounts"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize("place", ["/srv/shared/journal.db", "/srv/ssh/a/journal.db", "/srv/with space/journal.db"])
def test_network_file_system_is_refused_with_a_local_path(mounts: Path, place: str) -> None:
    """Locks and fsync can't be relied on there; the hint names where to go."""
    with pytest.raises(JournalError, match="network file system") as refused:
        refuse_network(Path(place), mounts)
    assert "local path" in refused.value.hint
    assert str(state_folder()) in refused.value.hint


def test_local_file_system_is_taken_also_below_a_network_one(mounts: Path) -> None:
    """The innermost mount decides."""
    assert file_system(Path("/srv/shared/local/journal.db"), mounts) == "xfs"
    assert file_system(Path("/var/journal.db"), mounts) == "ext4"
    refuse_network(Path("/srv/shared/local/journal.db"), mounts)
    refuse_network(Path("/srv/sharedless/journal.db"), mounts)


def test_system_without_a_table_of_mounts_is_trusted(tmp_path: Path) -> None:
    """Not every system has one."""
    refuse_network(Path("/srv/shared/journal.db"), tmp_path / "absent")


def test_memory_is_a_journal_by_name() -> None:
    """`memory` names the journal that survives nothing."""
    journal = open_journal("memory")
    assert isinstance(journal, MemoryJournal)
    assert journal.path == "memory"
    journal.close()
