"""The state table: every state x event, applied to runs."""

from __future__ import annotations

from itertools import product

import pytest

from taskgrid.lifecycle import BYTE, ENDED, STATE, TRANSITIONS, IllegalTransition, TaskEvent, TaskState, advance, allows


@pytest.mark.parametrize(("state", "event"), list(product(TaskState, TaskEvent)))
def test_every_state_and_event_follows_the_table_or_changes_nothing(state: TaskState, event: TaskEvent) -> None:
    """An event without an entry is refused, and a refused event changes nothing."""
    states = bytearray([BYTE[state]] * 3)
    target = TRANSITIONS.get((state, event))
    assert allows(BYTE[state], event) == (target is not None)
    if target is None:
        with pytest.raises(IllegalTransition, match=f"is {state}: {event}"):
            advance(states, 0, 3, event)
        assert states == bytes([BYTE[state]] * 3)
    else:
        advance(states, 1, 2, event)
        assert [STATE[byte] for byte in states] == [state, target, state]


def test_one_illegal_task_leaves_the_whole_run_as_it_was() -> None:
    """A run moves as one."""
    states = bytearray(BYTE[s] for s in (TaskState.LEASED, TaskState.SUCCEEDED, TaskState.LEASED))
    with pytest.raises(IllegalTransition, match="task 1 is succeeded"):
        advance(states, 0, 3, TaskEvent.SUCCEEDED)
    assert states == bytes(BYTE[s] for s in (TaskState.LEASED, TaskState.SUCCEEDED, TaskState.LEASED))


def test_only_an_operators_retry_leads_out_of_an_end() -> None:
    """An ended task stays ended until somebody asks for it again; a success stays for good."""
    out = {(state, event) for state, event in TRANSITIONS if state in ENDED}
    assert out == {(TaskState.FAILED, TaskEvent.RETRIED), (TaskState.CANCELLED, TaskEvent.RETRIED)}
