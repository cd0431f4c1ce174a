"""Table engines on access logs, on two threads: what a user would write.

    python log_tables.py polars|duckdb count|match|grep|summary WORD FILE...

A log is read as a table whose columns are separated by spaces and may be quoted, which is the fastest
that these have for it, and not the log's own rule: an escaped quote, or a damaged line, shifts columns
or is dropped. `match` counts too, by a regular expression on lines that are one column each; so does
searching, and a summary by Polars.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "2"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import stopwatch  # the folder above is put on the path first

_COLUMNS = [f"c{number}" for number in range(10)]
"""Client, identity, user, two of the time, request, status, size, referrer, agent."""
_STATUS = r'^\S+ \S+ [^\[]*\[[^\]]+\] "(?:[^"\\]|\\.)*" (\d{3}) '
_LINE = (
    r'^(?<client>\S+) \S+ [^\[]*\[(?<time>[^\]]+)\] "(?<request>(?:[^"\\]|\\.)*)" (?<status>\d{3}) (?<size>\d+|-)'
    r'(?: "(?<referrer>(?:[^"\\]|\\.)*)" "(?<agent>(?:[^"\\]|\\.)*)")?'
)


def with_polars(name: str, word: str, files: list[str]) -> object:
    """Read lazily, collect on the streaming engine."""
    try:
        import polars as pl  # noqa: PLC0415  # perhaps not here
    except ImportError:
        stopwatch.not_installed()

    def scanned(separator: str, quote: str | None, columns: list[str]) -> Any:
        return pl.scan_csv(
            files, has_header=False, separator=separator, quote_char=quote, infer_schema=False, ignore_errors=True,
            truncate_ragged_lines=True, encoding="utf8-lossy", new_columns=columns,
        )  # fmt: skip

    def counts(table: Any, column: Any) -> dict[str, int]:
        return dict(table.group_by(column.alias("k")).len().collect(engine="streaming").iter_rows())

    lines = scanned("\x01", None, ["line"])
    if name == "match":
        return _without_none(counts(lines, pl.col("line").str.extract(_STATUS)))
    if name == "grep":
        hits = lines.filter(pl.col("line").str.contains(word, literal=True)).select(pl.len())
        return hits.collect(engine="streaming").item()
    table = scanned(" ", '"', _COLUMNS)
    if name == "count":
        return counts(table, pl.col("c6"))
    return _by_pattern(pl, lines)


def _by_pattern(pl: Any, lines: Any) -> object:
    """Summarise: a damaged line ends a reader of quoted columns that looks at them, so each line is matched."""
    groups = pl.col("line").str.extract_groups(_LINE)
    table = lines.select(groups.alias("hit")).unnest("hit").filter(pl.col("status").is_not_null()).collect()
    counts = {column: dict(table.group_by(column).len().iter_rows()) for column in table.columns}
    paths = table.select(pl.col("request").str.split(" ").list.get(1, null_on_oob=True).fill_null("-"))
    size = table.select(pl.col("size").cast(pl.Int64, strict=False).sum()).item()
    hits = dict(paths.group_by("request").len().iter_rows())
    return [len(table), size, counts["status"], _top(hits)]


def with_duckdb(name: str, word: str, files: list[str]) -> object:
    """Use the CSV reader, by SQL."""
    try:
        import duckdb  # noqa: PLC0415  # perhaps not here
    except ImportError:
        stopwatch.not_installed()
    engine = duckdb.connect()
    engine.execute("set threads=2")
    columns = ["line"] if name in {"grep", "match"} else _COLUMNS
    kinds = ", ".join(f"'{column}': 'VARCHAR'" for column in columns)
    split = "delim='\x01', quote='', escape=''" if len(columns) == 1 else "delim=' ', quote='\"', escape='\\'"
    table = (
        f"read_csv({files!r}, header=false, auto_detect=false, columns={{{kinds}}}, {split}, "
        "ignore_errors=true, strict_mode=false)"
    )

    def counts(expression: str) -> dict[str, int]:
        return dict(engine.execute(f"select {expression}, count(*) from {table} group by 1").fetchall())

    if name == "grep":
        (row,) = engine.execute(f"select count(*) from {table} where contains(line, '{word}')").fetchall()
        return row[0]
    if name == "match":
        return _without_none(counts(f"regexp_extract(line, '{_STATUS}', 1)"))
    if name == "count":
        return counts("c6")
    found = [counts(column) for column in ("c6", "c9", "c8", "c0")]
    paths = counts("split_part(c5, ' ', 2)")
    (size,) = engine.execute(f"select sum(try_cast(c7 as bigint)) from {table}").fetchall()
    return [sum(found[0].values()), int(size[0]), found[0], _top(paths)]


def _without_none(counts: dict[str, int]) -> dict[str, int]:
    """Leave out the lines that did not match."""
    return {value: count for value, count in counts.items() if value}


def _top(paths: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(paths.items(), key=lambda item: (-item[1], str(item[0])))[:3]


if __name__ == "__main__":
    library, operation, searched, *logs = sys.argv[1:]
    run = {"polars": with_polars, "duckdb": with_duckdb}[library]
    run(operation, searched, logs[:1])  # imports and starts what it needs, as the slots have
    begun = time.perf_counter()
    found = run(operation, searched, logs)
    print(json.dumps({"seconds": time.perf_counter() - begun, "found": found}))
