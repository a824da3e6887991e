"""What is handed to the journal and comes back from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from vostok_core.hashing import one_line
from vostok_core.live.chain import Step
from vostok_core.live.cuts import ClosedBar
from vostok_core.market.ticks import LastTick
from vostok_core.times import SECOND
from vostok_core.trading.commands import OrderRequest
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.events import Event
from vostok_core.trading.rules import Rules

RequestKind = Literal["place", "place_list", "cancel", "replace"]
Columns = dict[str, list[Any]]
"""Columns of a table by name, as `polars.DataFrame` takes them."""


@dataclass(frozen=True, slots=True)
class Begins:
    """Where a run's knowledge of the market begins: what it takes to compute its bars again.

    Attributes:
        interval: Of its bars, such as `1m`.
        begin_us: Market time from which its bars are made of the journal's trades; those before are
            the lake's.
        next_id: Id of the first trade that counts in them.
        previous: The trade before that; None where there is none.
        history: Hash of the lake's bars that were walked over; empty where there were none.
        elsewhere: Base that the account held at the first start, and that is not the engine's.
        account: Names the exchange and the account there, without telling the key.
    """

    interval: str = "1m"
    begin_us: int = 0
    next_id: int = 0
    previous: LastTick | None = None
    history: str = ""
    elsewhere: Decimal = Decimal(0)
    account: str = ""


@dataclass(frozen=True, slots=True)
class RunStart:
    """How the daemon was started.

    Attributes:
        version: Of Vostok.
        strategy, instrument: What it trades.
        configuration: Hash that names the strategy's configuration.
        bundle: SHA-256 of the bundle's manifest.
        config: What the engine was told; `config.run` is part of its client order ids.
        rules: The grid that its integers count on.
        begins: Where its bars begin.
        speed: Seconds of market time in a second of the wall.
        decide_within: Age of a bar beyond which no decision on it is acted on; market time, µs.
    """

    version: str
    strategy: str
    instrument: str
    configuration: str
    bundle: str
    config: EngineConfig
    rules: Rules
    begins: Begins = Begins()
    speed: float = 1.0
    decide_within: int = 5 * SECOND


@dataclass(frozen=True, slots=True)
class Run:
    """A start of the daemon as it was written down, after event `seq`.

    `cut_before` and `trade_before` are the end of the newest bars that were cut before, and the id
    of the newest trade of the market; None where there was none.
    """

    run: int
    seq: int
    wall_us: int
    engine_version: str
    start: RunStart
    cut_before: int | None = None
    trade_before: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """An event and what the engine answered.

    Attributes:
        seq: Counts from 1, over all runs.
        run: The run that heard it.
        ts: Market time when it was heard, microseconds.
        wall_us: The wall's time then.
        event: The event.
        commands: The commands in their order, as `to_text` of `command_to_json`.
    """

    seq: int
    run: int
    ts: int
    wall_us: int
    event: Event
    commands: tuple[str, ...]


class SeenTick(Protocol):
    """A trade of the market as the stream brought it.

    The fields are those of the lake's ticks; `first_id` and `last_id` are -1 for a trade that is no
    aggregate. `seen` is when it arrived, by the wall; microseconds.
    """

    @property
    def trade_id(self) -> int: ...
    @property
    def ts(self) -> int: ...
    @property
    def price(self) -> float: ...
    @property
    def qty(self) -> float: ...
    @property
    def buyer_maker(self) -> bool: ...
    @property
    def first_id(self) -> int: ...
    @property
    def last_id(self) -> int: ...
    @property
    def seen(self) -> int: ...


class MadeBar(NamedTuple):
    """A closed bar, and what was made of it.

    Attributes:
        step: What was made of it.
        bar: The bar.
        bundle: SHA-256 of the manifest of the model that spoke.
        sentiment: What became known during it, float64, `SENTIMENT_FIELDS`; None where no pack
            reads it.
        withheld: Why the engine was not told the decision; None where it was, or there is none.
        asked: Market time when it was asked whether to act on the decision, microseconds; None
            where that was not asked.
    """

    step: Step
    bar: ClosedBar
    bundle: str
    sentiment: np.ndarray | None = None
    withheld: str | None = None
    asked: int | None = None


class ScoredItem(NamedTuple):
    """A news item and one score of it; columns of the tables `news` and `sentiment_scores`."""

    item_id: str
    asset: str
    source: str
    published_at: int
    first_seen_at: int
    available_at: int
    title: str
    score: float
    scorer: str
    scorer_version: str


class Request(NamedTuple):
    """A request that is about to be sent.

    Attributes:
        id: Names it when its answer comes.
        attempt: How often the same was sent, this time included.
        sent_us: Time of the wall, microseconds.
    """

    id: int
    attempt: int
    sent_us: int


class Answered(NamedTuple):
    """A request that was sent, and what came back; None while nothing has."""

    kind: RequestKind
    attempt: int
    sent_us: int
    outcome: str | None
    code: int | None
    http_status: int | None
    text: str | None
    answered_us: int | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An order that is not known to have ended, or whose fills have not all been heard.

    It is to be asked for by its client order id, and never sent again.

    Attributes:
        request: The order as the engine asked for it.
        together: Client order ids of the command that it was part of, its own among them.
        asked_us: When its command was on its way to the disk, by the wall; microseconds.
        sent: The newest request that sent it, and the answer. None where none was written down: it
            may have been sent all the same, up to the moment that the daemon stopped.
        exchange_order_id: The exchange's name of it, where that was heard.
    """

    request: OrderRequest
    together: tuple[str, ...]
    asked_us: int
    sent: Answered | None
    exchange_order_id: int | None


def to_text(content: Any) -> str:
    """JSON on one line; doubles keep their bits, and those that are no number their name."""
    return one_line(content)


def previous_to_text(previous: LastTick | None) -> str | None:
    return None if previous is None else to_text(asdict(previous))


def previous_from_text(text: str | None) -> LastTick | None:
    return None if text is None else LastTick(**json.loads(text))
