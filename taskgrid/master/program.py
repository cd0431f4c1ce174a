"""The master as a program: keys, journal, server, upkeep; started in that order, ended in reverse."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from taskgrid.clock import SystemClock
from taskgrid.journal import open_journal
from taskgrid.journal.protocol import Durability, Journal
from taskgrid.master.engine import Engine
from taskgrid.master.meters import Meters
from taskgrid.master.service import MasterService
from taskgrid.master.stock import StockLimits, StockPort
from taskgrid.master.upkeep import Upkeep
from taskgrid.scheduler.limits import Limits
from taskgrid.settings import MasterSettings, config_folder
from taskgrid.transport.address import is_loopback
from taskgrid.transport.key_table import KeyTable
from taskgrid.transport.keys import make_key_files
from taskgrid.transport.limits import Limits as WireLimits
from taskgrid.transport.memory import give_large_blocks_back
from taskgrid.transport.server import GridServer, serve
from taskgrid.transport.stock import read_or_make_key

_STOP_WITHIN: Final = 0.6
"""Seconds for the last answers; with the journal's close the master leaves within one."""
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ready:
    """What a master that serves can tell of itself."""

    address: tuple[str, int]
    key_file: Path
    tls: bool
    journal: str
    recovered: str
    """What the journal had to mend, in a sentence; empty if nothing."""
    stock_address: tuple[str, int] | None


class Master:
    """Owns everything that a master runs on."""

    def __init__(self, settings: MasterSettings) -> None:
        self.key_file = _key_file(settings.key_file)
        keys = KeyTable.load(self.key_file)
        self.journal: Journal = open_journal(settings.journal, Durability(settings.durability))
        try:
            self.engine = Engine(self.journal, SystemClock(), _limits(settings))
            service = MasterService(self.engine, settings)
            self.tls = settings.tls if settings.tls is not None else not is_loopback(settings.host)
            limits = WireLimits(max_connections=settings.max_connections)
            self.server: GridServer = serve((settings.host, settings.port), keys, service, tls=self.tls, limits=limits)
            self.stock = _stock(settings, self.journal, self.engine.meters)
            _watch(settings, self.engine, self.server)
        except BaseException:
            self.journal.close()
            raise
        self.upkeep = Upkeep(self.engine, settings)

    def start(self) -> Ready:
        """Serve."""
        self.engine.attendant.start()
        self.upkeep.start()
        self.server.start()
        if self.stock:
            self.stock.start()
        return Ready(
            address=self.server.address[:2],
            key_file=self.key_file,
            tls=self.tls,
            journal=self.journal.path,
            recovered=str(getattr(self.journal, "recovered", "")),
            stock_address=self.stock.address if self.stock else None,
        )

    def stop(self) -> None:
        """Answer what is committed, close the journal, and end; workers keep computing."""
        if self.stock:
            self.stock.stop(_STOP_WITHIN / 2)
        self.engine.hush()
        self.engine.lower_marks()
        self.server.stop(_STOP_WITHIN)
        self.upkeep.stop(_STOP_WITHIN)
        self.engine.attendant.stop(_STOP_WITHIN)
        self.journal.close()


def run_master(settings: MasterSettings, *, ready: Callable[[Ready], None]) -> int:
    """Run a master until SIGTERM or SIGINT; return its exit status. `ready` is called once it serves."""
    give_large_blocks_back()
    stop = threading.Event()
    for number in _ENDING:
        signal.signal(number, lambda *_: stop.set())
    with _signals_kept_from_threads():
        master = Master(settings)
    try:
        with _signals_kept_from_threads():
            facts = master.start()
        _log.info("master.started", address="{}:{}".format(*facts.address), jobs=len(master.engine.core.jobs))
        ready(facts)
        stop.wait()
    finally:
        master.stop()
        _log.info("master.stopped")
        for number in _ENDING:  # the interpreter's own end would else die of a second one
            signal.signal(number, signal.SIG_IGN)
    return 0


@contextmanager
def _signals_kept_from_threads() -> Iterator[None]:
    """Leave the ending signals to this thread: those made meanwhile, and all that they make, never get one.

    The kernel gives a signal to a thread that is just starting another, and only this one runs Python's handlers:
    it would sleep on.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _key_file(named: Path | None) -> Path:
    if named is not None and named.exists():
        return named  # a container's secret: what lies beside it is not ours to make
    return make_key_files(named.parent, first=named.name) if named else make_key_files(config_folder())


def _limits(settings: MasterSettings) -> Limits:
    return Limits(
        lease=settings.lease.total_seconds(),
        reconnect_grace=settings.reconnect_grace.total_seconds(),
        max_queued=settings.max_queued,
        max_jobs=settings.max_jobs,
        max_payload_bytes=settings.max_payload_bytes,
    )


def _watch(settings: MasterSettings, engine: Engine, server: GridServer) -> None:
    meters, core, journal = engine.meters, engine.core, engine.journal
    meters.watch("max_connections", settings.max_connections, lambda: len(server), lambda: server.turned_away)
    meters.watch("max_queued", settings.max_queued, lambda: core.queued)
    meters.watch("max_jobs", settings.max_jobs, lambda: len(core.jobs))
    meters.watch("max_payload_bytes", settings.max_payload_bytes)
    meters.watch("max_result_bytes")
    meters.watch("retention", int(settings.retention.total_seconds()))
    meters.watch("retention_bytes", settings.retention_bytes, journal.size)
    meters.watch("journal")


def _stock(settings: MasterSettings, journal: Journal, meters: Meters) -> StockPort | None:
    if settings.stock_port is None:
        return None
    key = read_or_make_key(settings.stock_key_file or config_folder() / "stock.key")
    path = None if journal.path == "memory" else str(Path(journal.path).with_name("stock.db"))
    limits = StockLimits(
        connections=settings.stock_max_connections,
        items=settings.stock_max_items,
        bytes=settings.stock_max_bytes,
        item_bytes=settings.stock_max_item_bytes,
    )
    return StockPort(
        (settings.stock_host, settings.stock_port), key, path, settings.durability, limits=limits, meters=meters
    )
