"""Functions that leave a trace of each attempt, and functions that do what no function should.

The trace is one line per attempt that began, appended with one write to the file that
`PROOF_HISTORY` names: `job index attempt pid instant`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from taskgrid import current_task, task


def trace() -> int:
    """Enter in the history that an attempt of this task begins; return its number."""
    running = current_task()
    line = f"{running.job} {running.index} {running.attempt} {os.getpid()} {time.monotonic():.6f}\n"
    history = os.open(os.environ["PROOF_HISTORY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(history, line.encode())
    finally:
        os.close(history)
    return running.attempt


def traced_square(x: int) -> tuple[int, int, int]:
    """Return the square, this attempt's number and its process."""
    attempt = trace()
    time.sleep(0.002)
    return x * x, attempt, os.getpid()


def traced_python(x: int) -> tuple[int, str]:
    """Return the square, and which Python made it."""
    trace()
    time.sleep(0.01)
    return x * x, f"{sys.version_info.major}.{sys.version_info.minor}"


def waits_for_file(path: str) -> int:
    """Return the attempt's number once the file exists."""
    attempt = trace()
    while not Path(path).exists():
        time.sleep(0.01)
    return attempt


def waits_for_turn(folder: str) -> int:
    """Return the attempt's number once the folder has a file of that name."""
    attempt = trace()
    while not (Path(folder) / str(attempt)).exists():
        time.sleep(0.01)
    return attempt


def own_turn(folder: str) -> tuple[int, int]:
    """Return the attempt's number and process once the folder has a file of that name."""
    return waits_for_turn(folder), os.getpid()


def own_attempt(path: str) -> tuple[int, int]:
    """Return the attempt's number and process once the file exists."""
    return waits_for_file(path), os.getpid()


def kills_everybody(master_pid: str) -> tuple[int, int]:
    """Kill the master, whose id that file has, and this worker; a task without a file is a neighbour."""
    attempt = trace()
    if master_pid:
        os.kill(int(Path(master_pid).read_text()), signal.SIGKILL)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return attempt, os.getpid()


def kills_its_agent(deadly: bool) -> int:
    """Kill this worker once others run beside this task; else return the attempt's number after some time."""
    attempt = trace()
    if deadly:
        time.sleep(0.3)
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.6)
    return attempt


@task(alone=True)
def one_heart(path: str, stop: str) -> int:
    """Append this attempt's heartbeats to a file until another file exists; at most one may beat at a time."""
    attempt = trace()
    with Path(path).open("a", buffering=1) as file:
        while not Path(stop).exists():
            file.write(f"{attempt} {time.monotonic():.6f}\n")
            time.sleep(0.01)
    return attempt


def fails_at_first(_: int) -> int:
    """Return the attempt's number, unless it is the first."""
    attempt = trace()
    if attempt == 1:
        raise OSError("the first attempt always fails")
    return attempt


def big(size: int) -> str:
    """Return that many characters."""
    return "x" * size


def sleeps(seconds: float) -> int:
    """Return the attempt's number after a while."""
    attempt = trace()
    time.sleep(seconds)
    return attempt


class Unshowable(Exception):
    """An error that makes another one of being shown."""

    def __str__(self) -> str:
        raise RuntimeError("not this one either")

    __repr__ = __str__


def _segfault() -> None:
    ctypes.string_at(0)


def _exit_at_once() -> NoReturn:
    os._exit(3)


def _exit() -> NoReturn:
    sys.exit("enough")


def _kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _eat() -> None:
    eaten = []
    while True:
        eaten.append(b"x" * (8 << 20))
        time.sleep(0.005)


def _loop() -> NoReturn:
    while True:
        pass


def _leave_a_child_and_loop() -> NoReturn:
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    _loop()


def _print(mebibytes: int) -> None:
    line = "x" * 1023
    for _ in range(mebibytes << 10):
        print(line)


def _print_and_exit() -> NoReturn:
    _print(10)
    print("last words", flush=True)
    os._exit(4)


def _unshowable() -> NoReturn:
    raise Unshowable


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _recurse() -> Any:
    return _recurse()


def _return_an_object() -> object:
    return object()


def _return_too_much() -> str:
    return "x" * (2 << 20)


def _close_everything() -> None:
    os.closerange(3, 4096)


def _write_into_sockets() -> None:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"hello? is anybody there?\n")


def _fork_bomb() -> NoReturn:
    """Fork as fast as it goes, but no more than a machine with other things to do can bear."""
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(600)
    _loop()


def _fork_and_come_back_twice() -> None:
    os.fork()


_DEEDS = {
    "segfault": _segfault,
    "exit-at-once": _exit_at_once,
    "exit": _exit,
    "kill-itself": _kill_itself,
    "stop-itself": _stop_itself,
    "eat": _eat,
    "loop": _loop,
    "leave-a-child-and-loop": _leave_a_child_and_loop,
    "print": lambda: _print(10),
    "print-and-exit": _print_and_exit,
    "unshowable": _unshowable,
    "interrupt": _interrupt,
    "recurse": _recurse,
    "return-an-object": _return_an_object,
    "return-too-much": _return_too_much,
    "close-everything": _close_everything,
    "write-into-sockets": _write_into_sockets,
    "fork-bomb": _fork_bomb,
    "fork-and-come-back-twice": _fork_and_come_back_twice,
}


@task(time_limit=4, memory_limit="256MiB")
def poison(deed: str) -> Any:
    """Do a deed, or return the attempt's number if there is no such deed."""
    attempt = trace()
    return _DEEDS[deed]() if deed in _DEEDS else attempt


def slow_third(x: int) -> float:
    """Return what no binary float is, after a third of a millisecond: some dozens make a bundle."""
    time.sleep(0.0003)
    return x / 3


def total(parts: list[float]) -> float:
    """Add up, from the left."""
    return sum(parts)
