"""What Dagster shows of `quality`: two checks, figures and a table of a day, a plot of four weeks.

What is wrong and known to bars makes them invalid, and needs nobody. What is wrong and known to no
bar would be trained on, so it blocks.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from vostok_core.lake.store import Lake
from vostok_core.market.days import require_fit
from vostok_core.market.instrument import Instrument
from vostok_core.market.oddities import CROSSED, FEW, OUTLIERS_POISON, REVERSALS_POISON
from vostok_core.market.quality import JUMPS_POISON, TORN_POISON, poison, valid
from vostok_core.times import DAY, MINUTE, day_start
from vostok_core.times import days as each_day
from vostok_pipelines import plots
from vostok_pipelines.metadata import table_markdown

NO_GAPS, FIT_TO_TRAIN = "no_gaps", "fit_to_train"

QUALITY_CHECKS = (
    dg.AssetCheckSpec(
        NO_GAPS,
        asset="quality",
        description="No gap, silence, jump or contradiction in the days of the run. A warning: "
        "bars that overlap a finding are marked invalid, and train and trade nothing.",
    ),
    dg.AssetCheckSpec(
        FIT_TO_TRAIN,
        asset="quality",
        description="Nothing is wrong that no bar is marked invalid for. It blocks: no bars are "
        f"built of a day on which outliers are more than {OUTLIERS_POISON:.1%} of the trades, "
        f"jumps more than {JUMPS_POISON:.1%}, trades stamped earlier than one before them, by over "
        f"a minute at worst, more than {REVERSALS_POISON:.0%} (and each more than {FEW}), takers "
        f"buy below where they have just sold in more than {CROSSED:.0%} of the changes of side, "
        f"or files contradict one another in more than {TORN_POISON:.0%} of the minutes.",
        blocking=True,
    ),
)

_ROWS = 20
_RANKS = {"error": 0, "warn": 1, "info": 2}
_PLOTTED = timedelta(days=27)  # before the last day


class QualityChecks:
    """Gathers the findings of the days of a run."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, date], pl.DataFrame] = {}

    def look(self, instrument: Instrument, day: date, findings: pl.DataFrame) -> None:
        """Take note of a day's rows of `quality`."""
        serious = findings.filter((pl.col("severity") != "info") | pl.col("invalidates"))
        self._days[str(instrument.id), day] = serious

    def require_fit(self, name: str, day: date) -> None:
        """Check a day that was looked at.

        Raises:
            UnfitDay: Something is wrong with it that would be trained on.
        """
        if (name, day) in self._days:
            require_fit(self._days[name, day], name, day)

    def results(self) -> list[dg.AssetCheckResult]:
        """Those of both checks."""
        broken = self._rows(pl.col("invalidates"))
        odd = self._rows(~pl.col("invalidates"))
        unfit = [
            row for key, findings in self._days.items() for row in _shown(*key, poison(findings))
        ]
        return [
            dg.AssetCheckResult(
                check_name=NO_GAPS,
                passed=not broken,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "findings": len(broken),
                    "first": table_markdown(broken[:_ROWS]),
                    "odd": len(odd),
                    "first_odd": table_markdown(odd[:_ROWS]),
                },
            ),
            dg.AssetCheckResult(
                check_name=FIT_TO_TRAIN,
                passed=not unfit,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"findings": len(unfit), "first": table_markdown(unfit[:_ROWS])},
            ),
        ]

    def _rows(self, which: pl.Expr) -> list[dict[str, object]]:
        return [
            row
            for key, findings in self._days.items()
            for row in _shown(*key, findings.filter(which))
        ]


def _shown(name: str, day: date, findings: pl.DataFrame) -> list[dict[str, object]]:
    return [
        {"day": str(day), "instrument": name, **_finding(row)}
        for row in findings.iter_rows(named=True)
    ]


def _finding(row: Mapping[str, Any]) -> dict[str, object]:
    return {
        "kind": row["kind"],
        "severity": row["severity"],
        "from": str(row["ts"]),
        "to": str(row["end_ts"]),
        "count": row["count"],
        "detail": row["detail"],
    }


def findings_table(findings: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """The gravest findings of a day, and what repaired them."""
    gravest = findings.sort(
        pl.col("severity").replace_strict(_RANKS), ~pl.col("invalidates"), maintain_order=True
    )
    rows = gravest.head(_ROWS).iter_rows(named=True)
    return table_markdown([_finding(row) | {"repaired": row["repaired"] or ""} for row in rows])


def facts(instrument: Instrument, day: date, findings: pl.DataFrame) -> dict[str, Any]:
    """Figures and a table of a day's quality, for its metadata."""
    counts = {
        f"{severity}s": findings.filter(pl.col("severity") == severity).height
        for severity in _RANKS
    }
    return {
        **counts,
        "invalid_spans": findings.filter("invalidates").height,
        "repaired": findings["repaired"].count(),
        "valid_share": valid_share(instrument, day, findings),
        "findings": findings_table(findings),
    }


def valid_share(instrument: Instrument, day: date, findings: pl.DataFrame) -> float:
    """Share of a day's minutes whose bars nothing was wrong with when they closed."""
    ends = np.arange(day_start(day) + MINUTE, day_start(day) + DAY + 1, MINUTE)
    return float(valid(ends, MINUTE, findings, instrument.max_silence).mean())


def quality_plot(lake: Lake, instrument: Instrument, last: date) -> bytes:
    """The findings of the 28 days through `last`, and the share of bars that are valid."""
    name = str(instrument.id)
    found = {
        day: lake.read("quality", instrument=name, date=day)
        for day in each_day(last - _PLOTTED, last)
        if lake.exists("quality", instrument=name, date=day)
    }
    shares = {day: valid_share(instrument, day, rows) for day, rows in found.items()}
    title = f"Quality of {name}, 28 days through {last}"
    return plots.quality(pl.concat(found.values()), shares, title)
