"""What the daemon writes down: the one place where rows of the journal are made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vostok_core.live.cuts import Cut
from vostok_core.trading.commands import (
    Alert,
    Cancel,
    Command,
    Level,
    Place,
    PlaceList,
    Replace,
    SetTimer,
    command_to_json,
    requests,
)
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.engine import CODE_VERSION
from vostok_core.trading.events import Control, Event, Fill, Timer, event_to_json
from vostok_core.trading.rules import Rules
from vostok_live.journal.lease import Lease
from vostok_live.journal.recovery import Recovered, recover
from vostok_live.journal.rows import (
    MadeBar,
    Request,
    RequestKind,
    RunStart,
    ScoredItem,
    SeenTick,
    previous_to_text,
    to_text,
)
from vostok_live.journal.store import Store
from vostok_live.seams import Seams

_SIDE_EFFECTS = (Place, PlaceList, Cancel, Replace)
_ALERT = "INSERT INTO alerts VALUES (NULL, ?, ?, ?, ?, ?, ?)"


class Journal(Store):
    """The journal of an account, open to write.

    What can't be had again is synced; trades of the market, which can be asked for by their ids,
    features, which follow from them, and answers of the exchange are not (`store.Store`). Every
    method that writes raises `JournalError` when that fails, and from then on all do.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, seams: Seams, lease: Lease):
        super().__init__(connection, path, seams, lease)
        self._seq = super().seq
        self._run = 0
        self._begun = 0
        self._instrument = 0

    @property
    def seq(self) -> int:
        """Number of the newest event; 0 where there is none."""
        return self._seq

    def recover(self, config: EngineConfig, rules: Rules) -> Recovered | None:
        """The engine that wrote last, and what it waits for; see `recovery.recover`."""
        return recover(self, config, rules)

    # The engine

    def begin_run(self, start: RunStart, engine: Mapping[str, Any]) -> int:
        """Write down a start of the daemon, and the engine (`Engine.snapshot`) that it starts with.

        Every event from here on is of this run. Synced.

        Returns:
            The run's number.
        """
        now = self._wall_us()
        with self._transaction(synced=True) as db:
            db.execute(
                "INSERT INTO instruments (name) VALUES (?) ON CONFLICT DO NOTHING",
                (start.instrument,),
            )
            (instrument,) = db.execute(
                "SELECT id FROM instruments WHERE name = ?", (start.instrument,)
            ).fetchone()
            run = db.execute(
                "INSERT INTO runs VALUES "
                "(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                "(SELECT max(ts) FROM cuts WHERE instrument = ?), "
                "(SELECT max(trade_id) FROM ticks WHERE instrument = ?))",
                (
                    self._seq, now, start.version, CODE_VERSION, start.strategy, instrument,
                    start.configuration, start.bundle, start.config.run,
                    to_text(start.config.to_json()), to_text(start.rules.to_json()),
                    start.begins.interval, start.begins.begin_us, start.begins.next_id,
                    previous_to_text(start.begins.previous), start.begins.history,
                    f"{start.begins.elsewhere:f}", start.begins.account, start.speed,
                    start.decide_within, instrument, instrument,
                ),
            ).lastrowid  # fmt: skip
            assert run is not None
            self._insert_snapshot(db, self._seq, run, engine)
        self._run, self._begun, self._instrument = run, self._seq, instrument
        return run

    def append(
        self,
        event: Event,
        commands: Sequence[Command],
        market_ts: int,
        made: MadeBar | None = None,
    ) -> int:
        """Write down what the engine heard and answered, as one.

        Synced where a command changes something at the exchange and where a person spoke; nothing
        of the commands may be carried out before this returns.

        Args:
            event: What the engine heard.
            commands: All of its answer, in order.
            market_ts: Market time, microseconds.
            made: The bar that the event is about, and what was made of it.

        Returns:
            The event's number.
        """
        assert self._run, "a run begins before its first event"
        seq = self._seq + 1
        now = self._wall_us()
        lasting = isinstance(event, Control) or any(isinstance(c, _SIDE_EFFECTS) for c in commands)
        with self._transaction(synced=lasting) as db:
            db.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
                (
                    seq, self._run, market_ts, now, type(event).__name__,
                    to_text(event_to_json(event)),
                ),
            )  # fmt: skip
            if made is not None:
                self._insert_step(db, made, now)
            match event:
                case Fill():
                    db.execute(
                        "UPDATE fills SET seq = ? WHERE instrument = ? AND trade_id = ? "
                        "AND seq IS NULL",
                        (seq, self._instrument, event.trade_id),
                    )
                case Timer():
                    db.execute("DELETE FROM timers WHERE ts <= ?", (event.ts,))
            for position, command in enumerate(commands):
                db.execute(
                    "INSERT INTO commands VALUES (?, ?, ?, ?)",
                    (seq, position, type(command).__name__, to_text(command_to_json(command))),
                )
                match command:
                    case SetTimer(ts):
                        db.execute("INSERT INTO timers VALUES (?, ?)", (ts, seq))
                    case Alert(level, code, message):
                        db.execute(_ALERT, (seq, market_ts, now, level, code, message))
                for request in requests(command):
                    db.execute(
                        "INSERT INTO orders (client_order_id, seq, position, leg, side, kind, "
                        "time_in_force, qty, price) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            request.client_order_id, seq, position, request.leg, request.side,
                            request.kind, request.time_in_force, request.qty, request.price,
                        ),
                    )  # fmt: skip
        self._seq = seq
        return seq

    def snapshot(self, seq: int, engine: Mapping[str, Any]) -> None:
        """Keep what the engine remembers (`Engine.snapshot`) after an event.

        Recovery hears only the events after the newest one, so that takes the place of those that
        were kept since the run began. A log that is long is folded too: call it when nothing waits.
        """
        assert self._run, "a run begins before its first snapshot"
        assert 0 <= seq <= self._seq, "a snapshot is of an event that was written down"
        with self._transaction() as db:
            db.execute("DELETE FROM snapshots WHERE seq > ? AND seq < ?", (self._begun, seq))
            self._insert_snapshot(db, seq, self._run, engine)
        self.fold_if_long()

    # The exchange

    def record_request(self, client_order_id: str, kind: RequestKind) -> Request:
        """Write down that a request is about to be sent.

        The first time the command itself is on the disk; from the second on this is synced, since
        the answer to the one before may have said that nothing was done.

        Args:
            client_order_id: The order; of a list, its first one; of a replace, the new one.
            kind: What is sent.
        """
        now = self._wall_us()
        (before,) = self._rows(
            "SELECT coalesce(max(attempt), 0) FROM requests WHERE client_order_id = ? AND kind = ?",
            client_order_id,
            kind,
        )[0]
        with self._transaction(synced=before > 0) as db:
            number = db.execute(
                "INSERT INTO requests (client_order_id, kind, attempt, sent_us) "
                "VALUES (?, ?, ?, ?)",
                (client_order_id, kind, before + 1, now),
            ).lastrowid
        assert number is not None
        return Request(number, before + 1, now)

    def record_answer(
        self,
        request: Request,
        outcome: str,
        *,
        code: int | None = None,
        http_status: int | None = None,
        text: str | None = None,
    ) -> None:
        """Write down what came back for a request, or that nothing did.

        Args:
            request: The request.
            outcome: What the answer is taken for.
            code: The exchange's code.
            http_status: Status of the response.
            text: The exchange's words, without anything secret.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE requests SET outcome = ?, code = ?, http_status = ?, text = ?, "
                "answered_us = ? WHERE id = ?",
                (outcome, code, http_status, text, self._wall_us(), request.id),
            )

    def record_order(
        self, client_order_id: str, *, exchange_order_id: int | None, status: str, filled: int
    ) -> bool:
        """Write down what the exchange says of an order.

        Args:
            client_order_id: The order.
            exchange_order_id: The exchange's name of it; None where it says none.
            status: The exchange's word.
            filled: Lots.

        Returns:
            Whether the order was ever asked for.
        """
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE orders SET exchange_order_id = coalesce(?, exchange_order_id), status = ?, "
                "filled = ?, wall_us = ? WHERE client_order_id = ?",
                (exchange_order_id, status, filled, self._wall_us(), client_order_id),
            ).rowcount
        return bool(changed)

    def record_fill(
        self, fill: Fill, *, commission: str, commission_asset: str, source: str
    ) -> bool:
        """Write down a trade of ours. It is linked to its event when that is appended.

        Args:
            fill: As the engine will hear it.
            commission: What was charged, as the exchange printed it.
            commission_asset: In which asset.
            source: Where it was heard.

        Returns:
            False when it is known already; then nothing is changed.
        """
        return self._insert(
            "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) "
            "ON CONFLICT DO NOTHING",
            (
                self._instrument, fill.trade_id, fill.client_order_id, fill.ts, fill.price,
                fill.qty, fill.fee, fill.liquidity, commission, commission_asset, source,
                self._wall_us(),
            ),
        )  # fmt: skip

    # The market

    def record_ticks(self, ticks: Iterable[SeenTick]) -> int:
        """Write down trades of the market; how many of them were not there yet."""
        assert self._run, "a run says which instrument is traded"
        here = self._instrument
        with self._transaction() as db:
            return db.executemany(
                "INSERT INTO ticks VALUES (?, ?, ?, ?, ?, ?, nullif(?, -1), nullif(?, -1), ?) "
                "ON CONFLICT DO NOTHING",
                (
                    (
                        here, t.trade_id, t.ts, t.price, t.qty, t.buyer_maker, t.first_id,
                        t.last_id, t.seen,
                    )
                    for t in ticks
                ),
            ).rowcount  # fmt: skip

    def record_cut(self, cut: Cut) -> bool:
        """Write down where bars end, before they are used.

        Returns:
            False when bars that end then were cut before; that cut stands.
        """
        return self._insert(
            "INSERT INTO cuts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (self._instrument, cut.ts, cut.last_id, cut.by, self._wall_us()),
        )

    def record_news(self, items: Iterable[ScoredItem]) -> int:
        """Write down scored news; how many of the scores were not there yet."""
        now = self._wall_us()
        with self._transaction() as db:
            return db.executemany(
                "INSERT INTO news VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                ((*item, now) for item in items),
            ).rowcount

    # People

    def record_alert(self, level: Level, code: str, message: str) -> None:
        """Write down what a person is told; what the engine alerts is written with its event."""
        with self._transaction() as db:
            db.execute(_ALERT, (None, self._clock.market(), self._wall_us(), level, code, message))

    def record_control(self, action: str, asked_by: str) -> None:
        """Write down what a person asked for, and by which way; synced."""
        with self._transaction(synced=True) as db:
            db.execute(
                "INSERT INTO controls (ts, wall_us, action, asked_by) VALUES (?, ?, ?, ?)",
                (self._clock.market(), self._wall_us(), action, asked_by),
            )

    def latch(self, why: str) -> None:
        """Throw the kill latch; synced. One that holds keeps its reason."""
        if self.latched() is None:
            self._set_latch(why)

    def release(self) -> None:
        """Release the kill latch; synced."""
        if self.latched() is not None:
            self._set_latch(None)

    # How it is written

    def _set_latch(self, why: str | None) -> None:
        with self._transaction(synced=True) as db:
            db.execute(
                "INSERT INTO kill_latch (wall_us, why) VALUES (?, ?)", (self._wall_us(), why)
            )

    def _insert_snapshot(
        self, db: sqlite3.Connection, seq: int, run: int, engine: Mapping[str, Any]
    ) -> None:
        db.execute(
            "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)",
            (seq, run, self._wall_us(), to_text(engine)),
        )

    def _insert_step(self, db: sqlite3.Connection, made: MadeBar, now: int) -> None:
        step, bar = made.step, made.bar
        said = step.decision
        numbers = (
            (None,) * 4
            if said is None
            else (said.probability, said.threshold, said.sigma, said.reference)
        )
        db.execute(
            "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._run, step.ts, _bytes(bar.row), bar.first_id, bar.last_id, bool(bar.valid),
                None if made.sentiment is None else _bytes(made.sentiment),
                _bytes(step.features), bool(step.event), bool(step.valid), step.score,
                *numbers, made.withheld, made.asked, made.bundle, now,
            ),
        )  # fmt: skip

    def _insert(self, statement: str, values: Sequence[object]) -> bool:
        """Write a row unless one with its key is there; whether it was not."""
        assert self._run, "a run says which instrument is traded"
        with self._transaction() as db:
            added = db.execute(statement, values).rowcount
        return bool(added)


def _bytes(row: np.ndarray) -> bytes:
    """Doubles as the journal keeps them."""
    return np.ascontiguousarray(row, dtype="<f8").tobytes()
