"""Writes access logs that look real, quickly, and says what they add up to.

Lines are put together from pools of ready-made pieces: a client, a second of the hour, and the rest
of the line. A file is one hour of a site that is busier by day; a few visitors and pages make most
of the hits. The truth is counted from what was *picked* from the pools, never by reading the logs
back, so it can judge a parser. The same seed writes the same bytes.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from taskgrid.logs import AccessSummary, Tally

_FIRST_HOUR: Final = datetime(2026, 3, 2, tzinfo=UTC)
_CLIENTS: Final = 1500
_PAGES: Final = 900
_HITS: Final = 4000
_BAD_ONE_IN: Final = 20_000
_SECONDS: Final = tuple(f":{second // 60:02}:{second % 60:02} +0000] ".encode() for second in range(3600))
_WORDS: Final = (
    "about",
    "archive",
    "blog",
    "cart",
    "docs",
    "download",
    "events",
    "gallery",
    "help",
    "images",
    "news",
    "press",
    "search",
    "shop",
    "static",
    "team",
)
_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.5.0",
    "-",
    'probe \\"quoted\\" 1.0',
)
_BAD: Final = (
    b'203.0.113.9 - - [02/Mar/2026:00:00:01 +0000] "GET /cut-off\n',
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
    b"-- log rotated --\n",
)


class Hit(NamedTuple):
    """The rest of a line, and what it adds to the truth."""

    text: bytes
    method: str
    path: str
    status: int
    size: int
    referrer: str
    agent: str


def write_sample(folder: Path, files: int, bytes_total: int, seed: int) -> AccessSummary:
    """Write `files` logs of about `bytes_total` bytes together to `folder`; return what they add up to.

    They are named `access-0000.log` and so on, an hour each.
    """
    return AccessSummary.merge(_write_files(folder, files, bytes_total, Random(seed)))


def _write_files(folder: Path, files: int, bytes_total: int, random: Random) -> Iterator[AccessSummary]:
    clients, hits = _clients(random), _hits(random)
    to_clients, to_hits = _popularity(len(clients)), _popularity(len(hits))
    typical = sum(map(len, clients)) // len(clients) + 33 + _typical([len(hit.text) for hit in hits], to_hits)
    busy = [1 - 0.4 * math.cos(math.tau * (number % 24 - 3) / 24) for number in range(files)]
    for number, share in enumerate(busy):
        lines = max(1, round(bytes_total * share / sum(busy) / typical))
        came = random.choices(clients, cum_weights=to_clients, k=lines)
        saw = random.choices(hits, cum_weights=to_hits, k=lines)
        bad = [
            random.choice(_BAD)
            for _ in range(lines // _BAD_ONE_IN + (random.random() < lines % _BAD_ONE_IN / _BAD_ONE_IN))
        ]
        hour = _FIRST_HOUR + timedelta(hours=number)
        (folder / f"access-{number:04}.log").write_bytes(_text(hour, came, saw, bad, random))
        yield _truth(hour, came, saw, len(bad))


def _text(hour: datetime, came: Sequence[bytes], saw: Sequence[Hit], bad: Sequence[bytes], random: Random) -> bytes:
    stamp = hour.strftime(" - - [%d/%b/%Y:%H").encode()  # the C locale's month names, as web servers write them
    stamps = [stamp + second for second in _SECONDS]
    lines = len(came)
    pieces = [b""] * (3 * lines)
    pieces[0::3] = came
    pieces[1::3] = [stamps[line * 3600 // lines] for line in range(lines)]
    pieces[2::3] = [hit.text for hit in saw]
    for line in bad:
        pieces[3 * random.randrange(lines) + 2] += line
    return b"".join(pieces)


def _truth(hour: datetime, came: Sequence[bytes], saw: Sequence[Hit], bad: int) -> AccessSummary:
    picked = Counter(saw)
    statuses, methods, paths = (_counted(picked, name) for name in ("status", "method", "path"))
    errors: Counter[str] = Counter()
    for hit, times in picked.items():
        if hit.status >= 400:
            errors[f"{hit.status} {hit.path}"] += times
    return AccessSummary(
        files=1,
        lines=len(saw) + bad,
        bad_lines=bad,
        bytes=sum(hit.size * times for hit, times in picked.items()),
        statuses=statuses,
        methods=Tally(counts=methods),
        paths=Tally(counts=paths),
        clients=Tally(counts={client.decode(): times for client, times in Counter(came).items()}),
        hours=Tally(counts={hour.strftime("%Y-%m-%dT%H+0000"): len(saw)}),
        agents=Tally(counts=_counted(picked, "agent")),
        referrers=Tally(counts=_counted(picked, "referrer")),
        errors=Tally(counts=errors),
    )


def _counted(picked: Counter[Hit], name: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for hit, times in picked.items():
        found[getattr(hit, name)] += times
    return found


def _popularity(count: int) -> list[float]:
    """Return cumulative weights by which the n-th is picked about 1/n as often as the first (Zipf's law)."""
    return list(accumulate(1 / (rank + 3) for rank in range(count)))


def _typical(lengths: Sequence[int], cumulative: Sequence[float]) -> int:
    draws = 1000
    total = cumulative[-1]
    return sum(lengths[bisect(cumulative, total * draw / draws)] for draw in range(draws)) // draws


def _clients(random: Random) -> list[bytes]:
    """Return distinct addresses of the ranges kept for documentation and benchmarks; one in eight is IPv6."""
    found: set[str] = set()
    while len(found) < _CLIENTS:
        if random.random() < 1 / 8:
            found.add(f"2001:db8:{random.getrandbits(16):x}::{random.getrandbits(16):x}")
        else:
            found.add(f"198.{random.randint(18, 19)}.{random.randrange(256)}.{random.randint(1, 254)}")
    clients = [client.encode() for client in sorted(found)]
    random.shuffle(clients)
    return clients


def _pages(random: Random) -> list[str]:
    pages = ["/", "/favicon.ico", "/robots.txt", "/static/site.css", "/static/site.js"]
    while len(pages) < _PAGES:
        folder, name = random.choice(_WORDS), random.choice(_WORDS)
        pages.append(f"/{folder}/{name}-{len(pages)}" + random.choice((".html", ".png", "/", f"?page={len(pages)}")))
    return pages


def _hits(random: Random) -> list[Hit]:
    pages = _pages(random)
    popular = _popularity(len(pages))
    return [_hit(random, random.choices(pages, cum_weights=popular)[0]) for _ in range(_HITS)]


def _hit(random: Random, path: str) -> Hit:
    status = random.choices((200, 304, 404, 301, 206, 500, 403, 408), (880, 60, 25, 18, 8, 5, 3, 1))[0]
    agent = random.choices(_AGENTS, (40, 20, 20, 10, 5, 4.9, 0.1))[0]
    referer = random.choice(("-", "https://example.org/", f"https://example.org{path}"))
    method = random.choices(("GET", "POST", "HEAD"), (92, 6, 2))[0]
    size = 0 if status in {304, 408} else round(random.lognormvariate(9, 1.5))
    request = f"{method} {path} HTTP/1.1"
    if status == 408:  # nothing was asked in time
        request = method = path = "-"
    text = f'"{request}" {status} {size or "-"} "{referer}" "{agent}"\n'
    return Hit(text.encode(), method, path, status, size, referer, agent)
