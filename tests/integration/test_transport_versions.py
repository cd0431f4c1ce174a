"""Two ends of different age: whoever can't be served is told which versions, whose is older, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transport_world import Probe, manager

from taskgrid.errors import Refused, VersionMismatch
from taskgrid.transport import dial, handshake
from taskgrid.transport.connection import Connection
from taskgrid.transport.frames import pack_request, unpack_error
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import make_key_files, read_key
from taskgrid.transport.server import GridServer, serve

NEWER = (8, 7)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a configuration folder with keys."""
    make_key_files(tmp_path / "taskgrid")
    return tmp_path


def _serve(home: Path, *, tls: bool) -> GridServer:
    server = serve(("127.0.0.1", 0), KeyTable.load(home / "taskgrid"), Probe(), tls=tls)
    server.start()
    return server


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def server(request: pytest.FixtureRequest, home: Path) -> Iterator[GridServer]:
    """Serve with TLS and without."""
    opened = _serve(home, tls=request.param)
    yield opened
    opened.stop(5.0)


def _connect(server: GridServer, home: Path) -> Connection:
    return dial.dial(server.address, authkey=read_key(home / "taskgrid" / "taskgrid.key"))


def test_a_newer_client_is_told_that_the_master_is_older(
    server: GridServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint names the machine to upgrade: the master's."""
    monkeypatch.setattr(dial, "PROTOCOL_VERSIONS", NEWER)
    with pytest.raises(VersionMismatch, match=r"Here: 8, 7; the master: 1\. .* is that one") as caught:
        _connect(server, home)
    assert caught.value.hint == f"Upgrade TaskGrid on the machine of 127.0.0.1:{server.address[1]}."


def test_an_older_client_is_told_that_it_is_older(
    server: GridServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint names the machine to upgrade: this one."""
    monkeypatch.setattr(handshake, "PROTOCOL_VERSIONS", NEWER)
    with pytest.raises(VersionMismatch, match=r"Here: 1; the master: 8, 7\. .* is this one") as caught:
        _connect(server, home)
    assert caught.value.hint == "Upgrade TaskGrid on this machine."


@pytest.mark.parametrize(("ours", "theirs"), [((2, 1), (1,)), ((1,), (2, 1))], ids=["newer client", "newer master"])
def test_neighbours_in_age_speak_what_both_know(
    server: GridServer, home: Path, monkeypatch: pytest.MonkeyPatch, ours: tuple[int, ...], theirs: tuple[int, ...]
) -> None:
    """A version and the one before it get along, whichever end is ahead."""
    monkeypatch.setattr(dial, "PROTOCOL_VERSIONS", ours)
    monkeypatch.setattr(handshake, "PROTOCOL_VERSIONS", theirs)
    connection = _connect(server, home)
    assert connection.session.version == 1
    connection.close()


@pytest.mark.parametrize("command", [["worker", "--functions=math"], ["status"]], ids=["worker", "client"])
def test_an_older_program_ends_with_the_status_for_versions(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """A real worker and a real client say it in words, and scripts see it in the exit status."""
    monkeypatch.setattr(handshake, "PROTOCOL_VERSIONS", NEWER)
    server = _serve(home, tls=True)
    try:
        at = [f"--server=127.0.0.1:{server.address[1]}", f"--key-file={home / 'taskgrid' / 'taskgrid.key'}"]
        ended = subprocess.run(
            [sys.executable, "-m", "taskgrid", *command, *at],
            env=os.environ | {"XDG_CONFIG_HOME": str(home), "XDG_STATE_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
    finally:
        server.stop(5.0)
    assert ended.returncode == VersionMismatch.exit_status, ended.stderr
    assert "Here: 1; the master: 8, 7." in ended.stderr
    assert "Upgrade TaskGrid on this machine." in ended.stderr


def test_a_verb_of_a_later_version_is_refused_by_name(server: GridServer, home: Path) -> None:
    """The connection goes on, and the answer says who is older."""
    connection = _connect(server, home)
    connection.send(pack_request(1, "teleport", b"{}", ()))
    error = unpack_error(connection.receive(5.0).body)
    assert isinstance(error, Refused)
    assert "'teleport'" in error.message
    assert "Upgrade the master first" in error.hint
    connection.close()
    with manager(server.address[1], read_key(home / "taskgrid" / "client.key")) as grid:
        assert grid.get_control().health()[0].ok
