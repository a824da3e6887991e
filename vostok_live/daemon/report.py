"""How the daemon stands: its parts, drawn into the published document."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vostok_core.trading.account import Account
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import CODE_VERSION, Engine
from vostok_core.trading.rules import Rules
from vostok_live.daemon.model import Model
from vostok_live.daemon.plan import Plan
from vostok_live.daemon.session import Session
from vostok_live.daemon.trader import Trader
from vostok_live.seams import Clock
from vostok_live.service import status as doc
from vostok_live.service.announce import command
from vostok_live.service.measures import Measures
from vostok_live.service.portrait import closed_trade, portrait

_NO_STREAM = doc.Stream(
    up=False,
    synced=False,
    last_message_age_s=None,
    connections=0,
    reconnects=0,
    ended={},
    flaws={},
    gaps=0,
    given_up=0,
    lost=0,
)


def status(
    plan: Plan,
    clock: Clock,
    session: Session | None,
    measures: Measures,
    started_ns: int,
    lag: float,
) -> doc.Status:
    """How the daemon stands now.

    Args:
        plan: What it is to do.
        clock: Tells both times.
        session: What it does; None before there is one.
        measures: What it counted.
        started_ns: When it began, by the wall.
        lag: How late its event loop is, seconds.
    """
    now = clock.wall_ns()
    trader = None if session is None else session.trader
    engine = _blank(plan) if trader is None else trader.engine
    drawn = portrait(
        engine,
        opening=0 if session is None else session.opening,
        closed=0 if trader is None else trader.closed,
        wins=0 if trader is None else trader.wins,
    )
    reasons = _reasons(plan, session)
    return doc.Status(
        version=plan.version,
        engine_version=CODE_VERSION,
        pid=os.getpid(),
        run=0 if session is None else session.run_number,
        run_name="" if trader is None else engine.config.run,
        strategy=plan.strategy,
        instrument=str(plan.instrument.id),
        price_tick=f"{plan.instrument.price_tick:f}",
        quantity_step=f"{plan.instrument.quantity_step:f}",
        mode=plan.venue.money,
        exchange=_exchange(plan, session),
        started_us=started_ns // 1_000,
        now_us=now // 1_000,
        uptime_s=(now - started_ns) / 1e9,
        market_ts=clock.market(),
        market_speed=clock.market_time.speed,
        ready=not reasons,
        reasons=reasons,
        trades=()
        if trader is None
        else tuple(closed_trade(t, engine.rules) for t in trader.trades),
        prices=_prices(session, trader),
        decisions=doc.Decisions(
            last=None if trader is None else trader.decision,
            counts={} if trader is None else dict(trader.outcomes),
            probabilities=() if trader is None else tuple(trader.probabilities),
        ),
        model=None if session is None else _model(session.model, clock.market()),
        streams=doc.Streams(market=_market(session, now), user=_user(session)),
        journal=_journal(session, measures),
        latencies=doc.Latencies(
            bar_to_order=measures.bar_to_order.latency(),
            order_round_trip=measures.order_round_trip.latency(),
        ),
        loop_lag_ms=1e3 * lag,
        sentiment=_sentiment(session, now),
        alerts=() if trader is None else tuple(trader.alerts),
        **drawn._asdict(),
    )


def _blank(plan: Plan) -> Engine:
    """An engine that has nothing, for as long as there is none."""
    config = EngineConfig("none", 1, 0.0, 0.0, capabilities=Capabilities())
    return Engine(config, Rules.of(plan.instrument), Account.opening(0))


def _reasons(plan: Plan, session: Session | None) -> tuple[doc.Reason, ...]:
    if session is None or session.readiness is None or session.trader is None:
        doing = "starting" if session is None else session.doing
        return (doc.Reason("starting", f"the daemon is {doing}", "wait"),)
    found = list(session.readiness.reasons())
    engine = session.trader.engine
    if engine.killed is not None:
        hint = f"see what happened; {command('reset', plan.state)} releases it"
        found.insert(0, doc.Reason("killed", f"the kill switch holds: {engine.killed}", hint))
    if engine.paused:
        hint = f"{command('resume', plan.state)} lets it enter again"
        found.insert(0, doc.Reason("paused", "entries are paused", hint))
    return tuple(found)


def _exchange(plan: Plan, session: Session | None) -> doc.Exchange:
    restraint = None if session is None else session.port.restraint
    return doc.Exchange(
        url=plan.venue.rest,
        clock_offset_ms=None if session is None else float(session.port.offset_ms),
        weight_used=0 if restraint is None else restraint.weight_used,
        weight_limit=6_000 if restraint is None else restraint.weight_limit,
    )


def _prices(session: Session | None, trader: Trader | None) -> doc.Prices:
    last = None if session is None or session.market is None else session.market.last
    return doc.Prices(
        last=None if last is None else last.price,
        last_ts=None if last is None else last.ts,
        bar=None if trader is None else trader.bar,
        bars=0 if trader is None else trader.bars,
        interval_us=0 if session is None else session.interval_us,
        closes=() if trader is None else tuple(trader.closes),
    )


def _model(model: Model | None, now: int) -> doc.Model | None:
    if model is None:
        return None
    manifest = model.bundle.manifest
    return doc.Model(
        sha256=model.sha256,
        week=manifest.week,
        trained_until_us=manifest.training.cutoff,
        threshold=manifest.threshold,
        stale=now >= model.serves_until(0),
    )


def _market(session: Session | None, now: int) -> doc.Stream:
    if session is None or session.market is None:
        return _NO_STREAM
    side = session.market
    stream, counts = side.feed.stream, side.feed.continuity.counts
    heard = stream.heard_ns
    return doc.Stream(
        up=stream.up,
        synced=stream.up and side.feed.continuity.whole,
        last_message_age_s=(now - heard) / 1e9 if heard else None,
        connections=side.connections,
        reconnects=max(side.connections - 1, 0),
        ended=_counts(stream.ended),
        flaws=_counts(stream.flaws),
        gaps=counts["gap"],
        given_up=counts["given_up"],
        lost=counts["lost"],
    )


def _user(session: Session | None) -> doc.Stream:
    if session is None or session.account is None:
        return _NO_STREAM
    side = session.account
    return doc.Stream(
        up=side.stream.up,
        synced=side.stream.synced,
        last_message_age_s=side.stream.silent,
        connections=side.connections,
        reconnects=max(side.connections - 1, 0),
        ended=_counts(side.stream.ended),
        flaws=_counts(side.stream.flaws),
        gaps=0,
        given_up=0,
        lost=0,
    )


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {str(name): number for name, number in counts.items()}


def _journal(session: Session | None, measures: Measures) -> doc.Journal:
    if session is None:
        return doc.Journal(seq=0, last_commit_ms=None, bytes=0)
    size = 0
    for name in ("", "-wal"):
        path = session.journal.path.with_name(session.journal.path.name + name)
        size += path.stat().st_size if path.exists() else 0
    newest = measures.journal_commit.newest
    return doc.Journal(
        seq=session.journal.seq,
        last_commit_ms=None if newest is None else 1e3 * newest,
        bytes=size,
    )


def _sentiment(session: Session | None, now: int) -> doc.Sentiment | None:
    if session is None or session.news is None:
        return None
    ok = session.news.feed.last_ok_ns
    return doc.Sentiment(
        items=session.news.feed.items, last_seen_age_s=(now - ok) / 1e9 if ok else None
    )
