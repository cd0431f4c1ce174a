"""Whose code it is: the same files give the same version anywhere, and any change gives another."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskgrid.errors import FunctionRefused
from taskgrid.functions import Offers, code_version, task

FILES = {
    "codepkg/__init__.py": "X = 1\n",
    "codepkg/work.py": "import os, pydantic\nfrom . import near\nfrom codepkg.sub.deep import y\n\n"
    "def run():\n    import codelate\n\n",
    "codepkg/near.py": "from .sub import *\n",
    "codepkg/sub/__init__.py": "",
    "codepkg/sub/deep.py": "y = 1\n",
    "codepkg/apart.py": "raise RuntimeError('not imported by work')\n",
    "codelate.py": "import codepkg.near\nimport no_such_module\n",
}


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path, str], Any]]:
    """Import a module from a folder, forgetting what was imported before."""
    path, before = sys.path.copy(), set(sys.modules)

    def forget() -> None:
        for name in set(sys.modules) - before:
            if name.startswith("code"):
                del sys.modules[name]

    def from_folder(folder: Path, module: str) -> Any:
        forget()
        monkeypatch.setattr(sys, "path", [str(folder), *path])
        importlib.invalidate_caches()
        return importlib.import_module(module)

    yield from_folder
    forget()


def test_version_covers_all_that_is_imported_and_nothing_else(tmp_path: Path, load: Callable[..., Any]) -> None:
    """Relative imports, imports inside functions, parent packages; installed ones by version."""
    write(tmp_path, FILES)
    version = code_version(load(tmp_path, "codepkg.work").run, refresh=True)
    modules = {"codepkg", "codepkg.work", "codepkg.near", "codepkg.sub", "codepkg.sub.deep", "codelate"}
    assert set(version.sources) == modules | {"pydantic"}
    assert version.sources["pydantic"].startswith("2.")
    assert "codelate" not in sys.modules


def test_same_files_elsewhere_have_the_same_version(tmp_path: Path, load: Callable[..., Any]) -> None:
    """Folder, time and line ends don't count."""
    write(tmp_path / "a", FILES)
    write(tmp_path / "b", {name: text.replace("\n", "\r\n") for name, text in FILES.items()})
    here = code_version(load(tmp_path / "a", "codepkg.work").run, refresh=True)
    there = code_version(load(tmp_path / "b", "codepkg.work").run, refresh=True)
    assert here == there


@pytest.mark.parametrize("changed", ["codepkg/sub/deep.py", "codelate.py", "codepkg/__init__.py", "codepkg/work.py"])
def test_any_change_gives_another_version_when_looked_at_again(
    tmp_path: Path, load: Callable[..., Any], changed: str
) -> None:
    """What runs keeps its version; a fresh look sees the file."""
    write(tmp_path, FILES)
    function = load(tmp_path, "codepkg.work").run
    before = code_version(function, refresh=True)
    path = tmp_path / changed
    path.write_text(path.read_text() + "# more\n")
    assert code_version(function) == before
    after = code_version(function, refresh=True)
    assert after.version != before.version
    assert len({*before.sources.items()} ^ {*after.sources.items()}) == 2


def test_a_module_that_is_not_imported_does_not_count(tmp_path: Path, load: Callable[..., Any]) -> None:
    """Only what running the function would import."""
    write(tmp_path, FILES)
    function = load(tmp_path, "codepkg.work").run
    before = code_version(function, refresh=True)
    os.truncate(tmp_path / "codepkg/apart.py", 0)
    assert code_version(function, refresh=True) == before


def test_a_declared_version_replaces_the_hash() -> None:
    """The user says when code is the same."""
    assert code_version(task(version="3")(lambda: None)).version == "3"


def test_functions_of_taskgrid_have_its_version() -> None:
    """What ships with TaskGrid is one thing, editable or installed."""
    assert list(code_version(code_version).sources) == ["taskgrid"]


def test_only_functions_defined_in_a_named_module_are_offered(tmp_path: Path, load: Callable[..., Any]) -> None:
    """Imported names, methods and other names of a function are not."""
    write(
        tmp_path,
        {
            "codeoffer/__init__.py": "from os.path import join\nfrom codeother import theirs\n",
            "codeoffer/deep.py": "from codeother import theirs\nclass A:\n    def m(self): ...\n"
            "def mine(x: int) -> int:\n    return x + 1\nalias = mine\nsmall = lambda: 1\n",
            "codeoffer/__main__.py": "raise RuntimeError('a program')\n",
            "codeother.py": "def theirs(): ...\n",
        },
    )
    load(tmp_path, "codeother")
    offers = Offers.of(["codeoffer"], paths=[tmp_path])
    assert offers.names() == ["codeoffer.deep:mine"]
    assert offers.runner("codeoffer.deep:mine").run(b"[1]") == b"2"
    assert offers.runner("codeoffer.deep:mine") is offers.runner("codeoffer.deep:mine")
    with pytest.raises(FunctionRefused):
        offers.runner("codeother:theirs")
    offers.close()


def test_a_module_that_can_not_be_imported_names_the_folders(tmp_path: Path, load: Callable[..., Any]) -> None:
    """The worker's owner learns where it looked."""
    write(tmp_path, {"codebroken.py": "1 / 0\n"})
    load(tmp_path, "json")
    with pytest.raises(FunctionRefused) as caught:
        Offers.of(["code_no_such"], paths=[tmp_path])
    assert str(tmp_path) in caught.value.why
    with pytest.raises(FunctionRefused, match="ZeroDivisionError"):
        Offers.of(["codebroken"], paths=[tmp_path])


def test_a_script_is_offered_under_the_name_of_its_file(tmp_path: Path, load: Callable[..., Any]) -> None:
    """Its main block is not run."""
    write(tmp_path, {"codescript.py": "def run(): return 1\nif __name__ == '__main__':\n    1 / 0\n"})
    load(tmp_path, "json")
    offers = Offers.of([], main=tmp_path / "codescript.py")
    assert offers.names() == ["codescript:run"]
    assert set(offers.code("codescript:run").sources) == {"codescript"}
    assert offers.runner("codescript:run").run(b"[]") == b"1"


def test_a_module_that_a_package_led_to_offers_what_it_lists(tmp_path: Path, load: Callable[..., Any]) -> None:
    """`__all__` keeps a module's other functions at home, unless the owner named that very module."""
    write(
        tmp_path,
        {
            "codepackage/__init__.py": "__all__ = []\ndef first(): ...\n",
            "codepackage/open.py": "def second(): ...\ndef _hidden(): ...\n",
            "codepackage/inner/__init__.py": "",
            "codepackage/inner/listing.py": "__all__ = ['third']\ndef third(): ...\ndef fourth(): ...\n",
        },
    )
    load(tmp_path, "json")
    all_of_it = ["codepackage.inner.listing:third", "codepackage.open:second", "codepackage:first"]
    assert Offers.of(["codepackage"], paths=[tmp_path]).names() == all_of_it
    named = Offers.of(["codepackage.inner.listing"], paths=[tmp_path])
    assert named.names() == ["codepackage.inner.listing:fourth", "codepackage.inner.listing:third"]


def test_what_ships_offers_what_is_meant_for_use() -> None:
    """Nobody submits what a log's summary is made of."""
    assert Offers.of(["taskgrid.logs"]).names() == [
        f"taskgrid.logs:{name}"
        for name in ("access_summary", "count_field", "counts_of", "grep_lines", "matches_of", "summary_of")
    ]
