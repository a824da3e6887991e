"""What the daemon and its recovery ask of an open journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vostok_core.trading.commands import OrderRequest
from vostok_core.trading.events import Fill, event_from_json
from vostok_live.journal.place import explained
from vostok_live.journal.rows import (
    Answered,
    Heard,
    Run,
    RunStart,
    Unsettled,
    config_from_json,
    rules_from_json,
)

_RUN = """
    SELECT run, seq, wall_us, engine_version, version, strategy, i.name, configuration, bundle,
        config, rules
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
        *told,
    ) = row
    config, rules = map(json.loads, told)
    return Run(
        run,
        seq,
        wall_us,
        engine_version,
        RunStart(
            version, strategy, instrument, configuration, bundle,
            config_from_json(config), rules_from_json(rules),
        ),
    )  # fmt: skip
