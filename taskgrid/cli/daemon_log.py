"""Where the daemons' log goes, and how an event is written: as a line for people or as JSON.

The rooms only say what happened (`structlog`); the command line decides how it looks. The log is
talk, so it goes to stderr.
"""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING

from taskgrid.cli.terminal import shows_colours

if TYPE_CHECKING:
    from structlog.typing import Processor


class LogForm(StrEnum):
    """What `--log` chooses from."""

    TEXT = "text"
    JSON = "json"


def log_to_stderr(form: LogForm) -> None:
    """Send every event to stderr from now on."""
    import structlog

    as_text = form is LogForm.TEXT
    render: Processor = (
        structlog.dev.ConsoleRenderer(colors=shows_colours(sys.stderr))
        if as_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S" if as_text else "iso", utc=not as_text),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # modules make their loggers before this is called
    )
