"""A child as the agent holds it: how it is started, spoken to, watched, killed and buried.

Owned by the pool's thread, which must also be the one that starts it: a child asks the kernel to
die with the *thread* that made it. Nothing here blocks, except that burying waits for a process
that was just killed. Knows nothing of bundles.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from taskgrid.worker.frames import FrameReader, Setup, ToAgent, ToChild, frame
from taskgrid.worker.output import Tail
from taskgrid.worker.words import Words, new_words

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_READ: Final = 1 << 18
_OUTPUT_READ: Final = 1 << 16
_SOCKET_BUFFER: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended."""

    exit_code: int | None
    signal: str
    """Name of the signal that ended it, as `SIGSEGV`; empty if it exited."""
    peak_memory: int
    """Bytes: the most it had resident."""

    @property
    def sentence(self) -> str:
        """Say it to a person."""
        return f"was killed by {self.signal}" if self.signal else f"exited with status {self.exit_code}"


class Child:
    """A running task process."""

    def __init__(self, setup: Setup) -> None:
        descriptor = new_words()
        ours, theirs = socket.socketpair()
        try:
            self.words = Words(descriptor)
            self._process = _start(theirs.fileno(), descriptor)
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(descriptor)
            theirs.close()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        self.channel = ours
        self.pid = self._process.pid
        self.output = _output_of(self._process)
        self.tail = Tail()
        self.exit_descriptor = _watch(self.pid)
        self.has_hung_up = False
        """It closed its end of the channel."""
        self._reader = FrameReader()
        self._buffer = memoryview(bytearray(_READ))
        self._unsent: deque[memoryview] = deque()
        self.send(setup)

    def send(self, header: ToChild, body: bytes = b"") -> None:
        """Send a frame, now or as the child takes it."""
        self._unsent.append(memoryview(frame(header, body)))
        self.flush()

    @property
    def has_unsent(self) -> bool:
        """Say whether the channel should be watched for room."""
        return bool(self._unsent)

    def flush(self) -> None:
        """Send what the channel has room for; a channel that is broken is found so by reading."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self._unsent:
                sent = self.channel.send(self._unsent[0])
                if sent == len(self._unsent[0]):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = self._unsent[0][sent:]

    def receive(self) -> Iterator[tuple[ToAgent, bytes]] | None:
        """Return the frames that one read completes; None when there was nothing to read, now or ever."""
        try:
            count = self.channel.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            count = 0
        self.has_hung_up = not count
        return self._reader.feed(self._buffer[:count]) if count else None

    def read_output(self) -> bytes | None:
        """Read some of what it printed and keep the end of it; None when there is nothing now, empty at its end."""
        try:
            data = os.read(self.output, _OUTPUT_READ)
        except BlockingIOError:
            return None
        self.tail.add(data)
        return data

    def say_goodbye(self) -> None:
        """Tell it that nothing more will come: it ends when it has run what it has."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)

    def resident(self) -> int:
        """Return the bytes it has resident; 0 if it is gone."""
        try:
            statm = Path(f"/proc/{self.pid}/statm").read_bytes()
        except OSError:
            return 0
        fields = statm.split()
        return int(fields[1]) * _PAGE if len(fields) > 1 else 0

    def has_exited(self) -> bool:
        """Say whether it has ended; it stays a zombie, so its process id stays its own."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        """Kill it and everything it started."""
        kill_tree(self.pid)

    def bury(self) -> Death:
        """Kill what is left of it, wait for it and say how it ended. Waits only for a process that is being killed."""
        kill_tree(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        return Death(
            exit_code=code if code >= 0 else None,
            signal=_signal_name(-code) if code < 0 else "",
            peak_memory=usage.ru_maxrss * 1024,
        )

    def close(self) -> None:
        """Let go of everything that was opened for it."""
        self.channel.close()
        self.words.close()
        if self.exit_descriptor is not None:
            os.close(self.exit_descriptor)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _start(channel: int, words: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own interpreter and our own module
        [sys.executable, "-P", "-m", "taskgrid.worker.child", str(channel), str(words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(channel, words),
        start_new_session=True,
        bufsize=0,
    )


def _output_of(process: subprocess.Popen[bytes]) -> int:
    if process.stdout is None:
        raise RuntimeError("the child was started without a pipe for its output")
    os.set_blocking(process.stdout.fileno(), False)
    return process.stdout.fileno()


def _watch(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None  # ticks find the end of this child


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kill_tree(pid: int) -> None:
    """Kill a process that was not waited for yet, its group, and all its descendants, however they moved.

    Each is stopped before its children are looked for, so that none escapes by forking meanwhile.
    """
    found = [pid]
    _signal(pid, signal.SIGSTOP)
    while new := [child for child in _children_of(found) if child not in found]:
        for child in new:
            _signal(child, signal.SIGSTOP)
        found += new
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for each in found:
        _signal(each, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _children_of(parents: list[int]) -> list[int]:
    wanted = set(parents)
    return [pid for pid, parent in _processes() if parent in wanted]


def _processes() -> Iterator[tuple[int, int]]:
    """Yield (process, parent) for all that can be seen; proc(5), `/proc/[pid]/stat`."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError):
            stat = Path(entry.path, "stat").read_bytes()
            yield int(entry.name), int(stat[stat.rindex(b")") + 1 :].split()[1])
