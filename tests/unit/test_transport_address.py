"""Addresses as people write them."""

from __future__ import annotations

import pytest

from taskgrid.errors import UsageError
from taskgrid.transport.address import format_address, is_loopback, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("host", ("host", 7117)),
        ("host:80", ("host", 80)),
        (" 10.0.0.1:7 ", ("10.0.0.1", 7)),
        ("[::1]", ("::1", 7117)),
        ("[fe80::1%eth0]:9", ("fe80::1%eth0", 9)),
        ("2001:db8::1", ("2001:db8::1", 7117)),
    ],
)
def test_address_is_read_and_written(text: str, address: tuple[str, int]) -> None:
    """Both families, with and without a port."""
    assert parse_address(text) == address
    assert parse_address(format_address(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":80", "host:", "host:x", "host:0", "host:70000", "[::1", "[::1]80", "[::1]:", "a b", "tcp://h", "h:²"]
)
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    """The error shows how it is written."""
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address(text)


def test_loopback_is_known_without_asking_a_name_server() -> None:
    """Both families, the name, and IPv4 in IPv6's clothes."""
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1")))
    assert not any(map(is_loopback, ("10.0.0.1", "0.0.0.0", "::", "example.org", "127.0.0.1.example.org")))
