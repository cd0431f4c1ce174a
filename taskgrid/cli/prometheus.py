"""The grid in Prometheus' text format, for whoever scrapes: a textfile collector, or a script behind a port.

One call to the master, rendered here: TaskGrid opens no port for it, and needs no library. A counter's
name ends in `_total`; the limits carry their setting as a label. No label's value is a user's: none needs escaping.

Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskgrid.model import GridView, LimitView

Samples = Iterable[tuple[Mapping[str, str], float]]


def exposition(view: GridView) -> str:
    """Return all that `status` knows as lines of metrics."""
    limits = view.limits
    states = {"queued": view.queued, "delayed": view.delayed, "leased": view.leased}
    families = (
        _family("build_info", "gauge", "Version of the master.", [({"version": view.version}, 1)]),
        _family("start_time_seconds", "gauge", "When the master started.", _one(view.started_at)),
        _family("epoch", "gauge", "Starts of the master on this journal.", _one(view.epoch)),
        _family("tasks", "gauge", "Tasks that have not ended.", [({"state": name}, n) for name, n in states.items()]),
        _family("tasks_ended_total", "counter", "Tasks that ended since the start.", _one(view.ended)),
        _family("jobs", "gauge", "Jobs that are kept.", _one(view.jobs)),
        _family("open_jobs", "gauge", "Jobs that their clients still add to.", _one(view.open_jobs)),
        _family("workers", "gauge", "Workers that are connected.", _one(view.workers)),
        _family("slots", "gauge", "Slots of these workers.", _one(view.slots)),
        _family("slots_busy", "gauge", "Slots whose bundles are out.", _one(view.busy)),
        _family("notes", "gauge", "Things that need attention: see taskgrid status.", _one(len(view.notes))),
        _family("limit", "gauge", "A limit, by its setting.", [(_of(x), x.most) for x in limits if x.most is not None]),
        _family(
            "limit_used", "gauge", "How much of it is used.", [(_of(x), x.used) for x in limits if x.used is not None]
        ),
        _family("limit_reached_total", "counter", "How often it was reached.", [(_of(x), x.reached) for x in limits]),
    )
    return "".join(line + "\n" for family in families for line in family)


def _family(name: str, kind: str, help_: str, samples: Samples) -> Iterator[str]:
    yield f"# HELP taskgrid_{name} {help_}"
    yield f"# TYPE taskgrid_{name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
        yield f"taskgrid_{name}{f'{{{inside}}}' if inside else ''} {value!r}"


def _one(value: float) -> Samples:
    return [({}, value)]


def _of(limit: LimitView) -> Mapping[str, str]:
    return {"setting": limit.setting}
