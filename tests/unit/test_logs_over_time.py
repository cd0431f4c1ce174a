"""Hits over time: nothing is lost, and there are no more spans than there is room for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs.over_time import over_time

HOURS = st.builds(
    "{:04}-{:02}-{:02}T{:02}{}".format,
    st.integers(1960, 2210),
    st.integers(1, 12),
    st.integers(1, 31),
    st.integers(0, 23),
    st.sampled_from(["+0000", "+0200", "-0730", "Z", ""]),
)


@settings(deadline=None)
@given(st.dictionaries(HOURS, st.integers(1, 99), max_size=30), st.integers(3, 30))
def test_all_hits_are_in_some_span(hits: dict[str, int], most: int) -> None:
    """Whatever the zones, and the years between the first and the last."""
    series = over_time(hits, most)
    real = {name: count for name, count in hits.items() if over_time({name: 1}, 1)}
    if series is None:
        assert not real
    else:
        assert sum(span.hits for span in series.spans) == sum(real.values())
        assert len(series.spans) <= most


def test_spans_are_of_round_size_and_without_gaps() -> None:
    """Hours where they fit, then days, by the clock of the log's own zone."""
    day = {f"2015-05-17T{hour:02}+0200": hour for hour in (1, 2, 5)}
    series = over_time(day, 24)
    assert series is not None
    assert [(span.label, span.hits) for span in series.spans] == [
        ("2015-05-17 01:00", 1),
        ("2015-05-17 02:00", 2),
        ("2015-05-17 03:00", 0),
        ("2015-05-17 04:00", 0),
        ("2015-05-17 05:00", 5),
    ]
    assert (series.hours, series.zone) == (1, "+0200")
    month = {f"2015-05-{day:02}T23+0200": 1 for day in range(1, 21)}
    by_day = over_time(month, 24)
    assert by_day is not None
    assert (by_day.hours, by_day.spans[0], len(by_day.spans)) == (24, ("2015-05-01", 1), 20)


@pytest.mark.parametrize(
    "hours",
    [{}, {"-": 5}, {"2015-99-01T10Z": 1}, {"2015-05-01T10+9900": 1}, {"0001-01-01T00Z": 9}, {"9999-12-31T23-0500": 1}],
)
def test_what_is_no_hour_has_no_series(hours: dict[str, int]) -> None:
    """A line without a time, or with a broken one, is left out."""
    assert over_time(hours, 24) is None


def test_hours_without_a_year_are_left_out_where_others_have_one() -> None:
    """They would lie years away, and all others in one span."""
    dated = {"2015-05-17T10+0000": 3, "2015-05-17T12+0000": 4}
    series = over_time({**dated, "--12-10T06": 9}, 24)
    assert series == over_time(dated, 24)


def test_a_syslog_has_no_year() -> None:
    """Its days are shown without."""
    series = over_time({"--12-10T06": 2, "--12-10T07": 1}, 24)
    assert series is not None
    assert [span.label for span in series.spans] == ["12-10 06:00", "12-10 07:00"]
