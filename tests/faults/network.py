"""A network of two hosts that can be cut: two namespaces of our own, and a cable between them.

`Cable` puts the calling thread, and every program it starts, into the near namespace; `far` is the
prefix of a command that runs in the other one. Cutting is done by the far host's own packet filter,
so nothing outside the two namespaces is touched. Needs to be root, `ip` and `iptables`; where that
is not so, the test is skipped with what was said.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import subprocess
from types import TracebackType
from typing import Self

import pytest

NEAR_ADDRESS = "10.231.18.1"
"""The near host's own: it stays when the cable goes."""
FAR_ADDRESS = "10.231.17.2"
_NEAR_END = "10.231.17.1"
_CLONE_NEWNET = 0x40000000

BOTH_WAYS = ("INPUT", "OUTPUT")
TO_THE_MASTER = ("OUTPUT",)
TO_THE_WORKER = ("INPUT",)


class Cable:
    """Two network namespaces and a link; a context that takes its thread into the near one."""

    def __init__(self) -> None:
        name = secrets.token_hex(3)
        self._near, self._far = f"tg-{name}-a", f"tg-{name}-b"
        self._link = f"tg{name}"
        self.far = ("ip", "netns", "exec", self._far)
        """The words before a command that runs on the far host."""

    def __enter__(self) -> Self:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self._lay()
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', None) or error}")
        _enter(f"/run/netns/{self._near}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _set(self._home)
        self._remove()

    def _lay(self) -> None:
        near, far, link = self._near, self._far, self._link
        for command in (
            f"ip netns add {near}",
            f"ip netns add {far}",
            f"ip -n {near} link add {link} type veth peer name {link}p netns {far}",
            f"ip -n {near} address add {NEAR_ADDRESS}/32 dev lo",
            f"ip -n {near} address add {_NEAR_END}/24 dev {link}",
            f"ip -n {far} address add {FAR_ADDRESS}/24 dev {link}p",
            f"ip -n {near} link set lo up",
            f"ip -n {far} link set lo up",
            f"ip -n {near} link set {link} up",
            f"ip -n {far} link set {link}p up",
            f"ip -n {far} route add {NEAR_ADDRESS} via {_NEAR_END}",
            f"ip netns exec {far} iptables -L -n",
        ):
            _run(command)

    def _remove(self) -> None:
        for name in (self._near, self._far):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        os.close(self._home)

    def cut(self, chains: tuple[str, ...]) -> None:
        """Drop every packet of those directions, without a word to either side."""
        for chain in chains:
            _run(f"ip netns exec {self._far} iptables -I {chain} -j DROP")

    def mend(self) -> None:
        """Let all packets pass again."""
        _run(f"ip netns exec {self._far} iptables -F")

    def pull(self) -> None:
        """Take the cable away for good, then the far host: nothing says goodbye."""
        _run(f"ip -n {self._near} link del {self._link}")
        _run(f"ip netns del {self._far}")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, text=True)


def _enter(namespace: str) -> None:
    file = os.open(namespace, os.O_RDONLY)
    try:
        _set(file)
    finally:
        os.close(file)


def _set(file: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(file, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
