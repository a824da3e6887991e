"""How the daemon stands, as one document: what `GET /status` answers.

Its JSON schema is published as `docs/live-status.schema.json`. Fields may be added; none is removed
or changes its meaning, so a reader passes over those that it doesn't know.

Numbers are for reading: prices in quote per base, quantities in base and money in quote are the
doubles nearest to the engine's integers, and nothing is computed from them that trades. Names that
end in `_us` are the wall's time and `ts` is market time, both whole microseconds since 1970 UTC; in
an exchange that runs faster than the wall, they go apart. Names that end in `_s` or `_ms` are
durations by the wall. What is not known is null, never a number that stands for it.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from vostok_core.trading.commands import Leg, Level, OrderKind, Side
from vostok_core.trading.events import Status as OrderStatus

Mode = Literal["paper", "real"]
State = Literal["flat", "entering", "covering", "holding", "exiting"]

PRICES = 240
"""Closes and probabilities that the document holds at most."""
RECENT = 20
"""Alerts and trades that it holds at most."""


class Reason(Struct, frozen=True):
    """Why no position is opened."""

    code: Annotated[str, Meta(description="its kind, one word")]
    what: Annotated[str, Meta(description="what is so, for a person")]
    hint: Annotated[str, Meta(description="what to do about it, or what it waits for")]


class Position(Struct, frozen=True):
    """The position that is open."""

    qty: Annotated[float, Meta(description="what is held, in base")]
    entry_price: Annotated[float, Meta(description="average price that was paid")]
    take_profit: Annotated[float, Meta(description="price of the exit with a profit")]
    stop_loss: Annotated[float, Meta(description="price that triggers the exit with a loss")]
    covered: Annotated[
        bool, Meta(description="whether both exits rest at the exchange for exactly what is held")
    ]
    unrealised: Annotated[
        float, Meta(description="worth at the last close less what was paid for it, fees apart")
    ]
    probability: Annotated[float, Meta(description="what the model said at the decision")]
    decision_ts: Annotated[int, Meta(description="bar that it was decided on")]
    entry_ts: Annotated[int, Meta(description="first fill of the entry")]
    deadline_ts: Annotated[int, Meta(description="when it is closed at the latest")]
    leaving: Annotated[str | None, Meta(description="why it is being closed; null while held")]


class OpenOrder(Struct, frozen=True):
    """An order that has not ended, or whose fills have not all been heard."""

    client_order_id: Annotated[str, Meta(description="our name of it")]
    leg: Annotated[Leg, Meta(description="what it is for")]
    side: Annotated[Side, Meta(description="what it does")]
    kind: Annotated[OrderKind, Meta(description="stop: a market order once its price trades")]
    status: Annotated[
        OrderStatus, Meta(description="what is known of it; unknown: no answer came, it is asked")
    ]
    qty: Annotated[float, Meta(description="in base")]
    filled: Annotated[float, Meta(description="fills that were heard, in base")]
    price: Annotated[float | None, Meta(description="limit or stop price; null at the market")]


class Money(Struct, frozen=True):
    """The engine's account, in quote, at the last close."""

    equity: Annotated[float, Meta(description="cash and all that is held")]
    cash: Annotated[float, Meta(description="quote, what open orders hold included")]
    opening: Annotated[float, Meta(description="equity that the account opened with")]
    realised: Annotated[
        float, Meta(description="equity less the opening's and less what is unrealised")
    ]
    unrealised: Annotated[float, Meta(description="of the open position; 0 without one")]
    fees: Annotated[float, Meta(description="paid so far; they are part of what is realised")]
    dust: Annotated[float, Meta(description="base left over from trades, too little to be sold")]
    peak: Annotated[float, Meta(description="highest equity since the kill switch was last reset")]
    drawdown: Annotated[float, Meta(description="loss from the peak, as a share of it")]
    drawdown_limit: Annotated[float, Meta(description="drawdown that throws the kill switch")]
    day_pnl: Annotated[float, Meta(description="equity less that at the UTC day's begin")]
    day_loss: Annotated[float, Meta(description="loss of this day as a share; 0 when it gained")]
    day_loss_limit: Annotated[float, Meta(description="loss of a day that throws the kill switch")]
    closed: Annotated[int, Meta(description="positions that were opened and closed again")]
    wins: Annotated[int, Meta(description="those of them that earned money, fees paid")]


class Trade(Struct, frozen=True):
    """A position that was opened and closed again."""

    entry_id: Annotated[str, Meta(description="client id of the entry order")]
    decision_ts: Annotated[int, Meta(description="bar that it was decided on")]
    entry_ts: Annotated[int, Meta(description="first fill of the entry")]
    exit_ts: Annotated[int, Meta(description="last fill of an exit, or of the booking as dust")]
    reason: Annotated[
        str,
        Meta(
            description="what ended it: take_profit, stop_loss, time, flatten, kill, uncovered, "
            "late_fill, too_small, dust"
        ),
    ]
    probability: Annotated[float, Meta(description="what the model said at the decision")]
    qty: Annotated[float, Meta(description="what was bought, in base")]
    entry_price: Annotated[float, Meta(description="average price that was paid")]
    exit_price: Annotated[float | None, Meta(description="average price; null if none was sold")]
    fees: Annotated[float, Meta(description="of all its orders, in quote")]
    pnl: Annotated[float, Meta(description="in quote, fees paid, dust at its worth")]


class Point(Struct, frozen=True):
    """A number at a time."""

    ts: Annotated[int, Meta(description="end of the bar")]
    value: Annotated[float, Meta(description="close or probability")]


class Bar(Struct, frozen=True):
    """The bar that closed last."""

    ts: Annotated[int, Meta(description="its end")]
    close: Annotated[float, Meta(description="its last price")]
    valid: Annotated[bool, Meta(description="false: trades are missing, nothing opens on it")]


class Prices(Struct, frozen=True):
    """What the market did."""

    last: Annotated[float | None, Meta(description="price of the newest trade")]
    last_ts: Annotated[int | None, Meta(description="time of the newest trade")]
    bar: Annotated[Bar | None, Meta(description="the bar that closed last")]
    bars: Annotated[int, Meta(description="bars that closed in this run")]
    interval_us: Annotated[int, Meta(description="length of a bar, in market time")]
    closes: Annotated[
        tuple[Point, ...], Meta(description="newest closes, oldest first", max_length=PRICES)
    ]


class Decision(Struct, frozen=True):
    """What the model said last, and what became of it."""

    ts: Annotated[int, Meta(description="bar that it was said of")]
    probability: Annotated[float, Meta(description="that a trade nets a profit")]
    threshold: Annotated[float, Meta(description="probability above which the model trades")]
    outcome: Annotated[
        str,
        Meta(
            description="entries: an entry was sent; withheld: the daemon was not ready; "
            "below_threshold, invalid, killed, paused, busy, too_small: the engine passed over it"
        ),
    ]


class Decisions(Struct, frozen=True):
    """What the model said and what became of it."""

    last: Annotated[Decision | None, Meta(description="the newest one")]
    counts: Annotated[
        dict[str, int], Meta(description="how many in this run, by what became of them")
    ]
    probabilities: Annotated[
        tuple[Point, ...], Meta(description="newest, oldest first", max_length=PRICES)
    ]


class Model(Struct, frozen=True):
    """The model in service."""

    sha256: Annotated[str, Meta(description="of its manifest, in hexadecimal")]
    week: Annotated[str, Meta(description="Monday that it was made for, YYYY-MM-DD")]
    trained_until_us: Annotated[int, Meta(description="labels that ended before were learned")]
    threshold: Annotated[float, Meta(description="probability above which it trades")]
    stale: Annotated[bool, Meta(description="whether the week that it was made for is over")]


class Stream(Struct, frozen=True):
    """A connection that brings news."""

    up: Annotated[bool, Meta(description="whether it is connected and subscribed")]
    synced: Annotated[bool, Meta(description="whether nothing that it should have said is missing")]
    last_message_age_s: Annotated[
        float | None, Meta(description="since it said something; null before the first time")
    ]
    connections: Annotated[int, Meta(description="that were made in this run")]
    reconnects: Annotated[int, Meta(description="that took the place of another")]
    ended: Annotated[dict[str, int], Meta(description="connections that ended, by reason")]
    flaws: Annotated[dict[str, int], Meta(description="frames that could not be used, by kind")]
    gaps: Annotated[int, Meta(description="holes in the ids of trades that were waited for")]
    given_up: Annotated[int, Meta(description="holes that stayed")]
    lost: Annotated[int, Meta(description="trades in them")]


class Streams(Struct, frozen=True):
    """The connections."""

    market: Annotated[Stream, Meta(description="trades of the market")]
    user: Annotated[Stream, Meta(description="orders and fills of the account")]


class Journal(Struct, frozen=True):
    """What is written down before anything is done."""

    seq: Annotated[int, Meta(description="number of the newest event")]
    last_commit_ms: Annotated[float | None, Meta(description="how long the newest write took")]
    bytes: Annotated[int, Meta(description="size of the file and of its log")]


class Latency(Struct, frozen=True):
    """How long something takes, over the newest times that it was done."""

    p50_ms: Annotated[float, Meta(description="half took no longer")]
    p99_ms: Annotated[float, Meta(description="99 of 100 took no longer")]
    count: Annotated[int, Meta(description="times that this was measured in this run")]


class Latencies(Struct, frozen=True):
    """How long things take; null before the first time."""

    bar_to_order: Annotated[
        Latency | None,
        Meta(description="from the arrival of the trade that closed a bar to its order"),
    ]
    order_round_trip: Annotated[
        Latency | None, Meta(description="from sending an order to the exchange's answer")
    ]


class Exchange(Struct, frozen=True):
    """What the exchange lets us do."""

    url: Annotated[str, Meta(description="of its REST API")]
    clock_offset_ms: Annotated[
        float | None, Meta(description="its clock less ours, when it was last read")
    ]
    weight_used: Annotated[int, Meta(description="in this minute, by all at this address")]
    weight_limit: Annotated[int, Meta(description="what a minute allows")]


class Sentiment(Struct, frozen=True):
    """News that the model reads."""

    items: Annotated[int, Meta(description="news items that were scored in this run")]
    last_seen_age_s: Annotated[
        float | None, Meta(description="since news was last looked for with success")
    ]


class AlertSeen(Struct, frozen=True):
    """What a person was told."""

    wall_us: Annotated[int, Meta(description="when, by the wall")]
    level: Annotated[Level, Meta(description="how bad it is")]
    code: Annotated[str, Meta(description="its kind, one word")]
    message: Annotated[str, Meta(description="in words")]


class Status(Struct, frozen=True):
    """How the daemon stands."""

    version: Annotated[str, Meta(description="of Vostok")]
    engine_version: Annotated[str, Meta(description="of the engine's rules")]
    pid: Annotated[int, Meta(description="of the daemon's process")]
    run: Annotated[int, Meta(description="number of this start in the journal")]
    run_name: Annotated[str, Meta(description="the run's part of client order ids")]
    strategy: Annotated[str, Meta(description="what is traded by")]
    instrument: Annotated[str, Meta(description="what is traded: venue.market.BASE-QUOTE")]
    price_tick: Annotated[str, Meta(description="the exchange's grid of prices, a decimal")]
    quantity_step: Annotated[str, Meta(description="its grid of quantities, a decimal")]
    mode: Annotated[Mode, Meta(description="paper: no money is at stake")]
    exchange: Annotated[Exchange, Meta(description="where orders go, and its limits")]
    started_us: Annotated[int, Meta(description="when this run began, by the wall")]
    now_us: Annotated[int, Meta(description="when this was written, by the wall")]
    uptime_s: Annotated[float, Meta(description="since this run began")]
    market_ts: Annotated[int, Meta(description="what the market's clock shows")]
    market_speed: Annotated[float, Meta(description="seconds of market time in a second")]
    ready: Annotated[bool, Meta(description="whether a position may be opened")]
    reasons: Annotated[tuple[Reason, ...], Meta(description="why not; empty when ready")]
    state: Annotated[State, Meta(description="where the engine stands, see docs/engine.md")]
    paused: Annotated[bool, Meta(description="whether entries are paused")]
    killed: Annotated[str | None, Meta(description="why the kill switch holds; null if it doesn't")]
    position: Annotated[Position | None, Meta(description="what is held; null without fills")]
    orders: Annotated[tuple[OpenOrder, ...], Meta(description="that have not ended")]
    unknown_orders: Annotated[int, Meta(description="orders of unknown fate; they block entries")]
    money: Annotated[Money, Meta(description="the account")]
    trades: Annotated[
        tuple[Trade, ...], Meta(description="newest, oldest first", max_length=RECENT)
    ]
    prices: Annotated[Prices, Meta(description="the market")]
    decisions: Annotated[Decisions, Meta(description="what the model said")]
    model: Annotated[Model | None, Meta(description="in service; null where none is")]
    streams: Annotated[Streams, Meta(description="the connections")]
    journal: Annotated[Journal, Meta(description="what is written down")]
    latencies: Annotated[Latencies, Meta(description="how long things take")]
    loop_lag_ms: Annotated[float, Meta(description="how late the event loop was, at worst, lately")]
    sentiment: Annotated[
        Sentiment | None, Meta(description="news; null where the model reads none")
    ]
    alerts: Annotated[
        tuple[AlertSeen, ...], Meta(description="newest, oldest first", max_length=RECENT)
    ]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Status)


def encode(status: Status) -> bytes:
    """The document as JSON, read again before it is handed out.

    Raises:
        msgspec.MsgspecError: It is not as published: a list is too long, or a number is none (JSON
            knows neither NaN nor infinity; `known` makes null of them).
    """
    content = _encoder.encode(status)
    _decoder.decode(content)
    return content


def decode(content: bytes) -> Status:
    """The document that `encode` wrote.

    Raises:
        msgspec.MsgspecError: It is not one.
    """
    return _decoder.decode(content)


def known(value: float | None) -> float | None:
    """A number, or null where there is none."""
    return None if value is None or not math.isfinite(value) else value
