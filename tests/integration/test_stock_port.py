"""Textbook clients, unchanged but for port and key, against the stock port."""

from __future__ import annotations

import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client
from multiprocessing.context import AuthenticationError
from multiprocessing.managers import RemoteError
from pathlib import Path
from typing import Any

import pytest
from stock_world import DEADLINE, KEY, Textbook, until

from taskgrid.errors import UsageError
from taskgrid.master.meters import Meters
from taskgrid.master.stock import StockLimits, StockPort
from taskgrid.transport.stock import read_or_make_key

SCRIPTS = Path(__file__).parent / "stock_clients"


def _interpreter(version: str) -> str:
    candidates = [str(path) for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python3")]
    candidates += filter(None, [shutil.which(f"python{version}")])
    for candidate in candidates:
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip(f"no Python {version} on PATH or in ~/.pyenv/versions")


@pytest.fixture(params=["3.11", "3.12", "3.13"])
def python(request: pytest.FixtureRequest) -> str:
    """Return an interpreter of each version whose standard library must work as a client."""
    return _interpreter(request.param)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[StockPort]:
    """Open a stock port on a free port, with its file in a folder of the test's."""
    opened = _opened(tmp_path)
    yield opened
    opened.stop(within=5)


def _opened(folder: Path) -> StockPort:
    opened = StockPort(("127.0.0.1", 0), KEY, str(folder / "stock.db"), "process")
    opened.start()
    return opened


def _connected(port: StockPort, key: bytes = KEY) -> Any:
    manager = Textbook(address=port.address, authkey=key)
    manager.connect()
    return manager


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(python: str, port: StockPort) -> Iterator[Start]:
    """Start textbook scripts, and end those that still run after the test."""
    started: list[subprocess.Popen[str]] = []

    def start_one(script: str, *arguments: str) -> subprocess.Popen[str]:
        command = [python, str(SCRIPTS / script), str(port.address[1]), KEY.decode(), *arguments]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start_one
    for process in started:
        with process:
            process.kill()


def _outcome(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    return out.strip()


def test_a_textbook_master_and_worker_run_unchanged(start: Start, port: StockPort) -> None:
    """Scripts of the standard library alone, on each supported Python, get every square and a real queue.Empty."""
    master = start("master.py", "200")
    until(lambda: bool(port._queues["get_task_queue"]._waiting))
    worker = start("worker.py")
    assert _outcome(master) == f"total {sum(n * n for n in range(200))} left 0 True False"
    assert _outcome(worker) == "done 200"


def test_a_killed_worker_takes_no_item_with_it(start: Start, port: StockPort) -> None:
    """An item put after a worker died inside get() stays for the next one."""
    worker = start("blocked.py")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "waiting\n"
    until(lambda: bool(port._queues["get_task_queue"]._changed._waiters))  # type: ignore[attr-defined]  # no other sign
    worker.send_signal(signal.SIGKILL)
    worker.wait(DEADLINE)
    task = _connected(port).get_task_queue()
    task.put("kept")
    assert task.qsize() == 1
    assert task.get(timeout=5) == "kept"


def test_items_survive_a_restart_in_their_order(tmp_path: Path) -> None:
    """Accepted is on disk: the next master hands out what the last one had, once."""
    first = _opened(tmp_path)
    task = _connected(first).get_task_queue()
    for item in ["a", {"path": "/x", 2: [1.5, None]}, (b"raw", True), "last"]:
        task.put(item)
    assert task.get() == "a"
    first.stop(within=5)
    second = _opened(tmp_path)
    try:
        task = _connected(second).get_task_queue()
        assert [task.get_nowait() for _ in range(3)] == [{"path": "/x", 2: [1.5, None]}, (b"raw", True), "last"]
        with pytest.raises(queue.Empty):
            task.get_nowait()
    finally:
        second.stop(within=5)


@pytest.mark.parametrize(
    ("limits", "setting", "beyond", "error"),
    [
        (StockLimits(items=2), "stock_max_items", b"x", queue.Full),
        (StockLimits(bytes=1000), "stock_max_bytes", b"x" * 950, queue.Full),
        (StockLimits(item_bytes=1000), "stock_max_item_bytes", b"x" * 1001, RemoteError),
    ],
    ids=["items", "bytes", "item"],
)
def test_what_is_too_much_for_the_queues_is_refused_by_its_name(
    tmp_path: Path, limits: StockLimits, setting: str, beyond: bytes, error: type[Exception]
) -> None:
    """A put beyond says which setting it ran into, also after a restart, and there is room again after a get."""
    for _ in range(2):
        meters = Meters()
        port = StockPort(("127.0.0.1", 0), KEY, str(tmp_path / "stock.db"), "none", limits=limits, meters=meters)
        port.start()
        try:
            tasks = _connected(port).get_task_queue()
            while tasks.qsize() < 2:
                tasks.put(b"y" * 40)
            with pytest.raises(error, match=f"raise {setting}: .*--{setting.replace('_', '-')}.*TASKGRID_"):
                tasks.put(beyond)
            assert {one.setting: one.reached for one in meters.show() if one.reached} == {setting: 1}
            assert tasks.full() is (setting == "stock_max_items")
            tasks.get()
            tasks.put(b"y")
        finally:
            port.stop(within=5)


def test_a_waiting_get_gets_the_next_item(port: StockPort) -> None:
    """A blocked get is woken by a put, and the two queues are two."""
    manager = _connected(port)
    got: list[object] = []
    waiter = threading.Thread(target=lambda: got.append(manager.get_task_queue().get(timeout=DEADLINE)))
    waiter.start()
    manager.get_result_queue().put("not this one")
    manager.get_task_queue().put("this one")
    waiter.join(DEADLINE)
    assert got == ["this one"]


def test_a_large_item_comes_back(port: StockPort) -> None:
    """A megabyte is no trouble."""
    task = _connected(port).get_task_queue()
    task.put("x" * (1 << 20))
    assert len(task.get()) == 1 << 20


def test_an_item_that_is_no_plain_value_is_refused_by_name(port: StockPort) -> None:
    """The client learns which class was wrong, and its connection goes on."""
    task = _connected(port).get_task_queue()
    with pytest.raises(RemoteError, match=r"pathlib.*Path is not admitted"):
        task.put(Path("/x"))
    task.put("/x")
    assert task.get() == "/x"


@pytest.mark.parametrize("timeout", [-1, "soon"])
def test_a_nonsense_timeout_is_refused(port: StockPort, timeout: object) -> None:
    """A negative timeout is an error, as with a real queue, and nothing is taken."""
    task = _connected(port).get_task_queue()
    task.put(1)
    with pytest.raises(RemoteError, match="non-negative"):
        task.get(True, timeout)
    assert task.qsize() == 1


def test_only_the_verbs_of_a_queue_can_be_called(port: StockPort) -> None:
    """Neither attributes of our objects nor the managers' own commands are within reach."""
    manager = _connected(port)
    task = manager.get_task_queue()
    for name in ("close", "__init__", "_take_back", "#GETVALUE", "__class__", "verbs"):
        with pytest.raises(RemoteError, match="has no"):
            task._callmethod(name)
    with pytest.raises(RemoteError, match="there is no get_nothing"):
        manager.get_nothing()
    for name in ("shutdown", "debug_info", "number_of_objects", "serve_forever", "stop", "__init__"):
        with Client(port.address, authkey=KEY) as line:
            line.send((None, name, (), {}))
            assert line.recv()[0] == "#TRACEBACK"


def test_auto_proxies_can_ask_for_methods(port: StockPort) -> None:
    """A proxy made from a token alone finds its verbs."""
    task = _connected(port).get_task_queue()
    with Client(port.address, authkey=KEY) as line:
        line.send((None, "get_methods", (task._token,), {}))
        kind, methods = line.recv()
    assert kind == "#RETURN"
    assert {"put", "get", "get_nowait", "qsize", "empty", "full"} <= set(methods)


def test_a_wrong_key_is_refused(port: StockPort) -> None:
    """Without the key nobody gets past the login, and nothing is told."""
    with pytest.raises(AuthenticationError):
        _connected(port, b"another password")


@pytest.mark.parametrize(
    "frame", [struct.pack("!i", -1) + b"\xff" * 8, struct.pack("!i", 1 << 30), b"GET / HTTP/1.1\r\n\r\n"]
)
def test_a_stranger_with_a_strange_frame_is_cut_off(port: StockPort, frame: bytes) -> None:
    """Before the login 256 bytes are read and no more."""
    with socket.create_connection(port.address, timeout=DEADLINE) as stranger:
        stranger.sendall(frame)
        received = b"".join(iter(lambda: _rest(stranger), b""))
    assert received.startswith(b"\0\0\0\x3b#CHALLENGE#{sha256}") or received == b""
    assert len(received) < 300


def _rest(stranger: socket.socket) -> bytes:
    try:
        return stranger.recv(1 << 16)
    except ConnectionResetError:
        return b""


def test_an_answer_that_nobody_takes_is_put_back_first(tmp_path: Path) -> None:
    """A caller that left between its turn and the answer costs nothing but its turn."""
    port = StockPort(("127.0.0.1", 0), KEY, str(tmp_path / "stock.db"), "none")
    tasks = port._queues["get_task_queue"]
    peer = _Peer()
    try:
        for item in ("first", "second"):
            tasks.put(peer, item)
        handed = tasks.get(peer)
        tasks.put(peer, "third")
        handed.take_back()
        assert [tasks.get(peer).value for _ in range(3)] == ["first", "second", "third"]
        peer.open = False
        tasks.put(peer, "kept")
        with pytest.raises(EOFError):
            tasks.get(peer)
        assert tasks.qsize(peer) == 1
    finally:
        port.stop(within=5)


class _Peer:
    open = True

    def is_open(self) -> bool:
        return self.open


def test_stopping_ends_every_waiting_client(tmp_path: Path) -> None:
    """A stop does not wait for clients that wait for items, and leaves no thread."""
    port = _opened(tmp_path)
    with Client(port.address, authkey=KEY) as line:
        line.send((None, "accept_connection", ("me",), {}))
        assert line.recv() == ("#RETURN", None)
        line.send(("get_task_queue", "get", (), {}))
        port.stop(within=5)
        with pytest.raises((EOFError, OSError)):
            line.recv()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stock")]


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """The file can be read by its owner only, and a line break is not part of the key."""
    path = tmp_path / "folder" / "stock.key"
    made = read_or_make_key(path)
    assert read_or_make_key(path) == made
    assert made.isascii()
    assert made.decode().isprintable()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"any bytes \xff\r\n")
    assert read_or_make_key(path) == b"any bytes \xff"


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    """Nobody opens the port with a key that is guessed in a second."""
    path = tmp_path / "stock.key"
    path.write_bytes(b"\n")
    with pytest.raises(UsageError, match="too short"):
        read_or_make_key(path)


def test_items_are_for_the_owners_eyes(tmp_path: Path) -> None:
    """The queues' files can be read by their owner only."""
    port = _opened(tmp_path)
    _connected(port).get_task_queue().put(1)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    port.stop(within=5)
    assert modes
    assert set(modes.values()) == {0o600}


def test_stock_clients_wait_for_no_delayed_acknowledgement(port: StockPort) -> None:
    """Two writes before a read cost a textbook client no 40 ms, neither at login nor for a large item."""
    if sys.platform != "linux":
        pytest.skip("TCP_QUICKACK is Linux's")
    task = _connected(port).get_task_queue()
    times = []
    for _ in range(20):
        began = time.perf_counter()
        task.put("x" * 60_000)
        task.get()
        times.append(time.perf_counter() - began)
    # A connection's first exchanges are quick anyhow; later ones would all wait. One that does not is proof.
    assert min(times[5:]) < 0.03
