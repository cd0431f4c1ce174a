"""The fault matrix: what breaks, when, what must hold, and which tests try it.

The one table that the runs are counted by and that `docs/faults.md` is made from. A test is named
as `file::function`, below `tests/`, or all tests of some files by a pattern; a name that is not
there, or a fault test that no row names, fails `test_matrix.py`.
"""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

TESTS = Path(__file__).parent.parent


class Row(NamedTuple):
    """One fault at one kind of moment."""

    what: str
    when: str
    holds: str
    tests: tuple[str, ...]

    @property
    def title(self) -> str:
        """What a line of a table is called."""
        return f"{self.what}, {self.when}"

    def names(self, test: str) -> bool:
        """Say whether a test, `file::function` below `tests/`, is one of this row's."""
        return any(fnmatch(test, name) for name in self.tests)


def _in(file: str, *names: str) -> tuple[str, ...]:
    """Name tests of a file of this folder; with a slash, of another below `tests/`."""
    place = file if "/" in file else f"faults/{file}"
    return tuple(f"{place}.py::test_{name}" for name in names)


_KILLED: tuple[Row, ...] = (
    Row(
        "master, worker, task process, client: `kill -9`",
        "at random points of a job, and in the recovery from the last kill",
        "every task has one outcome, which one of its attempts returned, and every caller sees that one; "
        "no process and no temporary file is left",
        _in("test_kill_nine", "kill_nine_of_anything_in_any_order_loses_no_task_and_doubles_none"),
    ),
    Row(
        "master, worker, task process: `kill -9`",
        "while workers merge the values of a job",
        "the result is that of an undisturbed job, to the last bit; each merge block is committed whole or not at all",
        _in("test_merged", "values_merged_while_anybody_dies_come_to_the_same_bits"),
    ),
    Row(
        "master: `kill -9`",
        "while a client submits",
        "each item is accepted once, in order",
        _in("test_kill_nine", "a_master_killed_while_a_client_submits_takes_each_item_once"),
    ),
    Row(
        "worker: `kill -9`",
        "while a task runs, or while it waits for one",
        "the task runs elsewhere at once, and no other is delayed",
        _in(
            "test_lost_worker",
            "a_killed_workers_task_runs_elsewhere_after_a_moment",
            "workers_killed_while_they_were_idle_delay_no_task",
        ),
    ),
    Row(
        "worker: `kill -9` by one of its tasks",
        "at each of its attempts, with other tasks beside and behind it",
        "that task alone fails, as `lost-worker`; every other one succeeds, and is charged with nothing",
        _in(
            "test_lost_worker",
            "a_task_that_kills_its_worker_takes_none_of_those_beside_and_behind_it_along",
        ),
    ),
    Row(
        "worker and master",
        "a task goes from one worker to another, then the master dies before either reports",
        "one commit, under the token of the later lease",
        _in("test_handed_over", "a_task_that_went_from_one_worker_to_another_before_the_master_died_ends_once"),
    ),
    Row(
        "worker and master: `kill -9` by the task they run",
        "at each of its attempts",
        "it reaches its limit and fails as `lost-worker`; what comes later runs",
        _in("test_handed_over", "a_task_that_kills_its_agent_and_the_master_each_time_reaches_its_limit"),
    ),
    Row(
        "master: its disk refuses a write",
        "at the commit of a report",
        "nobody ever sees the report's values",
        _in("test_handed_over", "outcomes_whose_commit_failed_were_seen_by_nobody"),
    ),
)

_STOPPED: tuple[Row, ...] = (
    Row(
        "worker: SIGSTOP, then SIGCONT",
        "for longer than its lease, and another has its task",
        "its outcome, although first, counts for nothing; the other's stands",
        _in("test_stopped_worker", "a_worker_stopped_beyond_its_lease_can_not_end_a_task_that_another_has"),
    ),
    Row(
        "worker: SIGSTOP, then SIGCONT",
        "for longer than its lease, and nobody else has its task",
        "its outcome is taken, nothing runs twice",
        _in("test_stopped_worker", "a_late_report_is_taken_while_nobody_else_had_the_task"),
    ),
    Row(
        "master: SIGSTOP, then SIGCONT",
        "for longer than every lease",
        "nobody loses a lease",
        _in("test_stopped_worker", "a_master_that_stood_still_takes_no_lease_away"),
    ),
)

_CALLS: tuple[Row, ...] = (
    Row(
        "connection: cut, delayed, or a byte said twice",
        "at every fifth byte (in the long run each) of a submit, a lease and a report, both ways",
        "one task each, one lease each, one result each",
        _in("test_cut_wires", "an_exchange_that_is_broken_at_any_byte_happens_once"),
    ),
    Row(
        "client: Ctrl-C",
        "at random moments of its calls",
        "no later call gets another's answer",
        _in("test_interrupted_client", "an_interrupted_call_spoils_no_later_one"),
    ),
    Row(
        "client: never reads its answer",
        "while others are served",
        "it is let go, and nothing of it stays",
        _in("test_exhaustion", "a_client_that_never_reads_its_answer_is_let_go"),
    ),
    Row(
        "master: no descriptors, no threads left",
        "while connections come",
        "it neither ends nor spins, and serves again when it has them",
        _in(
            "test_exhaustion",
            "a_master_without_descriptors_waits_for_them_without_a_spin",
            "a_master_without_threads_waits_for_them_without_a_spin",
        ),
    ),
    Row(
        "clients: submit more than ten times what can be served",
        "for a while, several at once",
        "the master's memory is bounded, too much is refused, honest calls are answered, as soon as before within 1 s",
        _in("test_overload", "a_flood_of_submissions_stays_within_bounds_and_passes"),
    ),
    Row(
        "wall clock: set by an hour or a year, forth or back",
        "while leases run and tasks wait for their next attempt",
        "no lease ends, each delay fires once",
        _in("test_clock", "a_clock_that_is_set_ends_no_lease_and_fires_delays_once"),
    ),
    Row(
        "wall clock: set by an hour or a year, forth or back",
        "between two starts of a master",
        "what waits for seconds waits for seconds",
        _in("test_clock", "a_master_that_starts_with_another_date_goes_on_with_what_waits"),
    ),
)

_CUT: tuple[Row, ...] = (
    Row(
        "network: packets vanish both ways, or one way only",
        "between a worker and its master, for longer than a lease",
        "the task runs elsewhere when the lease ends; the late outcome is refused",
        _in("test_partition", "a_worker_that_is_cut_off_loses_its_task_and_its_late_outcome_is_refused"),
    ),
    Row(
        "network: packets vanish, again and again",
        "while a job runs",
        "every task has one outcome, the right one",
        _in("test_partition", "a_network_that_comes_and_goes_loses_no_task"),
    ),
    Row(
        "network: packets vanish",
        "while a task of an `alone` function runs",
        "the cut-off worker kills it before another may begin it",
        _in("test_partition", "of_a_function_declared_alone_one_attempt_runs_at_a_time"),
    ),
    Row(
        "host: vanishes with its network",
        "while a task runs",
        "the task runs elsewhere; the master's connections to it end",
        _in("test_partition", "a_host_that_vanishes_keeps_nobody_waiting"),
    ),
)

_TASKS: tuple[Row, ...] = (
    Row(
        "a task: crashes, exits, is killed, stops, hangs, eats, floods, raises, recurses, returns rubbish, "
        "closes or spoils its process's files, forks",
        "among neighbours",
        "it fails with its true cause, they succeed at their first attempt, nothing it left stays",
        _in("test_poison", "a_poisoned_task_fails_with_its_true_cause_and_harms_no_neighbour"),
    ),
)

_ORDERLY: tuple[Row, ...] = (
    Row(
        "worker: SIGTERM",
        "in the middle of a job",
        "no attempt is lost, no task runs twice, status 0",
        _in("test_drain", "a_worker_drained_in_the_middle_of_a_job_costs_no_attempt"),
    ),
    Row(
        "worker: SIGTERM",
        "with a task that outlasts the drain timeout, or a second SIGTERM",
        "the task is given back at no cost",
        _in(
            "test_drain",
            "what_outlasts_the_drain_timeout_is_stopped_and_given_back_at_no_cost",
            "a_second_signal_stops_a_worker_at_once",
        ),
    ),
    Row(
        "master: SIGTERM",
        "while a task runs",
        "it leaves at once, the task goes on and is reported to the next master",
        _in("test_drain", "a_master_leaves_within_a_second_and_its_workers_work_on"),
    ),
    Row(
        "master: a second SIGTERM",
        "while it leaves",
        "it leaves in good order, status 0",
        _in("test_rolling_restart", "a_second_signal_to_a_master_changes_nothing"),
    ),
    Row(
        "workers and master: replaced one after the other",
        "while a job runs",
        "each task runs once; its client sees a pause (given as recovery) and nothing else",
        _in("test_rolling_restart", "a_rolling_restart_costs_nobody_anything_but_a_pause"),
    ),
    Row(
        "master: started twice",
        "on one journal",
        "the second one says why and ends, the first serves on",
        _in("test_rolling_restart", "a_second_master_on_a_journal_is_refused_and_harms_nobody"),
    ),
    Row(
        "Python: 3.11, 3.12, 3.13",
        "in one grid",
        "a job runs on all of them",
        _in("test_mixed_pythons", "a_master_of_one_python_serves_workers_of_all"),
    ),
    Row(
        "Python: `-O`",
        "in every program",
        "no promise rests on an `assert`",
        _in("integration/test_optimised_python", "a_grid_of_programs_without_asserts_runs_a_job"),
    ),
)

_JOURNAL: tuple[Row, ...] = (
    Row(
        "journal: its log is torn",
        "anywhere",
        "every commit before the tear is there, and it takes new ones",
        _in(
            "integration/test_journal_sqlite_log",
            "log_of_a_crash_between_commits_is_whole",
            "log_torn_anywhere_keeps_each_commit_before",
            "cut_log_takes_new_commits",
            "frames_that_were_cut_are_not_taken_for_later_commits",
        ),
    ),
    Row(
        "journal: bits of its log flip, writes come out of order, a file is missing",
        "before the last commit, or in it",
        "it refuses to start, or cuts what was never acknowledged and says so",
        _in(
            "integration/test_journal_sqlite_log",
            "flipped_bit_before_the_last_commit_refuses_to_start",
            "flipped_bit_in_the_last_commit_is_refused_or_reported",
            "flipped_bit_in_the_logs_header_refuses_to_start",
            "last_write_that_reached_the_disk_out_of_order_is_cut",
            "missing_file_beside_a_log_with_commits_is_refused",
        ),
    ),
    Row(
        "journal: its disk is full",
        "while commits come",
        "answers wait for space; nothing answered is lost",
        _in(
            "integration/test_journal_sqlite_space",
            "full_disk_first_costs_the_ballast_and_then_holds_answers_back",
            "journal_on_a_full_disk_closes_and_keeps_what_it_answered",
        ),
    ),
)

_DISK_ROW = Row(
    "journal: an old backup is restored, the disk or a system call fails under the master",
    "while workers and clients of before are there",
    "what was acknowledged and can be there is; nothing of two histories is mixed",
    ("faults/test_journal*.py::*",),
)

_PEERS: tuple[Row, ...] = (
    Row(
        "peer: has no key, relays, replays, or changes what passes",
        "in the handshake and after",
        "it is refused, and told nothing",
        _in(
            "integration/test_transport_strangers",
            "wrong_key_is_refused_and_told_nothing",
            "server_without_the_key_is_refused_by_the_client",
        )
        + _in(
            "integration/test_transport_between",
            "relay_without_the_key_fails_at_its_first_forged_frame",
            "replayed_frame_is_refused",
            "frame_sent_back_to_its_sender_is_refused",
            "tls_relay_under_another_certificate_is_refused",
            "tls_cannot_be_talked_down_by_flipping_the_wish",
            "tls_cannot_be_talked_down_by_changing_both_hellos",
            "hello_that_was_changed_on_its_way_fails_the_proofs",
        ),
    ),
    Row(
        "peer: logs in with what it recorded, sends bombs, floods, or holds a key and misuses it",
        "at every door of a real master",
        "nothing is executed, nothing grows, and honest callers are served",
        ("faults/test_door*.py::*",),
    ),
    Row(
        "peer: sends garbage, too much, too slowly, or nothing",
        "before and after it showed a key",
        "its connection ends, and nothing else",
        _in(
            "integration/test_transport_crowds",
            "oversize_frame_closes_the_connection",
            "strangers_who_hang_hold_no_thread_and_keep_nobody_waiting",
            "full_porch_turns_out_who_stands_there_longest_after_a_while",
            "stranger_who_dribbles_is_cut_at_the_deadline",
            "key_holder_who_says_nothing_is_cut_at_the_deadline",
            "frame_that_never_ends_is_cut",
        )
        + _in(
            "integration/test_transport_strangers",
            "garbage_from_a_key_holder_ends_its_connection_and_nothing_else",
            "garbage_from_a_stranger_is_met_with_silence",
        ),
    ),
)

_OUTPUTS: tuple[Row, ...] = (
    Row(
        "master, worker, client of a run over files: `kill -9`",
        "at random points, the run started again each time",
        "outputs, total and manifest are those of an undisturbed run, to the byte",
        _in(
            "test_killed_runs",
            "a_run_with_outputs_that_is_killed_at_random_points_gives_what_an_undisturbed_one_gives",
            "a_reduction_that_is_killed_at_random_points_gives_what_an_undisturbed_one_gives",
        ),
    ),
    Row(
        "worker: `kill -9`",
        "between the commit of an outcome and the rename of what its task wrote",
        "the closer of the run publishes it: the output is the committed attempt's",
        _in("test_outputs", "an_output_of_a_worker_killed_between_commit_and_rename_is_published_by_the_closer"),
    ),
    Row(
        "worker: stopped beyond its lease",
        "while its task writes an output, which another worker's attempt writes too",
        "one output, the committed attempt's, and nothing of the other",
        _in("test_outputs", "an_attempt_that_comes_late_leaves_no_trace"),
    ),
)

MATRIX: Final = (*_KILLED, *_OUTPUTS, *_STOPPED, *_CUT, *_CALLS, *_TASKS, *_ORDERLY, *_JOURNAL, _DISK_ROW, *_PEERS)


def files() -> list[str]:
    """Return the files that the rows' tests are in, as pytest takes them."""
    found = {str(path) for row in MATRIX for name in row.tests for path in TESTS.glob(name.split("::")[0])}
    return sorted(found | {str(path) for path in (TESTS / "faults").glob("test_*.py")})


if __name__ == "__main__":
    print(*files())
