"""Commands that serve: `master` and `worker`.

Each reads its settings and hands over to its room; what comes back is the exit status. `master`
prints what to run on the other machines once it serves.
"""

from __future__ import annotations

import gc
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskgrid.cli import pages
from taskgrid.cli.daemon_log import LogForm, log_to_stderr
from taskgrid.cli.options import DieWithParent, Functions, KeyFile, ModulePath, Server, servers

if TYPE_CHECKING:
    from taskgrid.master import Ready

Log = Annotated[LogForm, typer.Option("--log", help="The log on stderr: a line for people, or JSON.")]


def master(
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on. [default: every interface]")] = None,
    port: Annotated[int | None, typer.Option("--port", help="TCP port; 0 picks a free one. [default: 7117]")] = None,
    journal: Annotated[
        str | None, typer.Option("--journal", metavar="FILE", help="The journal's file, or `memory`.")
    ] = None,
    durability: Annotated[
        str | None, typer.Option("--durability", help="What an accepted task survives: power, process or none.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="The key's file; made on first start.")
    ] = None,
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="TLS. [default: on unless the address is loopback]")
    ] = None,
    lease: Annotated[
        str | None, typer.Option("--lease", metavar="TIME", help="How long a lease lasts without a beat.")
    ] = None,
    beat: Annotated[
        str | None, typer.Option("--beat", metavar="TIME", help="How often workers say that they are alive.")
    ] = None,
    reconnect_grace: Annotated[
        str | None,
        typer.Option("--reconnect-grace", metavar="TIME", help="How long leases outlive a worker's last connection."),
    ] = None,
    stock_port: Annotated[
        int | None, typer.Option("--stock-port", help="A second port for standard-library clients. [default: off]")
    ] = None,
    stock_host: Annotated[str | None, typer.Option("--stock-host", help="Address of the stock port.")] = None,
    stock_key_file: Annotated[
        Path | None, typer.Option("--stock-key-file", metavar="FILE", help="The stock port's own key.")
    ] = None,
    stock_max_connections: Annotated[
        int | None, typer.Option("--stock-max-connections", metavar="N", help="Connections of the stock port at once.")
    ] = None,
    stock_max_items: Annotated[
        int | None, typer.Option("--stock-max-items", metavar="N", help="Items of each of the stock port's queues.")
    ] = None,
    stock_max_bytes: Annotated[
        str | None, typer.Option("--stock-max-bytes", metavar="SIZE", help="Bytes of all items of the stock port.")
    ] = None,
    stock_max_item_bytes: Annotated[
        str | None, typer.Option("--stock-max-item-bytes", metavar="SIZE", help="The largest item of the stock port.")
    ] = None,
    max_connections: Annotated[int | None, typer.Option("--max-connections", help="Connections at once.")] = None,
    max_queued: Annotated[
        int | None, typer.Option("--max-queued", help="Tasks that have not ended, over all jobs.")
    ] = None,
    max_jobs: Annotated[int | None, typer.Option("--max-jobs", help="Jobs kept.")] = None,
    max_payload_bytes: Annotated[
        str | None, typer.Option("--max-payload-bytes", metavar="SIZE", help="The largest payload of a task, as JSON.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option("--retention", metavar="TIME", help="How long a finished job is kept.")
    ] = None,
    retention_bytes: Annotated[
        str | None,
        typer.Option("--retention-bytes", metavar="SIZE", help="Journal size from which old jobs are forgotten."),
    ] = None,
    log: Log = LogForm.TEXT,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", hidden=True, help="Written once it serves.")
    ] = None,
    ends_with_parent: DieWithParent = False,
) -> None:
    """Start the master; prints what to run on the other machines."""
    flags = _flags(locals())
    _follow_parent(ends_with_parent, signal.SIGTERM)
    log_to_stderr(log)
    from taskgrid.loading import load
    from taskgrid.master import run_master
    from taskgrid.settings import MasterSettings

    _spare_the_collector()
    raise typer.Exit(run_master(load(MasterSettings, flags), ready=partial(_announce, ready_file)))


def worker(
    *,
    server: Server = None,
    key_file: KeyFile = None,
    slots: Annotated[
        int | None, typer.Option("--slots", metavar="N", help="Tasks run at once. [default: one per core]")
    ] = None,
    functions: Functions = None,
    path: ModulePath = None,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", metavar="DIR", help="Keep slices, outputs and taskgrid.logs below it; repeatable."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What people call it. [default: host and process]")] = None,
    drain_timeout: Annotated[
        str | None,
        typer.Option("--drain-timeout", metavar="TIME", help="How long what runs may go on after Ctrl-C or SIGTERM."),
    ] = None,
    max_tasks_per_child: Annotated[
        int | None, typer.Option("--max-tasks-per-child", metavar="N", help="Replace a child process after N tasks.")
    ] = None,
    memory_limit: Annotated[
        str | None,
        typer.Option("--memory-limit", metavar="SIZE", help="Memory one task process may use, as 2GiB."),
    ] = None,
    max_result_bytes: Annotated[
        str | None, typer.Option("--max-result-bytes", metavar="SIZE", help="The largest value of a task, as JSON.")
    ] = None,
    max_buffer_bytes: Annotated[
        str | None,
        typer.Option("--max-buffer-bytes", metavar="SIZE", help="Outcomes kept while the master can't take them."),
    ] = None,
    log: Log = LogForm.TEXT,
    any_function: Annotated[
        bool, typer.Option("--any-function", hidden=True, help="Offer whatever this user can import.")
    ] = False,
    main_file: Annotated[
        Path | None, typer.Option("--main", hidden=True, help="The script that `__main__` functions are of.")
    ] = None,
    ends_with_parent: DieWithParent = False,
) -> None:
    """Start a worker: take tasks from the master and run them, until Ctrl-C drains it."""
    flags = _flags(locals()) | {"server": servers(server)}
    _follow_parent(ends_with_parent, signal.SIGKILL)  # nobody is left for whom it could drain
    log_to_stderr(log)
    from taskgrid.loading import load
    from taskgrid.settings import WorkerSettings
    from taskgrid.worker import run_worker

    settings = load(WorkerSettings, flags)
    _spare_the_collector()
    raise typer.Exit(run_worker(settings, any_function=any_function, main=main_file))


_COLLECT_EVERY = 20_000
"""Objects more than before, after which the youngest are looked through for garbage."""
_NO_SETTINGS = {"log", "ready_file", "ends_with_parent", "any_function", "main_file"}


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """Return a command's parameters by the names of the settings; lists that are empty were not given."""
    named = {name: value for name, value in given.items() if name not in _NO_SETTINGS}
    return {name: None if value == [] else value for name, value in named.items()}


def _spare_the_collector() -> None:
    """Have what was imported never looked through for garbage, and what comes more seldom.

    It holds up every thread: by tens of milliseconds where it looks through all that is loaded, for
    garbage that a daemon, whose objects end by their counts, hardly makes.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def _follow_parent(wanted: bool, sent: signal.Signals) -> None:
    if wanted:
        from taskgrid.cli.parent import die_with_parent

        die_with_parent(sent)


def _announce(ready_file: Path | None, ready: Ready) -> None:
    from taskgrid.cli.parent import write_ready
    from taskgrid.transport.address import format_address
    from taskgrid.transport.known import remember

    host, port = ready.address
    reached = format_address(("127.0.0.1" if _is_every(host) else host, port))
    remember(reached, Path(ready.key_file))
    if ready_file is not None:
        write_ready(ready_file, server=reached, key_file=str(ready.key_file))
    else:
        sys.stderr.write(_welcome(ready))
        sys.stderr.flush()


def _welcome(ready: Ready) -> str:
    from taskgrid.transport.address import format_address, is_loopback

    name = _name_elsewhere(*ready.address)
    elsewhere = [
        "Once on each other machine (it asks for the key: `taskgrid key show` here shows it):",
        f"    taskgrid join {name}",
        "Then, on as many as you like:",
    ]
    lines = [
        f"TaskGrid's master serves {format_address(ready.address)}{' with TLS' if ready.tls else ''}; {ready.journal}",
        ready.recovered,
        f"Standard-library clients: {format_address(ready.stock_address)}" if ready.stock_address else "",
        *([] if is_loopback(ready.address[0]) else elsewhere),
        f"    taskgrid worker --server {name} --functions MODULE",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _name_elsewhere(host: str, port: int) -> str:
    """Return how other machines call the master; its own port goes without saying."""
    import socket

    from taskgrid.settings import DEFAULT_PORT
    from taskgrid.transport.address import format_address

    name = format_address((socket.gethostname() if _is_every(host) else host, port))
    return name.removesuffix(f":{DEFAULT_PORT}")


def _is_every(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104  # compared, not bound


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command(
        rich_help_panel=pages.GRID,
        epilog=pages.example("taskgrid master", "taskgrid master --port 7200 --retention 30d"),
    )(master)
    app.command(
        rich_help_panel=pages.GRID,
        epilog=pages.example("taskgrid worker --server master-host --functions mylogs", "taskgrid worker --slots 4"),
    )(worker)
