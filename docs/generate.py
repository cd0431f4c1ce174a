"""Writes the pages of `docs/reference` that the code knows better than we do.

`settings.md` comes from the models of `taskgrid.settings` and the line under each field, `cli.md`
from the commands as `--help` shows them. `--check` writes nothing and ends with 1 if a page differs.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.core import TyperGroup
from typer.main import get_command

from taskgrid import settings

FOLDER = Path(__file__).parent / "reference"
MODELS = (settings.MasterSettings, settings.WorkerSettings, settings.GridSettings)
SETTINGS_HEAD = """# Settings

Generated from `taskgrid/settings.py` by `docs/generate.py`.

A setting comes from a flag, else `TASKGRID_*` in the environment, else `taskgrid.toml` in the current folder, else the
user's configuration, else the default here. Durations are seconds, or written as in ISO 8601 (`PT30S`).
"""
CLI_HEAD = """# Commands

Generated from the commands' own help by `docs/generate.py`. What an option does not say comes from the
[settings](settings.md).

"""


def settings_page() -> str:
    """Return the reference of all settings."""
    return "\n".join([SETTINGS_HEAD, *(_section(model) for model in MODELS)])


def cli_page() -> str:
    """Return the reference of all commands."""
    from taskgrid.cli.main import app  # noqa: PLC0415  # the settings' page needs no command

    group = get_command(app)
    context = typer.Context(group, info_name="taskgrid")
    return CLI_HEAD + "\n".join(_pages(group, context))


def _pages(group: Any, context: Any) -> Iterator[str]:
    """Yield the page of each command; a group's own goes before those of its commands."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield _command(command, context)
        if isinstance(command, TyperGroup):
            yield from _pages(command, typer.Context(command, info_name=command.name, parent=context))


def _command(command: Any, parent: Any) -> str:
    context = typer.Context(command, info_name=command.name, parent=parent)
    shown = [
        option
        for option in command.get_params(context)
        if not getattr(option, "hidden", False) and option.name != "help"
    ]
    parts = [
        f"## `{context.command_path}`",
        _paragraphs(command.help),
        _usage(command, context),
        _table(shown, context),
    ]
    return "\n\n".join(part for part in [*parts, _examples(command.epilog)] if part) + "\n"


def _paragraphs(text: str | None) -> str:
    paragraphs = inspect.cleandoc(text or "").replace("\b", "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _usage(command: Any, context: Any) -> str:
    return f"    {context.command_path} {' '.join(command.collect_usage_pieces(context))}"


def _table(options: list[Any], context: Any) -> str:
    rows = [f"| `{_spelled(option, context)}` | {_paragraphs(getattr(option, 'help', ''))} |" for option in options]
    return "\n".join(["| option | what it does |", "|---|---|", *rows]) if rows else ""


def _spelled(option: Any, context: Any) -> str:
    spelled: str = option.get_help_record(context)[0]
    return " or ".join(" ".join(part.split()) for part in spelled.split("|"))


def _examples(epilog: str | None) -> str:
    text = inspect.cleandoc(epilog or "").replace("\b", "")
    lines = [line.strip() for line in text.splitlines() if line.strip() and line.strip() != "Examples:"]
    return "\n".join(["Examples:\n", *(f"    {line}" for line in lines)]) if lines else ""


def _section(model: type[BaseModel]) -> str:
    title = (inspect.getdoc(model) or model.__name__).rstrip(".")
    lines = _lines(model)
    rows = [_row(name, field, lines[name]) for name, field in model.model_fields.items()]
    return "\n".join([f"## {title}\n", "| setting | kind | default | what it does |", "|---|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo, line: str) -> str:
    kind = _kind(field.annotation).replace("|", "or")
    return f"| `{name}` | {kind} | {default_of(name, field)} | {line} |"


def _lines(model: type[BaseModel]) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(model)).body
    return dict(_documented(definition.body if isinstance(definition, ast.ClassDef) else []))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, text in itertools.pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield field.target.id, " ".join(str(text.value.value).split())


_KINDS = {bool: "yes or no", int: "number", str: "text", Path: "path", timedelta: "duration", type(None): "none"}


def _kind(annotation: Any) -> str:
    if annotation in _KINDS:
        return _KINDS[annotation]
    arguments = getattr(annotation, "__args__", ())
    origin = getattr(annotation, "__origin__", None)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if arguments and all(isinstance(choice, str) for choice in arguments):
        return ", ".join(f"`{choice}`" for choice in arguments)
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0] if arguments else origin)
    return " | ".join(_kind(choice) for choice in arguments if choice is not type(None))


def default_of(name: str, field: FieldInfo) -> str:
    """Return how a setting's default is written on a page."""
    value = field.default
    if name == "slots":
        return "one per processor"
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, timedelta):
        return _duration(value)
    return f"`{json.dumps(value).strip(chr(34))}`"


def _duration(value: timedelta) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if value.total_seconds() >= size and value.total_seconds() % size == 0:
            return f"{value.total_seconds() / size:g} {unit}"
    return f"{value.total_seconds():g} s"


PAGES = {"settings.md": settings_page, "cli.md": cli_page}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` name those that differ."""
    stale = []
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            FOLDER.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"docs/reference/{name}", "differs: run `make docs`" if "--check" in arguments else "written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
