"""What a worker offers, as child processes find it: the agent itself imports no user code."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from taskgrid.functions.offers import offers_in_subprocess
from taskgrid.settings import WorkerSettings
from taskgrid.transport.protocol import Offer
from taskgrid.worker.frames import Setup

SHIPPED: Final = ("taskgrid.logs",)
"""Modules that a worker offers when its owner names none."""

ANYTHING: Final = Offer(function="*")
"""The offer of a worker that runs whatever its user can import; its children compare the code themselves."""


class Repertoire:
    """The functions of one worker; safe to ask from any thread."""

    def __init__(self, settings: WorkerSettings, *, any_function: bool, main: Path | None) -> None:
        self.modules = settings.functions or (() if any_function else SHIPPED)
        self._settings = settings
        self._any_function = any_function
        self._main = main
        self._lock = threading.Lock()
        self._offers: tuple[Offer, ...] | None = None

    def setup(self, worker: str) -> Setup:
        """Return what a child needs to know."""
        return Setup(
            modules=self.modules,
            paths=self._settings.path,
            main=self._main,
            any_function=self._any_function,
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

    def look_again(self) -> bool:
        """Look at the files again; say whether anything is different now."""
        with self._lock:
            before, self._offers = self._offers, self._look()
            return before != self._offers

    def _look(self) -> tuple[Offer, ...]:
        if self._any_function:
            return (ANYTHING,)
        found = offers_in_subprocess(self.modules, self._settings.path, main=self._main)
        return tuple(Offer(function=name, code=code, options=options) for name, code, options in found)
