"""What a worker offers, as child processes find it: the agent itself imports no user code.

Where anything may run nothing is known before a name comes. A function that was submitted as an
object brings its options and its code along. One that was submitted by name is looked up when its
first tasks come, and from then on offered by name if it declares any options, so that the master
honours those that are its business.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

import structlog

from taskgrid.errors import FunctionRefused
from taskgrid.functions.naming import main_name
from taskgrid.functions.offers import offers_in_subprocess
from taskgrid.model import TaskOptions
from taskgrid.settings import WorkerSettings
from taskgrid.transport.protocol import Offer
from taskgrid.worker.frames import Setup

SHIPPED: Final = ("taskgrid.logs", "taskgrid.files")
"""Modules that a worker offers when its owner names none."""

ANYTHING: Final = Offer(function="*")
"""The offer of a worker that runs whatever its user can import; its children compare the code themselves."""

log = structlog.get_logger()


class Repertoire:
    """The functions of one worker; safe to ask from any thread."""

    def __init__(self, settings: WorkerSettings, *, any_function: bool, main: Path | None) -> None:
        self.modules = settings.functions or (() if any_function else SHIPPED)
        self._settings = settings
        self._any_function = any_function
        self._main = main
        self._lock = threading.Lock()
        self._offers: tuple[Offer, ...] | None = None
        self._declared: dict[str, dict[str, Offer]] = {}
        """Where anything may run: by module that was looked up, its functions that declare options."""

    def setup(self, worker: str) -> Setup:
        """Return what a child needs to know."""
        return Setup(
            modules=self.modules,
            paths=self._settings.path,
            main=self._main,
            any_function=self._any_function,
            roots=self._settings.root,
            worker=worker,
            max_result_bytes=self._settings.max_result_bytes,
            parent=os.getpid(),
        )

    def offers(self) -> tuple[Offer, ...]:
        """Return what is offered, looked at once; FunctionRefused if it can't be imported."""
        with self._lock:
            if self._offers is None:
                self._offers = self._look()
            return self._offers

    def declared(self, function: str) -> tuple[TaskOptions | None, bool]:
        """Return what a function declares that was not offered by name, and whether that is news to the master."""
        if not self._any_function:
            return None, False
        module = function.partition(":")[0]
        with self._lock:
            known = self._declared.get(module)
            if known is None:
                known = self._declared[module] = self._declared_in(module)
                self._offers = self._everything()
                return _options(known, function), bool(known)
            return _options(known, function), False

    def look_again(self) -> bool:
        """Look at the files again; say whether anything is different now."""
        with self._lock:
            before, self._offers = self._offers, self._look()
            return before != self._offers

    def _look(self) -> tuple[Offer, ...]:
        if self._any_function:
            self._declared = {module: self._declared_in(module) for module in self._declared}
            return self._everything()
        return tuple(self._found(self.modules, self._main))

    def _everything(self) -> tuple[Offer, ...]:
        return (ANYTHING, *(offer for offers in self._declared.values() for offer in offers.values()))

    def _declared_in(self, module: str) -> dict[str, Offer]:
        main = self._main if self._main is not None and main_name(self._main) == module else None
        try:
            found = self._found(() if main else (module,), main)
        except FunctionRefused as error:  # its tasks will say so, each with the whole reason
            log.info("function.unknown", module=module, why=str(error))
            return {}
        return {offer.function: offer for offer in found if offer.options != TaskOptions()}

    def _found(self, modules: tuple[str, ...], main: Path | None) -> list[Offer]:
        found = offers_in_subprocess(modules, self._settings.path, main=main)
        return [Offer(function=name, code=code, options=options) for name, code, options in found]


def _options(offers: dict[str, Offer], function: str) -> TaskOptions | None:
    return offers[function].options if function in offers else None
