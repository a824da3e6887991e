"""Live trades against those that the simulator makes of the same decisions on the archive's trades.

Both are matched by the time of the decision. A price may differ since another trade filled it, a
time since a request took longer, a fee since the exchange charged another; and a trade may have
come about on one side only. Each is classified, none averaged away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from vostok_core.backtest.simulator import trades_frame
from vostok_core.live.findings import NAN, Deviation
from vostok_core.trading.commands import closed_from_json
from vostok_core.trading.rules import Rules

BPS = 1e4


def live_trades(commands: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Positions that the daemon closed.

    Args:
        commands: Rows of `live_commands`.
        rules: The grid that they count on.

    Returns:
        Rows of the table `backtest_trades`; slippage is 0, since prices are what was paid.
    """
    bodies = commands.filter(kind="Closed").sort("seq", "position")["body"]
    return trades_frame([(closed_from_json(json.loads(body)), 0) for body in bodies], rules)


@dataclass(frozen=True)
class Passed:
    """Why a side opened nothing on a decision.

    Attributes:
        open: Spans in which it held or sought another position: decision, end; microseconds.
        reasons: Decision -> why, where something else is known.
        open_since: After this time a position was opened that had not closed when what is known
            ended; None where there is none.
    """

    open: Sequence[tuple[int, int]]
    reasons: Mapping[int, str]
    open_since: int | None = None

    def why(self, ts: int) -> str:
        """Why nothing was opened at a decision."""
        if ts in self.reasons:
            return self.reasons[ts]
        if any(begin < ts <= end for begin, end in self.open):
            return "busy"
        if self.open_since is not None and ts >= self.open_since:
            return "still open"
        return "passed over"


def compare_fills(
    live: pl.DataFrame, simulated: pl.DataFrame, ours: Passed, theirs: Passed
) -> list[Deviation]:
    """Live positions against simulated ones.

    Args:
        live, simulated: Rows of the table `backtest_trades`.
        ours, theirs: Why either opened nothing, or is not known to have closed.

    Returns:
        For each position that both have, zeros included: `entry_price` and `exit_price` (bps,
        positive where the live one was worse), `entry_time` and `exit_time` (ms, positive where it
        was later), `fee` (bps of what was bought) and `net_return` (bps); and `exit_reason` where
        that differs. `only_simulated`, `only_live`: positions of one side, with the other's reason.
    """
    both = live.join(simulated, on="decision_ts", how="full", coalesce=True, suffix="_then").sort(
        "decision_ts"
    )
    times = ("decision_ts", "entry_ts", "exit_ts", "entry_ts_then", "exit_ts_then")
    found: list[Deviation] = []
    for row in both.with_columns(pl.col(*times).to_physical()).iter_rows(named=True):
        ts = row["decision_ts"]
        if row["entry_ts"] is None:
            found.append(_one_sided("only_simulated", ts, row["net_return_then"], ours))
        elif row["entry_ts_then"] is None:
            found.append(_one_sided("only_live", ts, row["net_return"], theirs))
        else:
            found += _pair(ts, row)
    return found


def _one_sided(kind: str, ts: int, net: float, other: Passed) -> Deviation:
    sides = (NAN, net * BPS) if kind == "only_simulated" else (net * BPS, NAN)
    return Deviation(kind, ts, *sides, net * BPS, "bps", cause=other.why(ts))


def _pair(ts: int, row: Mapping[str, float]) -> list[Deviation]:
    """One position, live and simulated."""

    def cause(event: str, apart: float) -> str:
        if event == "exit" and row["exit_reason"] != row["exit_reason_then"]:
            return "exit_reason"
        if row[f"{event}_ts"] != row[f"{event}_ts_then"]:
            return "latency"
        return "slippage" if apart else ""

    found = []
    for event, sign in (("entry", 1.0), ("exit", -1.0)):
        price, then = row[f"{event}_price"], row[f"{event}_price_then"]
        bps = sign * (price / then - 1.0) * BPS + 0.0
        why = cause(event, bps)
        found.append(Deviation(f"{event}_price", ts, price, then, bps, "bps", cause=why))
        at, at_then = row[f"{event}_ts"], row[f"{event}_ts_then"]
        sides = (at - ts) / 1e3, (at_then - ts) / 1e3
        late, why = (at - at_then) / 1e3, cause(event, 0.0)
        found.append(Deviation(f"{event}_time", ts, *sides, late, "ms", cause=why))
    fee, fee_then = (
        BPS * row[f"fees{side}"] / (row[f"entry_price{side}"] * row[f"qty{side}"])
        for side in ("", "_then")
    )
    found.append(Deviation("fee", ts, fee, fee_then, fee - fee_then, "bps"))
    net, net_then = row["net_return"] * BPS, row["net_return_then"] * BPS
    found.append(Deviation("net_return", ts, net, net_then, net_then - net, "bps"))
    if row["exit_reason"] != row["exit_reason_then"]:
        detail = f"{row['exit_reason']} live, {row['exit_reason_then']} simulated"
        found.append(Deviation("exit_reason", ts, NAN, NAN, NAN, "", detail=detail))
    return found
