"""How `--help` looks: commands in groups, in the order of use, in plain text.

Plain, because importing rich alone takes most of the 0.3 s in which `taskgrid --help` shall answer.
A command's group is its `rich_help_panel`, so that generated documentation finds it too.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

WORK = "Run work"
SEE = "See"
ACT = "Change"
GRID = "Build a grid"


def example(*lines: str) -> str:
    """Return an epilog that shows commands as they are typed; the mark in front keeps the lines apart."""
    return "\b\nExamples:\n" + "\n".join("  " + line for line in lines)


class Grouped(TyperGroup):
    """A group that lists its commands under headings."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section per heading, commands in the order in which they were added."""
        for heading in (GRID, WORK, SEE, ACT):
            with formatter.section(heading):
                formatter.write_dl(self._rows(ctx, heading))

    def _rows(self, ctx: Any, heading: str) -> list[tuple[str, str]]:
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [
            (name, command.get_short_help_str(limit=100))
            for name, command in commands
            if command is not None and not command.hidden and getattr(command, "rich_help_panel", None) == heading
        ]
