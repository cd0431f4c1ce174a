"""The task of a job that is run while keys are looked for, and things that a worker must not offer with it.

What is imported here, nested, private, or only looks like a function belongs to nobody who has a client's key.
"""

import os
import subprocess
from os import path, system
from subprocess import run as execute

ALIAS = system


def square(n: int) -> int:
    """Return the square."""
    return n * n


renamed = square


def _private(command: str) -> int:
    return system(command)


def __dunder__(command: str) -> int:  # noqa: N807  # such names are what the table must not hold
    return _private(command)


class Tools:
    """Not a function."""

    @staticmethod
    def shell(command: str) -> int:
        """Run a command."""
        return execute(command, shell=True, check=False).returncode


def outer() -> object:
    """Return a function of its own."""

    def inner(command: str) -> int:
        return system(command)

    return inner


nested = outer()
MODULES = (os, subprocess, path)
