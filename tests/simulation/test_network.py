"""Connections in memory: aiohttp's client and server talk over them as over sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.simulation.loop import Node, VirtualLoop
from tests.simulation.network import MemoryConnector, Network, Tap

URL = "http://127.0.0.1:80"


def talk(scenario: Callable[[Network, aiohttp.ClientSession], Awaitable[Any]]) -> Any:
    """Run a scenario against a server that echoes."""

    async def echo(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("wait", "0")))
        return web.Response(body=await request.read())

    async def socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    async def main() -> Any:
        app = web.Application()
        app.router.add_post("/echo", echo)
        app.router.add_get("/socket", socket)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        network = Network(asyncio.get_running_loop(), random.Random(1), mean=0.1, tail=0.0)
        assert runner.server is not None
        network.listen(80, runner.server)
        async with aiohttp.ClientSession(connector=MemoryConnector(network)) as session:
            result = await scenario(network, session)
        await runner.cleanup()
        return result

    loop = VirtualLoop()  # not asyncio's Runner, which waits for tasks that are dead
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


async def post(session: aiohttp.ClientSession, body: bytes, wait: float = 0.0) -> bytes:
    async with session.post(f"{URL}/echo?wait={wait}", data=body) as response:
        return await response.read()


def test_requests_and_answers_go_over_one_connection_and_take_their_time() -> None:
    async def scenario(network: Network, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        body = bytes(range(256)) * 4_000
        assert await post(session, body) == body
        begun = loop.time()
        assert await post(session, b"again", wait=5.0) == b"again"
        assert 5.1 <= loop.time() - begun <= 5.4
        assert [wire.number for wire in network.wires] == [1]

    talk(scenario)


def test_messages_of_a_socket_keep_their_order() -> None:
    async def scenario(_: Network, session: aiohttp.ClientSession) -> None:
        async with session.ws_connect(f"{URL}/socket") as ws:
            for number in range(100):
                await ws.send_str(str(number))
            heard = [await ws.receive_str() for _ in range(100)]
        assert heard == [str(number) for number in range(100)]

    talk(scenario)


def test_a_broken_connection_is_noticed_at_once_and_a_silent_one_never() -> None:
    async def scenario(network: Network, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        asking = loop.create_task(post(session, b"x", wait=50.0))
        await asyncio.sleep(1.0)
        network.wires[0].reset()
        with pytest.raises(aiohttp.ClientError):
            await asking
        assert loop.time() < 2.0
        async with session.ws_connect(f"{URL}/socket") as ws:
            (wire,) = [each for each in network.wires if each.open]
            wire.hole = True
            await ws.send_str("anybody?")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.receive(), 3_600.0)

    talk(scenario)


def test_who_is_not_admitted_is_refused() -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError(111, "connection refused")

    async def scenario(network: Network, session: aiohttp.ClientSession) -> None:
        network.admit = refuse
        with pytest.raises(aiohttp.ClientConnectorError):
            await post(session, b"x")

    talk(scenario)


def test_when_a_node_dies_the_server_learns_of_it() -> None:
    async def scenario(network: Network, _: aiohttp.ClientSession) -> None:
        said: list[str] = []

        async def live() -> None:
            session = aiohttp.ClientSession(connector=MemoryConnector(network))
            left.append(session)
            ws = await session.ws_connect(f"{URL}/socket")
            try:
                await ws.send_str("a")
                said.append(await ws.receive_str())
                await ws.receive()
            finally:
                said.append("finally")

        node = Node("client")
        kept.append(node)
        node.start(live())
        await asyncio.sleep(5.0)
        (wire,) = network.wires
        node.kill()
        await asyncio.sleep(5.0)
        assert said == ["a"]
        assert not wire.open
        left[0].detach()  # else it complains of not having been closed

    kept: list[Node] = []
    left: list[aiohttp.ClientSession] = []
    talk(scenario)


def test_a_tap_decides_what_arrives() -> None:
    class Doubling(Tap):
        def answered(self, data: bytes) -> None:
            self.wire.deliver("client", data)
            if data[0] == 0x81:
                self.wire.deliver("client", data, 2.0, late=True)

    async def scenario(network: Network, session: aiohttp.ClientSession) -> list[str]:
        network.tap = Doubling
        async with session.ws_connect(f"{URL}/socket") as ws:
            heard = []
            for word in ("a", "b"):
                await ws.send_str(word)
            for _ in range(4):
                message = await ws.receive()
                assert message.type is WSMsgType.TEXT
                heard.append(message.data)
        return heard

    heard = talk(scenario)
    assert heard[:2] == ["a", "b"]
    assert sorted(heard[2:]) == ["a", "b"]
