"""Files for tests: random records, every compression, and a naive reading of them to compare with."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path

from hypothesis import strategies as st

from taskgrid.errors import FileError
from taskgrid.files import FileSlice, Identity
from taskgrid.files.stored import Stored

zstd = import_module("backports.zstd")

WORDS = (b"a", b"bb" * 20, b"\n", b"\r\n", b"\r", b"\0", b"2026 error", b"\n  at line 7", b"\n2026 ok", b"\xff\xfe")
contents = st.lists(st.sampled_from(WORDS), max_size=60).map(b"".join)
kinds = st.sampled_from([("\n", None), ("\r\n", None), ("\0", None), ("ok", None), ("\n", "2026"), ("\n", ".*at")])


def records_in(data: bytes, separator: str = "\n", begins: str | None = None) -> list[bytes]:
    """Read records naively, all at once."""
    if begins is None:
        parts = re.split(b"(?<=" + re.escape(separator.encode()) + b")", data)
        return [part for part in parts if part]
    records: list[bytes] = []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        if records and not re.match(begins.encode(), line):
            records[-1] += line
        else:
            records.append(line)
    return records


def slices_of(
    path: Path, size: int, *, separator: str = "\n", begins: str | None = None, index: Path | None = None
) -> list[FileSlice]:
    """Cut a file every `size` stored bytes, whatever a planner would say."""
    with Stored(path) as stored:
        identity = Identity.of(stored)
    return [
        FileSlice(
            path=path,
            start=start,
            end=min(identity.size, start + size),
            identity=identity,
            separator=separator,
            begins=begins,
            index=index,
        )
        for start in range(0, max(identity.size, 1), size)
    ]


def read(slices: Iterable[FileSlice]) -> list[bytes]:
    """Read all records of all slices."""
    return [record for each in slices for record in each]


def read_what_can_be(piece: FileSlice) -> tuple[list[bytes], FileError | None]:
    """Read a slice's records up to its error."""
    records: list[bytes] = []
    try:
        for record in piece:
            records.append(record)  # noqa: PERF402  # those before the error count
    except FileError as error:
        return records, error
    return records, None


def parts(data: bytes, size: int) -> list[bytes]:
    """Cut data every `size` bytes; at least one part, with an empty one among them if there are several."""
    cut = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    return cut if len(cut) == 1 else [*cut[:1], b"", *cut[1:]]


def bgzip(data: bytes, size: int) -> bytes:
    """Write blocks as bgzip does, with the empty one at the end."""
    blocks = []
    for part in [*parts(data, min(size, 60_000)), b""]:
        packed = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = packed.compress(part) + packed.flush()
        header = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + (len(body) + 25).to_bytes(2, "little")
        blocks.append(header + body + zlib.crc32(part).to_bytes(4, "little") + len(part).to_bytes(4, "little"))
    return b"".join(blocks)


def _checked_frame(data: bytes) -> bytes:
    frame: bytes = zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})
    return frame


def skippable(data: bytes) -> bytes:
    """Write a zstd frame that readers skip."""
    return b"\x5a\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


PACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "plain": lambda data, _: data,
    "gzip": lambda data, _: gzip.compress(data, mtime=0),
    "gzip members": lambda data, size: b"".join(gzip.compress(part, mtime=0) for part in parts(data, size)),
    "gzip padded": lambda data, size: b"\0\0\0".join(gzip.compress(part, mtime=0) for part in parts(data, size)),
    "bgzip": bgzip,
    "bzip2": lambda data, _: bz2.compress(data, 1),
    "bzip2 streams": lambda data, size: b"".join(bz2.compress(part, 9) for part in parts(data, size)),
    "xz": lambda data, _: lzma.compress(data),
    "xz streams": lambda data, size: b"".join(lzma.compress(part) for part in parts(data, size)),
    "xz padded": lambda data, size: (b"\0" * 8).join(lzma.compress(part) for part in parts(data, size)),
    "zstd": lambda data, _: _checked_frame(data),
    "zstd frames": lambda data, size: b"".join(
        skippable(b"(\xb5/\xfd") + _checked_frame(part) for part in parts(data, size)
    ),
}


def unpacked(form: str, data: bytes) -> bytes:
    """Decode with the libraries' own one-call functions; whatever they raise for damaged data goes through."""
    if form == "plain":
        return data
    if form.startswith(("gzip", "bgzip")):
        return gzip.decompress(data)
    if form.startswith("bzip2"):
        return bz2.decompress(data)
    if form.startswith("xz"):
        return lzma.decompress(re.sub(rb"YZ(\0{4})+", b"YZ", data))  # it does not know of padding
    decoded: bytes = zstd.decompress(data)
    return decoded
