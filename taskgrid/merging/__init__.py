"""Results that add up: what many tasks count, measured apart and merged in any order.

Each is a frozen model with `of(values)`, which measures values, `merge(parts)` and `a + b`. Merging is
associative and commutative, so the answer does not depend on how the input was split or in what
order its parts came; where memory has to be bounded, the bound on the error is part of the result.

    Counts       how often each name occurs: exact, as large as there are names
    Tally        the most frequent names in bounded space, and what each may lack
    Numbers      count, least, most, exact sum and mean; floats included
    Histogram    quantiles of any number of values, each within 0.8 %
    Distinct     about how many different values there are (needs the `sketches` extra)

Nothing here knows what is counted, or of jobs.
"""

from __future__ import annotations

from taskgrid.merging.counts import Counts
from taskgrid.merging.distinct import Distinct
from taskgrid.merging.histogram import Histogram
from taskgrid.merging.numbers import Numbers
from taskgrid.merging.tally import Tally

__all__ = ["Counts", "Distinct", "Histogram", "Numbers", "Tally"]
