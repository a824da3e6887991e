"""Who may ask: keys, signatures and the window of time; by Binance's own examples and by REST."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from vostok_exchange.protocol.faults import Fault
from vostok_exchange.protocol.parameters import Parameters
from vostok_exchange.protocol.signing import (
    Holder,
    Validity,
    signed_query,
    signed_values,
    verify,
)
from vostok_exchange.settings import Key

# binance-spot-api-docs, rest-api.md and web-socket-api.md, "HMAC Keys".
DOCUMENTED = Key(
    "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
)
QUERY = (
    "symbol={}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
    "&timestamp=1499827319559"
)
VALUES = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC",
    "quantity": "0.01000000", "price": "52000.00", "recvWindow": "100",
    "timestamp": "1645423376532", "apiKey": DOCUMENTED.key,
}  # fmt: skip
WIDE = "１２３４５６"


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("LTCBTC", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
        (quote(WIDE), "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"),
    ],
)
@pytest.mark.parametrize("in_body", [False, True])
def test_documented_rest_signatures_are_accepted(symbol: str, expected: str, in_body: bool) -> None:
    sent = f"{QUERY.format(symbol)}&signature={expected.upper()}"
    query, body = ("", sent) if in_body else (sent, "")
    now = 1_499_827_319_559_000
    payload = signed_query(query, body)
    verify(Holder(1, DOCUMENTED), payload, Parameters.of_query(query, body), now)
    with pytest.raises(Fault) as fault:
        verify(Holder(1, DOCUMENTED), payload + "0", Parameters.of_query(query, body), now)
    assert fault.value.code == -1022


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
        (
            {"symbol": WIDE, "side": "BUY", "quantity": "1.00000000", "price": "0.10000000"}
            | {"recvWindow": "5000"},
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
)
def test_documented_websocket_signatures_are_accepted(
    changed: dict[str, str], expected: str
) -> None:
    values = {**VALUES, **changed, "signature": expected}
    now = 1_645_423_376_532_000
    verify(Holder(1, DOCUMENTED), signed_values(values), Parameters(values), now)
    values["price"] = "52000.01"
    with pytest.raises(Fault) as fault:
        verify(Holder(1, DOCUMENTED), signed_values(values), Parameters(values), now)
    assert fault.value.code == -1022


@pytest.mark.parametrize(
    ("age", "window", "verdict"),
    [
        (0, 5_000_000, None),
        (5_000_000, 5_000_000, None),
        (5_000_001, 5_000_000, "outside"),
        (-999_999, 5_000_000, None),
        (-1_000_000, 5_000_000, "ahead"),
        (1_000, 999, "outside"),
    ],
)
def test_a_request_counts_within_its_window(age: int, window: int, verdict: str | None) -> None:
    sent = 1_700_000_000_000_000
    if verdict is None:
        Validity(sent, window).check(sent + age)
        return
    with pytest.raises(Fault, match=verdict) as fault:
        Validity(sent, window).check(sent + age)
    assert fault.value.code == -1021


def test_who_is_not_known_is_turned_away(play: Any, keys: tuple[Key, Key, Key]) -> None:
    known, read_only, _ = keys

    async def scenario(visitor: Any) -> None:
        async def account(**headers: str) -> Any:
            return await visitor.ask("GET", "/api/v3/account", "timestamp=1&signature=x", **headers)

        reply = await account()
        assert (reply.status, reply.code) == (401, -2014)
        assert reply.body["msg"] == "API-key format invalid."
        reply = await account(X_MBX_APIKEY="short")
        assert (reply.status, reply.code) == (401, -2014)
        reply = await account(X_MBX_APIKEY="z" * 64)
        assert (reply.status, reply.code) == (401, -2015)
        assert reply.body["msg"] == "Invalid API-key, IP, or permissions for action."

        assert (await visitor.signed("GET", "/api/v3/account", read_only)).status == 200
        reply = await visitor.order("BUY", "MARKET", read_only, quantity="1")
        assert (reply.status, reply.code) == (401, -2015)

        visitor.server.exchange.keys.revoke(known.key)
        assert (await visitor.signed("GET", "/api/v3/account")).code == -2015

    play(scenario)


def test_a_signature_is_of_what_was_sent_exactly(play: Any, keys: tuple[Key, Key, Key]) -> None:
    known, *_ = keys

    def sign(payload: str) -> str:
        return hmac.new(known.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()

    async def scenario(visitor: Any) -> None:
        ms = time.time_ns() // 1_000_000

        async def account(query: str) -> Any:
            return await visitor.ask("GET", "/api/v3/account", query, X_MBX_APIKEY=known.key)

        query = f"recvWindow=5000&timestamp={ms}"
        assert (await account(f"{query}&signature={sign(query)}")).status == 200
        assert (await account(f"signature={sign(query).upper()}&{query}")).status == 200
        micro = f"timestamp={ms * 1_000}"
        assert (await account(f"{micro}&signature={sign(micro)}")).status == 200
        assert (await account(f"{query}&signature={sign(query + ' ')}")).code == -1022
        encoded = f"timestamp={ms}&omitZeroBalances=tr%75e"
        assert (await account(f"{encoded}&signature={sign(encoded)}")).status == 200
        decoded = encoded.replace("%75", "u")
        assert (await account(f"{encoded}&signature={sign(decoded)}")).code == -1022
        wide = f"symbol={WIDE}&timestamp={ms}"
        reply = await visitor.ask(
            "POST", "/api/v3/order", "", f"{wide}&signature={sign(wide)}", X_MBX_APIKEY=known.key
        )
        assert reply.code == -1022, "what isn't percent-encoded has no signature"

        both, rest = f"symbol=ABCUSDT&timestamp={ms}", "side=BUY&type=MARKET&quantity=1"
        reply = await visitor.ask(
            "POST", "/api/v3/order", both, f"{rest}&signature={sign(both + rest)}",
            X_MBX_APIKEY=known.key,
        )  # fmt: skip
        assert reply.status == 200, "query and body are signed without a separator"

        for missing in ("timestamp", "signature"):
            parts = [p for p in (f"timestamp={ms}", "signature=a") if not p.startswith(missing)]
            reply = await account("&".join(parts))
            assert reply.code == -1102
            assert f"'{missing}'" in reply.body["msg"]
        wrong = f"recvWindow=60001&timestamp={ms}"
        reply = await account(f"{wrong}&signature={sign(wrong)}")
        assert (reply.code, reply.body["msg"]) == (-1131, "recvWindow must be less than 60000.")
        old = f"timestamp={ms - 6_000}"
        assert (await account(f"{old}&signature={sign(old)}")).code == -1021
        early = f"timestamp={ms + 60_000}"
        reply = await account(f"{early}&signature={sign(early)}")
        assert (reply.code, "ahead" in reply.body["msg"]) == (-1021, True)

    play(scenario)


def test_an_order_that_was_held_up_too_long_is_not_placed(
    play: Any, setup_of: Callable[..., Any]
) -> None:
    wall = [time.time_ns()]

    async def hold(_call: Any) -> None:
        wall[0] += 3_000_000_000

    async def scenario(visitor: Any) -> None:
        async def place(window: int, name: str) -> Any:
            return await visitor.order(
                "BUY", "MARKET", quantity="1", recvWindow=window, newClientOrderId=name,
                timestamp=wall[0] // 1_000_000,
            )  # fmt: skip

        assert (await place(2_999, "late")).code == -1021
        assert (await place(3_001, "timely")).status == 200
        orders = await visitor.signed(
            "GET", "/api/v3/allOrders", symbol="ABCUSDT", timestamp=wall[0] // 1_000_000
        )
        assert [order["clientOrderId"] for order in orders.body] == ["timely"]

    play(scenario, hold=hold, wall=lambda: wall[0], setup=setup_of())
