"""Looking for what would keep `vostok-live run` from trading, before it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from vostok_core.errors import VostokError
from vostok_core.project import Project
from vostok_core.times import utc
from vostok_live.daemon.history import lake_past
from vostok_live.daemon.model import Model
from vostok_live.daemon.plan import JOURNAL, Plan, find_named, make_plan
from vostok_live.daemon.recovery import check_account
from vostok_live.daemon.venue import find_key, find_venue
from vostok_live.gateway.port import Balance
from vostok_live.journal.reader import Reader
from vostok_live.journal.recovery import recover
from vostok_live.seams import Seams, real_seams
from vostok_live.service.announce import command


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, how it is, and what to do about it."""

    name: str
    ok: bool
    detail: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f". Hint: {self.hint}" if self.hint else ""
        return f"{'ok  ' if self.ok else 'FAIL'} {self.name:10} {self.detail}{hint}"


def examine(
    project: Project,
    strategy: str,
    instrument: str,
    exchange: str | None,
    environ: Mapping[str, str],
    *,
    real: bool,
) -> Iterator[Finding]:
    """Look at everything that can be looked at without changing anything.

    Args:
        project: Settings and lake.
        strategy, instrument, exchange, real: As for `run`.
        environ: Where the key is.

    Yields:
        What was found, in the order in which `run` needs it.
    """
    try:
        find_named(project, strategy, instrument)
        key = find_key(environ)
        yield Finding("key", ok=True, detail=f"{key.key[:4]}…")
        venue = find_venue(exchange, project.lake_home, real=real)
        plan = make_plan("", project, strategy, instrument, venue, key)
        yield Finding("exchange", ok=True, detail=f"{venue.name}, {venue.rest}, {venue.money}")
        yield _journal(plan)
        model = Model.load(plan.lake, strategy, str(plan.instrument.id))
        week = model.bundle.manifest.week
        yield Finding("model", ok=True, detail=f"{model.sha256[:16]}, of the week {week}, verified")
    except VostokError as error:
        yield _failed("plan", error)
        return
    yield from asyncio.run(_gathered(plan, model))


def _journal(plan: Plan) -> Finding:
    path = plan.state / JOURNAL
    if not path.exists():
        return Finding("journal", ok=True, detail=f"{path}: none yet, the first start makes it")
    with Reader.open(path) as reader:
        check_account(plan, reader)
        latched = reader.latched()
        last = reader.last_run()
        runs, seq = len(reader.runs()), reader.seq
        found = None
        if latched is None and last is not None:
            found = recover(reader, last.start.config, last.start.rules)
    reset = f"see what happened, then start the daemon and run {command('reset', plan.state)}"
    if latched is not None:
        return Finding("journal", ok=False, detail=f"the kill switch holds: {latched}", hint=reset)
    if found is not None and found.engine.killed is not None:
        detail = f"the kill switch holds: {found.engine.killed}"
        return Finding("journal", ok=False, detail=detail, hint=reset)
    hint = ""
    if found is not None and found.engine.paused:
        hint = "entries are paused; once the daemon runs, "
        hint += f"{command('resume', plan.state)} lets it enter"
    return Finding("journal", ok=True, detail=f"{path}: {runs} runs, {seq} events", hint=hint)


async def _gathered(plan: Plan, model: Model) -> list[Finding]:
    return [each async for each in _asked(plan, model, real_seams())]


async def _asked(plan: Plan, model: Model, seams: Seams) -> AsyncIterator[Finding]:
    """What the exchange says."""
    import aiohttp

    from vostok_core.trading.rules import Rules
    from vostok_live.daemon.timekeeping import Timekeeper
    from vostok_live.gateway.ccxt_port import CcxtPort
    from vostok_live.gateway.permission import check_permissions

    rules = Rules.of(plan.instrument)
    port = CcxtPort(plan.instrument, rules, plan.venue.endpoints, plan.key, seams=seams)
    async with aiohttp.ClientSession(connector=seams.connector()) as web:
        try:
            if not await Timekeeper(plan.venue.clock, web, seams.clock).read():
                where = plan.venue.rest
                yield Finding("exchange", ok=False, detail=f"{where}: no answer", hint="start it")
                return
            now = seams.clock.market()
            stale = _stale(plan, model, now)
            if stale is not None:
                yield stale
            await port.open()
            offset = f"its clock is {port.offset_ms} ms ahead of ours"
            yield Finding("symbol", ok=True, detail=f"trades as vostok.toml says; {offset}")
            if plan.venue.restricts_keys:
                warning = check_permissions(await port.permissions(), plan.venue.rest)
                yield Finding("key", ok=True, detail=warning or "may trade, and nothing more")
            yield _money(plan, await port.balances())
            yield _history(plan, model, now)
        except VostokError as error:
            yield _failed("exchange", error)
        finally:
            await port.close()


def _history(plan: Plan, model: Model, now: int) -> Finding:
    """The bars that a start walks over."""
    try:
        past = lake_past(
            plan.lake, model.strategy, plan.instrument, now, plan.timing.market_max_gap
        )
    except VostokError as error:
        return _failed("history", error)
    return Finding("history", ok=True, detail=f"{past.valid.size} bars to {utc(past.begin_us):%F}")


def _stale(plan: Plan, model: Model, now: int) -> Finding | None:
    """What is wrong with a model whose time is over; None where it is not."""
    until = model.serves_until(plan.timing.market_model_grace)
    if now < until:
        return None
    return Finding(
        "model",
        ok=False,
        detail=f"stale: it served until {utc(until):%F %T}, and it is {utc(now):%F %T}",
        hint="see in Dagster why the weekly retraining promoted none, and run it",
    )


def _money(plan: Plan, balances: Mapping[str, Balance]) -> Finding:
    live, quote = plan.live, plan.instrument.id.quote
    free = {name: balance.free for name, balance in balances.items()}
    text = ", ".join(f"{free.get(name, 0):f} {name}" for name in (quote, live.fee_asset) if name)
    if live.fee_asset and free.get(live.fee_asset, 0) < live.fee_reserve:
        return Finding(
            "account",
            ok=False,
            detail=f"free: {text}",
            hint=f"hold {live.fee_reserve} {live.fee_asset}, or commission is taken from what is "
            "bought",
        )
    return Finding("account", ok=True, detail=f"free: {text}")


def _failed(name: str, error: VostokError) -> Finding:
    detail = error.what if error.where is None else f"{error.where}: {error.what}"
    return Finding(name, ok=False, detail=detail, hint=error.hint or "")
