"""What each part of the screen says of a status, as lines of text.

Each takes the room that it has: it gives the most important lines first and no more than fit. A
line that is too long is cut by whoever shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rich.text import Text

from vostok_live.monitor import words
from vostok_live.monitor.chart import Level, line_chart
from vostok_live.monitor.ink import (
    BAD,
    FAINT,
    GOOD,
    LINE,
    QUIET,
    STRONG,
    WARN,
    Lines,
    bounds,
    gauge,
    place,
    row,
    scale,
    tone,
)
from vostok_live.monitor.words import Units
from vostok_live.service.status import Latency, Status, Stream

Panel = Callable[[Status, int, int], Lines]
"""Makes lines of a status, a width and a height."""

_ROOMY = 50  # characters, from which on codes are shown beside words
_LEGS = {"entry": "entry", "take_profit": "profit", "stop_loss": "stop", "market": "market"}
_LEVELS = {"info": QUIET, "warning": WARN, "critical": BAD}
_OUTCOMES = {
    "entries": ("entered", GOOD),
    "withheld": ("not ready", WARN),
    "below_threshold": ("too low", QUIET),
    "invalid": ("bar not valid", WARN),
    "killed": ("kill switch", BAD),
    "paused": ("paused", WARN),
    "busy": ("busy", QUIET),
    "too_small": ("too small", WARN),
}


def mood(status: Status) -> Text:
    """In a word, whether it trades, and in another, where it stands."""
    if status.killed is not None:
        said = Text("■ KILLED", f"bold {BAD}")
    elif status.paused:
        said = Text("‖ PAUSED", f"bold {WARN}")
    elif not status.ready:
        said = Text("◌ NOT READY", f"bold {WARN}")
    else:
        said = Text("● READY", f"bold {GOOD}")
    return said.append(f" {status.state}" if status.run else " starting", "not bold")


def headline(status: Status, width: int) -> Text:
    """What runs, whether it trades, and what time it is in the market."""
    speed = "" if status.market_speed == 1 else f" ×{status.market_speed:g}"
    right = Text.assemble(mood(status), "  ", (f"{words.clock(status.market_ts)}{speed} ", QUIET))
    badge = "bold white on #da3633" if status.mode == "real" else "bold black on #58a6ff"
    left = Text.assemble(
        (f" {status.mode.upper()} ", badge),
        (f"  {status.strategy}", STRONG),
        (f"  {status.instrument}", QUIET),
    )
    room = width - right.cell_len
    if room < 2:  # the rest is cut
        return right
    left.truncate(room - 1, overflow="ellipsis")
    left.pad_right(room - left.cell_len)
    return left + right


def reasons(status: Status, width: int) -> Text:
    """Why no position is opened, in a line: the first reason, and how many more there are."""
    more = f" (+{len(status.reasons) - 1} more)" if len(status.reasons) > 1 else ""
    if status.killed is None and status.reasons:
        line = Text(f" {status.reasons[0].what}.", WARN)
        line.append(f" Hint: {status.reasons[0].hint}", QUIET)
    else:
        line = headword(status)
    line.truncate(max(width - len(more), 0), overflow="ellipsis")
    return line + Text(more, WARN)


def headword(status: Status) -> Text:
    """Whether a person has stopped it; if not, what runs."""
    if status.killed is not None:
        return Text(f" Kill switch: {status.killed}. Only a reset releases it.", BAD)
    if status.paused:
        return Text(" Paused: no position is opened, and what is held keeps its exits.", WARN)
    about = f"run {status.run}, up {words.duration(status.uptime_s)}  {status.exchange.url}"
    return Text.assemble((" Ready  " if status.ready else " ", QUIET), (about, FAINT))


def price(status: Status, width: int, height: int) -> Lines:
    """The last price and the closes before it, with the levels of an open position."""
    units, prices = Units(status), status.prices
    if prices.last is None:
        return [Text("no trade yet", QUIET)]
    closes = [point.value for point in prices.closes]
    first = Text.assemble((units.price(prices.last), STRONG), (f" {units.quote}", QUIET))
    if closes and closes[0] > 0:
        rise = prices.last / closes[0] - 1
        sign = "▲" if rise > 0 else "▼" if rise < 0 else "="
        first.append(f"  {sign} {words.signed_percent(rise)}", tone(rise))
    if prices.bar is not None:
        bar = (
            Text(f"  {words.clock(prices.bar.ts)[:5]}", QUIET)
            if prices.bar.valid
            else Text("  bar not valid", WARN)
        )
        if first.cell_len + bar.cell_len <= width:
            first += bar
    if len(closes) < 2:
        return [first]
    levels = []
    if status.position is not None:
        held = status.position
        levels = [
            Level(held.entry_price, QUIET), Level(held.take_profit, GOOD),
            Level(held.stop_loss, BAD),
        ]  # fmt: skip
    drawn = [*closes, prices.last]
    low, high = bounds(drawn, [level.value for level in levels])
    marks = (units.price(high), units.price(low))
    room = width - max(map(len, marks)) - 1
    chart = line_chart(
        drawn, room, height - 1, style=lambda _: LINE, levels=levels, bounds=(low, high)
    )
    return [first, *scale(chart, marks)]


def decisions(status: Status, width: int, height: int) -> Lines:
    """The newest probability against its threshold, and those before it."""
    last = status.decisions.last
    if last is None:
        return [Text("the model has said nothing yet", QUIET)]
    above = last.probability > last.threshold
    said, style = _OUTCOMES.get(last.outcome, (last.outcome, QUIET))
    first = Text.assemble(
        (f"{last.probability:.3f}", f"bold {GOOD if above else QUIET}"),
        (f" {'>' if above else '≤'} {last.threshold:.3f}", QUIET),
        (f"  {words.clock(last.ts)[:5]}  ", QUIET), (said, style),
    )  # fmt: skip
    values = [point.value for point in status.decisions.probabilities]
    if len(values) < 2:
        return [first]
    low, high = bounds(values, [last.threshold])
    marks = (f"{high:.2f}", f"{low:.2f}")
    chart = line_chart(
        values,
        width - 5,
        height - 1,
        style=lambda value: GOOD if value > last.threshold else LINE,
        levels=[Level(last.threshold, WARN)],
        bounds=(low, high),
    )
    return [first, *scale(chart, marks)]


def position(status: Status, width: int, height: int) -> Lines:
    """What is held, between its stop and its profit, and for how long; and all orders."""
    units, held = Units(status), status.position
    if held is None:
        lines = [Text(status.state, STRONG), *_orders(status, height - 1)]
        if status.trades and not status.orders and height > len(lines) + 1:
            lines += [Text(), Text("last trade", QUIET), *_trades(status, 1)]
        return lines[:height]
    rise = held.unrealised / (held.qty * held.entry_price)
    left = (held.deadline_ts - status.market_ts) / 1e6 / status.market_speed
    cover = ("covered", GOOD) if held.covered else ("NOT COVERED", f"bold {BAD}")
    until = (
        Text(f"closing: {held.leaving}", WARN)
        if held.leaving
        else Text(f"closes in {words.duration(max(left, 0.0))}", QUIET)
    )
    return [
        Text.assemble((f"{units.qty(held.qty)} {units.base}", STRONG), "  ", cover),
        Text.assemble(
            (f"{words.signed(held.unrealised)} {units.quote}", f"bold {tone(held.unrealised)}"),
            (f"  {words.signed_percent(rise)}", tone(held.unrealised)),
            (f"  at {units.price(held.entry_price)}", QUIET),
        ),
        _between(status, width),
        Text.assemble(until, (f"  p {held.probability:.3f}", QUIET)),
        *_orders(status, height - 4),
    ][:height]


def money(status: Status, width: int, height: int) -> Lines:
    """Equity, what was earned, and how far it is to the kill switch."""
    units, held = Units(status), status.money
    won = f", {words.percent(held.wins / held.closed, 0)} won" if held.closed else ""
    before = held.equity - held.day_pnl
    day = f"  {words.signed_percent(held.day_pnl / before)}" if before > 0 else ""
    total = held.equity / held.opening - 1 if held.opening > 0 else 0.0
    return [
        Text.assemble(
            ("equity    ", QUIET), (words.amount(held.equity), STRONG), (f" {units.quote}", QUIET),
            (f"  {words.signed_percent(total)}", tone(total)),
        ),
        row("today", (words.signed(held.day_pnl), tone(held.day_pnl)),
            (day, tone(held.day_pnl))),
        row("realised", (words.signed(held.realised), tone(held.realised)),
            (f"  open {words.signed(held.unrealised)}", tone(held.unrealised))),
        gauge("drawdown", held.drawdown, held.drawdown_limit, width),
        row("trades", (f"{held.closed}{won}", ""), (f"  fees {words.amount(held.fees)}", QUIET)),
        gauge("day loss", held.day_loss, held.day_loss_limit, width),
        row("cash", (f"{words.amount(held.cash)} {units.quote}", "")),
        row("dust", (f"{units.qty(held.dust)} {units.base}", QUIET)),
    ][:height]  # fmt: skip


def trades(status: Status, _width: int, height: int) -> Lines:
    """The newest positions that were closed."""
    return _trades(status, height) or [Text("none yet", QUIET)]


def health(status: Status, width: int, height: int) -> Lines:
    """Connections, model, journal and how long things take."""
    streams, times, model = status.streams, status.latencies, status.model
    lines = [
        _stream("market", streams.market, width),
        _stream("account", streams.user, width),
        row("model", ("none in service", WARN))
        if model is None
        else row("model", (f"{model.week}  {model.sha256[:8]}", ""),
                 ("  stale" if model.stale else "", WARN)),
        row("order", *_latency(times.order_round_trip)),
        row("journal", (f"{status.journal.seq:,} events", ""),
            ("" if status.journal.last_commit_ms is None
              else f"  {words.milliseconds(status.journal.last_commit_ms)}", QUIET)),
        row("bar→order", *_latency(times.bar_to_order)),
        row("loop lag", (words.milliseconds(status.loop_lag_ms),
                          WARN if status.loop_lag_ms > 250 else "")),
        row("weight", (f"{status.exchange.weight_used:,} of {status.exchange.weight_limit:,}", ""),
            ("" if status.exchange.clock_offset_ms is None
              else f"  clock {words.signed(status.exchange.clock_offset_ms, 0)} ms", QUIET)),
        row("gaps", (f"{streams.market.gaps}", ""),
            (f"  {streams.market.lost} trades lost", WARN if streams.market.lost else QUIET)),
    ]  # fmt: skip
    if status.sentiment is not None:
        age = status.sentiment.last_seen_age_s
        seen = "not seen yet" if age is None else f"{words.duration(age)} ago"
        lines.append(row("news", (f"{status.sentiment.items} items", ""), (f"  {seen}", QUIET)))
    flaws = sum(streams.market.flaws.values()) + sum(streams.user.flaws.values())
    lines += [
        row("flaws", (f"{flaws}", ""), ("  frames that could not be used", QUIET)),
        row("run", (f"{status.run}", ""), (f"  up {words.duration(status.uptime_s)}", QUIET)),
        row("Vostok", (f"{status.version}", ""), (f"  process {status.pid}", QUIET)),
        row("exchange", (status.exchange.url, "")),
    ]
    return lines[:height]


def alerts(status: Status, width: int, height: int) -> Lines:
    """What a person was told, newest first; by the wall's time."""
    lines = []
    for each in reversed(status.alerts[-height:]):
        style = _LEVELS[each.level]
        line = Text.assemble((f"{words.clock(each.wall_us)[:5]} ", QUIET))
        if width >= _ROOMY:
            line.append(f"{each.code}  ", style).append(each.message)
        else:
            line.append(each.message, style)
        lines.append(line)
    return lines or [Text("none", QUIET)]


def _once_there(panel: Panel) -> Panel:
    """A panel of what the engine knows; while there is none, it says so instead of zeros."""

    def drawn(status: Status, width: int, height: int) -> Lines:
        if status.run == 0:
            return [Text("not known before the engine is there", QUIET)]
        return panel(status, width, height)

    return drawn


PANELS: Final[dict[str, tuple[str, Panel]]] = {
    "price": ("Price", price),
    "position": ("Position", _once_there(position)),
    "decisions": ("Probability", decisions),
    "money": ("Account", _once_there(money)),
    "health": ("Health", health),
    "trades": ("Trades", _once_there(trades)),
    "alerts": ("Alerts", alerts),
}
"""Title and content of every part, by name, in the order in which they are read."""


def _between(status: Status, width: int) -> Text:
    """Where the price is, between stop and profit."""
    units, held = Units(status), status.position
    assert held is not None, "nothing is held"
    left, right = units.price(held.stop_loss), units.price(held.take_profit)
    room = width - len(left) - len(right) - 2
    now = status.prices.last
    if room < 3 or now is None or held.take_profit <= held.stop_loss:
        return Text.assemble((left, BAD), " … ", (right, GOOD))
    share = (now - held.stop_loss) / (held.take_profit - held.stop_loss)
    begin = (held.entry_price - held.stop_loss) / (held.take_profit - held.stop_loss)
    track = ["─"] * room
    track[place(begin, room)] = "┼"
    at = place(share, room)
    return Text.assemble(
        (left, BAD), " ", ("".join(track[:at]), FAINT), ("●", STRONG),
        ("".join(track[at + 1 :]), FAINT), " ", (right, GOOD),
    )  # fmt: skip


def _orders(status: Status, room: int) -> Lines:
    """Orders, each on a line; where there is no room for that, in short on one."""
    units = Units(status)
    if len(status.orders) > max(room, 1):
        short = Text()
        for order in status.orders:
            style = BAD if order.status == "unknown" else QUIET
            short.append(f"{_LEGS[order.leg]} {order.status}  ", style)
        return [short]
    lines = []
    for order in status.orders:
        at = "the market" if order.price is None else units.price(order.price)
        filled = f"{units.qty(order.filled)} of " if order.filled else ""
        lines.append(
            Text.assemble(
                f"{_LEGS[order.leg]:<7}",
                (order.status, BAD if order.status == "unknown" else GOOD),
                (f"  {order.side} {filled}{units.qty(order.qty)} at {at}", QUIET),
                (f"  {order.client_order_id}", FAINT),
            )
        )
    return lines


def _trades(status: Status, count: int) -> Lines:
    units = Units(status)
    lines = []
    for each in reversed(status.trades[-count:]):
        end = "dust" if each.exit_price is None else units.price(each.exit_price)
        lines.append(
            Text.assemble(
                (f"{words.minute(each.exit_ts)} ", QUIET),
                (f"{words.signed(each.pnl):>8}", tone(each.pnl)),
                f"  {each.reason.replace('_', ' '):<11}",
                (f" {units.price(each.entry_price)} → {end}", QUIET),
            )
        )
    return lines


def _latency(times: Latency | None) -> tuple[tuple[str, str], ...]:
    if times is None:
        return (("not yet", QUIET),)
    return (
        (words.milliseconds(times.p50_ms), ""),
        (f"  99 %: {words.milliseconds(times.p99_ms)}", QUIET),
    )


def _stream(name: str, stream: Stream, width: int) -> Text:
    word, style = (
        ("down", BAD) if not stream.up else ("synced", GOOD) if stream.synced else ("behind", WARN)
    )
    age = stream.last_message_age_s
    text = row(name, (f"● {word}", style))
    if age is not None:
        text.append(f"  {words.duration(age)}", QUIET)
    again = f"  {stream.reconnects}× anew"
    if stream.reconnects and text.cell_len + len(again) <= width:
        text.append(again, QUIET)
    return text
