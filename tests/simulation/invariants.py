"""What must be true: the exchange's own books against what the daemon wrote down.

The judge asks the daemon nothing. It reads the journal as another process would, makes the engine
anew from it, and compares both with the exchange.

| Invariant | |
|---|---|
| `intent` | An order is in the journal, on the disk, before the exchange hears of it. |
| `once` | The exchange is asked for a client order id once, and has at most one order of it. |
| `fills` | Every trade of ours is in the journal once, with its commission; none is made up. |
| `position` | Engine, fills and the change of the account's balances agree, in base and in cash. |
| `orders` | What the engine believes of an order is so; none is of unknown fate. |
| `absent` | What was held for absent or refused never existed. |
| `covered` | What is held has a stop resting for all of it. |
| `foreign` | Somebody else's order was let alone. |
| `ticks` | Trades are the exchange's, each once; where ids break, the bar is invalid. |
| `repaired` | No trade is missing, unless questions went unanswered when it was. |
| `bars` | Bars told again from the journal are those that were closed, bit for bit. |
| `killed` | Nothing is entered between a kill and a reset, whatever dies meanwhile. |
| `alerts` | No alert says that a rule above was broken. |
| `ready`, `late`, `rung`, `overdue` | See `promises`. |
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.live.gateway_server import INSTRUMENT, RICH, RULES
from tests.simulation.faults import Storm
from tests.simulation.place import BNB, START, Place
from tests.simulation.project import DAY
from tests.simulation.promises import promises
from vostok_core.errors import VostokError
from vostok_core.features.inputs import CLOSE
from vostok_core.trading.events import Action, BarClosed
from vostok_core.trading.rules import charge
from vostok_exchange.symbols import UNIT
from vostok_live.daemon.history import Retold
from vostok_live.daemon.plan import JOURNAL, Plan
from vostok_live.journal.place import open_to_read
from vostok_live.journal.reader import Reader
from vostok_live.journal.recovery import Recovered, recover

_BAD_ALERTS = frozenset(
    {"late_order", "late_fill", "oversold", "foreign_fill", "foreign_order", "stray_order",
     "off_grid", "foreign_trade", "position_mismatch"}
)  # fmt: skip
_ASKED_FOR = 15.0  # seconds before a hole was noticed, in which a question may have failed


class Broken(AssertionError):
    """Something happened that must never happen."""


@dataclass
class Observed:
    """What was seen while the schedule ran.

    Attributes:
        broken: What must never happen, and did.
        requested: How often the exchange was asked for each client order id.
        controls: What a person was told to be done: wall time in microseconds, and what.
        lives: When each life of the daemon began and ended, seconds.
        heard: When something of a stream went to the daemon, seconds, by the stream's name.
        healed: When the storm ended, seconds.
        uncovered: The longest time without a stop while the way was healthy, seconds.
        tally: Counts, by name.
    """

    broken: list[str] = field(default_factory=list)
    requested: Counter[str] = field(default_factory=Counter)
    controls: list[tuple[int, Action]] = field(default_factory=list)
    lives: list[tuple[float, float]] = field(default_factory=list)
    heard: dict[str, list[float]] = field(default_factory=lambda: {"market": [], "user": []})
    healed: float = 0.0
    uncovered: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)

    def arrived(self, client_order_id: str, *, known: bool) -> None:
        """The exchange is asked for an order."""
        self.requested[client_order_id] += 1
        if not known:
            self.broken.append(f"intent: the exchange hears of {client_order_id} before the disk")
        if self.requested[client_order_id] > 1:
            self.broken.append(f"once: {client_order_id} is sent again")


class Witness:
    """Reads the journal's file from outside.

    Args:
        path: Its place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def knows(self, client_order_id: str) -> bool:
        """Whether an order is on the disk."""
        found = self._open().execute(
            "SELECT 1 FROM orders WHERE client_order_id = ?", (client_order_id,)
        )
        return found.fetchone() is not None

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(self._open().execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def contents(self) -> Iterator[bytes]:
        """All that was written down, for a fingerprint."""
        db = self._open()
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        for (table,) in tables.fetchall():
            for row in db.execute(f"SELECT * FROM {table}"):
                yield repr(row).encode()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_to_read(self._path)
        return self._connection


def judge(place: Place, plan: Plan, observed: Observed, storm: Storm) -> list[str]:
    """All that is not in order; empty where everything is."""
    with Reader.open(plan.state / JOURNAL) as journal:
        run = journal.last_run()
        if run is None:
            return ["recovery: no run has begun"]
        try:
            found = recover(journal, run.start.config, RULES)
        except VostokError as error:
            return [f"recovery: {error}"]
        assert found is not None, "a run has begun"
        return [
            *_orders(place, journal, found),
            *_fills(place, journal),
            *_position(place, journal, found),
            *_cover(place),
            *_foreign(place),
            *_market(place, plan, journal, found, storm),
            *_kill_switch(journal, found, observed),
            *_alerts(journal),
            *promises(place, plan, journal, observed, storm),
        ]


def _orders(place: Place, journal: Reader, found: Recovered) -> Iterator[str]:
    truth: dict[str, Any] = {}
    for order in place.orders():
        if order.client_order_id in truth:
            yield f"once: {order.client_order_id} exists twice"
        truth[order.client_order_id] = order
    written = journal.read_orders(DAY)
    rows = dict(zip(written["client_order_id"], written["status"], strict=True))
    for name, order in truth.items():
        if name not in rows:
            yield f"intent: {name} is not in the journal"
        elif not order.live and rows[name] != order.status != "FILLED":
            # One that its trades have filled need not be asked for any more.
            yield f"orders: {name} is {order.status}, the journal says {rows[name]}"
    for name, mine in found.engine.orders.items():
        there = truth.get(name)
        if there is None:
            if mine.status not in ("absent", "rejected"):
                yield f"orders: {name} does not exist, the engine says {mine.status}"
        elif mine.status in ("absent", "rejected"):
            yield f"absent: {name} exists, and was held for {mine.status}"
        elif (mine.filled, mine.terminal) != (there.filled, not there.live):
            yield (
                f"orders: {name} is {there.status} with {there.filled}, "
                f"the engine says {mine.status} with {mine.filled}"
            )


def _fills(place: Place, journal: Reader) -> Iterator[str]:
    names = {order.order_id: order.client_order_id for order in place.orders()}
    truth = sorted(
        (
            f.trade_id, names.get(f.order_id), f.price, f.qty, Decimal(f.commission) / UNIT,
            f.commission_asset, f.ts,
        )
        for f in place.fills()
    )  # fmt: skip
    rows = journal.read_fills(DAY)
    written = sorted(
        zip(
            rows["trade_id"], rows["client_order_id"], rows["price"], rows["qty"],
            map(Decimal, rows["commission"]), rows["commission_asset"], rows["ts"], strict=True,
        )
    )  # fmt: skip
    if truth != written:
        missing = [each for each in truth if each not in written]
        invented = [each for each in written if each not in truth]
        yield f"fills: missing {missing[:3]}, made up {invented[:3]}"
    if any(seq is None for seq in rows["seq"]):
        yield "fills: the engine has not heard all that are written down"


def _position(place: Place, journal: Reader, found: Recovered) -> Iterator[str]:
    account = found.engine.account
    cash = Fraction(journal.opening())
    lots, spent, paid = 0, Decimal(0), Decimal(0)
    rows = journal.read_fills(DAY)
    charged = dict(zip(rows["trade_id"], rows["fee"], strict=True))
    for fill in place.fills():
        sign = 1 if fill.buyer else -1
        worth = fill.qty * fill.price
        fee = -(-Fraction(fill.commission, UNIT) * Fraction(BNB) // Fraction(INSTRUMENT.quote_atom))
        # Until the price of a BNB is known, it is what a trade costs at most.
        most = charge(worth, found.engine.config.fee_rate)
        if charged.get(fill.trade_id) not in (fee, most):
            yield f"position: trade {fill.trade_id} cost {fee}, not {charged.get(fill.trade_id)}"
        cash -= sign * worth + charged.get(fill.trade_id, fee)
        lots += sign * fill.qty
        spent += sign * worth * INSTRUMENT.quote_atom
        paid += Decimal(fill.commission) / UNIT
    if not account.position + account.dust == lots == place.position():
        yield (
            f"position: the engine holds {account.position} and {account.dust} dust, "
            f"fills come to {lots}, the account has {place.position()}"
        )
    if account.cash != cash:
        yield f"position: the engine has {account.cash} atoms of cash, fills leave {cash}"
    if place.balance("USDT") != RICH["USDT"] - spent or place.balance("BNB") != RICH["BNB"] - paid:
        yield "position: the account's balances are not what its fills come to"


def _cover(place: Place) -> Iterator[str]:
    if not place.covered():
        yield f"covered: {place.position()} lots are held without a stop"
    if place.position() == 0:
        live = [order.client_order_id for order in place.orders() if order.live]
        if live:
            yield f"covered: nothing is held, and {live} rest"


def _foreign(place: Place) -> Iterator[str]:
    order = place.foreign()
    if (order.status, order.filled) != ("NEW", 0):
        yield f"foreign: somebody else's order is {order.status}"


def _market(
    place: Place, plan: Plan, journal: Reader, found: Recovered, storm: Storm
) -> Iterator[str]:
    begins, name = found.run.start.begins, str(INSTRUMENT.id)
    rows = journal.trades_between(name, begins.next_id, 2**62)
    if not rows:
        yield "ticks: there are none"
        return
    tape = place.server.exchange.desk.tapes[INSTRUMENT.id.symbol].aggregates
    ids = [row[4] for row in rows]
    truth = {int(t[0]): t for t in tape.from_id(begins.next_id, ids[-1] - begins.next_id + 1)}
    tick, step = float(INSTRUMENT.price_tick), float(INSTRUMENT.quantity_step)
    for ts, price, qty, maker, trade_id, first, last in rows:
        there = truth.get(trade_id)
        said = (ts, round(price / tick), round(qty / step), bool(maker), first, last)
        if there is None or said != (
            int(there[1]), int(there[2]), int(there[3]), bool(there[4]), int(there[5]),
            int(there[6]),
        ):  # fmt: skip
            yield f"ticks: trade {trade_id} is not the exchange's"
            return
    newest = int(tape.newest(1)[0][0])
    if newest - ids[-1] > 30:
        yield f"ticks: the newest is {ids[-1]}, the exchange has {newest}"
    seen = journal.read_ticks(name, DAY)
    at = dict(zip(seen["trade_id"], seen["seen_us"], strict=True))
    before = begins.next_id - 1
    for trade_id in ids:
        if trade_id != before + 1:
            noticed = (at[trade_id] - START) / 1e6
            if not storm.troubled(noticed - _ASKED_FOR, noticed + 75.0):
                yield f"repaired: trades {before + 1} to {trade_id - 1} are missing"
        before = trade_id
    yield from _bars(plan, journal, found, ids)


def _bars(plan: Plan, journal: Reader, found: Recovered, ids: list[int]) -> Iterator[str]:
    name = str(INSTRUMENT.id)
    try:
        again = list(Retold(plan.instrument, found.run.start.begins, journal).closed())
    except VostokError as error:
        yield f"bars: {error}"
        return
    heard = [h.event for h in journal.events_after(0) if isinstance(h.event, BarClosed)]
    told = [(e.ts, e.close) for e in heard]
    made = [(b.ts, RULES.ticks(float(b.row[CLOSE]))) for b in again]
    # The newest may be cut and not told yet.
    if told != made[: len(told)] or len(made) - len(told) > 1:
        wrong = [each for each in told if each not in made]
        yield f"bars: {len(told)} were told, {len(made)} are told again; not so: {wrong[:3]}"
    steps = journal.read_steps(plan.strategy, name, DAY)
    written = zip(
        steps["ts"], steps["bar"], steps["bar_valid"], steps["first_id"], steps["last_id"],
        strict=True,
    )  # fmt: skip
    for (ts, row, *rest), bar in zip(written, again, strict=False):
        if (ts, row, rest) != (bar.ts, bar.row.tobytes(), [bar.valid, bar.first_id, bar.last_id]):
            there = [*np.frombuffer(row), *rest]
            mine = [*bar.row, bar.valid, bar.first_id, bar.last_id]
            yield f"bars: the bar at {ts} was {there}, and is told again as {mine}"
    if len(steps["ts"]) != len(told):
        yield f"bars: {len(told)} were told, {len(steps['ts'])} are written down"
    for bar in again:
        if bar.valid and bar.first_id >= 0:
            there = [i for i in ids if bar.first_id <= i <= bar.last_id]
            if there != list(range(bar.first_id, bar.last_id + 1)):
                yield f"ticks: the bar at {bar.ts} lacks trades, and is held for valid"


def _kill_switch(journal: Reader, found: Recovered, observed: Observed) -> Iterator[str]:
    events = journal.read_events(DAY)
    when = dict(zip(events["seq"], events["wall_us"], strict=True))
    orders = journal.read_orders(DAY)
    entries = [
        (name, when[seq])
        for name, leg, seq in zip(
            orders["client_order_id"], orders["leg"], orders["seq"], strict=True
        )
        if leg == "entry"
    ]
    killed: int | None = None
    for at, action in [*observed.controls, (2**62, "reset")]:
        if action == "kill" and killed is None:
            killed = at
        elif action == "reset" and killed is not None:
            # Clocks that are set make an order of some instants doubtful.
            wrong = [name for name, ts in entries if killed + 1_000_000 < ts < at - 1_000_000]
            if wrong:
                yield f"killed: {wrong[:3]} were entered while the kill switch held"
            if at == 2**62 and found.engine.killed is None:
                yield "killed: the engine has forgotten the kill switch"
            killed = None


def _alerts(journal: Reader) -> Iterator[str]:
    rows = journal.read_alerts(DAY)
    for code, message in zip(rows["code"], rows["message"], strict=True):
        if code in _BAD_ALERTS:
            yield f"alerts: {code}: {message}"
