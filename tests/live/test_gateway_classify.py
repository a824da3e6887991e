"""What a refusal means, row by row, and what errors on the way prove."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from vostok_live.gateway.classify import DEFAULT_WAIT, RULES, failure, refusal
from vostok_live.gateway.port import NeverSent, Rejected, Throttled, Unknown

SIGNED = 1_760_000_000_000


def judge(
    status: int, code: int | None, text: str = "", retry_after: float | None = None
) -> Rejected | Unknown | Throttled:
    return refusal(status, code, text, retry_after=retry_after, signed_ms=SIGNED)


# The exchange's own texts, with the outcome that the exchange documents for each.
ROWS = [
    (400, -1000, "An unknown error occurred while processing the request.", "unknown", ""),
    (400, -1001, "Internal error; unable to process your request.", "unknown", ""),
    (401, -1002, "You are not authorized to execute this request.", "rejected", "key"),
    (400, -1003, "Too many requests queued.", "throttled", ""),
    (400, -1006, "Execution status unknown.", "unknown", ""),
    (400, -1007, "Send status unknown; execution status unknown.", "unknown", ""),
    (400, -1008, "Server is currently overloaded with other requests.", "unknown", ""),
    (400, -1013, "Filter failure: NOTIONAL", "rejected", "refused"),
    (400, -1013, "Filter failure: LOT_SIZE", "rejected", "refused"),
    (400, -1013, "Market is closed.", "rejected", "closed"),
    (400, -1015, "Too many new orders.", "throttled", ""),
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", "rejected", "clock"),
    (400, -1022, "Signature for this request is not valid.", "rejected", "key"),
    (400, -1102, "Mandatory parameter 'side' was not sent.", "rejected", "refused"),
    (400, -1121, "Invalid symbol.", "rejected", "refused"),
    (400, -2010, "Account has insufficient balance for requested action.", "rejected", "refused"),
    (400, -2010, "Order would trigger immediately.", "rejected", "refused"),
    (400, -2010, "Order would immediately match and take.", "rejected", "refused"),
    (400, -2010, "Market is closed.", "rejected", "closed"),
    (400, -2010, "Duplicate order sent.", "unknown", ""),
    (400, -2011, "Unknown order sent.", "rejected", "gone"),
    (400, -2011, "Order was not canceled due to cancel restrictions.", "rejected", "refused"),
    (400, -2013, "Order does not exist.", "rejected", "gone"),
    (400, -2014, "API-key format invalid.", "rejected", "key"),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", "rejected", "key"),
    (400, -2018, "Order list does not exist.", "rejected", "gone"),
    (400, -2026, "Order was canceled or expired over 90 days ago.", "rejected", "refused"),
    (400, -2039, "Client order ID is not correct for this order ID.", "rejected", "refused"),
]


@pytest.mark.parametrize(("status", "code", "text", "outcome", "meaning"), ROWS)
def test_a_code_means_what_the_exchange_documents(
    status: int, code: int, text: str, outcome: str, meaning: str
) -> None:
    made = judge(status, code, text)
    assert made.name == outcome
    assert made.code == code
    assert made.http_status == status
    assert made.text == text
    if isinstance(made, Rejected):
        assert made.meaning == meaning
    if isinstance(made, Unknown):
        assert made.signed_ms == SIGNED


def test_every_rule_is_among_the_rows() -> None:
    for rule in RULES:
        assert any(code == rule.code and rule.text in text for _, code, text, *_ in ROWS), rule


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("code", [None, -1000, -2010, -1121])
def test_a_failing_server_leaves_it_unknown_whatever_it_says(status: int, code: int | None) -> None:
    assert isinstance(judge(status, code, "Filter failure: NOTIONAL"), Unknown)


@pytest.mark.parametrize("status", [200, 204, 400, 404, 408])
def test_an_answer_that_is_not_the_exchanges_leaves_it_unknown(status: int) -> None:
    assert isinstance(judge(status, None, "<html>"), Unknown)


@pytest.mark.parametrize("status", [403, 418, 429])
@pytest.mark.parametrize("code", [None, -1003, -2010])
def test_a_limit_refuses_and_says_how_long(status: int, code: int | None) -> None:
    told = judge(status, code, "enough", retry_after=7.0)
    assert isinstance(told, Throttled)
    assert told.retry_after == 7.0
    untold = judge(status, code, "enough")
    assert isinstance(untold, Throttled)
    assert untold.retry_after == DEFAULT_WAIT


# Errors on the way, from real sockets


async def _caught(url: str, *, timeout: float = 5.0, **options: Any) -> BaseException:
    """The error of a POST, wrapped as ccxt wraps it."""
    limits = aiohttp.ClientTimeout(total=timeout, sock_connect=timeout, sock_read=timeout)
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(url, data=b"x", timeout=limits, **options) as response:
                await response.read()
        except Exception as error:  # noqa: BLE001
            wrapped = RuntimeError("binance POST https://x/?signature=secret")
            wrapped.__cause__ = error
            return wrapped
    raise AssertionError("no error came")


async def _served(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    timeout: float = 5.0,
) -> BaseException:
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handle(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await _caught(f"http://127.0.0.1:{port}/", timeout=timeout)
    await done.wait()
    server.close()
    return error


def _judged(error: BaseException) -> Any:
    outcome = failure(error, signed_ms=SIGNED)
    assert "secret" not in outcome.text  # type: ignore[union-attr]
    return outcome


def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    async def main() -> BaseException:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await _caught(f"http://127.0.0.1:{port}/")

    assert isinstance(_judged(asyncio.run(main())), NeverSent)


def test_a_name_that_does_not_resolve_proves_it_too() -> None:
    error = asyncio.run(_caught("http://no-such-host.invalid/"))
    assert isinstance(_judged(error), NeverSent)


def test_a_connection_that_takes_too_long_proves_it_too() -> None:
    error = RuntimeError("binance POST")
    error.__cause__ = aiohttp.ConnectionTimeoutError("Connection timeout to host")
    assert isinstance(_judged(error), NeverSent)


def test_a_reset_after_the_request_leaves_it_unknown() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.transport.abort()

    outcome = _judged(asyncio.run(_served(reset)))
    assert outcome.name == "unknown"
    assert outcome.signed_ms == SIGNED


def test_no_answer_in_time_leaves_it_unknown() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    outcome = _judged(asyncio.run(_served(silence, timeout=0.1)))
    assert isinstance(outcome, Unknown)
    assert "Timeout" in outcome.text


def test_an_answer_that_breaks_off_leaves_it_unknown() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()

    assert isinstance(_judged(asyncio.run(_served(half))), Unknown)


def test_too_many_redirects_leave_it_unknown() -> None:
    async def main() -> BaseException:
        app = web.Application()

        async def again(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(str(request.url))

        app.router.add_post("/", again)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        error = await _caught(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        await runner.cleanup()
        return error

    assert isinstance(_judged(asyncio.run(main())), Unknown)


def test_an_error_without_a_cause_leaves_it_unknown() -> None:
    assert isinstance(failure(ValueError("?"), signed_ms=SIGNED), Unknown)
