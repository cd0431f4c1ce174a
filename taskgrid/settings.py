"""Every setting, each with its unit in its type, a sentence, and a default that works.

A setting comes from a flag, else `TASKGRID_*` in the environment, else `taskgrid.toml` in the
current folder, else the user's configuration, else the default here. These models refuse nonsense;
they read nothing themselves (`loading.py` does) and know no other room.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Port = Annotated[int, Field(ge=0, le=65535)]
Bytes = Annotated[int, Field(gt=0)]

LARGEST_ITEM = 7 << 20
"""Bytes that a frame of 8 MiB can hold beside its header: what a payload or a value may ever have."""
ItemBytes = Annotated[int, Field(gt=0, le=LARGEST_ITEM)]

DEFAULT_PORT = 7117


def config_folder() -> Path:
    """Return the user's configuration folder for TaskGrid (keys, known masters); it may not exist yet."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "taskgrid"


def state_folder() -> Path:
    """Return the user's state folder for TaskGrid (the journal); it may not exist yet."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "taskgrid"


class Settings(BaseModel):
    """Frozen, and refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def how_to_raise(setting: str, program: str = "master") -> str:
    """Say where a limit is set, for whoever was refused by it; `program` as in `taskgrid.toml`."""
    flag = f"`taskgrid {program} --{setting.replace('_', '-')}`" if program != "grid" else f"`Grid({setting}=...)`"
    return f"raise {setting}: {flag}, TASKGRID_{setting.upper()}, or [{program}] in taskgrid.toml"


class MasterSettings(Settings):
    """`taskgrid master`."""

    host: str = "0.0.0.0"  # noqa: S104  # a master serves other machines; the key and TLS guard it
    """Address to listen on; TLS is on unless it is a loopback one."""
    port: Port = DEFAULT_PORT
    """TCP port; 0 picks a free one."""
    journal: str = ""
    """The journal's file, or `memory`; empty: `journal.db` in the user's state folder."""
    durability: Literal["power", "process", "none"] = "power"
    """What an accepted task survives: power loss, a crash of the program, or nothing (for tests)."""
    key_file: Path | None = None
    """The key's file; None: `taskgrid.key` in the user's configuration folder, made on first start."""
    tls: bool | None = None
    """TLS for every connection; None: on unless `host` is a loopback address."""
    lease: timedelta = timedelta(seconds=30)
    """How long a lease lasts without a beat."""
    beat: timedelta = timedelta(seconds=5)
    """How often workers say that they are alive."""
    reconnect_grace: timedelta = timedelta(seconds=1)
    """How long a worker's leases outlive its last connection."""
    stock_port: Port | None = None
    """A second port for standard-library clients; off by default."""
    stock_host: str = "127.0.0.1"
    """Address of the stock port."""
    stock_key_file: Path | None = None
    """The stock port's own key; None: `stock.key` in the user's configuration folder."""
    stock_max_connections: Annotated[int, Field(ge=1)] = 4096
    """Connections of the stock port at once; more are refused at their first request."""
    stock_max_items: Annotated[int, Field(gt=0)] = 1_000_000
    """Items of each of the stock port's queues; a put beyond raises `Full`."""
    stock_max_bytes: Bytes = 1 << 30
    """Bytes of all items of the stock port; a put beyond raises `Full`."""
    stock_max_item_bytes: ItemBytes = LARGEST_ITEM
    """The largest item of the stock port, as it travels; a larger one is refused."""
    max_connections: Annotated[int, Field(ge=8)] = 8192
    """Connections at once; more are refused at the door."""
    max_queued: Annotated[int, Field(gt=0)] = 100_000_000
    """Tasks that have not ended, over all jobs; a submit beyond is refused."""
    max_jobs: Annotated[int, Field(gt=0)] = 10_000
    """Jobs kept; a submit beyond is refused until some are forgotten."""
    max_payload_bytes: ItemBytes = LARGEST_ITEM
    """The largest payload of one task, as JSON, whatever a client's own limit is; a submit beyond is refused."""
    retention: timedelta = timedelta(days=7)
    """How long a finished job is kept."""
    retention_bytes: Bytes = 10 << 30
    """Journal size from which the oldest finished jobs are forgotten."""

    @model_validator(mode="after")
    def _three_beats_fit_into_a_lease(self) -> Self:
        if self.beat * 3 > self.lease:
            raise ValueError(f"three beats of {self.beat} do not fit into a lease of {self.lease}")
        return self


class WorkerSettings(Settings):
    """`taskgrid worker`."""

    server: tuple[str, ...] = ()
    """Masters to try in turn, each `HOST[:PORT]`; empty: what `taskgrid join`, `master` or `up` wrote."""
    key_file: Path | None = None
    """The key's file; None: what `join` kept."""
    slots: Annotated[int, Field(ge=1)] = os.cpu_count() or 1
    """Tasks run at once, each in a process of its own."""
    functions: tuple[str, ...] = ()
    """Modules or packages whose functions it runs; empty: those that ship with TaskGrid."""
    path: tuple[Path, ...] = ()
    """Folders put on the module path, after the current one."""
    root: tuple[Path, ...] = ()
    """Folders that slices, outputs and what ships with TaskGrid keep to, links followed; empty: anywhere."""
    name: str = ""
    """What people call this worker; empty: host and process id."""
    drain_timeout: timedelta = timedelta(seconds=30)
    """How long what runs may go on after the first signal."""
    max_tasks_per_child: Annotated[int, Field(ge=1)] | None = None
    """A child process is replaced after that many tasks."""
    memory_limit: Bytes | None = None
    """Resident bytes of one task process; beyond, it is killed. A function's own limit wins."""
    max_result_bytes: ItemBytes = 1 << 20
    """The largest value a task may return, as JSON."""
    max_buffer_bytes: Bytes = 256 << 20
    """Outcomes kept while the master can't take them; beyond, nothing new is started."""


class GridSettings(Settings):
    """`Grid(...)`."""

    server: tuple[str, ...] = ()
    """Masters to try in turn, each `HOST[:PORT]`; empty: what `taskgrid join`, `master` or `up` wrote."""
    key_file: Path | None = None
    """The key's file; None: what `join` kept."""
    connect_timeout: timedelta = timedelta(seconds=5)
    """How long to try to reach a master the first time."""
    reconnect_for: timedelta = timedelta(minutes=10)
    """How long to wait for a master that was there before."""
    max_payload_bytes: ItemBytes = 1 << 20
    """The largest payload of one task, as JSON; a larger one is refused before it leaves."""
    window: Annotated[int, Field(ge=1)] = 200_000
    """Tasks of a `map` that may be under way before it waits for its reader."""
