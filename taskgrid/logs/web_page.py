"""Shows a summary as one HTML page that needs nothing else: no script, no font, no network.

Whatever a log says is text here, never markup. Knows nothing of where the summary came from.
"""

from __future__ import annotations

from html import escape
from typing import Final

from taskgrid.logs.over_time import over_time
from taskgrid.logs.report import Table, plot_title, tables, totals
from taskgrid.logs.summary import AccessSummary

__all__: list[str] = []  # made for people who look, not for workers to offer

_SPANS: Final = 96
_PLOT_WIDTH, _PLOT_HEIGHT, _BASE = 960, 200, 176

_STYLE: Final = """
:root { color-scheme: light dark; --bar: #3b7dd8; --soft: #3b7dd826; --line: #8885; --bad: #c8452f; --quiet: #777; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.quiet { color: var(--quiet); margin: 0; }
svg { width: 100%; height: auto; display: block; }
svg rect { fill: var(--bar); }
svg text { fill: var(--quiet); font-size: 11px; }
svg line { stroke: var(--line); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 0 2.5rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
td { padding: .15rem .4rem; border-bottom: 1px solid var(--line); }
td:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; background:
  linear-gradient(to right, var(--soft) var(--share), transparent var(--share)); }
td:last-child { width: 7rem; text-align: right; font-variant-numeric: tabular-nums; }
.wide { grid-column: 1 / -1; }
.wide td:first-child { white-space: normal; overflow-wrap: anywhere; }
tr.bad td:first-child { color: var(--bad); }
"""


def page(summary: AccessSummary, title: str, *, top: int = 10) -> str:
    """Return the summary as a page: totals, lines over time, and the `top` of everything else."""
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f'<h1>{escape(title)}</h1>\n<p class="quiet">{escape(totals(summary))}</p>',
            _over_time(summary),
            f'<div class="columns">\n{"".join(map(_table, tables(summary, top)))}</div>\n</body>\n</html>\n',
        )
    )


def _table(table: Table) -> str:
    most = max(hits for _, hits in table.rows)
    lines = "".join(
        f"<tr{' class=bad' if name in table.bad else ''}>"
        f'<td style="--share: {100 * hits / most:.1f}%" title="{escape(name)}">{escape(name)}</td>'
        f"<td>{hits:,}</td></tr>\n"
        for name, hits in table.rows
    )
    wide = ' class="wide"' if table.is_text else ""
    return f"<section{wide}>\n<h2>{escape(table.title)}</h2>\n<table>\n{lines}</table>\n</section>\n"


def _over_time(summary: AccessSummary) -> str:
    series = over_time(summary.hours.counts, _SPANS)
    if series is None:
        return ""
    most = max(span.hits for span in series.spans)
    width = _PLOT_WIDTH / len(series.spans)
    bars = "".join(
        f'<rect x="{number * width:.2f}" y="{_BASE - _tall(span.hits, most):.2f}" width="{max(1.0, width * 0.86):.2f}" '
        f'height="{_tall(span.hits, most):.2f}"><title>{escape(span.label)}: {span.hits:,}</title></rect>\n'
        for number, span in enumerate(series.spans)
    )
    first, last = series.spans[0].label, series.spans[-1].label
    return (
        f"<h2>{escape(plot_title(summary, series.hours, series.zone))}</h2>\n"
        f'<svg viewBox="0 0 {_PLOT_WIDTH} {_PLOT_HEIGHT}" role="img" aria-label="Lines over time">\n{bars}'
        f'<line x1="0" y1="{_BASE}" x2="{_PLOT_WIDTH}" y2="{_BASE}"/>\n'
        f'<text x="0" y="{_PLOT_HEIGHT - 8}">{escape(first)}</text>'
        f'<text x="{_PLOT_WIDTH}" y="{_PLOT_HEIGHT - 8}" text-anchor="end">{escape(last)}</text>'
        f'<text x="0" y="12">{most:,}</text>\n</svg>\n'
    )


def _tall(hits: int, most: int) -> float:
    return (_BASE - 20) * hits / most
