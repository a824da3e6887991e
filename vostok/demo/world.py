"""What the demo plants: one market with an edge of stated strength, one martingale without any.

The history has fixed dates, so that a seed means the same bytes whenever it is run.
"""

from __future__ import annotations

from datetime import date, timedelta

from vostok_core.market.synthetic import MarketSpec
from vostok_core.settings import Settings
from vostok_core.times import days
from vostok_exchange.world import Market

STRATEGY = "demo_flow"
EDGE = "demo.spot.EDGE-USDT"
NULL = "demo.spot.NULL-USDT"

FIRST_DAY = date(2025, 1, 6)
WEEKS = 12
LAST_DAY = FIRST_DAY + timedelta(weeks=WEEKS, days=-1)
SERVICE_WEEK = LAST_DAY + timedelta(days=1)

PLANTED_EDGE = 0.25
PLANTED_NEWS_EDGE = 0.05


def markets(settings: Settings) -> tuple[Market, Market]:
    """The planted market and the martingale; they differ in nothing but the planting."""
    common = {"annual_volatility": 0.8, "trades_per_minute": 15.0, "start_price": 2_000.0}
    return (
        Market(
            settings.instrument(EDGE),
            MarketSpec(edge=PLANTED_EDGE, news_edge=PLANTED_NEWS_EDGE, **common),
        ),
        Market(settings.instrument(NULL), MarketSpec(**common)),
    )


def history_days() -> list[date]:
    """Every day of the history."""
    return list(days(FIRST_DAY, LAST_DAY))


def first_model_week(train_weeks: int) -> date:
    """The first week that has a full training window before it."""
    return FIRST_DAY + timedelta(weeks=train_weeks)
