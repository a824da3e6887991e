"""Small pictures for the metadata of assets: PNG bytes, each well under 100 kB.

Drawn on figures of their own, never through pyplot, whose global state would leak between runs.
Matplotlib is imported where a picture is drawn, to keep the start of a code location quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _MUTED, _LINE = "#1b1d21", "#5b616b", "#e4e2dc"
_BLUE, _OCHRE, _RED, _GREEN, _GREY = "#1d5fc2", "#a8690c", "#b3261e", "#1b7a4b", "#868c95"
_TOUCHES = {"take_profit": _GREEN, "time": _GREY, "stop_loss": _RED}
_SEVERITIES = {  # and the height of what is drawn
    "info": (_GREY, 0.3),
    "repaired": (_GREEN, 0.5),
    "warn": (_OCHRE, 0.5),
    "error": (_RED, 0.7),
}
_MOST_POINTS = 800


def equity(frame: pl.DataFrame) -> bytes:
    """Equity against holding, above the drawdown.

    Args:
        frame: Rows of the table `backtest_equity`.
    """
    frame = _thinned(frame)

    def draw(axes: list[Axes]) -> None:
        worth, fall = axes
        strategy = _relative(frame["equity"])
        worth.plot(frame["ts"], strategy, color=_BLUE, linewidth=1.6, label="strategy")
        holding = _relative(frame["benchmark"])
        worth.plot(frame["ts"], holding, color=_OCHRE, linewidth=1.0, label="buy and hold")
        worth.axhline(100, color=_GREY, linewidth=0.8, linestyle=":")
        worth.set_ylabel("worth of 100")
        worth.legend(loc="lower right", bbox_to_anchor=(1, 0.98), frameon=False, ncols=2)
        peak = np.maximum.accumulate(np.maximum(strategy, 100.0)) if len(strategy) else strategy
        drop = (strategy / peak - 1) * 100
        fall.fill_between(frame["ts"], drop, 0, color=_RED, alpha=0.25, linewidth=0)
        fall.plot(frame["ts"], drop, color=_RED, linewidth=0.9)
        fall.set_ylabel("% below peak")
        _date_axis(fall)

    return _picture("Equity, out of sample", draw, empty=frame.is_empty(), heights=(3, 1))


def bars(frame: pl.DataFrame, title: str = "Bars") -> bytes:
    """Closing price above volume; spans that are not valid are shaded.

    Args:
        frame: Rows of the table `bars` of one interval.
        title: Heading.
    """
    frame = _thinned(frame)

    def draw(axes: list[Axes]) -> None:
        price, volume = axes
        price.plot(frame["ts"], frame["close"], color=_BLUE, linewidth=1.0)
        price.set_ylabel("price")
        if not frame["valid"].all():
            price.fill_between(
                frame["ts"],
                0,
                1,
                where=(~frame["valid"]).to_numpy(),
                transform=price.get_xaxis_transform(),
                color=_RED,
                alpha=0.15,
                linewidth=0,
            )
        volume.fill_between(frame["ts"], frame["volume"], 0, color=_GREY, step="pre", linewidth=0)
        volume.set_ylabel("volume")
        volume.margins(x=0)
        _date_axis(volume)

    return _picture(title, draw, empty=frame.is_empty(), heights=(3, 1))


def label_outcomes(frame: pl.DataFrame, title: str = "Outcomes of labels") -> bytes:
    """How the labels of each day ended, and what all of them brought net of costs.

    Args:
        frame: Rows of the table `labels`.
        title: Heading.
    """

    def draw(axes: list[Axes]) -> None:
        ends, returns = axes
        by_day = frame.group_by(frame["ts"].dt.date().alias("day"), maintain_order=True).agg(
            pl.col("touch").eq(name).sum().alias(name) for name in _TOUCHES
        )
        floor = np.zeros(by_day.height)
        for name, color in _TOUCHES.items():
            counts = by_day[name].to_numpy()
            label = name.replace("_", " ")
            ends.bar(by_day["day"].to_list(), counts, bottom=floor, color=color, label=label)
            floor = floor + counts
        ends.set_ylabel("labels a day")
        ends.set_ylim(0, 1.25 * floor.max())  # room for the legend
        ends.legend(loc="upper left", frameon=False, ncols=3, handlelength=1, columnspacing=1)
        _date_axis(ends)
        values = frame["net_return"].to_numpy() * 1e4
        returns.hist(values, bins=41, color=_BLUE)
        returns.axvline(0, color=_INK, linewidth=0.8, linestyle=":")
        mean = float(values.mean())
        returns.axvline(mean, color=_OCHRE, linewidth=1.4, label=f"mean {mean:.1f} bp")
        returns.legend(frameon=False)
        returns.set_xlabel("net return, basis points")

    return _picture(title, draw, empty=frame.is_empty(), side_by_side=True)


def probabilities(frame: pl.DataFrame) -> bytes:
    """Distribution of out-of-sample probabilities, and the threshold above which is traded.

    Args:
        frame: Rows of the table `predictions`.
    """
    valid = frame.filter(pl.col("valid")) if "valid" in frame.columns else frame

    def draw(axes: list[Axes]) -> None:
        (one,) = axes
        values = valid["probability"].to_numpy()
        one.hist(values, bins=40, color=_BLUE)
        for threshold in valid["threshold"].unique().sort().to_list():
            share = float((values > threshold).mean())
            if 0 <= threshold <= 1:
                one.axvline(
                    threshold,
                    color=_RED,
                    linewidth=1.4,
                    label=f"threshold {threshold:.3f}: {share:.1%} above",
                )
        if one.get_legend_handles_labels()[0]:
            one.legend(frameon=False)
        one.set_xlabel("calibrated probability of a net profit")
        one.set_ylabel("events")

    return _picture("Probabilities, out of sample", draw, empty=valid.is_empty())


def reliability(frame: pl.DataFrame, title: str = "Reliability") -> bytes:
    """Observed share of wins against predicted probability, in bins of equal count.

    Each bin has at least 25 rows; its bar is the 95 % interval of Wilson (1927), which stays inside
    0 and 1 where few are won. On the dotted line, probabilities are what they say.

    Args:
        frame: `probability`, and `label`: 1 for a win, else 0.
        title: Heading.
    """

    def draw(axes: list[Axes]) -> None:
        (one,) = axes
        probability = frame["probability"].to_numpy()
        label = frame["label"].to_numpy()
        order = np.argsort(probability, kind="stable")
        parts = np.array_split(order, int(np.clip(len(order) // 25, 1, 10)))
        counts = np.array([len(part) for part in parts])
        predicted = np.array([probability[part].mean() for part in parts])
        observed = np.array([label[part].mean() for part in parts])
        z = 1.96
        center = (observed + z**2 / (2 * counts)) / (1 + z**2 / counts)
        spread = np.sqrt(observed * (1 - observed) / counts + (z / (2 * counts)) ** 2)
        reach = z * spread / (1 + z**2 / counts)
        bars = np.clip([observed - (center - reach), center + reach - observed], 0, None)
        ends = [min(predicted.min(), observed.min()), max(predicted.max(), observed.max())]
        one.plot(ends, ends, color=_GREY, linewidth=0.8, linestyle=":")
        one.errorbar(
            predicted, observed, yerr=bars, color=_BLUE, marker="o", markersize=4, capsize=2
        )
        rate = float(label.mean())
        one.axhline(rate, color=_OCHRE, linewidth=1.0, label=f"all: {rate:.1%} won")
        one.legend(frameon=False)
        one.set_xlabel("predicted probability of a net profit")
        one.set_ylabel("share of wins, 95 % interval")

    heading = f"{title}: {frame.height:,} predictions"
    return _picture(heading, draw, empty=frame.is_empty())


def quality(findings: pl.DataFrame, shares: Mapping[date, float], title: str = "Quality") -> bytes:
    """Findings by kind along the days, above the share of each day's bars that is valid.

    Args:
        findings: Rows of the table `quality`; those that something repaired are told apart.
        shares: Of each day that was inspected, that share.
        title: Heading.
    """
    kinds = findings["kind"].unique().sort(descending=True).to_list()
    days = sorted(shares)
    mended = pl.col("repaired").is_not_null()
    findings = findings.with_columns(
        shown=pl.when(mended).then(pl.lit("repaired")).otherwise("severity")
    )

    def draw(axes: list[Axes]) -> None:
        from matplotlib.dates import date2num
        from matplotlib.lines import Line2D

        line, share = axes
        least = timedelta(hours=24 * len(days) / 300)  # so that a moment can be seen
        for kind, shown, start, end in findings.select("kind", "shown", "ts", "end_ts").iter_rows():
            place = kinds.index(kind)
            long = max(end - start, least)
            color, height = _SEVERITIES[shown]
            line.broken_barh(
                [(date2num(start), long / timedelta(days=1))],
                (place - height / 2, height),
                color=color,
                linewidth=0,
            )
        line.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        line.set_ylim(-0.6, max(len(kinds), 1) - 0.4)
        if not kinds:
            line.text(
                0.5,
                0.5,
                "nothing was found",
                transform=line.transAxes,
                ha="center",
                va="center",
                color=_MUTED,
            )
        present = [name for name in _SEVERITIES if name in set(findings["shown"])]
        line.legend(
            [Line2D([], [], color=_SEVERITIES[name][0], linewidth=5) for name in present],
            present,
            loc="lower right",
            bbox_to_anchor=(1, 0.98),
            frameon=False,
            ncols=4,
            handlelength=0.8,
        )
        values = np.array([shares[day] for day in days]) * 100
        starts = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
        for height, bottom, color in ((values, 0.0, _GREEN), (100 - values, values, _RED)):
            share.bar(starts, height, 1, bottom, align="edge", color=color, edgecolor="white")
        share.set_ylim(90 if values.min() >= 90 else 0, 100)
        share.set_ylabel("% valid")
        share.set_xlim(starts[0], starts[-1] + timedelta(days=1))
        _date_axis(share)

    tall = max(3.2, 1.7 + 0.2 * len(kinds))
    return _picture(title, draw, empty=not days, heights=(tall - 1, 0.8), tall=tall)


def disagreements(differing: pl.DataFrame, minutes: int, title: str) -> bytes:
    """When, and by how much, bars differ from the exchange's own klines.

    Args:
        differing: `ts`, `distance` (relative), `known` (something is known to be wrong there).
        minutes: How many minutes were compared.
        title: Heading.
    """

    def draw(axes: list[Axes]) -> None:
        (one,) = axes
        for known, color, label in (
            (False, _RED, "nothing known to be wrong"),
            (True, _GREY, "in a gap, silence or contradiction"),
        ):
            rows = differing.filter(pl.col("known") == known)
            if rows.height:
                size = np.maximum(rows["distance"].to_numpy(), 1e-9)
                one.scatter(rows["ts"], size, s=9, color=color, label=f"{label}: {rows.height}")
        one.set_yscale("log")
        one.set_ylabel("relative difference")
        one.legend(loc="lower right", bbox_to_anchor=(1, 0.98), frameon=False, ncols=2)
        _date_axis(one)

    heading = f"{title}: {differing.height:,} of {minutes:,} minutes differ"
    return _picture(heading, draw, empty=differing.is_empty(), nothing="every minute agrees")


def nearness(differences: pl.DataFrame, bounds: tuple[float, float], title: str) -> bytes:
    """Closes against another venue's, in basis points, with the bounds of the 99th percentile.

    Args:
        differences: `ts`, `bps`.
        bounds: Of the median and the 99th percentile.
        title: Heading.
    """
    thin = _thinned(differences)

    def draw(axes: list[Axes]) -> None:
        line, spread = axes
        line.plot(thin["ts"], thin["bps"], color=_BLUE, linewidth=0.7)
        line.axhline(0, color=_GREY, linewidth=0.8, linestyle=":")
        for sign in (-1, 1):
            line.axhline(sign * bounds[1], color=_RED, linewidth=1.0)
        line.set_ylabel("basis points")
        _date_axis(line)
        size = np.sort(differences["bps"].abs().to_numpy())
        spread.plot(size, np.linspace(0, 1, size.size), color=_BLUE)
        for bound, share, name in ((bounds[0], 0.5, "median"), (bounds[1], 0.99, "99 %")):
            found = float(np.quantile(size, share))
            spread.plot([found], [share], "o", color=_BLUE, markersize=4)
            spread.axvline(
                bound,
                color=_RED,
                linewidth=1.0,
                linestyle=":" if share == 0.5 else "-",
                label=f"{name}: {found:.1f}, bound {bound:g}",
            )
        spread.set_xlabel("|difference|, basis points")
        spread.set_ylabel("share of minutes below")
        spread.legend(frameon=False)

    return _picture(title, draw, empty=differences.is_empty(), side_by_side=True)


def _date_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _thinned(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.gather_every(max(1, -(-frame.height // _MOST_POINTS)))


def _relative(series: pl.Series) -> np.ndarray:
    values = series.to_numpy().astype(np.float64)
    return values / values[0] * 100 if len(values) else values


def _picture(
    title: str,
    draw: Callable[[list[Axes]], None],
    *,
    empty: bool,
    heights: tuple[float, ...] = (1,),
    side_by_side: bool = False,
    nothing: str = "no rows",
    tall: float = 3.2,
) -> bytes:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {
        "font.size": 9,
        "text.color": _INK,
        "axes.edgecolor": _LINE,
        "axes.labelcolor": _MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _LINE,
        "grid.linewidth": 0.6,
        "xtick.color": _MUTED,
        "ytick.color": _MUTED,
        "timezone": "UTC",
    }
    with rc_context(style):
        figure = Figure(figsize=(7.2, tall), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        if empty:
            figure.text(0.5, 0.5, nothing, ha="center", color=_MUTED)
        elif side_by_side:
            draw(list(figure.subplots(1, 2)))
        else:
            rows = figure.subplots(
                len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights)
            )
            draw(list(rows[:, 0]))
        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
