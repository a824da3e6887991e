"""The exchange as a process: it goes on where it stood, however it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from vostok_core.errors import CorruptPartition, LakeVersionError, UsageError
from vostok_core.lake.exchanges import exchange_folder
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.synthetic import MarketSpec
from vostok_core.times import HOUR, MINUTE, SECOND, day_start
from vostok_exchange.clock import SteppedClock
from vostok_exchange.commands import AnyCommand, Burn, Cancel, Deposit, Place, PlaceOco, Which
from vostok_exchange.desk import NEVER, Desk
from vostok_exchange.orders import OcoRequest, OrderRequest
from vostok_exchange.server import Server
from vostok_exchange.settings import AccountSetup, Key, Setup
from vostok_exchange.state import State
from vostok_exchange.world import Market

DAY = date(2025, 3, 31)
START = day_start(DAY) + 22 * HOUR


@pytest.fixture
def setup(instrument: Instrument) -> Setup:
    spec = MarketSpec(
        trades_per_minute=4.0, start_price=100.0, mean_qty=1.0, quantity_step=0.001,
        news_per_day=200.0,
    )  # fmt: skip
    other = Instrument(
        InstrumentId.parse("demo.spot.XYZ-USDT"), "agg_trade", Decimal("0.01"), Decimal("0.001"),
        Decimal(5), 10 * MINUTE,
    )  # fmt: skip
    rich = {"USDT": Decimal(100_000), "BNB": Decimal(50), "ABC": Decimal(100)}
    return Setup(
        7,
        DAY,
        START,
        (Market(instrument, spec), Market(other, spec)),
        (AccountSetup(1, (Key("k" * 64, "secret"),), rich),),
        {"USDT": Decimal(600)},
    )


def order(side: Any, kind: Any, qty: str, price: str | None = None, **more: Any) -> OrderRequest:
    more.setdefault("time_in_force", "GTC" if kind == "LIMIT" else None)
    return OrderRequest(
        "ABCUSDT", side, kind, Decimal(qty), price=None if price is None else Decimal(price), **more
    )


ASKED: list[tuple[int, AnyCommand]] = [
    (MINUTE, Place(1, order("BUY", "MARKET", "5"))),
    (20 * MINUTE, Place(1, order("BUY", "LIMIT", "3", "98.50", client_order_id="rest"))),
    (20 * MINUTE, Deposit(1, "XYZ", Decimal("2.5"))),
    (HOUR, PlaceOco(
        1,
        OcoRequest(
            order("SELL", "LIMIT_MAKER", "2", "140"),
            order("SELL", "STOP_LOSS", "2", stop_price=Decimal(60)),
        ),
    )),
    (HOUR, Burn(1, False)),
    (2 * HOUR + MINUTE, Place(1, order("SELL", "MARKET", "1"))),  # the next day
    (2 * HOUR + 2 * MINUTE, Cancel(1, "ABCUSDT", Which(client_order_id="none"))),
    (3 * HOUR, Place(1, order("BUY", "LIMIT", "1", "97"))),
]  # fmt: skip
END = START + 4 * HOUR


def run(desk: Desk) -> str:
    """Ask everything and go on to the end; returns all that is remembered."""
    for after, command in ASKED:
        desk.do(command, START + after)
    return told(desk)


def told(desk: Desk) -> str:
    desk.advance(END)
    desk.news()
    return json.dumps(desk.snapshot(), sort_keys=True)


def events_of(desk: Desk) -> list[Any]:
    events: list[Any] = []
    desk.listeners.append(events.extend)
    return events


def test_how_often_it_is_told_the_time_makes_no_difference(setup: Setup, tmp_path: Path) -> None:
    at_once, often = Desk.fresh(setup, tmp_path / "a"), Desk.fresh(setup, tmp_path / "b")
    first, second = events_of(at_once), events_of(often)
    asked = dict(ASKED[-1:])
    for ts in range(START, END, 7 * SECOND):
        often.advance(ts)
        for after in [after for after in asked if START + after < ts + 7 * SECOND]:
            often.do(asked.pop(after), START + after)
    at_once.do(ASKED[-1][1], START + ASKED[-1][0])
    assert told(at_once) == told(often)
    assert first == second
    assert len(first) > 1_000


@pytest.mark.parametrize("stop_after", range(len(ASKED) + 1))
def test_a_process_that_is_killed_loses_nothing(
    setup: Setup, tmp_path: Path, stop_after: int
) -> None:
    whole = run(Desk.fresh(setup, tmp_path / "whole"))
    folder, archive = tmp_path / "exchange", tmp_path / "archive"
    state = State(folder, archive, setup)
    for after, command in ASKED[:stop_after]:
        state.desk.do(command, START + after)
        state.record(START + after, command)
        if after == HOUR:
            state.save()
    state.record(END)
    state.close()  # lets go of the lock, and writes nothing
    with max(folder.glob("asked-*.jsonl")).open("ab") as file:
        file.write(b'[17435,{"ask":"pl')  # killed while it wrote
    state = State(folder, archive)
    assert state.setup == setup
    assert state.resumes == END
    for after, command in ASKED[stop_after:]:
        state.desk.do(command, START + after)
        state.record(START + after, command)
    assert told(state.desk) == whole
    state.close()
    state = State(folder, archive)
    assert told(state.desk) == whole, "what was noted after a broken line counts too"
    state.close()


def test_midnight_saves_and_begins_a_new_list_of_what_was_asked(
    setup: Setup, tmp_path: Path
) -> None:
    async def scenario() -> None:
        server = Server(tmp_path, setup=setup, clock=SteppedClock)
        exchange = server.exchange
        exchange.clock.step_to(START + HOUR)
        exchange.do(ASKED[0][1])
        assert [file.name for file in tmp_path.glob("asked-*")] == ["asked-0.jsonl"]
        exchange.clock.step_to(START + 2 * HOUR + MINUTE)
        exchange.do(Place(1, order("BUY", "LIMIT", "3", "60")))
        assert [file.name for file in tmp_path.glob("asked-*")] == ["asked-1.jsonl"]
        assert exchange.desk.venue.account(1).of("USDT").locked
        exchange.state.close()  # as if it were killed
        state = State(tmp_path, tmp_path / "archive")
        assert state.resumes >= START + 2 * HOUR + MINUTE
        assert state.desk.venue.account(1).of("USDT").locked
        state.close()

    asyncio.run(scenario())


def test_a_server_goes_on_from_where_it_was_stopped(setup: Setup, tmp_path: Path) -> None:
    whole = run(Desk.fresh(setup, tmp_path / "whole"))

    async def serve(*asked: tuple[int, AnyCommand], at: int, last: bool, **options: Any) -> str:
        async with Server(tmp_path / "exchange", clock=SteppedClock, **options) as server:
            exchange = server.exchange
            assert exchange.clock.now() == at
            for after, command in asked:
                exchange.clock.step_to(START + after)  # type: ignore[attr-defined]
                exchange.do(command)
            if not last:
                return ""
            exchange.clock.step_to(END)  # type: ignore[attr-defined]
            return told(exchange.desk)

    async def scenario() -> str:
        await serve(*ASKED[:4], at=START, last=False, setup=setup)
        return await serve(*ASKED[4:], at=START + ASKED[3][0], last=True)

    assert asyncio.run(scenario()) == whole


def test_one_exchange_at_a_time_keeps_a_folder(setup: Setup, tmp_path: Path) -> None:
    state = State(tmp_path, tmp_path / "archive", setup)
    with pytest.raises(UsageError, match=rf"runs here already \(process {os.getpid()}\)"):
        State(tmp_path, tmp_path / "archive")
    state.close()
    State(tmp_path, tmp_path / "archive").close()


def test_a_folder_that_cant_be_used_is_refused_with_a_reason(setup: Setup, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with pytest.raises(UsageError, match="there is no exchange here"):
        State(tmp_path / "none", archive)
    state = State(tmp_path, archive, setup)
    state.save()
    state.close()
    assert (tmp_path / "setup.json").stat().st_mode & 0o077 == 0, "it holds secrets"
    other = Setup(8, DAY, START, setup.markets, setup.accounts, setup.bnb_prices)
    with pytest.raises(UsageError, match="set up otherwise"):
        State(tmp_path, archive, other)
    content = json.loads((tmp_path / "snapshot.json").read_text())
    (tmp_path / "snapshot.json").write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(LakeVersionError, match="format 2"):
        State(tmp_path, archive)
    (tmp_path / "snapshot.json").write_text("{")
    with pytest.raises(CorruptPartition, match="snapshot doesn't read"):
        State(tmp_path, archive)
    (tmp_path / "snapshot.json").write_text(json.dumps(content))
    (tmp_path / "asked-1.jsonl").write_text('[1,{"ask":"rob"}]\n')
    with pytest.raises(CorruptPartition, match=r"asked-1\.jsonl:1"):
        State(tmp_path, archive)
    (tmp_path / "setup.json").write_text("{}")
    with pytest.raises(UsageError, match="can't be an exchange's setup"):
        State(tmp_path, archive)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"start": START + 1}, "whole minute"),
        ({"first_day": date(2025, 4, 1)}, "whole minute at or after the first day"),
        ({"markets": ()}, "no markets"),
        ({"accounts": (AccountSetup(0, (), {}),)}, "less than 1"),
        ({"accounts": (AccountSetup(1, (), {}), AccountSetup(1, (), {}))}, "number is there twice"),
    ],
)
def test_a_setup_that_cant_be_meant_is_refused(
    setup: Setup, changed: dict[str, Any], text: str
) -> None:
    values = {name: getattr(setup, name) for name in setup.__struct_fields__}
    with pytest.raises(UsageError, match=text):
        Setup(**{**values, **changed})


def test_an_archive_of_another_world_is_refused(setup: Setup, tmp_path: Path) -> None:
    values = {name: getattr(setup, name) for name in setup.__struct_fields__}
    later = {**values, "start": START + 24 * HOUR}
    Desk.fresh(Setup(**later), tmp_path)
    Desk.fresh(Setup(**later), tmp_path)
    with pytest.raises(UsageError, match="trades of another world"):
        Desk.fresh(Setup(**{**later, "seed": 8}), tmp_path)


def test_it_listens_on_loopback_alone(setup: Setup, tmp_path: Path) -> None:
    for host in ("0.0.0.0", "example.org", "192.168.0.1"):
        with pytest.raises(UsageError, match="not a loopback address"):
            Server(tmp_path, setup=setup, host=host)

    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            server = Server(tmp_path, setup=setup, port=taken.getsockname()[1])
            with pytest.raises(UsageError, match="can't listen"):
                await server.start()
        async with Server(tmp_path) as server:
            address = json.loads((tmp_path / "address.json").read_text())
            assert address == {"url": server.url, "pid": os.getpid(), "speed": 1.0}
        assert not (tmp_path / "address.json").exists()

    asyncio.run(scenario())


def test_a_market_that_breaks_off_is_told_and_not_written_down(
    setup: Setup, tmp_path: Path
) -> None:
    class Broken:
        due = START + MINUTE

        def fire(self, ts: int) -> None:
            self.due = NEVER
            raise ZeroDivisionError(ts)

    async def scenario() -> None:
        server = Server(tmp_path, setup=setup, clock=SteppedClock)
        await server.start()
        server.exchange.desk.timers.append(Broken())
        server.exchange.do(ASKED[0][1])  # it has the market look what is due
        server.exchange.clock.step_to(START + 2 * MINUTE)  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(server.wait(), 20)
        with pytest.raises(ZeroDivisionError):
            await server.stop()
        assert not (tmp_path / "snapshot.json").exists()
        state = State(tmp_path, tmp_path / "archive")
        assert state.desk.venue.account(1).of("ABC").free > 100 * 10**16, "it was asked again"
        state.close()

    asyncio.run(scenario())


# The command


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`vostok-exchange run` in a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vostok_exchange", "run", "--state", str(folder), "--port", "0",
         *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("exchange  http://127.0.0.1:"), process.communicate()
        yield process, line.split()[1]
    finally:
        process.kill()
        process.communicate()


def get(url: str, path: str) -> Any:
    with urlopen(f"{url}{path}", timeout=10) as answer:
        return json.load(answer)


def test_the_command_runs_one_that_survives_both_kinds_of_end(tmp_path: Path) -> None:
    folder = tmp_path / "exchange"
    new = ("--market", "demo.spot.ABC-USDT:edge=0.1,trades_per_minute=5", "--seed", "3",
           "--start", "2025-03-31T12:00", "--history", "0", "--speed", "600")  # fmt: skip
    with running(folder, *new) as (process, url):
        info = get(url, "/api/v3/exchangeInfo")
        assert [symbol["symbol"] for symbol in info["symbols"]] == ["ABCUSDT"]
        first = get(url, "/vostok/clock")
        assert first["speed"] == 600.0
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running(folder, "--speed", "600") as (process, url):
        second = get(url, "/vostok/clock")
        assert second["marketUs"] > first["marketUs"], "market time never goes back"
        last = get(url, "/api/v3/aggTrades?symbol=ABCUSDT&limit=1")[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert not (folder / "address.json").exists()
    snapshot = json.loads((folder / "snapshot.json").read_text())
    assert snapshot["venue"]["listings"]["ABCUSDT"]["next_agg_id"] > last["a"]


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Any]:
    from typer.testing import CliRunner

    from vostok_exchange.cli import app

    def invoke(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    return invoke


def test_the_key_can_be_had_by_a_shell(
    setup: Setup, tmp_path: Path, command: Callable[..., Any]
) -> None:
    setup.write(tmp_path / "setup.json")
    result = command("key", "--state", str(tmp_path))
    assert result.output.splitlines() == [
        f"export BINANCE_APIKEY={'k' * 64}", "export BINANCE_SECRET=secret",
    ]  # fmt: skip
    (tmp_path / "lake" / "exchange").mkdir(parents=True)
    (tmp_path / "setup.json").rename(tmp_path / "lake" / "exchange" / "setup.json")
    assert command("key", "--lake", str(tmp_path / "lake")).output == result.output


def test_a_lake_without_an_exchange_of_its_own_goes_on_with_the_demos(
    setup: Setup, tmp_path: Path, command: Callable[..., Any]
) -> None:
    assert exchange_folder(tmp_path) == tmp_path / "exchange"
    (tmp_path / "demo" / "exchange").mkdir(parents=True)
    setup.write(tmp_path / "demo" / "exchange" / "setup.json")
    assert exchange_folder(tmp_path) == tmp_path / "demo" / "exchange"
    assert command("key", "--lake", str(tmp_path)).output.count("export ") == 2
    (tmp_path / "exchange").mkdir()
    setup.write(tmp_path / "exchange" / "setup.json")
    assert exchange_folder(tmp_path) == tmp_path / "exchange"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--seed", "1"], "needs one folder"),
        (["--state", "{there}", "--seed", "1"], "--seed is for a new exchange"),
        (["--state", "{new}", "--start", "noon"], "'noon' is not a time"),
        (["--state", "{new}", "--market", "BTC"], "'BTC' is not an instrument"),
        (["--state", "{new}", "--market", "a.b.C-D:edge"], "is not a setting of a market"),
        (["--state", "{new}", "--market", "a.b.C-D:egde=1"], "did you mean edge"),
        (["--state", "{new}", "--host", "0.0.0.0"], "not a loopback address"),
        (["--state", "{new}", "--speed", "inf"], "can't run at a speed of inf"),
    ],
)
def test_wrong_usage_is_said_in_one_paragraph(
    setup: Setup, tmp_path: Path, command: Callable[..., Any], arguments: list[str], text: str
) -> None:
    (tmp_path / "there").mkdir()
    setup.write(tmp_path / "there" / "setup.json")
    places = {"there": tmp_path / "there", "new": tmp_path / "new"}
    result = command("run", *(argument.format(**places) for argument in arguments))
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
    assert text in result.output
    assert "Hint: " in result.output
