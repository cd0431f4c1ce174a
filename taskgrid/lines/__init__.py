"""Access log lines out of blocks of bytes, thousands at a time: what a line is, and the quick ways to its columns.

`patterns` is the definition, `columns` the door: it takes the quickest way that is here, and hands what
that is not sure of to the next. Nothing here opens a file, or knows a result or a task. It is no part
of `taskgrid.logs`, all of whose modules a worker imports: `vectors` and `marks` need numpy.
"""
