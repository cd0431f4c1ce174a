"""What a task writes: a temporary file beside its target, summed as it is written, safe on disk when it is closed.

    def shrink(slice: FileSlice, out: Output) -> int:
        with out.open("w") as file:
            ...

The temporary is named by the target and by the lease's token, so that attempts never share one, and it lies
in the target's folder, so that the rename which publishes it is one step. Who renames it, and when, is not
known here.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Literal, TextIO, overload

from pydantic import BaseModel, ConfigDict, PrivateAttr

from taskgrid.disks import require_within_bounds, sync_folder
from taskgrid.errors import UsageError
from taskgrid.functions.current import LEASE

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_BUFFER: Final = 256 << 10
_TEMPORARY: Final = re.compile(r"\.(?P<target>.+)\.\d+\.\d+\.\w*\.part")
"""The name of a target, and of a token: epoch, counter, salt."""


class Written(BaseModel):
    """A file that a task has written, as its outcome says."""

    model_config = ConfigDict(frozen=True)

    temporary: Path
    target: Path
    bytes: int
    checksum: str
    """SHA-256 of the content, in hex."""


class Output(BaseModel):
    """Where a task writes: a parameter of this type makes a function one that has an output file per input file.

    Nothing is seen under `path` before the task's outcome is committed; then all of it is, once, whatever else
    was tried. A function that never opens it has no output.
    """

    model_config = ConfigDict(frozen=True)

    path: Path
    """The target: what the file is called when it is whole."""

    _file: _Summed | None = PrivateAttr(default=None)
    _opened: IO[bytes] | IO[str] | None = PrivateAttr(default=None)

    @overload
    def open(self, mode: Literal["wb"] = "wb") -> BinaryIO: ...

    @overload
    def open(
        self,
        mode: Literal["w", "wt"],
        *,
        encoding: str = "utf-8",
        errors: str | None = None,
        newline: str | None = None,
    ) -> TextIO: ...

    def open(
        self, mode: str = "wb", *, encoding: str = "utf-8", errors: str | None = None, newline: str | None = None
    ) -> BinaryIO | TextIO:
        """Open the output for writing, bytes ("wb") or text ("w"), once; it can't be sought in, nor read.

        Folders that are missing are made. Closing it waits until it is safe on disk.
        """
        if mode not in {"wb", "w", "wt"}:
            raise UsageError(f"an output is written from its beginning to its end, not opened {mode!r}")
        if self._file is not None:
            raise UsageError(f"{self.path} was opened before", hint="Open an output once, and write all of it then.")
        require_within_bounds(self.path.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _Summed(temporary_of(self.path, LEASE[0].token))
        binary = io.BufferedWriter(self._file, _BUFFER)
        opened = binary if mode == "wb" else io.TextIOWrapper(binary, encoding, errors, newline)
        self._opened = opened
        return opened

    def finish(self) -> Written | None:
        """Close it, if that was left open, and return what was written; None if it was never opened."""
        if self._file is None or self._opened is None:
            return None
        self._opened.close()
        return Written(
            temporary=self._file.path, target=self.path, bytes=self._file.size, checksum=self._file.checksum()
        )

    def discard(self) -> None:
        """Remove what was written: the task came to nothing."""
        if self._file is None or self._opened is None:
            return
        with suppress(OSError, ValueError):  # what is left in a buffer may be what could not be written
            self._opened.close()
        self._file.path.unlink(missing_ok=True)


class _Summed(io.FileIO):
    """A file that knows the checksum of what was written to it, and is synced when it is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self.path = path
        self.size = 0
        self._sum = hashlib.sha256()

    def seekable(self) -> bool:
        return False  # its sum is of bytes in their order

    def write(self, data: Any) -> int:
        with memoryview(data).cast("B") as view:
            count = super().write(view)
            self._sum.update(view[:count])
        self.size += count
        return count

    def close(self) -> None:
        if not self.closed:
            try:
                os.fsync(self.fileno())
            finally:
                super().close()
            sync_folder(self.path.parent)

    def checksum(self) -> str:
        return self._sum.hexdigest()


def temporary_of(target: Path, token: str) -> Path:
    """Return where a task that works under a lease's token writes what will be called `target`."""
    return target.with_name(f".{target.name}.{token}.part")


def temporaries_in(folder: Path) -> list[tuple[Path, str]]:
    """Return the temporaries of a folder, each with its target's name, by whatever lease."""
    with os.scandir(folder) as entries:
        return [(Path(entry.path), found["target"]) for entry in entries if (found := _TEMPORARY.fullmatch(entry.name))]


def checksum_of(path: Path) -> tuple[int, str]:
    """Return the size and the checksum of a file as it lies there."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
