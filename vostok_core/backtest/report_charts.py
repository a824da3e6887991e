"""The charts of a report, as Plotly figures in plain dictionaries.

A colour is written as the name of a style property (`--strategy`); the page's script puts in the
colour of the reader's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

Chart = dict[str, Any]

_MOST_POINTS = 6000
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def compound(returns: pl.Series) -> float:
    """Return over all periods; NaN when one is missing."""
    total = 1.0
    for value in returns:
        total *= 1 + (math.nan if value is None else value)
    return total - 1


def thinned(frame: pl.DataFrame) -> pl.DataFrame:
    """At most about 6,000 rows: every n-th from the first, and the last."""
    stride = -(-frame.height // _MOST_POINTS)
    if stride <= 1:
        return frame
    return (
        frame.with_row_index("_row")
        .filter((pl.col("_row") % stride == 0) | (pl.col("_row") == frame.height - 1))
        .drop("_row")
    )


def growth(daily: pl.DataFrame, equity: pl.DataFrame) -> pl.DataFrame:
    """`ts`, `strategy`, `holding`: worth of 100 put in at the start.

    From the marks of `backtest_equity` where there are any, else from daily returns. The start is
    what the daily returns have grown from, since the first mark may come after the first loss.
    """
    if equity.height:
        last = equity.row(-1, named=True)
        start = {
            "equity": last["equity"] / (1 + compound(daily["net_return"])),
            "benchmark": last["benchmark"] / (1 + compound(daily["benchmark_return"])),
        }
        return equity.select(
            "ts",
            (pl.col("equity") / start["equity"] * 100).alias("strategy"),
            (pl.col("benchmark") / start["benchmark"] * 100).alias("holding"),
        )
    return daily.select(
        pl.col("date").cast(pl.Datetime("us", "UTC")).alias("ts"),
        ((1 + pl.col("net_return")).cum_prod() * 100).alias("strategy"),
        ((1 + pl.col("benchmark_return")).cum_prod() * 100).alias("holding"),
    )


def figures(
    daily: pl.DataFrame,
    equity: pl.DataFrame,
    trades: pl.DataFrame,
    bars: pl.DataFrame | None,
    costs: Sequence[tuple[str, float]],
    quote: str,
) -> list[Chart]:
    """Every chart of a report: `id`, `data`, `layout`.

    Args:
        daily: Rows of `trials`.
        equity: Rows of `backtest_equity`; may be empty.
        trades: Rows of `backtest_trades`; may be empty.
        bars: `ts` and `close` of the instrument, or none.
        costs: Parts of the result in quote, with their names, gross profit first.
        quote: Name of the quote currency.
    """
    worth = thinned(growth(daily, equity))
    charts = [_equity(worth), _drawdown(worth), _daily(daily)]
    if bars is not None and bars.height:
        charts.append(_prices(thinned(bars.select("ts", "close")), trades))
    if trades.height:
        charts += [_returns(trades), _costs(costs, quote)]
    return charts


def _equity(worth: pl.DataFrame) -> Chart:
    x = _times(worth["ts"])
    data = [
        _line(x, _values(worth["strategy"]), "Strategy", "--strategy", width=2.4),
        _line(x, _values(worth["holding"]), "Buy and hold", "--holding", width=1.6),
        _line(x[:1] + x[-1:], [100.0, 100.0], "Cash", "--cash", width=1.6, dash="4px 4px"),
    ]
    return _chart("chart-equity", data, y="worth of 100", hover="%{y:.2f}")


def _drawdown(worth: pl.DataFrame) -> Chart:
    level = worth["strategy"].clip(lower_bound=0)
    # The first mark may come after the first loss: the 100 put in is a peak too.
    peak = pl.Series([max(100.0, v) if v is not None else None for v in level.cum_max()])
    fall = ((level / peak) - 1) * 100
    line = _line(_times(worth["ts"]), _values(fall), "Below the peak", "--loss", width=1.4)
    line |= {"fill": "tozeroy", "fillcolor": "--loss-fill"}
    return _chart("chart-drawdown", [line], y="% below peak", hover="%{y:.2f} %", legend=False)


def _daily(daily: pl.DataFrame) -> Chart:
    returns = _values(daily["net_return"] * 100)
    bar = {
        "type": "bar",
        "x": [str(day) for day in daily["date"]],
        "y": returns,
        "name": "Net return of the day",
        "marker": {"color": ["--loss" if (v or 0) < 0 else "--strategy" for v in returns]},
        "hovertemplate": "%{y:.2f} %<extra></extra>",
    }
    return _chart("chart-daily", [bar], y="% a day", legend=False)


def _prices(bars: pl.DataFrame, trades: pl.DataFrame) -> Chart:
    size = 8 if trades.height <= 60 else 6

    def marks(time: str, price: str, name: str, symbol: str, color: str) -> Chart:
        return {
            "type": "scatter",
            "mode": "markers",
            "x": _times(trades[time]),
            "y": _values(trades[price]),
            "name": name,
            "marker": {"symbol": symbol, "size": size, "color": color, "opacity": 0.9},
            "hovertemplate": "%{y}<extra>" + name + "</extra>",
        }

    data = [
        _line(_times(bars["ts"]), _values(bars["close"]), "Price", "--cash", width=1.2),
        marks("entry_ts", "entry_price", "Entry", "triangle-up", "--strategy"),
        marks("exit_ts", "exit_price", "Exit", "x-thin-open", "--holding"),
    ]
    return _chart("chart-prices", data, y="price", hover="%{y}")


def _returns(trades: pl.DataFrame) -> Chart:
    values = _values(trades["net_return"] * 1e4)
    bins = {
        "type": "histogram",
        "x": values,
        "nbinsx": 41,
        "marker": {"color": "--strategy", "line": {"color": "--card", "width": 1}},
        "hovertemplate": "%{x} bp: %{y}<extra></extra>",
    }
    chart = _chart("chart-returns", [bins], y="positions", legend=False)
    chart["layout"]["xaxis"]["title"] = _title("net return of a position, basis points")
    chart["layout"]["shapes"] = [_vertical(0.0)]
    return chart


def _costs(costs: Sequence[tuple[str, float]], quote: str) -> Chart:
    names = [name for name, _ in costs]
    amounts = [amount for _, amount in costs]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": names,
        "x": _values(amounts),
        "text": [f"{amount:,.2f}" for amount in amounts],
        "textposition": "auto",
        "cliponaxis": False,
        "marker": {"color": ["--loss" if amount < 0 else "--strategy" for amount in amounts]},
        "hovertemplate": "%{y}: %{x:,.2f}<extra></extra>",
    }
    chart = _chart("chart-costs", [bar], y="", legend=False)
    chart["layout"]["yaxis"] |= {"autorange": "reversed", "automargin": True}
    chart["layout"]["xaxis"]["title"] = _title(quote)
    return chart


def _line(
    x: list[str], y: Sequence[float | None], name: str, color: str, *, width: float, dash: str = ""
) -> Chart:
    style: Chart = {"color": color, "width": width}
    if dash:
        style["dash"] = dash
    return {"type": "scatter", "mode": "lines", "x": x, "y": list(y), "name": name, "line": style}


def _chart(
    name: str, data: list[Chart], *, y: str, hover: str | None = None, legend: bool = True
) -> Chart:
    if hover is not None:
        for trace in data:
            trace.setdefault("hovertemplate", hover)
    axis: Chart = {
        "gridcolor": "--line",
        "zerolinecolor": "--line",
        "linecolor": "--line",
        "tickfont": {"color": "--muted", "size": 12},
        "automargin": True,
        "fixedrange": True,
    }
    layout = {
        "font": {"family": _FONT, "size": 13, "color": "--ink"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 16, "t": 34 if legend else 12, "b": 36},
        "xaxis": dict(axis) | {"showgrid": False, "tickangle": 0},
        "yaxis": dict(axis) | {"title": _title(y), "nticks": 7},
        "showlegend": legend,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"color": "--ink"},
        },
        "hovermode": "x unified" if legend else "closest",
        "hoverlabel": {
            "bgcolor": "--card",
            "bordercolor": "--line",
            "font": {"color": "--ink", "family": _FONT},
        },
        "bargap": 0.25,
        "dragmode": False,
    }
    return {"id": name, "data": data, "layout": layout}


def _title(text: str) -> Chart:
    return {"text": text, "font": {"color": "--muted", "size": 12}, "standoff": 8}


def _vertical(x: float) -> Chart:
    line = {"color": "--muted", "width": 1, "dash": "dot"}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1} | {
        "line": line
    }


def _times(series: pl.Series) -> list[str]:
    return series.dt.strftime("%Y-%m-%d %H:%M:%S").to_list()


def _values(series: Iterable[float | None]) -> list[float | None]:
    """Six significant digits are more than a screen shows; what is not finite is a gap."""
    return [
        None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
        for value in series
    ]
