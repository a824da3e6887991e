"""A bad way, deaths and starts: whatever goes wrong, the engine comes to the exchange's truth.

Each schedule (`gateway_world`) loses, delays and repeats requests, answers and events against a
real venue, kills the daemon again and again, then heals, and everything must be in order. That the
judge can fail is shown by daemons with a mistake built in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.live.gateway_mistakes import Counting, Deaf, Trusting
from tests.live.gateway_world import CALM, Parts, Way, Weather, check
from vostok_core.trading.commands import Cancel, requests
from vostok_live.gateway.news import News
from vostok_live.gateway.orders import Book
from vostok_live.gateway.port import (
    NeverSent,
    Outcome,
    Sendable,
    TradeReport,
    Unknown,
)
from vostok_live.gateway.resolve import Proof

SLOW = Weather(lost_request=0.2, late=0.6, stale=0.8)
HARSH = Weather(lost_answer=0.2, late=0.3, question_fails=0.2, stale=0.5, event_lost=0.3)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_goes_wrong_the_end_is_the_exchanges_truth(seed: int, tmp_path: Path) -> None:
    check(seed, tmp_path / "journal.sqlite")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 300))
def test_many_more_schedules(seed: int, tmp_path: Path) -> None:
    weather = HARSH if seed % 2 else None
    check(seed, tmp_path / "journal.sqlite", weather=weather, seconds=300.0)


def test_on_a_good_way_nothing_is_ever_in_doubt(tmp_path: Path) -> None:
    world = check(1, tmp_path / "journal.sqlite", weather=CALM)
    assert world.tally["accepted"] > 0
    assert world.tally["unknown"] == 0
    assert world.tally["order_unknown"] == 0


def test_the_schedules_do_go_wrong(tmp_path: Path) -> None:
    tally: Any = sum(
        (check(seed, tmp_path / f"{seed}.sqlite", weather=HARSH).tally for seed in range(6)),
        start=type(check(0, tmp_path / "first.sqlite").tally)(),
    )
    for name in ("unknown", "absent", "filled", "known_trades", "looks_failed", "order_unknown"):
        assert tally[name] > 0, name


# Mistakes


class Resending:
    """Sends again what got no answer, in the hope that its name makes that safe."""

    def __init__(self, way: Way) -> None:
        self._way = way

    async def send(self, command: Sendable) -> Outcome:
        outcome = await self._way.send(command)
        if isinstance(outcome, Unknown) and not isinstance(command, Cancel):
            return await self._way.send(command)
        return outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._way, name)


class Refusing(Resending):
    """Takes what got no answer for refused."""

    async def send(self, command: Sendable) -> Outcome:
        outcome = await self._way.send(command)
        if isinstance(outcome, Unknown) and requests(command):
            return NeverSent(outcome.text)
        return outcome


class Forgetful(Book):
    """Counts a fill each time that it is heard."""

    def _trade(self, trade: TradeReport) -> list[News]:
        name = trade.client_order_id or self._ids.get(trade.order_id)
        order = None if name is None else self.orders.get(name)
        if order is not None and trade.trade_id in order.trade_ids:
            order.trade_ids.remove(trade.trade_id)
        return super()._trade(trade)


class Hasty(Book):
    """Sells what it has not heard of yet."""

    def _buys_due(self) -> bool:
        return False


MISTAKES = {
    "resends": (Parts(port=Resending), SLOW),
    "takes no answer for a refusal": (Parts(port=Refusing), SLOW),
    "takes not found for absent": (Parts(resolver=Trusting), SLOW),
    "waits for the window alone": (Parts(proof=Proof(engine_ms=0, margin_ms=0)), SLOW),
    "makes fills up": (Parts(book=Counting), HARSH),
    "counts fills twice": (Parts(book=Forgetful), HARSH),
    "sells before it bought": (Parts(book=Hasty), HARSH),
    "asks for no trades": (Parts(book=Deaf), HARSH),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str, tmp_path: Path) -> None:
    parts, weather = MISTAKES[name]
    for seed in range(40):
        try:
            check(seed, tmp_path / f"{seed}.sqlite", parts=parts, weather=weather)
        except Exception:  # noqa: BLE001, however it is found
            return
    pytest.fail("40 schedules did not find it")
