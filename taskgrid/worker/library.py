"""The functions of one task process: those it was told to import, or whatever a name leads to.

Where a worker runs whatever its user can import (`taskgrid up`, `Grid.local`), nobody compared the
code before the lease. Then the process does: it notes whose code a function was when it imported it,
and refuses a job that means other code, as after an edit. A new process, which has the files as they
are now, is asked once more before the tasks fail. Knows nothing of frames or slots.
"""

from __future__ import annotations

from collections.abc import Callable

from taskgrid.disks import keep_to
from taskgrid.errors import FunctionRefused, TaskGridError
from taskgrid.functions.current import set_lease
from taskgrid.functions.offers import Offers
from taskgrid.functions.reduction import BY_KIND, Merge, Merging, add_up
from taskgrid.model import Cause, Failure, Reduce, failure_line
from taskgrid.worker.frames import Assignment, Setup


class Outdated(Exception):
    """This process has imported other code than a job means; a new one may have what it means."""


class Library:
    """Runners by function; made once per process."""

    def __init__(self, setup: Setup) -> None:
        """Import what the worker offers; FunctionRefused if that can't be."""
        self._setup = setup
        keep_to(setup.roots)
        self._offers = self._import(setup.modules)
        self._found: dict[str, Offers] = dict.fromkeys(self._offers.names(), self._offers)
        self._versions: dict[str, str] = {}

    def runner(self, assignment: Assignment) -> Callable[[bytes], bytes]:
        """Return what turns a payload line into an outcome line, which is a failure's if there is no such function.

        Raises `Outdated` unless the assignment is its tasks' last try.
        """
        try:
            offers = self._offers_for(assignment)
            set_lease(assignment.token, self._setup.worker)
            return offers.runner(assignment.function, through=assignment.through).run
        except TaskGridError as error:
            refusal = failure_line(Failure(cause=Cause.ERROR, type="builtins.ImportError", message=str(error)))
            return lambda _: refusal

    def merging(self, assignment: Assignment) -> Merging | None:
        """Return what merges values of the assignment's tasks; to be asked for after its runner.

        None where nothing does, or it can't be done here: then who reads the values does it.
        """
        reduce = assignment.reduce
        if reduce is None or assignment.through:
            return None
        try:
            offers = self._offers_for(assignment)
            merge = add_up if reduce.how == BY_KIND else self._merge_for(reduce, assignment)
            return offers.merging(assignment.function, merge)
        except (TaskGridError, Outdated):
            return None

    def close(self) -> None:
        """Close all runners."""
        for offers in {id(offers): offers for offers in (self._offers, *self._found.values())}.values():
            offers.close()

    def _offers_for(self, assignment: Assignment) -> Offers:
        if not self._setup.any_function:
            return self._offers
        function = assignment.function
        if function not in self._found:
            self._refuse_to_mix(assignment)
            self._found[function] = self._import((function.partition(":")[0],))
        if assignment.code and (has := self._version(function)) != assignment.code:
            self._refuse(assignment, has)
        return self._found[function]

    def _merge_for(self, reduce: Reduce, assignment: Assignment) -> Merge:
        name = reduce.how
        if name not in self._found and self._setup.any_function:
            self._refuse_to_mix(assignment)
            self._found[name] = self._import((name.partition(":")[0],))
        if name in self._found and reduce.code and self._version(name) != reduce.code:
            raise Outdated
        return self._found.get(name, self._offers).function(name)

    def _import(self, modules: tuple[str, ...]) -> Offers:
        setup = self._setup
        return Offers.of(modules, paths=setup.paths, main=setup.main, max_result=setup.max_result_bytes)

    def _version(self, function: str) -> str:
        if function not in self._versions:
            self._versions[function] = self._found[function].code(function).version
        return self._versions[function]

    def _refuse_to_mix(self, assignment: Assignment) -> None:
        """Refuse to import beside modules that were edited since they were imported: they may be shared."""
        for function, version in self._versions.items():
            if self._found[function].code(function, refresh=True).version != version:
                self._refuse(assignment, version)

    def _refuse(self, assignment: Assignment, has: str) -> None:
        if not assignment.last_try:
            raise Outdated
        raise FunctionRefused(
            f"this worker has other code of {assignment.function} than the job means",
            why=f"It has {has}, the job means {assignment.code}.",
            hint="Submit the job again from the folder in which the worker runs.",
        )
