"""The pure core: commands in, records and answers out.

No I/O, no clock, no lock, no thread: the time is an argument, and whoever calls holds the lock.
A command (`submit`, `lease`, `report`, ...) decides, applies its own records to the state, and
returns them as `Change`s for the journal. `apply` is also what replay does, so that a restarted
master stands where the journal says. What a lease holds, who is connected and how long tasks take
is not journaled: it is learnt again.

Reasoning worth knowing before a change:

- *Fence.* A task's first lease writes nothing. The journal's mark, written ahead in large steps,
  says below which index tasks may have been leased. Every later lease is a record, and its token
  becomes the task's floor; until then that is the first token of the epoch in which the mark was
  moved over it (`marks`). A report is taken if the task has not ended and its token is not below
  the floor; a failed attempt or a retry lifts the floor past every token given out before.
- *Doubt.* After a restart, tasks below the mark may still be held by a worker: they wait one lease
  time for it to come and name them; tasks from the mark on go out at once.
- *Suspicion.* When a worker is lost, nobody knows which of its tasks did it. All are leased again
  one by one, those that are lost once more on a worker of their own, and only these are charged
  (`isolation`).
- *Commit.* Memory runs ahead of the journal by the commits under way. Positions that others may
  see (tasks that may be leased, outcomes that may be fetched, counts) move when `committed` is
  called, and `Change`s are appended in the order in which they were decided.
"""
