"""From evidence in the lake to a decision in it: gathers, judges, records, moves the pointer.

Whatever moment it is killed at, nothing is in service without its report, its gate report and its
row in `promotions`, and doing it again completes it: `vostok_pipelines.due` asks for that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from vostok_core.backtest.path import prediction_weeks
from vostok_core.backtest.report import IndexEntry, ReportContent, write_index, write_report
from vostok_core.errors import BundleError
from vostok_core.lake.address import Place
from vostok_core.lake.objects import conflict
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.models.bundle import Bundle
from vostok_core.models.bundle_folder import load_bundle
from vostok_core.models.registry import (
    bundle_path,
    changing_service,
    keep,
    may_enter,
    put_in_service,
)
from vostok_core.project import Project
from vostok_core.promotion.gate import Decision, Evidence, judge
from vostok_core.promotion.log import is_decision, log_decision
from vostok_core.promotion.records import decision_frame, gate_report
from vostok_core.promotion.service import standing as standing_of
from vostok_core.promotion.trials import trials
from vostok_core.strategy import Strategy
from vostok_core.times import HOUR, day_of, days
from vostok_pipelines.evidence import read_backtest, require_logged
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.currency import StrategyCurrency


@dataclass(frozen=True)
class Verdict:
    """A decision, and what came of it.

    Attributes:
        decision: What the gate decided.
        bundle_ok: Whether the bundle could be trusted.
        in_service: Whether it is in service now.
        standing: What came of it, in words: why it is not in service, if it isn't.
        report: The report that shows the decision.
    """

    decision: Decision
    bundle_ok: bool
    in_service: bool
    standing: str
    report: Place


def report_path(lake: Lake, strategy: str, instrument: str, week: date) -> Place:
    """Where the HTML report of a decision lies."""
    return lake.objects.place(f"reports/{strategy}/{instrument}/{week}.html")


def index_path(lake: Lake, strategy: str) -> Place:
    """Where the page that leads to a strategy's newest reports lies."""
    return lake.objects.place(f"reports/{strategy}/index.html")


def refresh_index(lake: Lake, strategy: Strategy) -> Place:
    """Write the page that leads to the newest report of every instrument of a strategy."""
    entries = []
    for market in lake.keys("promotions", strategy=strategy.name):
        place = {"strategy": strategy.name, "instrument": market}
        decided = [  # a decision that was cut short may have left the folder of its week
            week
            for week in lake.keys("promotions", **place)
            if lake.exists("promotions", **place, week=week)
            and lake.exists("backtest_daily", **place, week=week)
        ]
        if not decided:
            continue
        week = decided[-1]
        rows = lake.read("promotions", **place, week=week)
        failed = rows.filter(pl.col("verdict") == "fail")["rule"].to_list()
        entries.append(
            IndexEntry(
                href=f"{market}/{week}.html",
                strategy=strategy.name,
                instrument=market,
                daily=lake.read("backtest_daily", **place, week=week),
                decision=rows["decision"][0],
                summary=f"As of {week}, "
                + (
                    f"{len(failed)} of {rows.height} rules fail: {', '.join(failed)}."
                    if failed
                    else f"all {rows.height} rules hold."
                ),
            )
        )
    return write_index(
        index_path(lake, strategy.name),
        entries,
        title=strategy.name,
        description=strategy.file.description,
    )


def _wall_time() -> int:
    return time.time_ns() // 1_000


def decide(
    lake: Lake,
    project: Project,
    strategy: Strategy,
    instrument: Instrument,
    week: date,
    now: Callable[[], int] = _wall_time,
) -> Verdict:
    """Judge the strategy's path before `week` and, if it has earned it, promote the week's model.

    In this order: the report beside the lake's tables; of a promoted model, a copy that retraining
    does not reach, with the gate's report; the decision in the tables `gate_decisions` and
    `promotions`; the promoted pointer; the page of reports. A refusal leaves the pointer as it is,
    and so does a promotion when a later week's model is in service, when a person has set the
    week's aside, or when the configuration has been walked further than to `week`: else who is
    refused could go back to an end that was better. A decision that was to enter service and was
    cut short is completed all the same, since it was made before that. Decisions of other weeks
    wait while one is recorded.

    Args:
        lake: The lake.
        project: Its project.
        strategy: The strategy.
        instrument: What it trades.
        week: Monday of the model.
        now: Says when something enters service: microseconds of wall time.

    Raises:
        MissingPartition: The week's backtest has not been made.
        StalePartition: It was made as another configuration, of other predictions, or not to the
            end of the week before; its predictions would be others now; or it is not among the
            logged trials.
        Conflict: The week was decided by somebody else at the same time.
    """
    name, market = strategy.name, str(instrument.id)
    place = {"strategy": name, "instrument": market}
    configuration = configuration_hash(strategy, instrument, project.settings)
    profile = project.settings.gate(strategy.file.gate.profile)
    found, hashes = read_backtest(lake, strategy, instrument, week, configuration)
    used = prediction_weeks(lake, name, market, week)
    currency = StrategyCurrency(lake, project.settings, strategy, instrument)
    currency.require_predictions(used)
    logged = trials(lake, market)
    require_logged(logged, strategy, instrument, week, configuration, daily=found["backtest_daily"])
    folder = bundle_path(lake, name, market, week)
    bundle, checks = _check_bundle(folder, configuration, currency, week)
    sha256 = bundle.sha256 if bundle else ""
    decision = judge(
        Evidence(
            daily=found["backtest_daily"],
            trades=found["backtest_trades"],
            halts=found["backtest_halts"],
            trial_returns=logged,
            bundle_checks=checks,
            equity=found["backtest_equity"],
        ),
        profile,
    )
    named = {
        "profile_name": strategy.file.gate.profile,
        "configuration": configuration,
        "bundle": sha256,
    }
    report = write_report(
        report_path(lake, name, market, week),
        ReportContent(
            strategy=name,
            instrument=market,
            decision=decision,
            description=strategy.file.description,
            bars=_hourly_closes(lake, strategy, market, found["backtest_equity"]),
            equity=found["backtest_equity"],
            daily=found["backtest_daily"],
            trades=found["backtest_trades"],
            halts=found["backtest_halts"],
            statistics=found["backtest_statistics"],
            configuration=strategy.resolved(),
            hashes=_hashes(lake, place, week, configuration, sha256, decision),
        ),
    )
    with changing_service(lake, name, market):
        seen = lake.seen("promotions", **place, week=week)
        record = {"code_version": configuration, "inputs": {**hashes, "bundle": sha256}}
        newest = logged[name, configuration]["date"].to_list()[-1]
        # A path that ends before what is known of the configuration was chosen to end there.
        allowed = newest < week or _was_to_enter(lake, place, week, decision, named, record)
        enters = decision.promoted and allowed and may_enter(lake, name, market, week)
        kept = None
        if decision.promoted:
            gate = json.dumps(
                gate_report(decision, **named, evidence=hashes), indent=1, sort_keys=True
            )
            kept = keep(lake, name, market, week, sha256=sha256, gate=f"{gate}\n".encode())
        rows = decision_frame(decision, **named, enters_service=enters)
        log_decision(lake, name, market, week, rows, **record)
        lake.write("promotions", rows, **record, over=seen, **place, week=week)
        if enters and kept is not None:
            entered = put_in_service(lake, kept, at=now(), why=decision.summary)
            if not entered:  # the turn was lost, and a later week has entered meanwhile
                raise conflict(lake.partition("promotions", **place, week=week))
        standing = standing_of(lake, name, market, week)
    refresh_index(lake, strategy)
    return Verdict(decision, all(checks.values()), enters, standing, report)


def _was_to_enter(
    lake: Lake,
    place: Mapping[str, str],
    week: date,
    decision: Decision,
    named: Mapping[str, str],
    record: Mapping[str, Any],
) -> bool:
    """Whether this very decision was recorded before, as one that enters service."""
    if not lake.exists("promotions", **place, week=week):
        return False
    entering = decision_frame(decision, **named, enters_service=True)
    return is_decision(lake.info("promotions", **place, week=week), entering, **record)


def _hourly_closes(
    lake: Lake, strategy: Strategy, instrument: str, equity: pl.DataFrame
) -> pl.DataFrame | None:
    """The instrument's closes over the path, thinned to hours, to show trades on."""
    if equity.is_empty():
        return None
    marks = equity["ts"].to_physical()
    # The mark at midnight is the close of the bar that ends the day before.
    first, last = day_of(int(marks[0])), day_of(int(marks[-1]) - 1)
    place = {"instrument": instrument, "interval": strategy.file.interval}
    parts = [
        bars.filter(pl.col("ts").to_physical() % HOUR == 0)
        for _, bars in lake.load_days("bars", days(first, last), columns=["ts", "close"], **place)
    ]
    return pl.concat(parts)


def _check_bundle(
    folder: Place, configuration: str, currency: StrategyCurrency, week: date
) -> tuple[Bundle | None, dict[str, bool]]:
    """The candidate, if it loads: that verifies every hash and its golden rows bit for bit."""
    try:
        bundle = load_bundle(folder)
    except BundleError:
        return None, {
            "hashes and golden rows": False,
            "configuration": False,
            "unchanged inputs": False,
        }
    return bundle, {
        "hashes and golden rows": True,
        "configuration": bundle.manifest.configuration == configuration,
        "unchanged inputs": currency.model(week) is None,
    }


def _hashes(
    lake: Lake,
    place: Mapping[str, str],
    week: date,
    configuration: str,
    bundle: str,
    decision: Decision,
) -> dict[str, str]:
    backtest = lake.info("backtest_trades", **place, week=week)
    return {
        "configuration": configuration,
        "gate profile": decision.profile_hash,
        "bundle": bundle,
        "trades": backtest.content_hash,
        **{f"input {name}": value for name, value in backtest.inputs.items()},
    }
