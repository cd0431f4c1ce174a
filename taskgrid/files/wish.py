"""What a run over files is asked to be: checked as a whole before anything is listed, planned or sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

from taskgrid.errors import UsageError
from taskgrid.files.calling import Shape
from taskgrid.files.listing import Listed
from taskgrid.files.planning import FilePath, absolute, slice_size
from taskgrid.files.records import records_of
from taskgrid.files.remembered import Recipe
from taskgrid.files.standing import Rerun
from taskgrid.functions import code_version, name_of
from taskgrid.functions.reduction import BY_KIND, Merge, add_up

__all__: list[str] = []  # a worker that offers the package offers what a module of it lists: here nothing

_LEDGER: Final = ".taskgrid.ledger"
_MANIFEST: Final = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Wish:
    """A run over files, as it was asked for."""

    function: Callable[..., Any]
    patterns: tuple[FilePath, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What the function is given beside each slice, by name."""
    split: int | str = "auto"
    separator: str = "\n"
    begins: str | None = None
    indexes: FilePath | None = None
    reduce: Merge | str | None = None
    out: FilePath | None = None
    suffix: str | None = None
    ledger: FilePath | None = None
    rerun: Rerun = Rerun.CHANGED
    bad: str = "skip"
    """What becomes of bad records: skip, sidecar or fail."""
    max_fails: int | str | None = None
    """How many files may fail, as a number or as "5%" of all, before the run is stopped. None: any number."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of its job, as `@task` takes them."""
    list_on: str = "client"
    """Who lists the files and looks how they can be cut: client, or worker for one that doesn't see them."""
    by_name: bool = False
    """Whether files and their results come in order of name; else the largest first, so that none begins last."""
    as_found: bool = False
    """Whether a slice's result is given before its file has ended: for runs that put nothing together or away."""

    def settled(self) -> Settled:
        """Return the run as it will be; UsageError for what can't be together."""
        shape = Shape.of(self.function)
        arguments = shape.arguments.encode(self.arguments)
        records_of(self.separator, self.begins)
        out = None if self.out is None else next(absolute(self.out))
        folder = out if out is not None and (shape.output or _is_folder(self.out, out)) else None
        if shape.output is not None and folder is None:
            raise UsageError(f"{self.function.__name__} writes outputs, and there is no place for them", hint=_OUT)
        merge = _merge(self.reduce)
        self._check_bad(folder)
        self._check_sight(folder)
        each_whole = folder is not None and merge is None
        if each_whole and self.split not in {"auto", "none"}:
            raise UsageError(
                "a file that is split has no output of its own",
                why="Each slice is a task, and what they come to is not put together.",
                hint="Leave --split out, or put the slices together with --reduce.",
            )
        if shape.output is not None and merge is not None:
            each_whole = True
        size = slice_size("none" if each_whole else self.split)
        bearable = _bearable(self.max_fails, self.bad)
        return Settled(self, shape, arguments, merge, size, None if folder else out, folder, bearable)

    def _check_bad(self, folder: Path | None) -> None:
        if self.bad not in _BAD:
            raise UsageError(f"bad records can be {', '.join(_BAD)}, not {self.bad!r}")
        if self.bad == "sidecar" and folder is None:
            raise UsageError("there is no place for bad records", hint="They go beside the outputs in --out DIR.")

    def _check_sight(self, folder: Path | None) -> None:
        if self.list_on not in _LISTED_ON:
            raise UsageError(f"files are listed on {' or '.join(_LISTED_ON)}, not {self.list_on!r}")
        if self.list_on == "worker" and folder is not None:
            raise UsageError(
                "an output per input needs a client that sees the folder",
                why="It publishes the outputs of workers that died.",
                hint="Run the command on a machine that sees the files, or have all results in one --out FILE.",
            )


_LISTED_ON: Final = ("client", "worker")
_BAD: Final = ("skip", "sidecar", "fail")
_OUT: Final = "Say with --out DIR where they go; each is called as its input, with --suffix added."


def _is_folder(given: FilePath | None, out: Path) -> bool:
    return out.is_dir() or str(given).endswith("/")


def _merge(reduce: Merge | str | None) -> Merge | None:
    if reduce is None or callable(reduce):
        return reduce
    if reduce != BY_KIND:
        raise UsageError(f"a reduction is a function or 'merge', not {reduce!r}")
    return add_up


def _bearable(most: int | str | None, bad: str) -> Callable[[int], float]:
    """Return how many of so many files may fail; UsageError for what is neither a number nor a share."""
    if most is None:
        return lambda _: 0 if bad == "fail" else inf
    number, percent, rest = str(most).partition("%")
    if rest or not number.strip().isdecimal():
        raise UsageError(f"{most!r} is no number of files", hint="Say how many may fail, as 5 or 1%.")
    count = int(number)
    return lambda files: files * count / 100 if percent else count


@dataclass(frozen=True, slots=True)
class Settled:
    """A wish whose parts fit each other."""

    wish: Wish
    shape: Shape
    arguments: bytes
    """What the function is given beside each slice, as JSON."""
    merge: Merge | None
    size: int | None
    """The most stored bytes of a slice."""
    file: Path | None
    """Where all results go, if that is a file."""
    folder: Path | None
    """Where outputs go, one per input."""
    bearable: Callable[[int], float]
    """How many of so many files may fail."""

    @property
    def indexes(self) -> Path | None:
        """Return the folder of seek indexes."""
        return None if self.wish.indexes is None else next(absolute(self.wish.indexes))

    @property
    def tail_after(self) -> str | None:
        """Return the separator if a grown file's tail can be put to what is known of its beginning."""
        can = self.merge is not None and self.shape.output is None and self.wish.begins is None
        return self.wish.separator if can else None

    @property
    def ledger(self) -> Path | None:
        """Return where the run's ledger is; outputs have one beside them unless another is named."""
        if self.wish.ledger is not None:
            return next(absolute(self.wish.ledger))
        return self.folder / _LEDGER if self.folder is not None else None

    @property
    def manifest(self) -> Path | None:
        """Return where the manifest goes; None if nothing is written that it could speak of."""
        if self.folder is not None:
            return self.folder / _MANIFEST
        return self.file.with_name(f"{self.file.name}.{_MANIFEST}") if self.file is not None else None

    @property
    def claim(self) -> Path | None:
        """Return the lock of who writes there, beside the manifest."""
        manifest = self.manifest
        return None if manifest is None else manifest.with_name(f".taskgrid.{manifest.name}.lock")

    @property
    def own(self) -> list[Path]:
        """Return what is no input, wherever it lies: what the run itself writes."""
        ledger = self.ledger
        beside = [] if ledger is None else [ledger, ledger.with_name(f"{ledger.name}.lock")]
        written = (self.file, self.folder, self.manifest, self.claim, self.indexes, *beside)
        return [path for path in written if path is not None]

    def target_of(self, file: Listed) -> Path | None:
        """Return what the output of an input is called: as the input below its root."""
        if self.folder is None:
            return None
        relative = file.relative
        suffix = self.wish.suffix
        if suffix is None:
            suffix = "" if self.shape.output else ".json"
        return self.folder / relative.with_name(relative.name + suffix)

    def aside_of(self, target: Path | None, start: int) -> Path | None:
        """Return where bad records go of the slice that begins at an offset, by the file's output."""
        if target is None or self.wish.bad != "sidecar":
            return None
        return target.with_name(f"{target.name}.{start}.bad.jsonl" if start else f"{target.name}.bad.jsonl")

    def recipe(self) -> Recipe:
        """Return what the ledger remembers results under."""
        wish = self.wish
        code = code_version(wish.function).version
        named = wish.reduce if isinstance(wish.reduce, str) or wish.reduce is None else name_of(wish.reduce)
        if callable(wish.reduce):
            code = f"{code}+{code_version(wish.reduce).version}"
        parameters = {
            "split": self.size,
            "separator": wish.separator,
            "begins": wish.begins,
            "reduce": named,
            "folder": None if self.folder is None else str(self.folder),
            "suffix": wish.suffix,
            "bad": wish.bad,
        }
        if wish.arguments:  # named only then, so that what is remembered of functions without any stays
            parameters["arguments"] = json.loads(self.arguments)
        return Recipe(function=name_of(wish.function), code=code, parameters=parameters)
