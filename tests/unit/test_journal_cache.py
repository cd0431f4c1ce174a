"""The journal's cache: bounded by bytes, least recently used first, found by number or the one before."""

from __future__ import annotations

from taskgrid.journal.cache import Cache


def test_least_recently_used_values_go_when_the_bound_is_passed() -> None:
    """What was read lately stays; what nobody read goes first; the bound holds."""
    cache: Cache[str] = Cache(1000)
    for number in range(10):
        cache.put(1, number, f"v{number}", 100)
    assert cache.get(1, 0) == "v0"
    cache.put(1, 10, "v10", 100)
    assert cache.get(1, 0) == "v0"
    assert cache.get(1, 1) is None
    assert cache.get(1, 10) == "v10"
    assert len(cache) == 9


def test_value_larger_than_the_bound_is_kept_alone() -> None:
    """One large value doesn't make the cache useless for itself."""
    cache: Cache[str] = Cache(1000)
    cache.put(1, 1, "small", 10)
    cache.put(1, 2, "large", 5000)
    assert len(cache) == 1
    assert cache.get(1, 2) == "large"


def test_value_before_a_number_is_found_among_its_owners() -> None:
    """Chunks are found by any of their tasks, whatever order they came in."""
    cache: Cache[str] = Cache(1000)
    for number in (20, 0, 10):
        cache.put(1, number, f"v{number}", 10)
    cache.put(2, 15, "other", 10)
    assert [cache.at_or_before(1, number) for number in (0, 9, 10, 19, 99)] == ["v0", "v0", "v10", "v10", "v20"]
    assert cache.at_or_before(2, 14) is None
    assert cache.at_or_before(3, 14) is None


def test_value_that_went_is_not_found_before_a_number() -> None:
    """What was evicted, dropped or replaced leaves no trace in the order."""
    cache: Cache[str] = Cache(100)
    for number in range(50):
        cache.put(1, number, "old", 10)
    assert cache.at_or_before(1, 30) is None
    cache.drop(1, 49)
    cache.drop(1, 7)
    assert cache.get(1, 49) is None
    cache.put(1, 48, "new", 10)
    assert cache.at_or_before(1, 60) == "new"


def test_forgotten_owner_leaves_its_space_to_others() -> None:
    """Nothing of a forgotten owner is found or counted."""
    cache: Cache[str] = Cache(100)
    for number in range(9):
        cache.put(1, number, "first", 10)
    cache.forget(1)
    for number in range(9):
        cache.put(2, number, "second", 10)
    assert cache.at_or_before(1, 8) is None
    assert len(cache) == 9
