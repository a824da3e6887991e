"""Small pictures for the metadata of assets: PNG bytes, each well under 100 kB.

Drawn on figures of their own, never through pyplot, whose global state would leak between runs.
Matplotlib is imported where a picture is drawn, to keep the start of a code location quick.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _MUTED, _LINE = "#1b1d21", "#5b616b", "#e4e2dc"
_BLUE, _OCHRE, _RED, _GREEN, _GREY = "#1d5fc2", "#a8690c", "#b3261e", "#1b7a4b", "#868c95"
_TOUCHES = {"take_profit": _GREEN, "time": _GREY, "stop_loss": _RED}
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
        figure = Figure(figsize=(7.2, 3.2), dpi=100, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        if empty:
            figure.text(0.5, 0.5, "no rows", ha="center", color=_MUTED)
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
