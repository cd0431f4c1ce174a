"""Commands that run work: `map` waits for the results and prints them, `submit` returns when accepted.

Payload lines go as they are read, results are printed as they are fetched; neither is ever held
whole, and no user code is imported here: the worker converts each item as its function is annotated.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from taskgrid.cli import pages
from taskgrid.cli.groups import grouped
from taskgrid.cli.options import At, Format, Out, Output, Values

if TYPE_CHECKING:
    from taskgrid.cli.mapping import Sending
    from taskgrid.client.link import Link
    from taskgrid.client.upload import Upload
    from taskgrid.model import JobSpec, Reduce, TaskOptions
    from taskgrid.settings import GridSettings

Function = Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="What to run; a worker must offer it.")]
Items = Annotated[list[str] | None, typer.Argument(metavar="ITEM", help="The items, or `-` for the lines of stdin.")]
JsonLines = Annotated[
    bool, typer.Option("--jsonl", help='A line is all arguments: ["by", "position"] or {"by": "name"}.')
]
Name = Annotated[str | None, typer.Option("--name", help="What people call the job.")]
Key = Annotated[str | None, typer.Option("--key", help="The same key twice is one job: submit it again without harm.")]
TimeLimit = Annotated[
    str | None, typer.Option("--time-limit", metavar="TIME", help="Kill an attempt that takes longer, as 30s or 5m.")
]
MemoryLimit = Annotated[
    str | None, typer.Option("--memory-limit", metavar="SIZE", help="Kill an attempt that takes more, as 2GiB.")
]
MaxAttempts = Annotated[
    int | None, typer.Option("--max-attempts", min=1, help="How often an attempt may end in an exception. [default: 1]")
]
Reduction = Annotated[
    str | None,
    typer.Option("--reduce", metavar="MODULE:FUNCTION", help="Merge values by a function of a list, or by `merge`."),
]
Priority = Annotated[int | None, typer.Option("--priority", min=-100, max=100, help="Higher goes first. [default: 0]")]


class Wish(NamedTuple):
    """What a job is to be, apart from function and items."""

    name: Name = None
    key: Key = None
    time_limit: TimeLimit = None
    memory_limit: MemoryLimit = None
    max_attempts: MaxAttempts = None
    priority: Priority = None
    reduce: Reduction = None


@grouped
def map_(
    function: Function,
    items: Items = None,
    *,
    jsonl: JsonLines = False,
    values: Values = False,
    out: Out = None,
    at: At,
    wish: Wish,
) -> None:
    """Run a function over items and print one line of JSON per item, in order, or one for all. Ctrl-C cancels."""
    from taskgrid.cli import door
    from taskgrid.cli.mapping import Mapping, Sending, Show
    from taskgrid.cli.tables import succeeded

    spec = _spec(function, wish)
    sending = Sending.of(items or [], spec, jsonl=jsonl)
    with door.link(at) as (link, settings):
        view = Mapping(link, settings, spec, Show(out, values)).run(sending)
    raise typer.Exit(0 if succeeded(view) else 1)


@grouped
def submit(
    function: Function,
    items: Items = None,
    *,
    jsonl: JsonLines = False,
    at: At,
    output: Output = Format.TABLE,
    wish: Wish,
) -> None:
    """Submit a job, print its number, and return once every item is safe with the master."""
    from taskgrid.cli import door
    from taskgrid.cli.mapping import Sending
    from taskgrid.cli.tables import print_json

    spec = _spec(function, wish)
    sending = Sending.of(items or [], spec, jsonl=jsonl)
    with door.link(at) as (link, settings):
        upload = _sent(link, settings, spec, sending)
    if output is Format.JSON:
        print_json({"job": upload.number, "id": upload.job, "tasks": upload.accepted})
    else:
        sys.stdout.write(f"{upload.number}\n")


def _sent(link: Link, settings: GridSettings, spec: JobSpec, sending: Sending) -> Upload:
    from taskgrid.client.beat import Beat
    from taskgrid.client.upload import Upload

    upload = Upload(spec)
    beat = Beat(link)
    with beat.of(upload), link.tasks() as proxy:
        sending.to(upload, proxy, settings)
    beat.stop()
    return upload


def _spec(name: str, wish: Wish) -> JobSpec:
    from taskgrid.cli.payloads import checked_function
    from taskgrid.client.owner import owner
    from taskgrid.model import JobId, JobSpec, new_id

    function = checked_function(name)
    return JobSpec(
        id=JobId(new_id()),
        function=function,
        name=wish.name or function.rpartition(":")[2],
        options=_options(wish),
        owner=owner(),
        key=wish.key,
        reduce=_reduce(wish.reduce),
    )


def _reduce(named: str | None) -> Reduce | None:
    from taskgrid.functions.offers import function_named
    from taskgrid.functions.reduction import reduce_of

    return reduce_of(function_named(named) if named and ":" in named else named)


def _options(wish: Wish) -> TaskOptions:
    from taskgrid.functions.quantities import parse_duration, parse_size
    from taskgrid.model import TaskOptions

    given = {
        "time_limit": parse_duration(wish.time_limit) if wish.time_limit else None,
        "memory_limit": parse_size(wish.memory_limit) if wish.memory_limit else None,
        "max_attempts": wish.max_attempts,
        "priority": wish.priority,
    }
    return TaskOptions.model_validate({name: value for name, value in given.items() if value is not None})


def register(app: typer.Typer) -> None:
    """Add these commands to the app."""
    work = pages.WORK
    app.command(
        "map",
        rich_help_panel=work,
        epilog=pages.example(
            "taskgrid map mylogs:count a.log b.log --values",
            "ls /var/log/*.log | taskgrid map mylogs:count - --out counts.jsonl",
            "taskgrid map mylogs:slice --jsonl < slices.jsonl",
        ),
    )(map_)
    app.command(
        rich_help_panel=work,
        epilog=pages.example("taskgrid submit mylogs:count - --key night-2024-05-01 < files.txt"),
    )(submit)
