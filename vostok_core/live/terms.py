"""The terms of a run: what its engine was told once, and which decisions it was to hear of.

The first follows from the strategy of the bundle that the run began with. A decision is withheld
as `missed` where its bar had been closed, or a trade after it been written down, before the run
began; as `late` where the bar was older than the run allows when it was asked whether to act. The
reasons beside these two are what the daemon knew of its connections: nothing else tells of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from vostok_core.live.shipped import ShippedRun
from vostok_core.live.tally import Tally, shown
from vostok_core.live.told import Heard
from vostok_core.strategy import Strategy
from vostok_core.trading.config import EngineConfig

TOLD = "told"
MISSED, LATE = "missed", "late"
OTHERWISE = "told, or another reason"


def compare_config(tally: Tally, ts: int, run: ShippedRun, strategy: Strategy) -> None:
    """Compare what the engine of a run was told with what its strategy asks for.

    The venue's capabilities and the run's speed are taken from the run.

    Args:
        tally: Where each field is counted.
        ts: Where a difference is shown, microseconds.
        run: The run.
        strategy: That of the bundle it began with.
    """
    again = EngineConfig.from_strategy(
        strategy, run=run.name, capabilities=run.config.capabilities
    ).at_speed(run.speed)
    live, batch = run.config.to_json(), again.to_json()
    for name in batch:
        place = f"{name} of the engine of run {run.run}"
        tally.texts(ts, place, _said(live[name]), _said(batch[name]))


def compare_withheld(
    tally: Tally,
    steps: pl.DataFrame,
    due: np.ndarray,
    run: ShippedRun,
    newest: Mapping[int, int],
    heard: Heard,
) -> None:
    """Compare what became of decisions with what was to become of them.

    Args:
        tally: Where each decision is counted, and each time at which it was asked about one.
        steps: Rows of `live_steps` of the run.
        due: Whether a decision was due, as the batch says; boolean, shape (rows,).
        run: The run.
        newest: End of a bar -> id of the newest trade that counts in it or before it.
        heard: When the engine was told of a bar.
    """
    ends, asked = (steps[name].to_physical().to_list() for name in ("ts", "asked_ts"))
    for ts, said, at, is_due in zip(
        ends, steps["withheld"].to_list(), asked, due.tolist(), strict=True
    ):
        if not is_due:
            if said is not None or at is not None:
                tally.lack(ts, "withheld", said or TOLD, "no decision was due")
            continue
        live = said or TOLD
        tally.texts(ts, "withheld", live, _due(live, ts, at, run, newest))
        told_ts = heard.when(run.run, ts)
        if at is not None and told_ts is not None:
            tally.whole(
                np.array([ts]), "asked_ts", np.array([at]), np.array([min(at, told_ts)]),
                "it was asked before the engine was told",
            )  # fmt: skip


def _due(live: str, ts: int, asked: int | None, run: ShippedRun, newest: Mapping[int, int]) -> str:
    """What was to become of a decision."""
    if run.had_closed(ts, newest.get(ts)):
        return MISSED
    if asked is None:
        return "asked about"
    if asked - ts > run.decide_within:
        return LATE
    return OTHERWISE if live in (MISSED, LATE) else live


def _said(value: object) -> str:
    return shown(value) if isinstance(value, float) else str(value)
