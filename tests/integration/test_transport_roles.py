"""What each role's key may say, verb by verb, and how long a revoked one still speaks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transport_world import LEASE, Probe, manager, serving, wait_until

from taskgrid.errors import MasterUnreachable, NotLetIn, Refused, TaskGridError
from taskgrid.transport.connection import LOST
from taskgrid.transport.dial import dial
from taskgrid.transport.frames import pack_request, unpack_error
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import make_key_files, read_key
from taskgrid.transport.protocol import VERBS, Peer, Role
from taskgrid.transport.rotation import add_key, revoke_key
from taskgrid.transport.server import KEYS_EVERY, GridServer, serve

CLIENT, WORKER, ANYONE, NOBODY = "client", "worker", "client or worker", ""
MAY_SAY = {
    "submit": CLIENT,
    "lease": WORKER,
    "extend": WORKER,
    "release": WORKER,
    "report": WORKER,
    "fetch": CLIENT,
    "payloads": CLIENT,
    "enlist": WORKER,
    "leave": WORKER,
    "keep": CLIENT,
    "jobs": CLIENT,
    "tasks": CLIENT,
    "cancel": CLIENT,
    "retry": CLIENT,
    "forget": CLIENT,
    "explain": CLIENT,
    "workers": ANYONE,
    "status": ANYONE,
    "backup": NOBODY,
    "health": ANYONE,
}
"""Who may say each verb, beside an operator and the first key, who may say all."""


class Reached:
    """A service of every verb, which says no more than that it was reached."""

    def disconnected(self, peer: Peer) -> None:
        """Hear that a connection is gone."""

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if verb not in VERBS:
            raise AttributeError(verb)

        def reached(*_: object) -> None:
            raise Refused("reached")

        return reached


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Make the keys of a first start."""
    return make_key_files(tmp_path / "keys").parent


@pytest.fixture
def server(keys: Path) -> Iterator[GridServer]:
    """Serve every verb."""
    serving_all = serve(("127.0.0.1", 0), KeyTable.load(keys), Reached(), tls=False)
    serving_all.start()
    yield serving_all
    serving_all.stop(5.0)


def test_every_verb_has_its_roles_here() -> None:
    """A verb that is new is a decision about who may say it."""
    assert set(MAY_SAY) == set(VERBS)


@pytest.mark.parametrize("role", ["client", "worker", "operator", "taskgrid"])
def test_a_role_says_its_own_verbs_and_is_refused_all_others(server: GridServer, keys: Path, role: str) -> None:
    """Each verb is tried with each key: refused by role before anything of the request is read."""
    connection = dial(server.address, authkey=read_key(keys / f"{role}.key"))
    try:
        heard = {}
        for number, verb in enumerate(VERBS, 1):
            connection.send(pack_request(number, verb, b"?", ()))
            heard[verb] = unpack_error(connection.receive(5.0).body)
    finally:
        connection.close()
    refused = {verb for verb, error in heard.items() if isinstance(error, NotLetIn)}
    everything = role in {"operator", "taskgrid"}
    assert refused == {verb for verb, who in MAY_SAY.items() if not everything and role not in who}
    for verb in set(VERBS) - refused:
        assert "can't be read" in heard[verb].message  # it got as far as the body, which is none


def test_a_verb_that_is_allowed_reaches_the_service(server: GridServer, keys: Path) -> None:
    """What the table above calls allowed is carried out."""
    with manager(server.address[1], read_key(keys / "worker.key")) as grid, pytest.raises(Refused, match="reached"):
        grid.get_task_queue().lease(LEASE)


def _watched(keys: Path, probe: Probe, *, tls: bool) -> GridServer:
    server = serve(("127.0.0.1", 0), KeyTable.load(keys), probe, tls=tls)
    server.start()
    return server


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_new_key_opens_a_running_master_at_once(keys: Path, tls: bool) -> None:
    """Nobody has to restart anything to change keys."""
    server = _watched(keys, Probe(), tls=tls)
    try:
        fact = add_key(keys / "taskgrid.key", Role.WORKER)
        for name in ("worker", fact.name):
            with manager(server.address[1], read_key(keys / f"{name}.key")) as grid:
                assert grid.get_control().health()[0].ok
    finally:
        server.stop(5.0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_revoked_key_is_refused_and_its_connections_end(keys: Path, tls: bool) -> None:
    """Idle or inside a long poll, what came in with it goes; others stay, and none comes back."""
    probe = Probe()
    server = _watched(keys, probe, tls=tls)
    revoked, kept = (read_key(keys / f"{name}.key") for name in ("worker", "client"))
    outcome: list[BaseException] = []
    try:
        with manager(server.address[1], revoked) as theirs, manager(server.address[1], kept) as ours:
            idle, polling, other = theirs.get_control(), theirs.get_task_queue(), ours.get_control()
            idle.health()
            other.health()
            thread = threading.Thread(target=lambda: outcome.append(_failure(polling.lease, LEASE)))
            thread.start()
            assert probe.polling.wait(5)
            revoke_key(keys / "taskgrid.key", "worker")
            assert wait_until(lambda: len(probe.gone) == 2, 20 * KEYS_EVERY)
            thread.join(10)
            assert isinstance(outcome[0], NotLetIn)
            with pytest.raises(NotLetIn, match="does not know this key"):
                idle.health()
            assert other.health()[0].ok
            assert other.generation == 1
    finally:
        server.stop(5.0)


def _failure(call: Callable[..., object], *arguments: object) -> BaseException:
    try:
        call(*arguments)
    except (TaskGridError, *LOST) as error:
        return error
    return AssertionError("it was answered")


def test_a_key_revoked_between_proof_and_first_request_says_nothing(
    keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that was not yet counted when the keys were looked at is not forgotten."""
    probe = Probe()
    server = _watched(keys, probe, tls=False)
    monkeypatch.setattr(server._keys, "holds", lambda _key: False)
    try:
        with manager(server.address[1], read_key(keys / "client.key"), reconnect_for=0.2) as grid:
            with pytest.raises(MasterUnreachable):
                grid.get_control().health()
            assert not probe.calls
    finally:
        server.stop(5.0)


def test_keys_without_files_are_left_alone() -> None:
    """A server that was handed its keys has no folder to look at."""
    with serving(Probe()) as server:
        server._keys.reread()
        with manager(server.address[1]) as grid:
            assert grid.get_control().health()[0].ok
