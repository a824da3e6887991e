"""The control API over real sockets: who is answered, and what."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec
import pytest

from tests.live.service_world import Daemon, bearer, flat, held, mode, running
from vostok_core.errors import Refused, SettingsError
from vostok_core.trading.events import Action
from vostok_live.seams import real_seams
from vostok_live.service.announce import Address
from vostok_live.service.errors import ServiceError
from vostok_live.service.server import Server, serving
from vostok_live.service.status import decode
from vostok_live.service.token import ensure_token

Result = TypeVar("Result")
PATHS = ("/livez", "/readyz", "/healthz", "/metrics", "/status")
OPEN = PATHS[:-1]
ACTIONS = ("pause", "resume", "flatten", "kill", "reset")


def play(
    daemon: Daemon,
    state: Path,
    script: Callable[[aiohttp.ClientSession, Address], Awaitable[Result]],
    **options: object,
) -> Result:
    async def run() -> Result:
        async with running(daemon, state, **options) as (address, session):
            return await script(session, address)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def get(
    session: aiohttp.ClientSession, path: str, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    async with session.get(path, headers=headers) as answer:
        return answer.status, await answer.json()


async def post(
    session: aiohttp.ClientSession, path: str, headers: dict[str, str] | None = None, **more: Any
) -> tuple[int, Any]:
    async with session.post(path, headers=headers, **more) as answer:
        return answer.status, await answer.json()


# What is asked


def test_status_is_what_the_daemon_says(tmp_path: Path) -> None:
    async def script(session: aiohttp.ClientSession, _: Address) -> bytes:
        async with session.get("/status", headers=bearer(tmp_path)) as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            return await answer.read()

    assert decode(play(Daemon(held()), tmp_path, script)) == held()


def test_a_supervisor_needs_no_token(tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        assert await get(session, "/livez") == (200, {"alive": True, "loop_lag_ms": 2.1})
        assert await get(session, "/readyz") == (200, {"ready": True, "reasons": []})
        code, health = await get(session, "/healthz")
        assert (code, health["status"], health["state"]) == (200, "ok", "holding")
        daemon.now = flat(paused=True)
        code, found = await get(session, "/readyz")
        assert (code, found["ready"]) == (503, False)
        assert found["reasons"][0]["code"] == "no_model"
        assert found["reasons"][0]["hint"].startswith("promote one")
        code, health = await get(session, "/healthz")
        assert (code, health["status"], health["paused"]) == (200, "not_ready", True)
        daemon.failing = "the market feed ended"
        code, found = await get(session, "/livez")
        assert (code, found["alive"], found["why"]) == (503, False, "the market feed ended")
        assert (await get(session, "/healthz"))[0] == 503

    play(daemon, tmp_path, script)


def test_what_is_open_to_all_says_nothing_of_money(tmp_path: Path) -> None:
    told = {"10123.45", "9115.66", "119.05", "0.02012", "49870.12"}
    doubt = msgspec.structs.replace(flat().reasons[0], what="the account holds 0.02012 BTC more")
    daemon = Daemon(msgspec.structs.replace(held(), ready=False, reasons=(doubt,)))

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        for path in OPEN:
            async with session.get(path) as answer:
                text = await answer.text()
                assert not [amount for amount in told if amount in text], path
        for path in ("/readyz", "/metrics"):
            async with session.get(path, headers=bearer(tmp_path)) as answer:
                assert "0.02012" in await answer.text(), path

    play(daemon, tmp_path, script)


def test_metrics_are_in_prometheus_s_format(tmp_path: Path) -> None:
    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        async with session.get("/metrics") as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "# TYPE vostok_ready gauge\nvostok_ready{" in await answer.text()

    play(Daemon(held()), tmp_path, script)


def test_a_status_that_is_not_as_published_is_an_error_with_a_place(tmp_path: Path) -> None:
    money = msgspec.structs.replace(held().money, equity=float("nan"))
    daemon = Daemon(msgspec.structs.replace(held(), money=money))

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        code, told = await get(session, "/status", bearer(tmp_path))
        assert code == 500
        assert "$.money.equity" in told["error"]["what"]
        assert (await get(session, "/livez"))[0] == 200

    play(daemon, tmp_path, script)


# What is asked for


@pytest.mark.parametrize("action", ACTIONS)
def test_a_control_reaches_the_daemon_once_with_who_asked(action: Action, tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        code, found = await post(
            session, f"/control/{action}", bearer(tmp_path), json={"asked_by": "a test"}
        )
        assert code == 200
        assert found == {
            "action": action, "done": True, "state": "holding", "paused": action == "pause",
            "killed": None,
        }  # fmt: skip

    play(daemon, tmp_path, script)
    assert daemon.asked == [(action, "a test, by the control API")]
    assert daemon.measures.controls == {action: 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "somebody"),
        (b'{"asked_by": "\\u001b[31mred\\n\\u202e"}', "[31mred"),
        (json.dumps({"asked_by": "x" * 200}).encode(), "x" * 60),
        (b'{"asked_by": "\\n"}', "somebody"),
    ],
)
def test_who_asked_is_printable_and_short(body: bytes, said: str, tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> int:
        return (await post(session, "/control/pause", bearer(tmp_path), data=body))[0]

    assert play(daemon, tmp_path, script) == 200
    assert daemon.asked == [("pause", f"{said}, by the control API")]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/control/pause", b"not json", 400),
        ("/control/pause", b'{"action": "kill"}', 400),
        ("/control/pause", b'{"asked_by": "' + b"x" * 2_000 + b'"}', 413),
        ("/control/sell", b"", 404),
        ("/control/", b"", 404),
        ("/livez", b"", 405),
    ],
)
def test_what_can_not_be_meant_changes_nothing(
    path: str, body: bytes, code: int, tmp_path: Path
) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> tuple[int, Any]:
        return await post(session, path, bearer(tmp_path), data=body)

    found, told = play(daemon, tmp_path, script)
    assert found == code
    assert told["error"]["kind"] == "ServiceError"
    assert "docs/live-control.md" in told["error"]["hint"]
    assert daemon.asked == []


def test_a_control_is_not_a_get(tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        async with session.get("/control/kill", headers=bearer(tmp_path)) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")

    play(daemon, tmp_path, script)
    assert daemon.asked == []


def test_a_control_that_the_daemon_refuses_says_why(tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def refuse(_: Action) -> None:
        raise Refused("the account is in doubt", where="binance", hint="look at the orders")

    daemon.on_control = refuse

    async def script(session: aiohttp.ClientSession, _: Address) -> tuple[int, Any]:
        return await post(session, "/control/resume", bearer(tmp_path))

    assert play(daemon, tmp_path, script) == (
        409,
        {
            "error": {
                "kind": "Refused",
                "what": "the account is in doubt",
                "where": "binance",
                "hint": "look at the orders",
            }
        },
    )


def test_a_control_goes_on_when_its_asker_has_gone(tmp_path: Path) -> None:
    daemon = Daemon(held())
    done: list[Action] = []

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def slow(action: Action) -> None:
            begun.set()
            await may_end.wait()
            done.append(action)

        daemon.on_control = slow
        asking = asyncio.create_task(post(session, "/control/kill", bearer(tmp_path)))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert await get(session, "/livez")  # the connection is gone, the server is not
        may_end.set()
        while not done:
            await asyncio.sleep(0.01)

    play(daemon, tmp_path, script)
    assert done == ["kill"]


def test_a_control_that_takes_long_is_answered_before_it_is_done(tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def run() -> tuple[int, Any]:
        from aiohttp import web

        may_end = asyncio.Event()

        async def slow(_: Action) -> None:
            await may_end.wait()

        daemon.on_control = slow
        token, _ = ensure_token(tmp_path, real_seams().random)
        server = Server(daemon, token, patience=0.05)
        runner = web.AppRunner(server.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with aiohttp.ClientSession(url) as session:
                return await post(session, "/control/flatten", bearer(tmp_path))
        finally:
            await server.close()
            await runner.cleanup()

    code, found = asyncio.run(asyncio.wait_for(run(), 60))
    assert (code, found["done"]) == (202, False)


# Who is answered


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"},
                                     {"Authorization": ""}, {"Authorization": "Bearer "},
                                     {"Authorization": "Basic {token}"},
                                     {"Authorization": "{token}"},
                                     {"Authorization": "Bearer {token}x"},
                                     {"Authorization": "Bearer {half}"},
                                     {"X-Token": "{token}"}])  # fmt: skip
def test_who_does_not_know_the_token_changes_nothing(
    headers: dict[str, str], tmp_path: Path
) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        token = (tmp_path / "control.token").read_text().strip()
        given = {k: v.format(token=token, half=token[:20]) for k, v in headers.items()}
        for action in ACTIONS:
            async with session.post(f"/control/{action}", headers=given) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert token not in await answer.text()
        code, told = await get(session, "/status", given)
        assert code == 401
        assert "money" not in told

    play(daemon, tmp_path, script)
    assert daemon.asked == []
    assert sum(daemon.measures.refused_calls.values()) == 6


def test_a_wrong_token_is_refused_where_none_is_needed(tmp_path: Path) -> None:
    async def script(session: aiohttp.ClientSession, _: Address) -> tuple[int, Any]:
        return await get(session, "/readyz", {"Authorization": "Bearer nonsense"})

    assert play(Daemon(held()), tmp_path, script)[0] == 401


def test_bytes_that_are_no_text_are_a_wrong_token(tmp_path: Path) -> None:
    async def script(_: aiohttp.ClientSession, address: Address) -> bytes:
        port = int(address.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /control/kill HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Authorization: Bearer \xff\xfe\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
        return answer

    daemon = Daemon(held())
    assert play(daemon, tmp_path, script).startswith(b"HTTP/1.1 401 ")
    assert daemon.asked == []


def test_many_wrong_tokens_are_slowed_down_and_lock_nobody_out(tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> list[int]:
        codes = []
        for n in range(13):
            async with session.get("/status", headers={"Authorization": f"Bearer {n}"}) as answer:
                codes.append(answer.status)
                if answer.status == 429:
                    assert 0 < int(answer.headers["Retry-After"]) <= 61
        code, _told = await post(session, "/control/kill", bearer(tmp_path))
        return [*codes, code]

    assert play(daemon, tmp_path, script) == [401] * 10 + [429] * 3 + [200]
    assert daemon.measures.refused_calls == {"token": 10, "too_many": 3}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example",
     "10.0.0.1", "0.0.0.0", "", "127.0.0.1@evil.example:80", "[::1"],
)  # fmt: skip
def test_a_name_that_was_bent_to_this_machine_is_refused(host: str, tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        given = {**bearer(tmp_path), "Host": host}
        for path in PATHS:
            async with session.get(path, headers=given) as answer:
                assert answer.status in (400, 421)
                assert "momentum" not in await answer.text()
        assert (await post(session, "/control/kill", given))[0] in (400, 421)

    play(daemon, tmp_path, script)
    assert daemon.asked == []


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1", "[::1]:80"])
def test_this_machine_is_itself_by_any_of_its_names_and_through_a_tunnel(
    host: str, tmp_path: Path
) -> None:
    async def script(session: aiohttp.ClientSession, _: Address) -> int:
        return (await get(session, "/status", {**bearer(tmp_path), "Host": host}))[0]

    assert play(Daemon(held()), tmp_path, script) == 200


@pytest.mark.parametrize(
    "header",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-origin"}],
)  # fmt: skip
def test_a_web_page_is_refused_even_if_it_knew_the_token(
    header: dict[str, str], tmp_path: Path
) -> None:
    daemon = Daemon(held())

    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        given = {**bearer(tmp_path), **header}
        for path in PATHS:
            assert (await get(session, path, given))[0] == 403
        assert (await post(session, "/control/kill", given))[0] == 403

    play(daemon, tmp_path, script)
    assert daemon.asked == []


def test_no_answer_lets_another_site_read_it_or_names_a_library(tmp_path: Path) -> None:
    async def script(session: aiohttp.ClientSession, _: Address) -> None:
        for path in (*PATHS, "/nothing"):
            async with session.get(path) as answer:
                names = {name.lower() for name in answer.headers}
                assert not [name for name in names if name.startswith("access-control")]
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Server"] == "vostok"
        async with session.options("/control/kill") as answer:
            assert answer.status == 405

    play(Daemon(held()), tmp_path, script)


# Where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "", "8.8.8.8"])
def test_an_address_that_others_can_reach_is_refused(host: str, tmp_path: Path) -> None:
    async def script(_: aiohttp.ClientSession, __: Address) -> None:
        raise AssertionError("it listens")

    with pytest.raises(SettingsError, match="other machines"):
        play(Daemon(held()), tmp_path, script, host=host)
    assert not (tmp_path / "control.json").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_it_listens_on_loopback_alone(host: str, tmp_path: Path) -> None:
    async def script(session: aiohttp.ClientSession, address: Address) -> int:
        assert address.url.startswith("http://127.0.0.")
        return (await get(session, "/livez"))[0]

    assert play(Daemon(held()), tmp_path, script, host=host) == 200


def test_where_it_listens_is_told_while_it_does(tmp_path: Path) -> None:
    place = tmp_path / "control.json"

    async def script(session: aiohttp.ClientSession, address: Address) -> None:
        assert mode(place) == 0o600
        told = json.loads(place.read_text())
        assert told["url"] == address.url
        async with session.get(f"{told['url']}/livez") as answer:
            assert answer.status == 200

    play(Daemon(held()), tmp_path, script)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["control.token"]


def test_it_is_told_no_more_when_the_daemon_fails(tmp_path: Path) -> None:
    async def script(_: aiohttp.ClientSession, __: Address) -> None:
        raise RuntimeError("the daemon failed")

    with pytest.raises(RuntimeError, match="the daemon failed"):
        play(Daemon(held()), tmp_path, script)
    assert not (tmp_path / "control.json").exists()


def test_what_another_daemon_has_told_since_stays(tmp_path: Path) -> None:
    place = tmp_path / "control.json"

    async def script(_: aiohttp.ClientSession, __: Address) -> None:
        place.write_text('{"url": "http://127.0.0.1:1", "pid": 1, "born": null}')

    play(Daemon(held()), tmp_path, script)
    assert json.loads(place.read_text())["pid"] == 1


def test_a_port_that_is_taken_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        async def script(_: aiohttp.ClientSession, __: Address) -> None:
            raise AssertionError("it listens")

        with pytest.raises(ServiceError, match="can't listen on port") as caught:
            play(Daemon(held()), tmp_path, script, port=taken.getsockname()[1])
    assert "another port" in str(caught.value)
    assert not (tmp_path / "control.json").exists()


# The token


def test_token_is_long_private_and_lasts(tmp_path: Path) -> None:
    token, fresh = ensure_token(tmp_path, real_seams().random)
    path = tmp_path / "control.token"
    assert fresh
    assert len(token) == 43
    assert path.read_text() == f"{token}\n"
    assert mode(path) == 0o600
    assert ensure_token(tmp_path, real_seams().random) == (token, False)
    other = tmp_path / "other"
    other.mkdir()
    assert ensure_token(other, real_seams().random)[0] != token
    # 256 bits of the chance that it is given, and of nothing else.
    drawn = [
        ensure_token(_folder(tmp_path / f"d{n}"), random.Random(seed))[0]
        for n, seed in enumerate((7, 7, 8))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_token_that_is_no_secret_any_more_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.token"
    token, _ = ensure_token(tmp_path, real_seams().random)
    for spoil in (
        lambda: path.chmod(0o640),
        lambda: path.write_text(token[:10]),
        lambda: path.write_bytes(b"\xff" * 43),
        lambda: path.write_text(""),
        lambda: _replace_by_link(path, tmp_path / "elsewhere", token),
    ):
        spoil()
        found, fresh = ensure_token(tmp_path, real_seams().random)
        assert fresh
        assert found != token
        assert mode(path) == 0o600
        assert not path.is_symlink()
        path.unlink()
        path.touch(0o600)
        path.write_text(token)
        assert ensure_token(tmp_path, real_seams().random) == (token, False)


def test_token_is_made_by_the_seam_s_chance(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(Daemon(held()), tmp_path, random.Random(5)):
            pass

    asyncio.run(run())
    token = (tmp_path / "control.token").read_text().strip()
    assert token == ensure_token(_folder(tmp_path / "again"), random.Random(5))[0]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _replace_by_link(path: Path, target: Path, token: str) -> None:
    target.touch(0o600)
    target.write_text(token)
    path.unlink()
    path.symlink_to(target)
