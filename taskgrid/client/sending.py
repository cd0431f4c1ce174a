"""Sends a whole job, and keeps it open meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from taskgrid.client.beat import Beat
from taskgrid.client.link import Link
from taskgrid.client.upload import Chunk, Upload


def send(link: Link, upload: Upload, chunks: Iterator[Chunk]) -> None:
    """Return when the last chunk is accepted, and the job sealed."""
    beat = Beat(link)
    try:
        with beat.of(upload), link.tasks() as proxy:
            upload.send_all(proxy, chunks)
    finally:
        beat.stop()
