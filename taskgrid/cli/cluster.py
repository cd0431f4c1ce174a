"""`up`: a grid on this machine in one command, a master and one-slot workers as processes of their own.

The processes stand in groups of their own, so that Ctrl-C reaches this one alone, which then ends
them in order: workers drain, then the master. A worker that dies is replaced; one that dies right
after its start, or a master that dies, ends all. What was accepted stays in the journal.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from taskgrid.cli import pages
from taskgrid.cli.options import Functions, ModulePath


def up(
    *,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=1, metavar="N", help="How many workers, one slot each.")
    ] = os.cpu_count() or 1,
    port: Annotated[int, typer.Option("--port", help="TCP port on loopback; 0 picks a free one.")] = 7117,
    functions: Functions = None,
    path: ModulePath = None,
    journal: Annotated[
        str | None, typer.Option("--journal", metavar="FILE", help="The journal's file, or `memory`.")
    ] = None,
    drain_timeout: Annotated[
        str, typer.Option("--drain-timeout", metavar="TIME", help="How long what runs may go on after Ctrl-C.")
    ] = "30s",
) -> None:
    """Start a grid on this machine: a master and N workers; `map` in other terminals finds it."""
    from taskgrid.cli.processes import Cluster

    offer = [f"--functions={one}" for one in functions or []] or ["--any-function"]
    folders = [f"--path={one}" for one in path or []]
    cluster = Cluster(
        master=["--host=127.0.0.1", f"--port={port}", *([f"--journal={journal}"] if journal else [])],
        worker=["--slots=1", f"--drain-timeout={drain_timeout}", *offer, *folders],
    )
    sys.exit(cluster.run(workers, on_ready=_announce))


def _announce(server: str, key_file: Path, workers: int) -> None:
    from taskgrid.cli.terminal import say
    from taskgrid.transport.known import remember

    remember(server, key_file)
    say(f"A grid of {workers} worker{'s' if workers > 1 else ''} serves on {server}. In another terminal:")
    say("    taskgrid map MODULE:FUNCTION ITEM...")
    say("Ctrl-C drains and ends it.")


def register(app: typer.Typer) -> None:
    """Add this command to the app."""
    examples = pages.example("taskgrid up -w 4", "taskgrid up -w 2 --functions mylogs")
    app.command(rich_help_panel=pages.GRID, epilog=examples)(up)
