"""A daemon whose clock falls behind the exchange's loses no trade, and enters nothing meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.live.daemon_world import NAME, STRATEGY, World, make_world, trading, until
from vostok_core.live.parity import prove
from vostok_live.audit import audit
from vostok_live.daemon.plan import JOURNAL
from vostok_live.journal.reader import Reader
from vostok_live.seams import MarketTime, real_seams
from vostok_live.shipping import ship

SPEED = 120.0
BEHIND = 9.0  # seconds of the wall; a daemon looks at the exchange's clock every ten


def test_trades_wait_while_the_clock_is_behind_and_go_on_once_it_is_right(tmp_path: Path) -> None:
    world = make_world(tmp_path / "project")

    async def main() -> None:
        async with trading(world, SPEED) as (server, daemon, task):
            await until(lambda: daemon.status().ready, task)
            session = daemon.session
            assert session is not None
            market, clock = session.market, daemon._seams.clock
            assert market is not None
            bars = session.trader.bars
            await until(lambda: session.trader.bars > bars, task)
            shown, now = clock.market(), clock.wall_ns()
            clock.follow(MarketTime(now, shown - int(BEHIND * SPEED * 1e6), SPEED))
            await until(lambda: "trade_ahead" in codes(daemon), task)
            assert not daemon.status().ready
            await until(lambda: daemon.status().ready, task)
            assert market.refused == 0
            bars = session.trader.bars
            await until(lambda: session.trader.bars > bars + 10, task)
            daemon.stop()
            await asyncio.wait_for(asyncio.shield(task), 30)
            assert (await audit(world.plan(server.url), real_seams())).clean

    asyncio.run(main())
    with Reader.open(world.state / JOURNAL) as reader:
        days = reader.days()
        codes_ = [code for day in days for code in reader.read_alerts(day)["code"]]
        ids = sorted(i for day in days for i in reader.read_ticks(NAME, day)["trade_id"])
    assert codes_.count("trade_ahead") == 1
    assert ids == list(range(ids[0], ids[-1] + 1))
    assert verdicts(world) == {"holds"}


def codes(daemon: object) -> list[str]:
    return [reason.code for reason in daemon.status().reasons]  # type: ignore[attr-defined]


def verdicts(world: World) -> set[str]:
    ship(world.state / JOURNAL, world.lake, STRATEGY, NAME)
    lake, keys = world.lake, {"strategy": STRATEGY, "instrument": NAME}
    # By its clock the daemon may have been back before midnight, and closed no bar there.
    days = [
        d for d in lake.days("live_steps", **keys) if lake.info("live_steps", **keys, date=d).rows
    ]
    return {proof.verdict for proof in prove(lake, STRATEGY, world.instrument, days)}
