"""Addresses as people write them: `host`, `host:port`, `[2001:db8::1]:7117`.

Knows only how to read and write them, and which are this machine's own; it resolves no name and opens
nothing.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from taskgrid.errors import UsageError
from taskgrid.transport.protocol import DEFAULT_PORT

Address = tuple[str, int]

_HINT: Final = f"Write HOST or HOST:PORT, an IPv6 address in brackets: [::1]:{DEFAULT_PORT}."


def parse_address(text: str) -> Address:
    """Read `host[:port]`; without a port it is TaskGrid's own. Raises `UsageError`."""
    host, port = _split(text.strip())
    if not host or any(char.isspace() or char in "/[]@" for char in host):
        raise UsageError(f"{text!r} is not the address of a master.", hint=_HINT)
    return host, _port(port, text)


def format_address(address: Address) -> str:
    """Write an address so that `parse_address` reads it back."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether `host` names this machine's loopback interface, without asking a name server."""
    if host.lower() in ("localhost", "localhost.localdomain"):
        return True
    try:
        found = ip_address(host.split("%", maxsplit=1)[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "", None
        return host, rest[1:] if rest else None
    if text.count(":") > 1:  # an IPv6 address without brackets can't carry a port
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _port(text: str | None, whole: str) -> int:
    if text is None:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16):
        raise UsageError(f"{whole!r} has no port between 1 and 65535.", hint=_HINT)
    return int(text)
