"""The sections of a report, each from the frames that it shows to a piece of HTML.

Every text is escaped here; `report` puts the sections in order and writes the page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from vostok_core.backtest import report_page as page
from vostok_core.backtest import report_parts as parts
from vostok_core.backtest.moments import moments
from vostok_core.backtest.observed import LEAST_OBSERVED, observed_days
from vostok_core.backtest.report_charts import Chart, compound

if TYPE_CHECKING:
    from vostok_core.promotion.gate import Decision
    from vostok_core.promotion.rules import Rule

_SHOWN_TRADES = 100
_MOST_WEEKS = 26


def header(title: str, instrument: str, description: str, daily: pl.DataFrame) -> str:
    """What was traded on what, and over which days."""
    dates = daily["date"].sort()
    span = (
        f"{dates[0]:%-d %B %Y} to {dates[-1]:%-d %B %Y}, {len(dates)} days out of sample (UTC)"
        if len(dates)
        else "no day out of sample"
    )
    prose = f"<p>{escape(description)}</p>" if description else ""
    return (
        '<header><p class="brand">Vostok · backtest report</p>'
        f"<h1>{escape(title)}</h1>"
        f"<p>{escape(instrument)} · {escape(span)}</p>{prose}</header>"
    )


def outcome(decision: str | None) -> tuple[str, str]:
    """The mark of a decision and its word."""
    if decision is None:
        return "none", "Not judged"
    return ("pass", "Promoted") if decision == "promoted" else ("fail", "Refused")


def verdict(decision: Decision | None) -> str:
    """The decision and its reasons, in plain words."""
    kind, word = outcome(None if decision is None else decision.decision)
    if decision is None:
        text = "<p>This path was not put before the promotion gate.</p>"
    elif decision.promoted:
        reason = next((r.reason for r in decision.rules if r.name == "psr_flat"), "")
        text = (
            f"<p>All {len(decision.rules)} rules of the gate hold, so this configuration has "
            f"earned its place in service. {escape(reason)}</p>"
        )
    else:
        reasons = "".join(f"<li>{escape(rule.reason)}</li>" for rule in decision.failed)
        count = len(decision.failed)
        text = (
            f"<p>{count} of the gate's {len(decision.rules)} rules "
            f"{'fails' if count == 1 else 'fail'}, so this configuration does not enter service."
            f"</p><ul>{reasons}</ul>"
        )
    return (
        f'<section class="card verdict {kind}"><strong>{page.mark(kind)}{word}</strong>'
        f"{text}</section>"
    )


def tiles(
    daily: pl.DataFrame,
    trades: pl.DataFrame,
    statistics: pl.DataFrame,
    decision: Decision | None,
    quote: str,
) -> str:
    """The eight figures that are asked for first."""
    known = dict(statistics.select("name", "value").iter_rows())
    reported = {} if decision is None else {f.name: f.value for f in decision.reported}
    net = compound(daily["net_return"])
    record = observed_days(daily.sort("date"))["net_return"].to_list()
    sharpe = moments(record).sharpe * math.sqrt(365)
    low, high = reported.get("sharpe_low", math.nan), reported.get("sharpe_high", math.nan)
    interval = (
        f"95 % interval {parts.fixed(low)} to {parts.fixed(high)}" if math.isfinite(low) else ""
    )
    fall = known.get("max_drawdown")
    wins = trades.filter(pl.col("net_pnl") > 0).height / trades.height if trades.height else None
    returns = trades["net_return"].to_list()
    bps = math.fsum(returns) / len(returns) * 1e4 if returns else math.nan
    paid = float(trades["fees"].sum()) + float(trades["slippage"].sum())
    beta = reported.get("beta", math.nan)
    held_note = f"beta {parts.fixed(beta)}" if math.isfinite(beta) else "the same days"
    shown = [
        ("Net return", parts.percent(net, sign=True), "after all costs", net),
        (
            "Buy and hold",
            parts.percent(compound(daily["benchmark_return"]), sign=True),
            held_note,
            math.nan,
        ),
        ("Sharpe ratio", parts.fixed(sharpe), interval or "a year", math.nan),
        (
            "Greatest drawdown",
            parts.percent(None if fall is None else -fall),
            "from a peak",
            math.nan,
        ),
        (
            "Positions closed",
            f"{trades.height:,}",
            f"{parts.percent(wins)} with a profit" if trades.height else "nothing to count",
            math.nan,
        ),
        ("Mean position", parts.fixed(bps, 1) + " bp", "net, of its entry's worth", bps),
        ("Costs paid", f"{paid:,.2f}", f"{quote}, fees and slippage", math.nan),
        ("Time in the market", parts.percent(known.get("exposure")), "with a position", math.nan),
    ]
    cells = "".join(
        f'<div class="card tile"><dt>{escape(name)}</dt><dd><span{parts.tone_class(tone)}>'
        f"{escape(value)}</span><small>{escape(note)}</small></dd></div>"
        for name, value, note, tone in shown
    )
    return f'<dl class="tiles" style="margin:0">{cells}</dl>'


def stopped(halts: pl.DataFrame, statistics: pl.DataFrame) -> str:
    """When the engine stopped trading for good, if it did: the days after it look calm."""
    if halts.is_empty():
        return ""
    ts, why = halts.sort("ts").select("ts", "reason").row(0)
    missed = dict(statistics.select("name", "value").iter_rows()).get("killed_decisions", 0.0)
    when = f"{ts:%-d %B %Y} at {ts:%H:%M} UTC"
    return (
        f"<p><strong>The engine halted on {when} ({escape(why)}).</strong> Only a person sets it "
        f"going again: {missed:,.0f} decisions were not taken since. The days without them are on "
        "the path with a return of 0.</p>"
    )


def unseen(daily: pl.DataFrame) -> str:
    """How many days of the path are no evidence, if any: they look calm."""
    seen = observed_days(daily.sort("date")).height
    if seen == daily.height:
        return ""
    return (
        f"<p><strong>{daily.height - seen} of the {daily.height} days were hardly seen:</strong> "
        f"less than {LEAST_OBSERVED:.0%} of their bars are valid. The gate counts them as missing, "
        "and what an open position made of them to the next day that was seen.</p>"
    )


def results(charts: list[Chart], daily: pl.DataFrame, note: str) -> str:
    """What the path earned, how deep it fell, and each period of it; `note` stands above."""
    return (
        "<h2>What it earned</h2><p>Worth of 100 put in at the start, after all costs, against "
        f"holding the instrument and against cash.</p>{note}"
        + parts.plot(
            charts, "chart-equity", "Worth of the strategy, of holding and of cash over time"
        )
        + "<h2>How deep it fell</h2><p>Loss from the highest worth so far.</p>"
        + parts.plot(charts, "chart-drawdown", "Drawdown over time", "short")
        + "<h2>Day by day</h2>"
        + parts.plot(charts, "chart-daily", "Net return of every day", "low")
        + _periods(daily)
    )


def _periods(daily: pl.DataFrame) -> str:
    if daily.is_empty():
        return ""
    monday = pl.col("date").dt.truncate("1w")
    weekly = daily.select(monday.n_unique()).item() <= _MOST_WEEKS
    start = monday if weekly else pl.col("date").dt.truncate("1mo")
    table = (
        daily.sort("date")
        .group_by(start.alias("start"), maintain_order=True)
        .agg(
            pl.len().alias("days"),
            ((1 + pl.col("net_return")).product() - 1).alias("net"),
            ((1 + pl.col("benchmark_return")).product() - 1).alias("held"),
            pl.col("trades").sum(),
        )
    )
    rows = [
        [
            f"<th>{row['start']:%Y-%m-%d}</th>" if weekly else f"<th>{row['start']:%B %Y}</th>",
            parts.cell(parts.percent(row["net"], sign=True), row["net"], tone=True),
            parts.cell(parts.percent(row["held"], sign=True), row["held"]),
            parts.cell(f"{row['days']}"),
            parts.cell(f"{row['trades']:,}"),
        ]
        for row in table.iter_rows(named=True)
    ]
    heads = ["Week from" if weekly else "Month", "#Net return", "#Buy and hold", "#Days", "#Trades"]
    return parts.table(heads, rows)


def trading(
    charts: list[Chart],
    trades: pl.DataFrame,
    costs: Sequence[tuple[str, float]],
    quote: str,
) -> str:
    """Where it traded, what a position brought, and what it cost."""
    if trades.is_empty():
        return "<h2>How it traded</h2><p>It closed no position.</p>"
    gross = costs[0][1]
    paid = -(costs[1][1] + costs[2][1])
    share = f" Costs took {parts.percent(paid / gross)} of it." if gross > 0 else ""
    on_price = parts.plot(charts, "chart-prices", "Entries and exits on the price")
    return (
        "<h2>How it traded</h2>"
        + (f"<p>Entries and exits on the price.</p>{on_price}" if on_price else "")
        + "<h2>What a position brought</h2><p>How often a closed position brought how much, after "
        "costs.</p>"
        + parts.plot(charts, "chart-returns", "Distribution of net returns of positions", "low")
        + f"<h2>What it cost</h2><p>Before costs the positions brought {gross:,.2f} "
        f"{escape(quote)}.{share}</p>"
        + parts.plot(charts, "chart-costs", "Gross profit, fees, slippage and net profit", "short")
    )


def gate(decision: Decision | None) -> str:
    """Every rule with its value, bound, verdict and reason."""
    if decision is None:
        return ""
    rows = "".join(_rule(rule) for rule in decision.rules)
    trials = "1 configuration" if decision.trials == 1 else f"{decision.trials} configurations"
    return (
        "<h2>The gate</h2><p>Every rule must hold. "
        f"{trials} {'is' if decision.trials == 1 else 'are'} taken to have been tried on this "
        f"instrument; profile <code>{escape(decision.profile_hash)}</code>.</p>"
        '<div class="card scroll"><table class="stacked rules"><thead><tr><th>Rule</th>'
        '<th class="number">Measured</th><th class="number">Asked for</th><th>Verdict</th>'
        f"<th>Reason</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _rule(rule: Rule) -> str:
    return (
        f"<tr><th>{escape(rule.name)}</th>"
        f'<td class="number" data-label="measured" title="{rule.value!r}">'
        f"{parts.plain(rule.value)}</td>"
        f'<td class="number" data-label="asked for" title="{rule.bound!r}">'
        f"{escape(_COMPARISON[rule.comparison])} {parts.plain(rule.bound)}</td>"
        f'<td class="verdict-cell">{page.badge(rule.verdict, rule.verdict)}</td>'
        f'<td class="reason">{escape(rule.reason)}</td></tr>'
    )


_COMPARISON = {">=": "≥", "<=": "≤", ">": ">", "<": "<"}


def statistics(rows: pl.DataFrame, decision: Decision | None) -> str:
    """Every statistic, and the gate's figures that are not among them."""
    listed = rows.select("name", "value", "unit", "description").rows()
    names = {row[0] for row in listed}
    reported = () if decision is None else decision.reported
    listed += [(f.name, f.value, f.unit, f.description) for f in reported if f.name not in names]
    if not listed:
        return ""
    cells = [
        [
            f"<th>{escape(parts.spoken(name))}</th>",
            parts.cell(
                parts.percent(value) if unit.startswith("fraction") else parts.plain(value), value
            ),
            f'<td class="unit">{escape(unit.removeprefix("fraction").strip())}</td>',
            f'<td class="meaning">{escape(meaning)}</td>',
        ]
        for name, value, unit, meaning in listed
    ]
    return "<h2>Statistics</h2>" + parts.table(
        ["Name", "#Value", "Unit", "Meaning"], cells, kind="stacked statistics"
    )


def trades(closed: pl.DataFrame, quote: str) -> str:
    """The last positions, one row each."""
    if closed.is_empty():
        return ""
    shown = closed.sort("exit_ts").tail(_SHOWN_TRADES).reverse()
    note = (
        f"The last {shown.height} of {closed.height:,}, newest first; times are UTC."
        if closed.height > shown.height
        else f"All {closed.height:,}, newest first; times are UTC."
    )
    rows = [
        [
            f'<td class="nowrap">{row["entry_ts"]:%Y-%m-%d %H:%M:%S}</td>',
            parts.cell(f"{row['entry_price']:,.10g}", row["entry_price"]),
            f'<td class="nowrap">{row["exit_ts"]:%Y-%m-%d %H:%M:%S}</td>',
            parts.cell(f"{row['exit_price']:,.10g}", row["exit_price"]),
            f'<td class="nowrap">{escape(parts.spoken(row["exit_reason"]))}</td>',
            parts.cell(f"{row['qty']:,.6g}", row["qty"]),
            parts.cell(parts.plain(row["probability"]), row["probability"]),
            parts.cell(f"{row['fees'] + row['slippage']:,.2f}", row["fees"] + row["slippage"]),
            parts.cell(f"{row['net_pnl']:+,.2f}", row["net_pnl"], tone=True),
            parts.cell(f"{row['net_return'] * 1e4:+,.1f}", row["net_return"]),
        ]
        for row in shown.iter_rows(named=True)
    ]
    heads = [
        "Entry",
        "#Price",
        "Exit",
        "#Price",
        "Ended by",
        "#Quantity",
        "#Probability",
        f"#Costs, {quote}",
        f"#Net, {quote}",
        "#Net, bp",
    ]
    return f"<h2>Trades</h2><p>{note}</p>" + parts.table(heads, rows)


def provenance(
    configuration: Mapping[str, Any], hashes: Mapping[str, str], decision: Decision | None
) -> str:
    """The whole configuration, the gate's profile, and the hashes of all inputs."""
    documents = [("Configuration", configuration)]
    if decision is not None:
        documents.append(("Gate profile", decision.profile.model_dump(mode="json")))
    text = "".join(
        f'<details class="card"><summary>{name}</summary><pre>'
        f"{escape(json.dumps(value, indent=2, ensure_ascii=False, default=str))}</pre></details>"
        for name, value in documents
    )
    rows = [
        [f"<th>{escape(name)}</th>", f"<td><code>{escape(value)}</code></td>"]
        for name, value in sorted(hashes.items())
    ]
    table = parts.table(["Input", "Hash"], rows, boxed=False)
    return (
        "<h2>Where it comes from</h2><p>The same configuration on the same inputs gives the same "
        f"report.</p>{text}"
        f'<details class="card"><summary>Hashes of {len(hashes)} inputs</summary>{table}</details>'
    )


def costs(trades: pl.DataFrame) -> list[tuple[str, float]]:
    """Parts of the result in quote, with their names, gross profit first."""
    net = float(trades["net_pnl"].sum())
    fees, slippage = float(trades["fees"].sum()), float(trades["slippage"].sum())
    return [
        ("Gross profit", net + fees + slippage),
        ("Fees", -fees),
        ("Slippage", -slippage),
        ("Net profit", net),
    ]
