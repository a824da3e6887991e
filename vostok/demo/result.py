"""What the demo found, in its published form (docs/demo.schema.json)."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from vostok_core.lake.atomic import replacing
from vostok_core.lake.store import Lake

Status = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True)
class RuleResult:
    """One rule of the gate; `value` and `bound` are null where they couldn't be measured."""

    name: str
    value: float | None
    bound: float | None
    verdict: str
    reason: str


@dataclass(frozen=True)
class PromotionResult:
    """The gate's decision on one instrument; `planted` is the edge's strength, 0 for none."""

    instrument: str
    strategy: str
    planted: float
    decision: str
    rules: list[RuleResult]


@dataclass(frozen=True)
class LiveResult:
    """What the daemon did at the exchange, and what the exchange's own books say of it.

    Attributes:
        exchange: Which one.
        speed: Seconds of market time in a second.
        market_from, market_to: What it traded, in market time.
        round_trips: Positions that were opened and closed.
        by_resting_exit: Those that an exit closed which rested at the exchange.
        exits: Round trips by what ended them.
        equity_from, equity_to: In quote.
        killed_holding: Base that was held when the daemon was killed.
        events_before_kill, events: Events in the journal then, and at the end.
        reconciled: Whether journal and exchange say the same at the end.
        audit: What was compared (`vostok-live audit`).
    """

    exchange: str
    speed: float
    market_from: str
    market_to: str
    round_trips: int
    by_resting_exit: int
    exits: dict[str, int]
    equity_from: float
    equity_to: float
    killed_holding: float
    events_before_kill: int
    events: int
    reconciled: bool
    audit: dict[str, Any]


@dataclass(frozen=True)
class ParityResult:
    """What a batch computed again from the journal; `kinds` holds (compared, equal) by kind."""

    equal: bool
    features_compared: int
    features_equal: int
    decisions_compared: int
    decisions_equal: int
    kinds: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ReconciliationResult:
    """What honestly differs from the archive and from simulated fills, by kind of difference."""

    findings: dict[str, dict[str, Any]]


@dataclass
class DemoResult:
    """Everything the demo tells a program. Decisions are in it once it is done, and not before.

    Attributes:
        seed: Seed of the synthetic world.
        status: How the demo stands; `running` for ever if it was killed.
        error: Why it failed, with what to do about it.
        stages: Seconds of each stage; where instruments run side by side, of the slower one.
        run_ids: The Dagster runs that did the work.
        gate_profile_hash: Hash of the gate profile that made all decisions.
        promotions: A decision for each instrument.
        report: Path of the HTML page that leads to the reports.
        live: What the promoted model did at the exchange; none where nothing was promoted.
        parity: Whether a batch computes the same bits; likewise.
        reconciliation: What honestly differs; likewise.
    """

    seed: int
    status: Status = "running"
    error: str | None = None
    stages: dict[str, float] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)
    gate_profile_hash: str = ""
    promotions: list[PromotionResult] = field(default_factory=list)
    report: str = ""
    live: LiveResult | None = None
    parity: ParityResult | None = None
    reconciliation: ReconciliationResult | None = None

    def decision(self, instrument: str) -> str | None:
        """What the gate decided on an instrument; None where it has not."""
        return next((p.decision for p in self.promotions if p.instrument == instrument), None)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n")


def read_promotion(
    lake: Lake, strategy: str, instrument: str, week: object, planted: float
) -> tuple[PromotionResult, str]:
    """A decision as it stands in the lake, and the hash of the gate profile that made it."""
    frame = lake.read("promotions", strategy=strategy, instrument=instrument, week=str(week))
    rules = [
        RuleResult(
            row["rule"], _number(row["value"]), _number(row["bound"]), row["verdict"], row["reason"]
        )
        for row in frame.iter_rows(named=True)
    ]
    decision = str(frame["decision"][0])
    profile_hash = str(frame.select(pl.col("profile_hash").first()).item())
    return PromotionResult(instrument, strategy, planted, decision, rules), profile_hash


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
