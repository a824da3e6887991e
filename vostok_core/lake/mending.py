"""The command that makes a partition which is not there, as hints print it."""

from __future__ import annotations

from collections.abc import Mapping

_ASSETS = {
    "promotions": "promotion",
    "gate_decisions": "promotion",
    "service": "promotion",
    "trials": "backtest",
}
"""Tables of a strategy that are made by an asset of another name; so are those of `backtest`."""


def how_to_make(name: str, keys: Mapping[str, object]) -> str:
    """What to do where a partition of a table is missing.

    Args:
        name: The table.
        keys: Those of the partition that are known.
    """
    instrument = keys.get("instrument", "ID")
    day = keys.get("date", "DAY")
    if "strategy" in keys:
        return _of_strategy(name, keys)
    if name in ("raw_trades", "raw_klines"):
        return f"run `vostok ingest PATH --instrument {instrument} --format FORMAT` first"
    if name in ("raw_quotes", "raw_depth", "recordings"):
        return (
            f"record what is to come by `vostok-live record {instrument}`, or land a capture of "
            f"the day by `vostok-live record {instrument} --replay FILE`, first"
        )
    if name in ("news", "sentiment_scores"):
        return f"run `vostok materialize news,sentiment_scores --from {day} --to {day}` first"
    asset = f"{name}/{keys['pack']}" if "pack" in keys else name
    return (
        f"run `vostok materialize {asset} --instrument {instrument} --from {day} --to {day}` first"
    )


def _of_strategy(name: str, keys: Mapping[str, object]) -> str:
    strategy, instrument = keys["strategy"], keys.get("instrument", "ID")
    if name.startswith("live_"):
        return (
            f"run `vostok-live ship {strategy} --instrument {instrument}` where its daemon trades"
        )
    when = keys.get("date") or keys.get("week") or "WEEK"
    if name == "predictions":
        return (
            f"run `vostok walk-forward {strategy} --instrument {instrument} --from {when} "
            f"--to {when}` first"
        )
    asset = "backtest" if name.startswith("backtest_") else _ASSETS.get(name, name)
    return (
        f"run `vostok materialize {strategy}/{asset} --instrument {instrument} --from {when} "
        f"--to {when}` first"
    )
