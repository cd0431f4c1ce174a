"""The command line where no grid is: help, versions, errors, exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_world import World

pytestmark = pytest.mark.timeout(400)  # each command is a process of its own, also on a busy machine

COMMANDS = [
    *("demo", "master", "worker", "up", "join", "key"),
    *("map", "submit", "results"),
    *("status", "jobs", "explain", "workers", "health"),
    *("cancel", "retry", "forget"),
]


@pytest.fixture
def alone(tmp_path: Path) -> World:
    """Give a user who has met no master."""
    return World(tmp_path)


def test_help_lists_every_command_in_groups(alone: World) -> None:
    """`taskgrid --help` is the first page: commands in the order of use, with examples."""
    shown = alone.run("--help")
    assert shown.returncode == 0
    places = [shown.stdout.index(f"\n  {command} ") for command in COMMANDS]
    assert places == sorted(places)
    assert "Examples:" in shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(alone: World, command: str) -> None:
    """Every command has help, and none shows what is for programs only."""
    shown = alone.run(command, "--help")
    assert shown.returncode == 0
    assert "Examples:" in shown.stdout
    for hidden in ("--ready-file", "--die-with-parent", "--any-function", "--main"):
        assert hidden not in shown.stdout


def test_help_imports_neither_pydantic_nor_rich() -> None:
    """What takes long is imported by the command that needs it."""
    code = (
        "import sys; sys.argv = ['taskgrid', '--help']\n"
        "from taskgrid.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = {'pydantic', 'rich', 'pydantic_settings', 'multiprocessing', 'ssl', 'asyncio', 'structlog'}\n"
        "print(sorted(name for name in slow if sys.modules.get(name)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() in {"[]", "['pydantic']"}  # typer touches pydantic's lazy front door


def test_the_version_is_told(alone: World) -> None:
    """`taskgrid --version` says the version and nothing else."""
    from taskgrid import __version__

    assert alone.run("--version").stdout == f"taskgrid {__version__}\n"


@pytest.mark.parametrize("command", [["status"], ["jobs"], ["health"], ["map", "a:b", "1"], ["worker"]])
def test_without_a_master_everything_says_what_to_run(alone: World, command: list[str]) -> None:
    """One line of what, one of why, one of what to do next; never a traceback."""
    done = alone.run(*command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "taskgrid master" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_master_is_status_3(alone: World) -> None:
    """Scripts can tell that nobody answers."""
    alone.run("key", "make")
    done = alone.run("health", "--server", "127.0.0.1:9")
    assert done.returncode == 3
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "  why", "  next"]


def test_with_json_an_error_is_an_object(alone: World) -> None:
    """Programs that asked for JSON get JSON, also of an error."""
    alone.run("key", "make")
    done = alone.run("status", "-o", "json", "--server", "127.0.0.1:9")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "unreachable"


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["map"],
        ["map", "nonsense", "1"],
        ["explain", "x"],
        ["cancel", "3-1"],
        ["master", "--port", "70000"],
        ["master", "--beat", "soon"],
        ["jobs", "-o", "xml"],
    ],
)
def test_a_wrong_call_is_status_2(alone: World, words: list[str]) -> None:
    """Usage errors are told on stderr and leave stdout empty."""
    done = alone.run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_blamed_on_its_place(alone: World) -> None:
    """The message names the variable or the file."""
    done = alone.run("master", TASKGRID_LEASE="never")
    assert done.returncode == 2
    assert "TASKGRID_LEASE" in done.stderr
    (alone.home / "taskgrid.toml").write_text("[master]\nprot = 1\n")
    done = alone.run("master")
    assert "taskgrid.toml" in done.stderr
    assert "'port'" in done.stderr


def test_a_key_is_not_written_into_a_pipe(alone: World) -> None:
    """A key that is shown goes to eyes only; its path may go anywhere."""
    made = alone.run("key", "make")
    assert made.returncode == 0
    path = Path(made.stdout.strip())
    assert path.stat().st_mode & 0o777 == 0o600
    shown = alone.run("key", "show")
    assert shown.returncode == 2
    assert path.read_text().strip() not in shown.stdout + shown.stderr
    assert alone.run("key", "path", "--role", "worker").stdout.strip().endswith("worker.key")
