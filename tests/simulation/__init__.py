"""A whole grid on one seeded event loop: the real master, ledger and upload over a simulated world.

Nothing here starts a thread, opens a socket, sleeps or reads a clock: a seed is a history.
`python -m tests.simulation SEED` tells one.
"""
