"""A backtest and its gate decision as one HTML file that needs nothing beside it.

The verdict stands first, in plain words; then what was earned, how it was risked and what it cost;
then every rule of the gate, every statistic, the trades, the whole configuration and the hashes of
what it was computed from. Every text is escaped, and the page may load nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote as quote_url

import polars as pl

from vostok_core.backtest import report_page as page
from vostok_core.backtest import report_parts as parts
from vostok_core.backtest import report_sections as sections
from vostok_core.backtest.report_charts import compound, figures
from vostok_core.lake.address import Place
from vostok_core.lake.objects import put_at

if TYPE_CHECKING:
    from vostok_core.promotion.gate import Decision

_P = TypeVar("_P", bound=Place)

_NOTE = (
    "All results are simulated on data that the models had not seen, after fees and slippage. "
    "They are a record of a procedure, not a promise, and no investment advice."
)


@dataclass(frozen=True)
class IndexEntry:
    """One report on an index page.

    Attributes:
        href: Path of the report, relative to the index.
        strategy: Name of the strategy.
        instrument: Id of the instrument.
        daily: Its path, by the table `trials`.
        decision: What the gate decided, `promoted` or `refused`, or none.
        summary: The decision in a sentence.
    """

    href: str
    strategy: str
    instrument: str
    daily: pl.DataFrame
    decision: str | None = None
    summary: str = "The gate was not asked."


@dataclass(frozen=True)
class ReportContent:
    """What a report shows.

    Attributes:
        strategy: Name of the strategy.
        instrument: Id of the instrument.
        daily: The path, by the table `trials`.
        equity: Marks within the day, by the table `backtest_equity`; may be empty.
        trades: Closed positions, by the table `backtest_trades`; may be empty.
        halts: When and why the engine stopped trading, by the table `backtest_halts`.
        statistics: Rows of the table `backtest_statistics`.
        configuration: Every setting, as JSON-like values.
        hashes: What the results were computed from -> its hash.
        decision: What the gate decided; none where nobody asked it.
        bars: `ts` and `close` of the instrument, to show trades on its price.
        title: Heading; the strategy's name where none is given.
        description: What the strategy trades on, in a sentence or two.
    """

    strategy: str
    instrument: str
    daily: pl.DataFrame
    equity: pl.DataFrame
    trades: pl.DataFrame
    halts: pl.DataFrame
    statistics: pl.DataFrame
    configuration: Mapping[str, Any]
    hashes: Mapping[str, str]
    decision: Decision | None = None
    bars: pl.DataFrame | None = None
    title: str | None = None
    description: str = ""

    @property
    def heading(self) -> str:
        """What stands at the top of the page."""
        return self.title or self.strategy

    @property
    def quote(self) -> str:
        """Name of the quote currency."""
        return self.instrument.rsplit("-", 1)[-1] if "-" in self.instrument else "quote"


def write_report(path: _P, content: ReportContent) -> _P:
    """Write the report of one backtest, whole or not at all.

    Args:
        path: The HTML file.
        content: What it shows.

    Returns:
        The path.
    """
    from plotly.offline import get_plotlyjs

    c = content
    costs = sections.costs(c.trades)
    charts = figures(c.daily, c.equity, c.trades, c.bars, costs, c.quote)
    body = [
        sections.header(c.heading, c.instrument, c.description, c.daily),
        sections.verdict(c.decision),
        sections.tiles(c.daily, c.trades, c.statistics, c.decision, c.quote),
        sections.results(
            charts, c.daily, sections.stopped(c.halts, c.statistics) + sections.unseen(c.daily)
        ),
        sections.trading(charts, c.trades, costs, c.quote),
        sections.gate(c.decision),
        sections.statistics(c.statistics, c.decision),
        sections.trades(c.trades, c.quote),
        sections.provenance(c.configuration, c.hashes, c.decision),
        f"<footer><p>{escape(_NOTE)}</p></footer>",
    ]
    document = json.dumps(charts, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    script = (
        f'<script type="application/json" id="charts">{document}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{page.SCRIPT}</script>"
    )
    title = f"{c.heading} · {c.instrument}"
    return _write(path, page.page(title, "\n".join(filter(None, body)), script=script))


def write_index(
    path: _P, entries: Sequence[IndexEntry], *, title: str = "Reports", description: str = ""
) -> _P:
    """Write a page that leads to several reports, whole or not at all.

    Args:
        path: The HTML file.
        entries: The reports, in order.
        title: Heading.
        description: A sentence below it.

    Returns:
        The path.
    """
    rows = []
    for entry in entries:
        verdict, word = sections.outcome(entry.decision)
        href = quote_url(entry.href, safe="/._-=~")
        net = compound(entry.daily["net_return"])
        held = compound(entry.daily["benchmark_return"])
        rows.append(
            f'<a class="card" href="{escape(href)}"><div>'
            f"<h2>{escape(entry.strategy)} · {escape(entry.instrument)}</h2>"
            f"{page.badge(verdict, word)}<p>{escape(entry.summary)}</p>"
            f"<p>{parts.percent(net, sign=True)} in {entry.daily.height} days out of sample; "
            f"buy and hold {parts.percent(held, sign=True)}.</p></div>"
            f"{parts.sparkline(entry.daily)}</a>"
        )
    body = (
        f'<header><p class="brand">Vostok</p><h1>{escape(title)}</h1>'
        f"<p>{escape(description)}</p></header>"
        f'<div class="listing">{"".join(rows) or "<p>There is no report yet.</p>"}</div>'
        f"<footer><p>{escape(_NOTE)}</p></footer>"
    )
    return _write(path, page.page(title, body))


def _write(path: _P, text: str) -> _P:
    put_at(path, text.encode())
    return path
