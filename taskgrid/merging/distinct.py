"""About how many different values there are, in 4 KB.

A HyperLogLog of Apache DataSketches, with 4,096 registers: the estimate's standard error is 1.6 %
(exact for the first few hundred values or so), and merging takes the greater of each register, so that
the registers are the same whatever the split. The library's own estimate of a sketch that was never
merged also rests on the order in which values came; one that was merged rests on its registers only,
hence each sketch is merged with itself before it is asked. Needs the `sketches` extra.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from taskgrid.errors import UsageError

if TYPE_CHECKING:
    from datasketches import hll_sketch

__all__ = ["Distinct"]

_REGISTERS: Final = 12
"""Two to this power."""


class Distinct(BaseModel):
    """A sketch of the values seen."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    sketch: bytes = b""
    """As the library writes it; empty for none."""

    @classmethod
    def of(cls, values: Iterable[str]) -> Distinct:
        """Look at values; UsageError without the `sketches` extra."""
        library = _library()
        seen = library.hll_sketch(_REGISTERS, library.HLL_8)
        for value in values:
            seen.update(value)
        return cls(sketch=seen.serialize_compact())

    @classmethod
    def merge(cls, parts: Iterable[Distinct]) -> Distinct:
        """Return the sketch of all that the parts have seen."""
        sketches = [part.sketch for part in parts if part.sketch]
        return cls(sketch=_union(sketches).serialize_compact()) if sketches else cls()

    @property
    def estimate(self) -> int:
        """About how many different values were seen."""
        return round(_union([self.sketch] * 2).get_estimate()) if self.sketch else 0

    def between(self) -> tuple[int, int]:
        """Return bounds between which the true number lies in 95 of 100 cases."""
        if not self.sketch:
            return 0, 0
        seen = _union([self.sketch] * 2)
        return math.floor(seen.get_lower_bound(2)), math.ceil(seen.get_upper_bound(2))

    def __add__(self, other: Distinct) -> Distinct:
        return Distinct.merge((self, other))


def _union(sketches: Iterable[bytes]) -> hll_sketch:
    library = _library()
    union = library.hll_union(_REGISTERS)
    for sketch in sketches:
        union.update(library.hll_sketch.deserialize(sketch))
    return union.get_result(library.HLL_8)


def _library() -> Any:
    try:
        import datasketches  # noqa: PLC0415  # an extra
    except ImportError:
        raise UsageError(
            "counting distinct values needs Apache DataSketches", hint="pip install 'taskgrid[sketches]'"
        ) from None
    return datasketches
