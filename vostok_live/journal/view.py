"""What the daemon and its recovery ask of an open journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from vostok_core.live.cuts import Cut
from vostok_core.trading.commands import Closed, OrderRequest, closed_from_json
from vostok_core.trading.config import EngineConfig
from vostok_core.trading.events import Fill, event_from_json
from vostok_core.trading.rules import Rules
from vostok_live.journal.place import explained
from vostok_live.journal.rows import (
    Answered,
    Begins,
    Heard,
    Run,
    RunStart,
    Unsettled,
    previous_from_text,
)

_RUN = """
    SELECT run, seq, wall_us, engine_version, version, strategy, i.name, configuration, bundle,
        config, rules, interval, begin_us, next_id, previous, history,
        elsewhere, account, speed, decide_within, cut_before, trade_before
    FROM runs JOIN instruments i ON i.id = runs.instrument
"""


class View:
    """What can be asked of a journal that is open.

    Args:
        connection: The open file.
        path: Its place.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._connection = connection

    def _rows(self, query: str, *values: object) -> list[Any]:
        with explained(self.path, "reading the journal"):
            return self._connection.execute(query, values).fetchall()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written down."""
        tables = self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        return not any(
            self._rows(f"SELECT 1 FROM {name} LIMIT 1")  # noqa: S608, names of the schema
            for (name,) in tables
            if name != "meta"
        )

    @property
    def seq(self) -> int:
        """Number of the newest event; 0 where there is none."""
        found: int = self._rows("SELECT coalesce(max(seq), 0) FROM events")[0][0]
        return found

    def runs(self) -> list[Run]:
        """Every start of the daemon, oldest first."""
        return [_run(row) for row in self._rows(f"{_RUN} ORDER BY run")]

    def last_run(self) -> Run | None:
        """The newest start of the daemon."""
        found = self._rows(f"{_RUN} ORDER BY run DESC LIMIT 1")
        return _run(found[0]) if found else None

    def events_after(self, seq: int) -> list[Heard]:
        """What the engine heard after an event, oldest first."""
        commands: dict[int, list[str]] = {}
        for number, body in self._rows(
            "SELECT seq, body FROM commands WHERE seq > ? ORDER BY seq, position", seq
        ):
            commands.setdefault(number, []).append(body)
        return [
            Heard(
                number, run, ts, wall_us, event_from_json(json.loads(body)),
                tuple(commands.get(number, ())),
            )
            for number, run, ts, wall_us, body in self._rows(
                "SELECT seq, run, ts, wall_us, body FROM events WHERE seq > ? ORDER BY seq", seq
            )
        ]  # fmt: skip

    def last_snapshot(self) -> tuple[int, dict[str, Any]] | None:
        """The newest snapshot of the engine, after the number of the event it was taken after."""
        found = self._rows("SELECT seq, body FROM snapshots ORDER BY seq DESC LIMIT 1")
        return (found[0][0], json.loads(found[0][1])) if found else None

    def snapshot_at(self, seq: int) -> dict[str, Any] | None:
        """What the engine remembered after an event, where that was kept: at every run's start."""
        found = self._rows("SELECT body FROM snapshots WHERE seq = ?", seq)
        return json.loads(found[0][0]) if found else None

    def opening(self) -> int:
        """Equity that the account opened with, in atoms; 0 before the first run."""
        first = self._rows("SELECT seq FROM runs ORDER BY run LIMIT 1")
        content = self.snapshot_at(first[0][0]) if first else None
        return 0 if content is None else int(content["account"]["peak"])

    def timers(self) -> list[int]:
        """Timers that were asked for and have not rung: market times, the earliest first."""
        return [ts for (ts,) in self._rows("SELECT DISTINCT ts FROM timers ORDER BY ts")]

    def latched(self) -> str | None:
        """Why the kill latch holds; None where it doesn't."""
        found = self._rows("SELECT why FROM kill_latch ORDER BY id DESC LIMIT 1")
        return found[0][0] if found else None

    def unsettled(self, client_order_id: str) -> Unsettled:
        """What is known of an order that was asked for."""
        ((*asked, exchange_order_id, asked_us, seq, position),) = self._rows(
            """
            SELECT client_order_id, leg, side, o.kind, time_in_force, qty, price,
                exchange_order_id, e.wall_us, seq, position
            FROM orders o JOIN events e USING (seq) WHERE client_order_id = ?
            """,
            client_order_id,
        )
        together = self._rows(
            "SELECT client_order_id FROM orders WHERE seq = ? AND position = ?", seq, position
        )
        sent = self._rows(
            """
            SELECT r.kind, attempt, sent_us, outcome, code, http_status, text, answered_us
            FROM orders o JOIN requests r USING (client_order_id)
            WHERE seq = ? AND position = ? AND r.kind != 'cancel' ORDER BY id DESC LIMIT 1
            """,
            seq,
            position,
        )
        return Unsettled(
            request=OrderRequest(*asked),
            together=tuple(name for (name,) in together),
            asked_us=asked_us,
            sent=Answered(*sent[0]) if sent else None,
            exchange_order_id=exchange_order_id,
        )

    def newest_trade_id(self, instrument: str) -> int | None:
        """Id of the newest trade of the market that was written down."""
        found = self._rows(
            "SELECT max(trade_id) FROM ticks t JOIN instruments i ON i.id = t.instrument "
            "WHERE i.name = ?",
            instrument,
        )
        newest: int | None = found[0][0]
        return newest

    def trades_between(self, instrument: str, first_id: int, end_id: int) -> list[tuple[Any, ...]]:
        """Trades of the market with ids in [first_id, end_id), in order of ids.

        Returns:
            ts, price, qty, buyer_maker, trade_id, first_id, last_id; -1 where there is no such id.
        """
        return self._rows(
            "SELECT ts, price, qty, buyer_maker, trade_id, coalesce(first_id, -1), "
            "coalesce(last_id, -1) FROM ticks t JOIN instruments i ON i.id = t.instrument "
            "WHERE i.name = ? AND trade_id >= ? AND trade_id < ? ORDER BY trade_id",
            instrument,
            first_id,
            end_id,
        )

    def cuts_after(self, instrument: str, ts: int) -> list[Cut]:
        """Where bars ended after a market time, in that order."""
        return [
            Cut(*row)
            for row in self._rows(
                'SELECT ts, last_id, "by" FROM cuts c JOIN instruments i ON i.id = c.instrument '
                "WHERE i.name = ? AND ts > ? ORDER BY ts",
                instrument,
                ts,
            )
        ]

    def commission(self, instrument: str, asset: str) -> Decimal:
        """All commission that was charged in an asset."""
        rows = self._rows(
            "SELECT commission FROM fills f JOIN instruments i ON i.id = f.instrument "
            "WHERE i.name = ? AND commission_asset = ?",
            instrument,
            asset,
        )
        return sum((Decimal(text) for (text,) in rows), Decimal(0))

    def order_names(self) -> list[tuple[str, int | None]]:
        """Every order that was ever asked for, and the exchange's name of it where it was heard."""
        return self._rows("SELECT client_order_id, exchange_order_id FROM orders")

    def own_trades(self, instrument: str) -> list[tuple[int, str, int, int]]:
        """Trades of our own: trade id, side, price in ticks and quantity in lots."""
        return self._rows(
            "SELECT trade_id, side, f.price, f.qty FROM fills f "
            "JOIN orders USING (client_order_id) JOIN instruments i ON i.id = f.instrument "
            "WHERE i.name = ? ORDER BY trade_id",
            instrument,
        )

    def closed(self) -> list[Closed]:
        """Reports of every position that ended, oldest first."""
        rows = self._rows("SELECT body FROM commands WHERE kind = 'Closed' ORDER BY seq, position")
        return [closed_from_json(json.loads(body)) for (body,) in rows]

    def heard_trades(self) -> list[int]:
        """Trade ids of the fills that the engine heard, as often as it did."""
        bodies = self._rows("SELECT body FROM events WHERE kind = 'Fill' ORDER BY seq")
        return [json.loads(body)["trade_id"] for (body,) in bodies]

    def newest_step(self, strategy: str, instrument: str) -> int | None:
        """End of the newest bar that something was made of."""
        found = self._rows(
            "SELECT max(s.ts) FROM steps s JOIN runs USING (run) "
            "JOIN instruments i ON i.id = runs.instrument WHERE strategy = ? AND i.name = ?",
            strategy,
            instrument,
        )
        newest: int | None = found[0][0]
        return newest

    def untold(self, instrument: str) -> list[Fill]:
        """Fills that were written down and that the engine has not heard, oldest first."""
        return [
            Fill(*row)
            for row in self._rows(
                """
                SELECT ts, client_order_id, trade_id, price, qty, fee, liquidity
                FROM fills JOIN instruments i ON i.id = instrument
                WHERE seq IS NULL AND i.name = ? ORDER BY trade_id
                """,
                instrument,
            )
        ]


def _run(row: Sequence[Any]) -> Run:
    (
        run,
        seq,
        wall_us,
        engine_version,
        version,
        strategy,
        instrument,
        configuration,
        bundle,
        config,
        rules,
        interval,
        begin_us,
        next_id,
        previous,
        history,
        elsewhere,
        account,
        speed,
        decide_within,
        *before,
    ) = row
    begins = Begins(
        interval,
        begin_us,
        next_id,
        previous_from_text(previous),
        history,
        Decimal(elsewhere),
        account,
    )
    return Run(
        run,
        seq,
        wall_us,
        engine_version,
        RunStart(
            version, strategy, instrument, configuration, bundle,
            EngineConfig.from_json(json.loads(config)), Rules.from_json(json.loads(rules)),
            begins, speed, decide_within,
        ),
        *before,
    )  # fmt: skip
