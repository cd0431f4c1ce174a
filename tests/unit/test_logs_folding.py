"""Messages fold so that equal ones count together, and quickly is no other than by definition."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskgrid.logs import folding
from taskgrid.logs.folding import Folding, fold

FOLDED = [
    ("Failed password for root from 203.0.113.7 port 4711 ssh2", "Failed password for root from <ip> port <num> ssh2"),
    ("[10.251.73.220]:50010 is added to blk_-712837 size 67108864", "[<ip>]:<num> is added to blk_<num> size <num>"),
    ("link-local fe80::1ff:fe23:4567:890a, loopback ::1", "link-local <ip>, loopback <ip>"),
    ("2001:db8:0:0:0:0:0:1 at 00:1b:44:11:3a:b7", "<ip> at <hex>"),
    ("at 10:05:03 std::string was freed", "at <num>:<num>:<num> std::string was freed"),
    ("commit 3f2504e04f8941d39a0c0305e82c3301 at 0x7FFE", "commit <hex> at <hex>"),
    ("550e8400-e29b-41d4-a716-446655440000 is deadbeef", "<hex> is deadbeef"),
    ("user 'bob' can't open \"a \\\" b\" and won't", "user <str> can't open <str> and won't"),
    ("eth0 of node12 is up, user4711 has 1.20.3 at -5.5%", "eth0 of node12 is up, user<num> has <num> at <num>%"),
    (r"a \"b\" c", r"a \"b\" c"),
    ("took 10ms, 99.5 of 3-4 done", "took <num>ms, <num> of <num>-<num> done"),
    ("nothing differs here", "nothing differs here"),
    ('level=info msg="API is on 10.0.0.1" by="me"', 'level=info msg="API is on <ip>" by=<str>'),
    (
        'kubelet.go:12] "Error syncing pod 7" err="no \\"x\\" there" in "a"',
        'kubelet.go:<num>] "Error syncing pod <num>" err="no \\"x\\" there" in <str>',
    ),
    ('"it is all quoted" by="me"', '"it is all quoted" by=<str>'),
]


@pytest.mark.parametrize(("message", "folded"), FOLDED)
def test_what_differs_becomes_a_placeholder_and_names_stay(message: str, folded: str) -> None:
    """Numbers, addresses and quoted strings go; what is a name with a digit or two, or only looks like one, stays."""
    assert fold(message.encode()).decode() == folded
    assert Folding().fold(message.encode()).decode() == folded


WORDS = st.text("ab1f9.:-_'\"x/\\\n", max_size=12) | st.sampled_from(
    [word for line, _ in FOLDED for word in line.split()]
)


@settings(deadline=None)
@given(st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=6))
def test_folding_word_by_word_is_folding(messages: list[str]) -> None:
    """What is remembered of words changes nothing, whatever came before; also when it has to be forgotten."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folding, "_MOST_WORDS", 4)
        quick = Folding()
        for message in messages:
            raw = message.encode()
            assert quick.fold(raw) == fold(raw)


def test_what_is_remembered_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of endless different words takes no more memory."""
    monkeypatch.setattr(folding, "_MOST_WORDS", 10)
    words = folding._Words()
    for number in range(1000):
        assert words[b"a%d" % number] == fold(b"a%d" % number)
    assert words[b"x" * 1000] == b"x" * 1000
    assert len(words) <= 10
    assert max(map(len, words)) < 1000


def test_endless_quotes_take_no_endless_time() -> None:
    """A line of escaped JSON that was cut is looked through once, not once for each of its quotes."""
    line = rb"{\"a\":\"b\"}," * 20_000
    assert Folding().fold(line) == line
