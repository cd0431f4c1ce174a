"""What a process keeps to: folders that its owner named, wherever names and links lead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from files_scene import slices_of

from taskgrid.disks import is_within_bounds, keep_to, require_within_bounds, why_unseen
from taskgrid.errors import UsageError
from taskgrid.files import Output, build_index, sees
from taskgrid.files.looking import list_files
from taskgrid.logs import access_summary, grep_lines
from taskgrid.worker.places import Places


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Keep to a folder, with a secret beside it and links that lead there."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "log").write_text("inside\n")
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "root-too").mkdir()
    (tmp_path / "root-too" / "log").write_text("secret\n")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path)
    yield root
    keep_to(())


def test_only_what_lies_below_is_read(root: Path) -> None:
    """Whichever of our functions is asked, and by whatever name."""
    escaping = [root / "link", root / "out" / "secret", root / ".." / "secret", root.parent / "root-too" / "log"]
    pieces = [slices_of(path, 100)[0] for path in escaping]
    inside = slices_of(root / "log", 100)[0]
    keep_to([root])
    for path, piece in zip(escaping, pieces, strict=True):
        for read in (piece.read_bytes, partial(grep_lines, path, "secret"), partial(access_summary, path)):
            with pytest.raises(PermissionError, match="--root"):
                read()
        assert "--root" in sees(path).why_not
        assert not is_within_bounds(path)
    assert inside.read_bytes() == b"inside\n"
    assert grep_lines(root / "log", "inside").hits == 1
    assert sees(root).why_not == ""


def test_nothing_is_written_or_listed_elsewhere(root: Path) -> None:
    """Neither an output nor an index, nor is the name of a file told."""
    keep_to([root])
    for target in (root / "out" / "new", root.parent / "new" / "deep"):
        with pytest.raises(PermissionError, match="--root"):
            Output(path=target).open()
    assert not (root.parent / "new").exists()
    with pytest.raises(PermissionError, match="--root"):
        build_index(root / "log", root / "out")
    listed = list_files([f"{root}/*"]).files()
    assert [each.seen.path for each in listed] == [root / "log"]
    with pytest.raises(UsageError):
        list_files([f"{root}/nothing*"])
    told = []
    for elsewhere in (f"{root.parent}/*", f"{root.parent}/secret", f"{root.parent}/nothing*"):
        with pytest.raises(UsageError, match="outside") as refused:
            list_files([elsewhere])
        told.append(str(refused.value).replace(elsewhere, ""))
    assert len(set(told)) == 1, "whether something is there is not told"


def test_a_worker_does_not_see_what_it_keeps_from(root: Path) -> None:
    """So it gets no task that reads there."""
    keep_to([root])
    seen = Places(lambda: None)
    seen._look(str(root.parent))  # what its thread does
    seen._look(str(root))  # likewise
    assert seen.seen() == {str(root.parent): "It lies outside the folders of this worker's --root", str(root): ""}


def test_several_folders_and_none(root: Path) -> None:
    """Any of several will do; without any, a process goes anywhere; the file system's own root is one too."""
    keep_to([root, root.parent / "root-too"])
    require_within_bounds(root.parent / "root-too" / "log")
    assert not is_within_bounds(root.parent / "secret")
    keep_to(["/"])
    assert is_within_bounds(root.parent / "secret")
    keep_to(())
    assert is_within_bounds("/etc/passwd")


def test_a_folder_that_can_be_entered_is_seen_and_a_file_that_can_not_be_read_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it may be listed says nothing of what is in it; that a file may be run, nothing of reading it."""
    (root / "log").chmod(0o711)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:  # whoever runs the tests may be refused nothing
        patched.setattr("os.scandir", refuse)
        patched.setattr("os.open", refuse)
        found = why_unseen(root), why_unseen(root / "log")
        patched.setattr("os.access", lambda *_: False)
        closed = why_unseen(root)
    assert found == ("", "Permission denied")
    assert closed == "Permission denied"
