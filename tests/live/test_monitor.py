"""The monitor: what it shows, on screens of several sizes, and through a daemon's restarts."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from tests.live.service_world import NO_MODEL, Daemon, flat, held, running
from vostok_core.errors import Refused
from vostok_core.trading.events import Action
from vostok_live.monitor import panels, words
from vostok_live.monitor.app import Monitor, Panel
from vostok_live.monitor.chart import Level, line_chart
from vostok_live.monitor.confirm import Confirm
from vostok_live.monitor.once import render
from vostok_live.seams import real_seams
from vostok_live.service.status import Point, Status

SIZES = [(80, 24), (120, 40), (60, 20), (200, 60)]


def changed(value: Any, /, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)


# Numbers


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (words.amount(1_234_567.891), "1,234,567.89"),
        (words.signed(12.3), "+12.30"),
        (words.signed(-1_000.0, 0), "-1,000"),
        (words.signed(-0.001), "0.00"),
        (words.signed(0.001), "0.00"),
        (words.percent(0.1234), "12.34 %"),
        (words.signed_percent(-0.1234, 1), "-12.3 %"),
        (words.duration(0.44), "0.4 s"),
        (words.duration(59.4), "59 s"),
        (words.duration(59.6), "1m 00s"),
        (words.duration(2_462), "41m 02s"),
        (words.duration(11_100), "3h 05m"),
        (words.duration(187_200), "2d 04h"),
        (words.duration(-5), "-5.0 s"),
        (words.milliseconds(0.842), "0.84 ms"),
        (words.milliseconds(12.4), "12 ms"),
        (words.milliseconds(1_230), "1.2 s"),
        (words.clock(1_784_673_065_250_000), "22:31:05"),
        (words.minute(1_784_673_065_250_000), "07-21 22:31"),
        (words.decimals("0.01"), 2),
        (words.decimals("0.00001000"), 5),
        (words.decimals("5"), 0),
        (words.decimals("10"), 0),
    ],
)
def test_numbers_are_written_for_people(found: object, said: object) -> None:
    assert found == said


# Charts


def dots(lines: list[Text]) -> set[tuple[int, int]]:
    """Dots that are set, by column from the left and row from the top."""
    found = set()
    for y, line in enumerate(lines):
        for x, char in enumerate(line.plain):
            code = ord(char) - 0x2800
            if 0 <= code < 256:
                for bit, (dx, dy) in enumerate(
                    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
                ):
                    if code >> bit & 1:
                        found.add((2 * x + dx, 4 * y + dy))
    return found


def plain(_: float) -> str:
    return ""


def test_a_rising_line_runs_from_corner_to_corner() -> None:
    drawn = dots(line_chart([float(n) for n in range(8)], 4, 2, style=plain))
    assert {(0, 7), (7, 0)} <= drawn
    assert not {(0, 0), (7, 7)} & drawn


def test_a_spike_among_many_numbers_is_not_lost() -> None:
    values = [1.0] * 1_000
    values[503] = 9.0
    drawn = dots(line_chart(values, 10, 3, style=plain))
    assert (503 * 20 // 1_000, 0) in drawn


@given(
    values=st.lists(st.floats(-1e6, 1e6), max_size=300),
    width=st.integers(0, 50),
    height=st.integers(0, 12),
)
def test_a_chart_fills_its_room_and_has_no_holes(
    values: list[float], width: int, height: int
) -> None:
    lines = line_chart(values, width, height, style=plain, levels=[Level(0.0, "red")])
    if not width or not height:
        assert lines == []
        return
    assert len(lines) == height
    assert {line.cell_len for line in lines} == {width}
    drawn = dots(lines)
    columns = [{y for x, y in drawn if x == column} for column in range(2 * width)]
    if not values:
        assert drawn == set()
        return
    for column in columns:
        assert column == set(range(min(column), max(column) + 1))
    for one, next_one in itertools.pairwise(columns):
        reach = {y + step for y in one for step in (-1, 0, 1)}
        assert reach & next_one


def test_levels_lie_beneath_the_line_and_only_where_they_belong() -> None:
    levels = [Level(10.0, "red"), Level(11.0, "blue"), Level(0.0, "green")]
    lines = line_chart([0.0] * 3, 6, 3, style=plain, bounds=(0.0, 10.0), levels=levels)
    assert lines[0].plain == "┈" * 6
    assert {span.style for span in lines[0].spans} == {"red"}
    assert lines[1].plain == " " * 6
    assert "┈" not in lines[2].plain


def test_colours_follow_the_numbers() -> None:
    def style(value: float) -> str:
        return "green" if value > 5 else "red"

    (line,) = line_chart([1.0, 1.0, 9.0, 9.0], 2, 1, style=style)
    assert [str(span.style) for span in line.spans] == ["red", "green"]


# What the parts say


def text(name: str, status: Status, width: int = 60, height: int = 14) -> str:
    return "\n".join(line.plain for line in panels.PANELS[name][1](status, width, height))


@pytest.mark.parametrize("status", [held(), flat()], ids=["held", "flat"])
@pytest.mark.parametrize("height", [1, 2, 5, 14])
@pytest.mark.parametrize("width", [10, 36, 56, 120])
def test_parts_say_no_more_than_fits(status: Status, height: int, width: int) -> None:
    for name, (_, panel) in panels.PANELS.items():
        lines = panel(status, width, height)
        assert 1 <= len(lines) <= height, name
        assert all("\n" not in line.plain for line in lines), name


def test_what_matters_most_fits_on_the_smallest_screen() -> None:
    said = "\n".join(text(name, held(), 36, 5) for name in panels.PANELS)
    for part in ("50,088.77", "0.02012 BTC", "covered", "+4.40 USDT", "49,610.50", "50,400.00",
                 "41m 00s", "0.563 > 0.550", "10,123.45", "+31.70", "0.85 %", "12, 58 % won",
                 "synced", "a1b2c3d4", "profit open  stop open"):  # fmt: skip
        assert part in said, part


def test_a_position_without_its_exits_is_loud() -> None:
    bare = changed(held().position, covered=False)
    said = text("position", changed(held(), position=bare, orders=()))
    assert "NOT COVERED" in said


def test_how_long_a_position_lasts_is_told_by_the_wall() -> None:
    assert "closes in 41m 00s" in text("position", held())
    assert "closes in 41 s" in text("position", changed(held(), market_speed=60.0))
    leaving = changed(held().position, leaving="flatten")
    assert "closing: flatten" in text("position", changed(held(), position=leaving))


def test_an_order_of_unknown_fate_is_told_where_there_is_room_and_where_not() -> None:
    lost = (changed(held().orders[0], status="unknown"), held().orders[1])
    for height in (5, 14):
        assert "profit unknown" in text("position", changed(held(), orders=lost), height=height)
    assert "vlr17-31-t" in text("position", changed(held(), orders=lost))


def test_orders_of_an_entry_are_told_before_anything_is_held() -> None:
    entry = changed(held().orders[0], leg="entry", side="buy", status="sent", filled=0.01)
    said = text("position", changed(held(), position=None, orders=(entry,), state="entering"))
    assert said.startswith("entering\nentry  sent  buy 0.01000 of 0.02012 at 50,400.00")


def test_where_the_price_is_between_stop_and_profit() -> None:
    def place(last: float) -> tuple[int, int]:
        prices = changed(held().prices, last=last)
        line = text("position", changed(held(), prices=prices)).splitlines()[2]
        return line.index("●"), len(line)

    left, wide = place(49_610.5)
    assert left == len("49,610.50 ")
    assert place(50_400.0)[0] == wide - len(" 50,400.00") - 1
    assert place(10.0)[0] == left
    assert left < place(50_000.0)[0] < wide


@pytest.mark.parametrize(
    ("changes", "word", "why"),
    [
        ({}, "● READY holding", "Ready"),
        ({"paused": True}, "‖ PAUSED holding", "Paused: no position is opened"),
        ({"killed": "lost 26 % today"}, "■ KILLED holding", "Kill switch: lost 26 % today."),
        ({"ready": False, "reasons": (NO_MODEL,)}, "◌ NOT READY holding", "no model is promoted."),
        ({"ready": False, "reasons": (NO_MODEL,) * 3}, "◌ NOT READY", "(+2 more)"),
    ],
)
def test_whether_it_trades_and_why_not_is_above_all(
    changes: dict[str, Any], word: str, why: str
) -> None:
    status = changed(held(), **changes)
    assert word in panels.headline(status, 80).plain
    line = panels.reasons(status, 80)
    assert why in line.plain
    assert line.cell_len <= 80


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_headline_fills_its_line_and_always_tells_whether_money_is_at_stake(width: int) -> None:
    for mode in ("paper", "real"):
        line = panels.headline(changed(held(), mode=mode, market_speed=60.0), width)
        assert line.cell_len <= max(width, 35)
        assert "×60" in line.plain
        if width >= 60:
            assert line.plain.startswith(f" {mode.upper()} ")
            assert line.cell_len == width


def test_a_stream_that_lost_something_shows() -> None:
    said = text("health", flat())
    assert "● down" in said
    assert "● behind" in said
    assert "none in service" in said
    assert "stale" in text("health", changed(held(), model=changed(held().model, stale=True)))
    assert "7 trades lost" in text("health", held())


# Once


def printed(status: Status, width: int = 80, encoding: str = "utf-8", **options: Any) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    render(status, Console(file=file, width=width, **options))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("status", [held(), flat()], ids=["held", "flat"])
def test_once_prints_on_anything(status: Status, encoding: str, width: int) -> None:
    said = printed(status, width, encoding)
    assert "\x1b" not in said
    assert "momentum"[: width - 38] in said
    for title, _ in panels.PANELS.values():
        assert f"\n{title}\n" in said
    reasons = [line for line in said.splitlines() if line.startswith(" no_model:")]
    assert len(reasons) == len(status.reasons)
    others = [line for line in said.splitlines()[1:] if line not in reasons]
    assert max(map(len, others)) <= min(width, 100)


def test_once_gives_every_reason_whole() -> None:
    other = changed(NO_MODEL, code="user_stream", what="the account's stream is behind " + "x" * 90)
    said = printed(flat(reasons=(NO_MODEL, other), killed="lost too much"), 60)
    assert f" no_model: {NO_MODEL.what}. Hint: {NO_MODEL.hint}\n" in said
    assert "x" * 90 in said
    assert "Kill switch: lost too much" in said


def test_what_is_not_known_yet_is_no_zero() -> None:
    out = io.StringIO()
    render(msgspec.structs.replace(flat(), run=0), Console(file=out, width=100))
    assert "starting" in out.getvalue()
    assert out.getvalue().count("not known before the engine is there") == 3
    assert "equity" not in out.getvalue()


def test_once_says_once_that_a_person_stopped_it() -> None:
    killed = changed(NO_MODEL, code="killed", what="the kill switch holds: lost too much")
    assert printed(flat(reasons=(killed,), killed="lost too much")).count("lost too much") == 1
    assert " Paused: no position is opened" in printed(changed(held(), paused=True))
    assert " Ready" in printed(held())
    assert " Ready" not in printed(flat())


def test_once_has_colours_on_a_terminal() -> None:
    assert "\x1b[" in printed(held(), force_terminal=True, color_system="truecolor")


# The screen


def show(
    state: Path,
    size: tuple[int, int],
    script: Callable[[Monitor, Any], Awaitable[None]],
    every: float = 0.2,
) -> None:
    async def run() -> None:
        app = Monitor(state, clock=real_seams().clock, every=every)
        async with app.run_test(size=size, notifications=True) as pilot:
            await script(app, pilot)

    asyncio.run(asyncio.wait_for(run(), 60))


async def until(pilot: Any, happened: Callable[[], bool]) -> None:
    """Wait until something has happened, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not happened():
            await pilot.pause(0.02)
    await pilot.pause()


def seen(app: Monitor) -> str:
    """Everything on the screen, as text."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    assert len(strips) == height
    lines = ["".join(segment.text for segment in strip) for strip in strips]
    assert {len(line) for line in lines} <= {width}
    return "\n".join(lines)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_screen_shows_the_daemon(size: tuple[int, int], tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        async with running(Daemon(held()), tmp_path):
            await until(pilot, lambda: app.shown is not None)
            said = seen(app)
            for part in ("PAPER", "READY holding", "50,088.77", "0.02012 BTC", "covered",
                         "p pause", "f flatten"):  # fmt: skip
                assert part in said, part
            if size[0] >= 80:
                for part in ("10,123.45", "Probability", "synced", "Alerts", "BNB"):
                    assert part in said, part
            assert ("take profit" in said) == (size[1] >= 34), "trades have room on a tall screen"
            titles = [panel.border_title for panel in app.query(Panel) if panel.display]
            if size[0] >= 72:
                assert all(str(title) in said for title in titles), "nothing is off the screen"

    show(tmp_path, size, script)


def test_screen_follows_a_daemon_that_comes_goes_and_comes_again(tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        await until(pilot, lambda: app.away is not None)
        assert "Not reachable since" in seen(app)
        assert "no daemon runs" in seen(app)
        async with running(Daemon(flat()), tmp_path):
            await until(pilot, lambda: app.away is None)
            assert "NOT READY" in seen(app)
            assert "Not reachable" not in seen(app)
        await until(pilot, lambda: app.away is not None)
        said = seen(app)
        assert "Not reachable since" in said
        assert "10,000.00" in said, "what was last known stays"
        assert all(panel.has_class("-late") for panel in app.query(Panel))
        async with running(Daemon(changed(held(), run=18)), tmp_path):
            await until(pilot, lambda: app.away is None)
            said = seen(app)
            assert "READY holding" in said
            assert "started anew: run 18" in said
            assert not any(panel.has_class("-late") for panel in app.query(Panel))

    show(tmp_path, (80, 24), script)


def test_screen_follows_what_changes(tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        daemon = Daemon(flat())
        async with running(daemon, tmp_path):
            await until(pilot, lambda: app.shown == flat())
            daemon.now = held()
            await until(pilot, lambda: app.shown == held())
            assert "0.02012 BTC" in seen(app)
            await pilot.resize_terminal(120, 40)
            await pilot.pause()
            assert "take profit" in seen(app)

    show(tmp_path, (80, 24), script)


@pytest.mark.parametrize(("key", "action"), [("p", "pause"), ("r", "resume")])
def test_keys_pause_and_resume(key: str, action: Action, tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        daemon = Daemon(held())
        async with running(daemon, tmp_path):
            await until(pilot, lambda: app.shown is not None)
            await pilot.press(key)
            await until(pilot, lambda: bool(daemon.asked))
            assert daemon.asked == [(action, "the monitor, by the control API")]
            await until(pilot, lambda: f"{action.capitalize()}d:" in seen(app))

    show(tmp_path, (80, 24), script)


@pytest.mark.parametrize("answer", ["n", "escape", "q", "x"])
def test_flatten_asks_first_and_takes_anything_but_yes_for_no(answer: str, tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        daemon = Daemon(held())
        async with running(daemon, tmp_path):
            await until(pilot, lambda: app.shown is not None)
            await pilot.press("f")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            assert "0.02012 BTC is sold at the market" in seen(app)
            await pilot.press("p", answer)
            await pilot.pause(0.3)
            assert isinstance(app.screen, Confirm) == (answer == "x")
            assert daemon.asked == []

    show(tmp_path, (80, 24), script)


def test_flatten_is_asked_for_once_the_answer_is_yes(tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        daemon = Daemon(held())
        async with running(daemon, tmp_path):
            await until(pilot, lambda: app.shown is not None)
            await pilot.press("f")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("y")
            await until(pilot, lambda: bool(daemon.asked))
            assert daemon.asked == [("flatten", "the monitor, by the control API")]
            assert not isinstance(app.screen, Confirm)

    show(tmp_path, (80, 24), script)


def test_what_the_daemon_refuses_is_told(tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        daemon = Daemon(held())

        async def refuse(_: Action) -> None:
            raise Refused("the account is in [doubt]", hint="look at the orders")

        daemon.on_control = refuse
        async with running(daemon, tmp_path):
            await until(pilot, lambda: app.shown is not None)
            await pilot.press("r")
            await until(pilot, lambda: "resume failed" in seen(app))
            assert "the account is in [doubt]" in seen(app)
            assert "look at the orders" in seen(app)

    show(tmp_path, (80, 24), script)


def test_a_key_without_a_daemon_is_an_error_and_no_end(tmp_path: Path) -> None:
    async def script(app: Monitor, pilot: Any) -> None:
        await pilot.press("p")
        await until(pilot, lambda: "pause failed" in seen(app))
        assert app.is_running
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running or app._exit

    show(tmp_path, (80, 24), script)


def test_words_of_others_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = "[red]x[/red] [@click=app.quit]y[/]"
    reason = changed(NO_MODEL, what=odd)

    async def script(app: Monitor, pilot: Any) -> None:
        async with running(Daemon(flat(reasons=(reason,))), tmp_path):
            await until(pilot, lambda: app.shown is not None)
            assert odd in seen(app)

    show(tmp_path, (80, 24), script)


def test_closes_that_never_moved_can_be_drawn(tmp_path: Path) -> None:
    still = changed(held().prices, last=5.0, closes=tuple(Point(n, 5.0) for n in range(9)))
    never = changed(held(), prices=still, position=None, orders=())
    assert "5.00" in text("price", never)
    zero = changed(held().prices, last=0.0, closes=(Point(1, 0.0), Point(2, 0.0)))
    assert "0.00" in text("price", changed(held(), prices=zero, position=None))
