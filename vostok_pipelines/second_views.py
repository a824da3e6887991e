"""The checks that hold bars against a second view: the exchange's own klines, another venue's bars.

A check gathers the days of a run one by one, and its result tells of all of them.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from vostok_core.lake.store import Lake
from vostok_core.market.agreement import (
    DISAGREEMENT_POISON,
    LEAST_MINUTES,
    Agreement,
    Nearness,
    with_reference,
)
from vostok_core.market.days import unfit
from vostok_core.market.instrument import Instrument
from vostok_core.market.second_view import agreement_of
from vostok_core.settings import InstrumentSettings
from vostok_pipelines import plots
from vostok_pipelines.metadata import plot, table_markdown

KLINES_AGREE, REFERENCE_AGREES = "klines_agree", "reference_agrees"

CHECKS = (
    dg.AssetCheckSpec(
        KLINES_AGREE,
        asset="bars",
        description="Where klines have landed beside trades, the bars of every minute are those "
        "klines: prices and counts exactly, volumes to the rounding of doubles. A warning names "
        f"the minutes that differ. It blocks where more than {DISAGREEMENT_POISON:.0%} of a day's "
        "minutes differ in which no gap, silence or contradiction was found; the bars of such a "
        "day are not written.",
        blocking=True,
    ),
    dg.AssetCheckSpec(
        REFERENCE_AGREES,
        asset="bars",
        description="Closes lie near those of the `reference` in vostok.toml: median and 99th "
        "percentile of the absolute difference on each day. A warning: which venue is right is not "
        "known.",
    ),
)

_ROWS = 20  # of a table in the metadata
_POINTS = 100_000  # minutes kept for a plot; those of earlier days go first


class KlinesAgree:
    """Bars against the exchange's own klines."""

    def __init__(self) -> None:
        self._days: list[tuple[str, date, Agreement]] = []

    def look(self, lake: Lake, instrument: Instrument, day: date, bars: pl.DataFrame) -> None:
        """Compare a day's bars, interval 1m.

        Raises:
            UnfitDay: They differ so much that they must not be trained on.
        """
        found = agreement_of(lake, instrument, day, bars)
        if found is None:
            return
        name = str(instrument.id)
        self._days.append((name, day, found))
        if found.poisons:
            raise unfit(
                name,
                day,
                f"{found.unexplained.height} of {found.minutes} minutes differ from the klines "
                f"that the exchange published, worst {_minute(found)}",
            )

    def result(self) -> dg.AssetCheckResult:
        """What was found on all days."""
        differing = sum(found.unexplained.height for _, _, found in self._days)
        poisoned = [(name, day) for name, day, found in self._days if found.poisons]
        minutes = sum(found.minutes for _, _, found in self._days)
        worst = sorted(
            (
                (-row["distance"], row["ts"], name, row)
                for name, _, found in self._days
                for row in found.unexplained.head(_ROWS).iter_rows(named=True)
            ),
            key=lambda each: each[:3],
        )
        metadata: dict[str, Any] = {
            "days": len(self._days),
            "minutes": minutes,
            "differing": differing,
            "differing_where_trades_are_known_to_be_wrong": sum(
                found.differing.height - found.unexplained.height for _, _, found in self._days
            ),
            "blocking_days": ", ".join(f"{day} {name}" for name, day in poisoned) or "none",
            "worst": table_markdown(
                [
                    {
                        "bar": f"{ts:%Y-%m-%d %H:%M}",
                        "instrument": name,
                        "differs in": row["differs"],
                        "ours (open high low close volume)": row["ours"],
                        "kline": row["theirs"],
                    }
                    for _, ts, name, row in worst[:_ROWS]
                ]
            ),
        }
        if self._days:
            rows = [found.differing.select("ts", "distance", "known") for _, _, found in self._days]
            metadata["plot"] = plot(
                plots.disagreements(pl.concat(rows).tail(_POINTS), minutes, _span(self._days))
            )
        else:
            metadata["note"] = "no klines have landed beside the trades of these days"
        return dg.AssetCheckResult(
            check_name=KLINES_AGREE,
            asset_key="bars",
            passed=not differing,
            severity=dg.AssetCheckSeverity.ERROR if poisoned else dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )


def _minute(found: Agreement) -> str:
    """The worst minute in words; it is named by its end, as bars are."""
    row = found.unexplained.row(0, named=True)
    return f"{row['ts']:%H:%M} in {row['differs']}: {row['ours']} against {row['theirs']}"


class ReferenceAgrees:
    """Bars against those of another venue.

    Args:
        settings: Of each instrument; it names the reference and the bounds.
    """

    def __init__(self, settings: Mapping[str, InstrumentSettings]) -> None:
        self._settings = settings
        self._days: list[tuple[str, date, Nearness]] = []
        self._absent = 0

    def look(self, lake: Lake, name: str, day: date) -> None:
        """Compare the bars of a day in the lake, if the instrument has a reference."""
        reference = self._settings[name].reference
        if reference is None:
            return
        columns = ("ts", "close", "volume", "valid")
        keys, others = (
            {"instrument": each, "interval": "1m", "date": day} for each in (name, reference)
        )
        if not lake.exists("bars", **others):
            self._absent += 1
            return
        bars, theirs = (lake.read("bars", columns=columns, **each) for each in (keys, others))
        self._days.append((name, day, with_reference(bars, theirs)))

    def result(self) -> dg.AssetCheckResult:
        """What was found on all days."""
        apart = [
            (name, day, found)
            for name, day, found in self._days
            if not found.within(*self._settings[name].reference_bps)
        ]
        shown = sorted(apart or self._days, key=lambda each: -each[2].p99_bps)[:_ROWS]
        minutes = [(name, found.worst(_ROWS)) for name, _, found in self._days if found.minutes]
        worst = sorted(
            (
                (-abs(row["bps"]), row["ts"], name, row)
                for name, rows in minutes
                for row in rows.iter_rows(named=True)
            ),
            key=lambda each: each[:3],
        )
        metadata: dict[str, Any] = {
            "days": len(self._days),
            "days_out_of_bounds": len(apart),
            "days_without_bars_of_the_reference": self._absent,
            "days_with_too_few_minutes": sum(
                found.minutes < LEAST_MINUTES for _, _, found in self._days
            ),
            "by_day": table_markdown([self._row(*each) for each in shown]),
            "worst": table_markdown(
                [
                    {
                        "bar": f"{ts:%Y-%m-%d %H:%M}",
                        "instrument": name,
                        "close": row["ours"],
                        "reference": row["theirs"],
                        "bps": f"{row['bps']:+.1f}",
                    }
                    for _, ts, name, row in worst[:_ROWS]
                ]
            ),
        }
        if self._days:
            name = self._days[-1][0]
            of = [each for each in self._days if each[0] == name]
            rows = pl.concat([found.differences for _, _, found in of]).tail(_POINTS)
            title = f"{_span(of)} against {self._settings[name].reference}"
            metadata["plot"] = plot(plots.nearness(rows, self._settings[name].reference_bps, title))
        else:
            metadata["note"] = "no instrument of these days has a reference with bars of them"
        return dg.AssetCheckResult(
            check_name=REFERENCE_AGREES,
            asset_key="bars",
            passed=not apart,
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )

    def _row(self, name: str, day: date, found: Nearness) -> dict[str, object]:
        median, p99 = self._settings[name].reference_bps
        return {
            "day": str(day),
            "instrument": name,
            "reference": self._settings[name].reference,
            "minutes": found.minutes,
            "median bps": f"{found.median_bps:.2f} (≤ {median:g})",
            "99th percentile": f"{found.p99_bps:.2f} (≤ {p99:g})",
            "bias": f"{found.bias_bps:+.2f}",
        }


def _span(days: list[tuple[str, date, Any]]) -> str:
    """The instruments and days that were looked at, for the heading of a plot."""
    names = list(dict.fromkeys(name for name, _, _ in days))
    first, last = min(day for _, day, _ in days), max(day for _, day, _ in days)
    span = str(first) if first == last else f"{first} to {last}"
    return f"{names[0] if len(names) == 1 else f'{len(names)} instruments'} {span}"
