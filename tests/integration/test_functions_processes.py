"""Functions across processes: scripts, prompts, and an agent that asks what a table would hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taskgrid.errors import FunctionRefused
from taskgrid.functions import offers_in_subprocess

SCRIPT = """
from taskgrid.functions import name_of, code_version
def run(x: int) -> int:
    return x
if __name__ == "__main__":
    print(name_of(run), code_version(run).version)
"""


def python(*arguments: str, cwd: Path, text: str = "") -> str:
    """Run Python to its end and return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, input=text, capture_output=True, text=True, timeout=50, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_a_script_and_a_worker_agree_on_name_and_code(tmp_path: Path) -> None:
    """A function of `__main__` is what a worker that imports the file offers, by either way."""
    (tmp_path / "myscript.py").write_text(SCRIPT)
    name, version = python("myscript.py", cwd=tmp_path).split()
    assert name == "myscript:run"
    assert python("-m", "myscript", cwd=tmp_path).split() == [name, version]
    for modules, main in ((["myscript"], None), ([], tmp_path / "myscript.py")):
        ((offered, code, _),) = offers_in_subprocess(modules, [tmp_path], main=main)
        assert (offered, code.version) == (name, version)


def test_a_function_typed_at_a_prompt_is_refused(tmp_path: Path) -> None:
    """Standing in for a notebook cell, too."""
    lines = (
        "from taskgrid.functions import name_of\nfrom taskgrid.errors import FunctionRefused\n"
        "def f(): pass\ntry:\n    name_of(f)\nexcept FunctionRefused as error:\n    print(error.hint)\n"
    )
    assert "beside the notebook" in python("-", cwd=tmp_path, text=lines)


def test_importing_functions_does_not_import_pydantic(tmp_path: Path) -> None:
    """A module that only says `@task` stays cheap to import."""
    lines = "import sys\nfrom taskgrid import task\n@task\ndef f(): pass\nprint('pydantic' in sys.modules)"
    assert python("-c", lines, cwd=tmp_path) == "False"


def test_the_agent_learns_offers_without_importing_them(tmp_path: Path) -> None:
    """What user code prints does not disturb the answer."""
    (tmp_path / "noisy_module.py").write_text(
        "import os\nfrom taskgrid import task\nprint('hello'); os.write(1, b'there')\n"
        "@task(time_limit=3)\ndef run(): pass\n"
    )
    ((name, code, options),) = offers_in_subprocess(["noisy_module"], [tmp_path])
    assert (name, options.time_limit and options.time_limit.total_seconds()) == ("noisy_module:run", 3)
    assert set(code.sources) == {"noisy_module"}
    assert "noisy_module" not in sys.modules


@pytest.mark.parametrize(
    ("text", "says"), [(None, "No module named"), ("import os; os._exit(0)", "ended"), ("1 / 0", "ZeroDivisionError")]
)
def test_the_agent_learns_why_a_module_can_not_be_offered(tmp_path: Path, text: str | None, says: str) -> None:
    """Whatever importing it does, the agent survives and can say so."""
    if text:
        (tmp_path / "broken_module.py").write_text(text)
    with pytest.raises(FunctionRefused, match=says):
        offers_in_subprocess(["broken_module"], [tmp_path])


@pytest.mark.parametrize("always", [False, True])
def test_an_import_that_is_killed_is_tried_once_more(tmp_path: Path, always: bool) -> None:
    """The kernel may kill it for memory, whoever's that was: a worker starts all the same; if not, it says why."""
    (tmp_path / "killed_module.py").write_text(
        "import os, pathlib, signal\n"
        f"seen = pathlib.Path({str(tmp_path / 'seen')!r})\n"
        f"if {always} or not seen.exists():\n    seen.touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "def run(): pass\n"
    )
    if always:
        with pytest.raises(FunctionRefused, match="killed by signal 9"):
            offers_in_subprocess(["killed_module"], [tmp_path])
    else:
        ((name, _, _),) = offers_in_subprocess(["killed_module"], [tmp_path])
        assert name == "killed_module:run"


def test_an_import_without_end_is_ended(tmp_path: Path) -> None:
    """A worker does not hang at start."""
    (tmp_path / "endless_module.py").write_text("import threading; threading.Event().wait()")
    with pytest.raises(FunctionRefused, match="longer than"):
        offers_in_subprocess(["endless_module"], [tmp_path], within=2.0)
