"""The command line's way to the daemon: found by its folder, over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import pytest

from tests.live.service_world import Daemon, flat, held, running
from vostok_core.errors import Refused, SettingsError
from vostok_core.trading.events import Action
from vostok_live.seams import real_seams
from vostok_live.service import client
from vostok_live.service.announce import announce, find, withdraw
from vostok_live.service.errors import NotRunning, ServiceError
from vostok_live.service.token import ensure_token

Result = TypeVar("Result")


def beside(daemon: Daemon, state: Path, ask: Callable[[], Result]) -> Result:
    """What is answered to a caller in a thread of its own, while the daemon serves."""

    async def run() -> Result:
        async with running(daemon, state):
            return await asyncio.to_thread(ask)

    return asyncio.run(asyncio.wait_for(run(), 60))


class Listener:
    """Someone else who listens: keeps what it was sent, and answers bytes that it was given."""

    def __init__(self, state: Path, answer: bytes | None) -> None:
        self.heard = b""
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        ensure_token(state, real_seams().random)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        with connection:
            self.heard = connection.recv(65_536)
            if self._answer is None:
                connection.recv(65_536)  # until the caller has had enough
            else:
                connection.sendall(self._answer)


def http(body: bytes, code: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {code}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_status_is_what_the_daemon_says(tmp_path: Path) -> None:
    assert beside(Daemon(held()), tmp_path, lambda: client.status(tmp_path)) == held()
    assert beside(Daemon(flat()), tmp_path, lambda: client.status(tmp_path)) == flat()


def test_a_control_tells_who_asks_and_what_came_of_it(tmp_path: Path) -> None:
    daemon = Daemon(held())
    done = beside(daemon, tmp_path, lambda: client.control(tmp_path, "pause"))
    assert (done.action, done.done, done.paused, done.state) == ("pause", True, True, "holding")
    done = beside(
        daemon, tmp_path, lambda: client.control(tmp_path, "resume", asked_by="the monitor")
    )
    assert not done.paused
    assert daemon.asked == [
        ("pause", "the command line, by the control API"),
        ("resume", "the monitor, by the control API"),
    ]


def test_the_daemon_s_refusal_is_raised_here(tmp_path: Path) -> None:
    daemon = Daemon(held())

    async def refuse(_: Action) -> None:
        raise Refused("the account is in doubt", hint="look at the orders")

    daemon.on_control = refuse
    with pytest.raises(Refused, match="the account is in doubt") as caught:
        beside(daemon, tmp_path, lambda: client.control(tmp_path, "resume"))
    assert caught.value.hint == "look at the orders"
    assert str(caught.value.where).startswith("http://127.0.0.1:")


def test_a_wrong_token_is_explained(tmp_path: Path) -> None:
    def ask() -> None:
        path = tmp_path / "control.token"
        path.write_text("A" * 43)
        client.status(tmp_path)

    with pytest.raises(ServiceError, match="a wrong token"):
        beside(Daemon(held()), tmp_path, ask)


def test_no_proxy_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert beside(Daemon(held()), tmp_path, lambda: client.status(tmp_path)) == held()


# Nobody there


def test_a_folder_without_a_daemon(tmp_path: Path) -> None:
    for state in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotRunning, match="no daemon runs") as caught:
            client.status(state)
        assert "vostok-live run" in str(caught.value)


def test_a_daemon_that_died_is_not_called(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with Listener(tmp_path, http(b"{}")) as listener:
        content = {"url": listener.url, "pid": process.pid, "born": None}
        (tmp_path / "control.json").write_text(json.dumps(content))
        with pytest.raises(NotRunning, match=f"process {process.pid}, ended without saying so"):
            client.status(tmp_path)
    assert listener.heard == b"", "its port may be anyone's by now"


def test_a_later_process_with_the_same_number_is_not_taken_for_the_daemon(tmp_path: Path) -> None:
    with Listener(tmp_path, http(b"{}")) as listener:
        announce(tmp_path, listener.url)
        path = tmp_path / "control.json"
        content = json.loads(path.read_text())
        assert content["pid"] == os.getpid()
        path.write_text(json.dumps({**content, "born": content["born"] - 1}))
        with pytest.raises(NotRunning, match="ended without saying so"):
            client.control(tmp_path, "kill")
    assert listener.heard == b""


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"url": "http://127.0.0.1:1"}'])
def test_where_it_listens_can_be_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "control.json").write_bytes(content)
    with pytest.raises(NotRunning, match="can't be read"):
        client.status(tmp_path)


def test_what_was_announced_is_found_and_withdrawn(tmp_path: Path) -> None:
    address = announce(tmp_path, "http://127.0.0.1:5")
    assert find(tmp_path) == address
    withdraw(tmp_path, address)
    assert list(tmp_path.iterdir()) == []
    withdraw(tmp_path, address)  # twice is no error


def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    ensure_token(tmp_path, real_seams().random)
    announce(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(NotRunning, match="can't be reached") as caught:
        client.status(tmp_path)
    assert "daemon.log" in str(caught.value)


def test_a_daemon_that_hangs(tmp_path: Path) -> None:
    with Listener(tmp_path, None) as listener:
        announce(tmp_path, listener.url)
        begun = time.monotonic()
        with pytest.raises(NotRunning, match=r"no answer within 0\.2 s"):
            client.status(tmp_path, timeout=0.2)
        assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"{}"), "its status can't be read"),
        (http(b"<html>"), "its status can't be read"),
        (http(b"oops", "500 Internal Server Error"), "failed to answer"),
        (http(b'{"error": {"kind": "Unheard", "what": "w", "where": null, "hint": "h"}}', "409 C"),
         "w"),
        (b"not http at all\r\n\r\n", "can't be reached"),
        (b"", "can't be reached"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none(answer: bytes, said: str, tmp_path: Path) -> None:
    with Listener(tmp_path, answer) as listener:
        announce(tmp_path, listener.url)
        with pytest.raises(ServiceError, match=said):
            client.status(tmp_path)


def test_an_answer_to_a_control_that_is_lost_is_not_asked_for_again(tmp_path: Path) -> None:
    with Listener(tmp_path, b"") as listener:
        announce(tmp_path, listener.url)
        with pytest.raises(NotRunning):
            client.control(tmp_path, "flatten")
    assert listener.heard.count(b"POST ") == 1


@pytest.mark.parametrize("spoil", ["absent", "short", "bytes", "folder"])
def test_a_token_that_can_not_be_used_is_explained(spoil: str, tmp_path: Path) -> None:
    path = tmp_path / "control.token"
    announce(tmp_path, "http://127.0.0.1:1")
    match spoil:
        case "short":
            path.write_text("abc")
        case "bytes":
            path.write_bytes(b"\xff" * 43)
        case "folder":
            path.mkdir()
    with pytest.raises(SettingsError) as caught:
        client.status(tmp_path)
    assert caught.value.where == str(path)
    assert caught.value.hint


# How quick it is


def test_the_client_loads_nothing_heavy() -> None:
    heavy = (
        "aiohttp",
        "asyncio",
        "numpy",
        "polars",
        "numba",
        "ccxt",
        "rich",
        "textual",
        "pydantic",
    )
    code = f"import sys, vostok_live.service.client; print(*(set({heavy}) & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == ""


def test_only_the_monitor_needs_a_screen() -> None:
    code = (
        "import sys, vostok_live.monitor.once\n"
        "import vostok_live.service.server, vostok_live.service.logs\n"
        "print(*({'textual', 'ccxt', 'polars'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == ""
