"""Where a key is not: command lines, environments, output, logs, the journal; and who may open what is kept.

A whole grid of real processes runs a job, is shown wrong keys and is asked for explanations; then every process
and every file is searched for each of its keys, in the forms that people and programs write them.
"""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from door_tasks import square
from door_world import Kind, opened_doors
from proof_grid import HERE
from real_programs import Programs, eventually

from taskgrid import Grid
from taskgrid.errors import NotLetIn, UsageError
from taskgrid.transport.keys import format_key, new_key, read_key, save_key

pytestmark = pytest.mark.timeout(120)
KEY_FILES = {"taskgrid.key", "client.key", "worker.key", "operator.key", "stock.key", "taskgrid.pem"}


def forms(key: bytes) -> list[bytes]:
    """Return the ways in which a key may be written; eight bytes of each are enough to know it by."""
    text = format_key(key).removeprefix("taskgrid:").encode()
    plain = [key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key), text, repr(key)[2:-1].encode()]
    return [form[:16] for form in plain]


def leaks(keys: list[bytes], data: bytes) -> bool:
    """Say whether any key shows in these bytes."""
    return any(form in data for key in keys for form in forms(key))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Run a master with both ports, two workers, a job, and a few things that fail."""
    with opened_doors(tmp_path_factory.mktemp("secrets")) as opened:
        door = opened(Kind(".".join(map(str, sys.version_info[:2])), tls=True))
        programs = door.programs
        for _ in range(2):
            programs.start_worker(functions="door_tasks", path=HERE)
        with programs.grid() as client:
            assert list(client.submit_job(square, range(20)).results()) == [n * n for n in range(20)]
        _be_refused(programs)
        door.serve_the_honest()
        yield programs


def _be_refused(programs: Programs) -> None:
    wrong = programs.folder / "wrong" / "some.key"
    save_key(wrong, new_key())
    with pytest.raises(NotLetIn), Grid(programs.server, key_file=wrong) as client:
        client.submit_job(square, [1])
    worker = programs.run("worker", f"--server={programs.server}", f"--key-file={wrong}", "--functions=math")
    assert worker.wait(60) != 0
    joined = subprocess.run(
        [sys.executable, "-m", "taskgrid", "join", programs.server],
        input=format_key(read_key(wrong))[:-3] + "\n",
        env=programs.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert joined.returncode == 2
    assert not leaks([read_key(wrong)], (joined.stdout + joined.stderr).encode())


def _keys(programs: Programs) -> list[bytes]:
    files = [*programs.key_file.parent.glob("*.key"), programs.folder / "wrong" / "some.key"]
    stock = (programs.folder / "stock.key").read_bytes().strip()
    return [*(read_key(file) for file in files), stock]


def test_a_key_that_is_somewhere_would_be_found(grid: Programs) -> None:
    """The search knows a key in each of its forms, or it would prove nothing."""
    keys = _keys(grid)
    assert len(keys) == 6
    for key in keys:
        for form in (key, key.hex(), repr(key), format_key(key), base64.b64encode(key)):
            assert leaks([key], b"before " + (form if isinstance(form, bytes) else form.encode()) + b" after")


def test_no_process_has_a_key_in_its_command_line_or_environment(grid: Programs) -> None:
    """Master, workers and the children that run tasks: neither `ps` nor a task's environment shows one."""
    keys, alive = _keys(grid), grid.alive()
    assert len(alive) >= 5
    for pid in alive:
        for name in ("cmdline", "environ"):
            assert not leaks(keys, Path(f"/proc/{pid}/{name}").read_bytes()), f"{name} of {alive[pid]}"


def test_nothing_that_was_said_or_kept_shows_a_key(grid: Programs) -> None:
    """Logs, output, journal and the memory of masters: keys are in their own files and nowhere else."""
    keys = _keys(grid)
    searched = [file for file in grid.folder.rglob("*") if file.is_file() and file.suffix != ".key"]
    assert any(file.suffix == ".log" for file in searched)
    assert any(file.name.startswith("journal.db") for file in searched)
    assert not [file for file in searched if leaks(keys, file.read_bytes())]


def test_what_a_master_keeps_is_for_its_owner_alone(grid: Programs) -> None:
    """Keys, certificate, journal with all that belongs to it, queues: mode 600, in folders of mode 700."""
    kept = [*grid.key_file.parent.iterdir(), *grid.folder.glob("journal.db*"), *grid.folder.glob("stock.*")]
    assert {file.name for file in kept} >= KEY_FILES - {"stock.key"} | {"journal.db", "journal.db.lock", "stock.key"}
    loose = {str(file): oct(stat.S_IMODE(file.stat().st_mode)) for file in kept if file.stat().st_mode & 0o077}
    assert not loose
    assert stat.S_IMODE(grid.key_file.parent.stat().st_mode) == 0o700


def test_no_process_listens_where_other_users_of_the_machine_could_speak(grid: Programs) -> None:
    """Workers talk with their children through sockets without a name; only the master listens, on its ports."""
    listening = 0
    for pid in grid.alive():
        inodes = _sockets_of(pid)
        tables = {
            name: Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6", "unix")
        }
        for line in tables["tcp"] + tables["tcp6"]:
            fields = line.split()
            listening += fields[3] == "0A" and fields[9] in inodes
        named = [line for line in tables["unix"] if line.split()[6] in inodes and len(line.split()) > 7]
        assert not named, f"{grid.alive().get(pid)}: {named}"
    assert listening == 2


def _table(pid: int, name: str) -> list[list[str]]:
    return [line.split() for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]


def _sockets_of(pid: int) -> set[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:  # closed since it was listed
            continue
    return {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}


@pytest.mark.parametrize("name", ["taskgrid.key", "worker.key"])
def test_a_master_does_not_start_with_a_key_that_others_can_read(tmp_path: Path, programs: Programs, name: str) -> None:
    """It names the file and the command that helps; a first key that leaked is no key."""
    programs.key_file.with_name(name).chmod(0o644)
    master = programs.start_master(wait=False)
    assert master.wait(60) == UsageError.exit_status
    assert f"chmod 600 {programs.key_file.with_name(name)}" in programs.said()
    del tmp_path


def test_a_running_master_warns_of_a_key_that_others_can_read(programs: Programs) -> None:
    """It goes on with what it has, and says so, once."""
    programs.start_master()
    programs.key_file.with_name("worker.key").chmod(0o644)
    eventually(lambda: "key.unreadable" in programs.said(), what="the master warns")
    with programs.grid() as client:
        client.submit_job(square, [1])
    assert programs.said().count("key.unreadable") == 1
