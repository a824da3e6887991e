"""The port against the embedded exchange, over real sockets: what arrives, and what is known."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path

import pytest

from tests.live.gateway_server import (
    KEY,
    RULES,
    Place,
    WrongClock,
    order,
    play,
)
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.trading import commands as asked
from vostok_core.trading.config import Capabilities
from vostok_exchange.protocol.calls import Call
from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.limits import Limit, Policy
from vostok_live.gateway.access import ApiKey
from vostok_live.gateway.ccxt_port import CcxtPort, RequestRefused
from vostok_live.gateway.port import (
    Accepted,
    GatewayError,
    NeverSent,
    Outcome,
    Rejected,
    Throttled,
    Unknown,
)

HOUR_NS = 3_600 * 10**9


def buy(name: str = "vlx-1-e", lots: int = 1_000, price: int = 11_000) -> asked.Place:
    return asked.Place(order(name, "entry", lots, price))


def exits(price: int, sequence: int = 2, lots: int = 1_000) -> asked.PlaceList:
    return asked.PlaceList(
        None,
        order(f"vlx-{sequence}-t", "take_profit", lots, price + 500),
        order(f"vlx-{sequence}-s", "stop_loss", lots, price - 500),
    )


def accepted(outcome: Outcome) -> Accepted:
    assert isinstance(outcome, Accepted), outcome
    return outcome


def rejected(outcome: Outcome) -> Rejected:
    assert isinstance(outcome, Rejected), outcome
    return outcome


# What is done


def test_an_order_that_fills_is_told_with_its_trades(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        port = place.port
        assert port.capabilities == Capabilities(True, True, max_market=10**7)
        outcome = accepted(await port.send(buy()))
        (report,) = outcome.reports
        assert report.client_order_id == "vlx-1-e"
        assert (report.status, report.filled) == ("FILLED", Decimal(1))
        assert sum(trade.qty for trade in outcome.trades) == 1
        assert {trade.commission_asset for trade in outcome.trades} == {"BNB"}
        found = await port.my_trades(0)
        assert [trade.trade_id for trade in found] == [t.trade_id for t in outcome.trades]
        assert [trade.commission for trade in found] == [t.commission for t in outcome.trades]
        assert [trade.ts for trade in found] == [t.ts for t in outcome.trades]
        assert await port.my_trades(found[-1].trade_id + 1) == []
        assert await port.query_order("vlx-1-e") == await port.query_order(order_id=report.order_id)
        balances = await port.balances()
        assert balances["ABC"].total == 1
        assert balances["BNB"].total == 50 - sum(t.commission for t in outcome.trades)

    play(tmp_path, scenario)


def test_a_list_is_placed_as_one_and_canceled_as_one(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        port = place.port
        await port.send(buy())
        outcome = accepted(await port.send(exits(place.price)))
        names = {"vlx-2-t", "vlx-2-s"}
        assert {report.client_order_id for report in outcome.reports} == names
        assert {report.status for report in outcome.reports} == {"NEW"}
        made = await port.query_list("vlx-2-l")
        assert made is not None
        assert set(made.client_order_ids) == names
        assert not made.done
        assert {report.client_order_id for report in await port.open_orders()} == names
        assert (await port.balances())["ABC"].locked == 1
        canceled = accepted(await port.send(asked.Cancel("vlx-2-t")))
        assert {report.client_order_id for report in canceled.reports} == names
        assert {report.status for report in canceled.reports} == {"CANCELED"}
        assert await port.open_orders() == []
        for name in names:
            report = await port.query_order(name)
            assert report is not None
            assert (report.client_order_id, report.status) == (name, "CANCELED")
        made = await port.query_list("vlx-2-l")
        assert made is not None
        assert made.done

    play(tmp_path, scenario)


def test_an_entry_brings_its_exits(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        command = asked.PlaceList(
            order("vlx-1-e", "entry", 1_000, place.price + 1_000),
            order("vlx-1-t", "take_profit", 1_000, place.price + 500),
            order("vlx-1-s", "stop_loss", 1_000, place.price - 500),
        )
        accepted(await place.port.send(command))
        entry = await place.port.query_order("vlx-1-e")
        assert entry is not None
        assert entry.status == "FILLED"
        open_orders = await place.port.open_orders()
        assert {o.client_order_id for o in open_orders} == {"vlx-1-t", "vlx-1-s"}
        assert await place.port.query_list("vlx-1-l") is not None

    play(tmp_path, scenario)


def test_a_replace_sells_what_the_list_had_locked(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        port = place.port
        await port.send(buy())
        await port.send(exits(place.price))
        sale = asked.Replace("vlx-2-s", order("vlx-3-m", "market", 1_000))
        outcome = accepted(await port.send(sale))
        status = {report.client_order_id: report.status for report in outcome.reports}
        assert status["vlx-2-s"] == "CANCELED"
        assert status["vlx-3-m"] == "FILLED"
        assert "ABC" not in await port.balances()
        sale = asked.Replace("vlx-2-s", order("vlx-4-m", "market", 1_000))
        again = rejected(await port.send(sale))
        assert again.meaning == "gone"
        assert await port.query_order("vlx-4-m") is None

    play(tmp_path, scenario)


# What is refused


def test_refusals_say_what_they_mean(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        port = place.port
        poor = rejected(await port.send(buy(lots=2_000_000)))
        assert (poor.code, poor.meaning, poor.http_status) == (-2010, "refused", 400)
        small = rejected(await port.send(buy(lots=1)))
        assert (small.code, small.meaning) == (-1013, "refused")
        gone = rejected(await port.send(asked.Cancel("vlx-9-e")))
        assert (gone.code, gone.meaning) == (-2011, "gone")
        assert await port.query_order("vlx-9-e") is None
        assert await port.query_order(order_id=10**9) is None
        assert await port.query_list("vlx-9-l") is None
        assert place.history == []

    play(tmp_path, scenario)


def test_a_wrong_key_is_refused_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario(place: Place) -> None:
        assert rejected(await place.port.send(buy())).meaning == "key"
        with pytest.raises(RequestRefused) as caught:
            await place.port.balances()
        assert caught.value.rejected.meaning == "key"
        # No answer is not the answer that there is no such order.
        for ask in (place.port.query_order("vlx-1-e"), place.port.query_list("vlx-1-l")):
            with pytest.raises(RequestRefused):
                await ask
        assert "wrong" not in str(caught.value)
        await place.relay.vanish()
        with pytest.raises(GatewayError) as lost:
            await place.port.balances()
        assert "signature" not in str(lost.value)
        assert "k" * 64 not in str(lost.value)

    play(tmp_path, scenario, key=ApiKey(KEY.key, "wrong"))
    assert "signature=" not in caplog.text
    assert KEY.key not in caplog.text


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"price_tick": Decimal("0.1")}, "price_tick"),
        ({"quantity_step": Decimal("0.01")}, "quantity_step"),
        ({"min_notional": Decimal(1)}, "least order"),
        ({"id": InstrumentId.parse("demo.spot.XYZ-USDT")}, "no symbol"),
    ],
)
def test_a_symbol_that_counts_otherwise_is_refused_at_the_start(
    tmp_path: Path, changed: dict[str, object], what: str
) -> None:
    async def scenario(place: Place) -> None:
        fields = {
            "id": InstrumentId.parse("demo.spot.ABC-USDT"),
            "price_tick": Decimal("0.01"),
            "quantity_step": Decimal("0.001"),
            "min_notional": Decimal(5),
        } | changed
        other = Instrument(
            fields["id"], "agg_trade", fields["price_tick"], fields["quantity_step"],  # type: ignore[arg-type]
            fields["min_notional"], 600_000_000,  # type: ignore[arg-type]
        )  # fmt: skip
        from tests.live.gateway_server import endpoints

        port = CcxtPort(other, RULES, endpoints(place.relay.port), KEY, seams=place.seams)
        try:
            with pytest.raises(GatewayError, match=what):
                await port.open()
        finally:
            await port.close()

    play(tmp_path, scenario, opened=False)


# Time


def test_a_clock_that_is_off_costs_nothing(tmp_path: Path) -> None:
    clock = WrongClock()
    clock.off_ns = -HOUR_NS

    async def scenario(place: Place) -> None:
        accepted(await place.port.send(buy()))

    play(tmp_path, scenario, clock=clock)


def test_a_clock_that_jumps_costs_one_order_that_is_not_sent_again(tmp_path: Path) -> None:
    clock = WrongClock()

    async def scenario(place: Place) -> None:
        for jump in (HOUR_NS, -HOUR_NS):
            clock.off_ns += jump
            outcome = rejected(await place.port.send(buy("vlx-1-e")))
            assert outcome.meaning == "clock"
            assert place.history == []
            await place.port.server_time()
        clock.off_ns += HOUR_NS
        # A question may be asked again, and finds the time out by itself.
        assert (await place.port.balances())["USDT"].total == 100_000
        accepted(await place.port.send(buy("vlx-2-e")))
        assert place.history == ["vlx-2-e"]

    play(tmp_path, scenario, clock=clock)


def test_a_time_that_was_long_under_way_changes_nothing(tmp_path: Path) -> None:
    class Slow(WrongClock):
        """8 s go by between a question and its answer."""

        slow = False

        def wall_ns(self) -> int:
            now = super().wall_ns()
            if self.slow:
                self.off_ns += 8 * 10**9
            return now

    clock = Slow()

    async def scenario(place: Place) -> None:
        before = place.port.timestamp()
        clock.slow = True
        await place.port.server_time()
        clock.slow = False
        clock.off_ns = 0  # the time that seemed to go by
        assert 0 <= place.port.timestamp() - before < 2_000
        accepted(await place.port.send(buy()))

    play(tmp_path, scenario, clock=clock)


# No answer


def test_an_order_without_an_answer_in_time_is_unknown_and_is_there(tmp_path: Path) -> None:
    reached, released = asyncio.Event(), asyncio.Event()

    async def hold(_: Call) -> None:
        reached.set()
        await released.wait()

    async def scenario(place: Place) -> None:
        sent = asyncio.create_task(place.port.send(buy()))
        await reached.wait()
        assert await place.port.query_order("vlx-1-e") is None
        outcome = await sent
        assert isinstance(outcome, Unknown)
        assert abs(outcome.signed_ms - place.port.timestamp()) < 60_000
        assert await place.port.query_order("vlx-1-e") is None
        released.set()
        while await place.port.query_order("vlx-1-e") is None:
            pass
        assert place.history == ["vlx-1-e"]

    play(tmp_path, scenario, hold=hold, timeout=1.5)


def test_a_server_that_fails_leaves_it_unknown(tmp_path: Path) -> None:
    async def hold(_: Call) -> None:
        raise Fault(-1007, "Send status unknown; execution status unknown.", 504)

    async def scenario(place: Place) -> None:
        before = place.port.timestamp()
        outcome = await place.port.send(buy())
        assert isinstance(outcome, Unknown)
        assert (outcome.code, outcome.http_status) == (-1007, 504)
        assert before <= outcome.signed_ms <= place.port.timestamp()

    play(tmp_path, scenario, hold=hold)


def test_an_order_keeps_the_name_that_it_was_asked_by(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        accepted(await place.port.send(buy("vlx-1-e")))
        place.relay.rewrite = (b"vlx-1-e", b"another")
        report = await place.port.query_order("vlx-1-e")
        assert report is not None
        assert report.client_order_id == "vlx-1-e"
        report = await place.port.query_order(order_id=report.order_id)
        assert report is not None
        assert report.client_order_id == "another"

    play(tmp_path, scenario)


@pytest.mark.parametrize("warm", [False, True])
def test_an_order_whose_answer_is_lost_is_unknown_and_was_sent_once(
    tmp_path: Path, *, warm: bool
) -> None:
    async def scenario(place: Place) -> None:
        sent = ["vlx-1-e"]
        if warm:  # over a connection that was used before, which libraries like to repeat on
            accepted(await place.port.send(buy("vlx-0-e")))
            sent.insert(0, "vlx-0-e")
        place.relay.mode = "deaf"
        assert isinstance(await place.port.send(buy()), Unknown)
        place.relay.mode = "pass"
        report = await place.port.query_order("vlx-1-e")
        assert report is not None
        assert report.status == "FILLED"
        assert place.history == sent
        posts = [line for line in place.relay.requests if line.startswith("POST")]
        assert len(posts) == len(sent)

    play(tmp_path, scenario)


def test_what_no_connection_could_be_made_for_was_never_sent(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.relay.vanish()
        assert isinstance(await place.port.send(buy()), NeverSent)
        assert isinstance(await place.port.send(exits(place.price)), NeverSent)
        # A cancel is repeated by the HTTP library, so its first try may have arrived.
        assert isinstance(await place.port.send(asked.Cancel("vlx-1-e")), Unknown)
        with pytest.raises(GatewayError, match="no answer"):
            await place.port.open_orders()

    play(tmp_path, scenario)


def test_who_has_asked_too_much_sends_nothing(tmp_path: Path) -> None:
    policy = Policy(weight=Limit("REQUEST_WEIGHT", "DAY", 1, 60))

    async def scenario(place: Place) -> None:
        for _ in range(6):
            await place.port.open_orders()
        with pytest.raises(GatewayError, match="no answer"):
            await place.port.open_orders()
        sent = len(place.relay.requests)
        for command in (buy(), exits(place.price), asked.Cancel("vlx-2-t")):
            outcome = await place.port.send(command)
            assert isinstance(outcome, Throttled)
            assert outcome.retry_after > 0
        with pytest.raises(GatewayError, match="left alone"):
            await place.port.open_orders()
        assert len(place.relay.requests) == sent
        assert place.history == []

    play(tmp_path, scenario, policy=policy)


def test_too_many_orders_leave_cancels_and_questions_free(tmp_path: Path) -> None:
    policy = Policy(orders=(Limit("ORDERS", "DAY", 1, 2),))

    async def scenario(place: Place) -> None:
        port, price = place.port, place.price
        accepted(await port.send(buy()))
        accepted(await port.send(exits(price)))
        first = await port.send(buy("vlx-3-e"))
        assert isinstance(first, Throttled)
        assert (first.code, first.http_status) == (-1015, 429)
        sent = len(place.relay.requests)
        second = await port.send(buy("vlx-4-e"))
        assert isinstance(second, Throttled)
        assert 0 < second.retry_after <= first.retry_after
        assert len(place.relay.requests) == sent
        assert len(await port.open_orders()) == 2
        accepted(await port.send(asked.Cancel("vlx-2-t")))
        assert await port.open_orders() == []

    play(tmp_path, scenario, policy=policy)
