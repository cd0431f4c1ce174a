"""`Grid` as users import it: the executor of `client`, and runs over files.

A room of its own, since files are a room above the client: nothing below this one knows both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from taskgrid import client

if TYPE_CHECKING:
    from taskgrid.files.planning import FilePath
    from taskgrid.files.run import Run
    from taskgrid.functions.reduction import Merge


class Grid(client.Grid):
    """Run functions on the workers of a master: see `taskgrid.client.Grid`, which this is, and `files`."""

    def files(
        self,
        function: Callable[..., Any],
        patterns: FilePath | Iterable[FilePath],
        *,
        arguments: Mapping[str, Any] | None = None,
        split: int | str = "auto",
        separator: str = "\n",
        begins: str | None = None,
        indexes: FilePath | None = None,
        reduce: Merge | str | None = None,
        out: FilePath | None = None,
        suffix: str | None = None,
        ledger: FilePath | None = None,
        rerun: str = "changed",
        bad: str = "skip",
        max_fails: int | str | None = None,
        list_on: str = "client",
        **options: Any,
    ) -> Run:
        """Run a function over files, cut into slices; iterate over what is returned, or ask for its `result()`.

        `patterns` are files, folders and globs. The function takes a `FileSlice` and, if it writes, an
        `Output`; `arguments` are values for its other parameters, by name. `split`, `separator`, `begins`
        and `indexes` are as in `taskgrid.files.plan`. `reduce` is a function of a sequence of values, or
        "merge" for values that have `merge(parts)` or `+`. `out` is a folder for an output per input, named
        as the input and `suffix`, or a file for all results.
        With a `ledger` (in a folder `out` there is one anyway) files that are done and unchanged are not
        read again, and a run that was killed goes on; `rerun` is "changed", "failed" or "all".
        Records that the function calls `slice.bad` for are left out ("skip"), kept beside the output as well
        ("sidecar") or errors that stop the run ("fail"); it also stops when more than `max_fails` files
        (5, or "1%") failed. With `list_on="worker"` workers list the files, for a client that doesn't see them.
        `options` are `@task`'s. Raises UsageError and FunctionRefused for what can't be.
        """
        import os  # noqa: PLC0415  # with the room above, only where it is used

        from taskgrid.files.run import Run  # noqa: PLC0415  # likewise
        from taskgrid.files.standing import Rerun  # noqa: PLC0415  # likewise
        from taskgrid.files.wish import Wish  # noqa: PLC0415  # likewise

        wish = Wish(
            function=function,
            patterns=(patterns,) if isinstance(patterns, str | os.PathLike) else tuple(patterns),
            arguments=arguments or {},
            split=split,
            separator=separator,
            begins=begins,
            indexes=indexes,
            reduce=reduce,
            out=out,
            suffix=suffix,
            ledger=ledger,
            rerun=Rerun(rerun),
            bad=bad,
            max_fails=max_fails,
            list_on=list_on,
            options=options,
        )
        return Run(self._link, wish.settled(), self.settings.max_payload_bytes)
