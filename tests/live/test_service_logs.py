"""What is logged, and that no secret ever is."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.live.service_world import mode
from vostok_live.service import logs
from vostok_live.service.redact import GONE, Redactor

LOG = logging.getLogger(f"{logs.ROOT}.test")
ABOUT = {"run": 17, "strategy": "momentum", "instrument": "binance.spot.BTC-USDT"}
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
PEM = (
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH3wq1xZ8dG\nk0aVbQ7s2mYfJcR5tLwN9eXu\n"
    "-----END PRIVATE KEY-----\n"
)


def lines(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "daemon.log").read_text().splitlines()]


# What a line says


def test_an_event_is_a_line_for_programs_and_one_for_people(tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.logging_to(tmp_path, ABOUT, stream=told) as path:
        assert path == tmp_path / "daemon.log"
        logs.event(LOG, "warning", "order_rejected", "the exchange refuses it",
                   client_order_id="vlr17-1-e", seq=12, code=-2010)  # fmt: skip
    (line,) = lines(tmp_path)
    at = datetime.fromisoformat(line.pop("ts"))
    assert at.utcoffset().total_seconds() == 0
    assert line == {
        "level": "warning", "event": "order_rejected", "message": "the exchange refuses it",
        "logger": "vostok.live.test", **ABOUT, "client_order_id": "vlr17-1-e", "seq": 12,
        "code": -2010,
    }  # fmt: skip
    (said,) = told.getvalue().splitlines()
    assert said == (
        f"{at:%H:%M:%S}  warning   order_rejected  the exchange refuses it  "
        "client_order_id=vlr17-1-e seq=12 code=-2010"
    )


def test_levels_and_libraries(tmp_path: Path) -> None:
    with warnings.catch_warnings(), logs.logging_to(tmp_path, {}, stream=io.StringIO()):
        warnings.simplefilter("always")
        logs.event(LOG, "debug", "unheard")
        logs.event(LOG, "info", "heard")
        logging.getLogger("aiohttp.server").info("unheard")
        logging.getLogger("aiohttp.server").warning("a %s", "library")
        warnings.warn("python's own", stacklevel=1)
    found = [(line["event"], line["logger"], line["level"]) for line in lines(tmp_path)]
    assert found == [
        ("heard", "vostok.live.test", "info"),
        ("log", "aiohttp.server", "warning"),
        ("log", "py.warnings", "warning"),
    ]
    assert lines(tmp_path)[1]["message"] == "a library"


def test_an_error_comes_with_its_traceback(tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.logging_to(tmp_path, {}, stream=told):
        try:
            int("the reason")
        except ValueError:
            logs.event(LOG, "error", "failed")
            logs.event(LOG, "warning", "tolerated")
        logs.event(LOG, "error", "without")
    first, second, third = lines(tmp_path)
    assert "ValueError: invalid literal" in first["error"]
    assert "error" not in second
    assert "error" not in third
    assert "ValueError: invalid literal" in told.getvalue()


def test_what_json_does_not_know_is_written_all_the_same(tmp_path: Path) -> None:
    with logs.logging_to(tmp_path, {}, stream=io.StringIO()):
        logs.event(LOG, "info", "odd", path=Path("a/b"), nan=float("nan"), many=[1, (2, {3})],
                   deep={"a": {"b": float("inf")}}, text="\ud800")  # fmt: skip
    (line,) = lines(tmp_path)
    assert (line["path"], line["nan"], line["many"]) == ("a/b", "nan", [1, [2, [3]]])
    assert line["deep"] == {"a": {"b": "inf"}}


def test_fields_of_every_line_are_not_for_events(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        logs.event(LOG, "info", "x", level="high")


def test_what_a_terminal_would_obey_is_not_sent_there(tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.logging_to(tmp_path, {}, stream=told):
        logs.event(LOG, "warning", "said", "\x1b[2J\x1b]0;owned\x07\rnothing to see", who="a\x9bb")
    assert not {c for c in told.getvalue() if ord(c) < 32 and c != "\n"}
    assert "\x9b" not in told.getvalue()
    assert lines(tmp_path)[0]["message"].startswith("\x1b[2J"), "JSON escapes it"
    assert "\x1b" not in (tmp_path / "daemon.log").read_text()


def test_a_terminal_gets_colour() -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as stream:
        state = Path(f"/proc/self/fd/{master}")
        assert state.exists()
        handler = logs._Terminal(stream, Redactor())
        handler.emit(logging.makeLogRecord({"levelname": "ERROR", "levelno": 40, "msg": "bad"}))
        found = os.read(master, 4096).decode()
    os.close(master)
    assert "bad" in found
    assert "\x1b[" in found


# The file


def test_file_is_private_also_when_it_is_begun_anew(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with logs.logging_to(tmp_path, {}, stream=io.StringIO(), max_bytes=500, files=2):
            for n in range(40):
                logs.event(LOG, "info", "line", n=n)
    finally:
        os.umask(before)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["daemon.log", "daemon.log.1", "daemon.log.2"]
    assert {mode(path) for path in tmp_path.iterdir()} == {0o600}
    assert all(path.stat().st_size <= 500 for path in tmp_path.iterdir())
    newest = [json.loads(line)["n"] for line in (tmp_path / "daemon.log").read_text().splitlines()]
    assert newest[-1] == 39


def test_a_file_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    path.write_text('{"event":"before"}\n')
    path.chmod(0o644)
    with logs.logging_to(tmp_path, {}, stream=io.StringIO()):
        logs.event(LOG, "info", "after")
    assert mode(path) == 0o600
    assert [line["event"] for line in lines(tmp_path)] == ["before", "after"]


def test_a_log_that_can_not_be_written_stops_nothing_and_tells_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "daemon.log").mkdir()
    broken = io.StringIO()
    broken.close()
    with logs.logging_to(tmp_path, {}, stream=broken, secrets=[SECRET]):
        logs.event(LOG, "warning", "line", SECRET, key=SECRET)
    said = capsys.readouterr().err
    assert "a line of vostok.live.test can't be logged: IsADirectoryError" in said
    assert "ValueError" in said
    assert SECRET not in said


def test_logging_is_as_before_afterwards(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger(logs.ROOT).level
    with logs.logging_to(tmp_path, {}, stream=io.StringIO()):
        assert root.handlers != before[0]
    assert (root.handlers[:], root.level, logging.getLogger(logs.ROOT).level) == before


# Secrets

LEAKS = {
    "a signed address": f"https://api.binance.com/api/v3/order?symbol=BTCUSDT&signature={SIGNATURE}",
    "a signed body": f"symbol=BTCUSDT&timestamp=1&signature={SIGNATURE}&x=1",
    "an escaped address": f"url=%2Forder%3Fsignature%3D{SIGNATURE}%26x%3D1",
    "headers of ccxt": f"headers {{'X-MBX-APIKEY': '{SIGNATURE}', 'Accept': 'json'}}",
    "headers in bytes": f"[(b'x-mbx-apikey', b'{SIGNATURE}')]",
    "a header": f"X-MBX-APIKEY: {SIGNATURE}\r\nHost: x",
    "a frame": f'{{"params":{{"apiKey":"{SIGNATURE}","signature":"{SIGNATURE}"}}}}',
    "a frame in a frame": json.dumps({"raw": json.dumps({"apiKey": SIGNATURE})}),
    "a listen key": f"wss://stream.binance.com/ws?listenKey={SIGNATURE}",
    "a bearer": f"Authorization: Bearer {SIGNATURE}",
    "a bearer in a dict": f"{{'Authorization': 'Bearer {SIGNATURE}'}}",
    "a repr": f"ApiKey(api_key='{SIGNATURE}', secret=\"{SIGNATURE}\")",
    "an environment": f"BINANCE_API_SECRET={SIGNATURE}",
    "a setting": f"api_key: {SIGNATURE}",
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS)
def test_what_stands_where_a_secret_stands_is_removed(text: str, tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.logging_to(tmp_path, {}, stream=told):
        logs.event(LOG, "warning", "message", text)
        logs.event(LOG, "warning", "field", text=text, deep={"a": [text]}, named={text: 1})
        logging.getLogger("ccxt").warning("%s", text)
        try:
            Path(text).chmod(0o600)
        except OSError as error:
            logs.event(LOG, "error", "raised", error_text=str(error))
    written = (tmp_path / "daemon.log").read_text()
    assert len(lines(tmp_path)) == 4, "every line is still JSON"
    assert SIGNATURE not in written + told.getvalue()
    assert GONE in written
    assert GONE in told.getvalue()


@pytest.mark.parametrize("name", ["apiKey", "secret", "signature", "X-MBX-APIKEY", "token",
                                  "listenKey", "Authorization", "password"])  # fmt: skip
def test_what_is_called_a_secret_is_removed(name: str, tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.logging_to(tmp_path, {}, stream=told):
        logs.event(LOG, "info", "x", **{name: "short"}, inside={name: {"a": "short"}})
        logs.event(LOG, "info", "x", **{name: 123_456_789})
    assert "short" not in (tmp_path / "daemon.log").read_text() + told.getvalue()
    assert "123456789" not in (tmp_path / "daemon.log").read_text() + told.getvalue()


@pytest.mark.parametrize("secret", [SECRET, KEY, PEM, 'a"b\\c/d+e=', "pass word?&"])
def test_a_known_secret_is_removed_wherever_it_stands(secret: str, tmp_path: Path) -> None:
    told = io.StringIO()
    with logs.logging_to(tmp_path, {}, stream=told, secrets=[KEY, secret]):
        for text in (secret, f"({secret})", quote(secret, safe=""), f"x{secret}y", repr(secret),
                     json.dumps(secret), secret.encode().hex()):  # fmt: skip
            logs.event(LOG, "info", "x", text, other=text)
    written = (tmp_path / "daemon.log").read_text() + told.getvalue()
    parts = [part for part in secret.splitlines() if len(part) > 8 and "-----" not in part]
    for form in (*parts, quote(secret, safe=""), secret.encode().hex()):
        assert form not in written
        assert json.dumps(form)[1:-1] not in written


def test_a_secret_that_begins_with_another_is_removed_whole() -> None:
    for secrets in (["abcdefgh", "abcdefghTAIL"], ["abcdefghTAIL", "abcdefgh"]):
        assert Redactor(secrets).text("x abcdefghTAIL abcdefgh") == f"x {GONE} {GONE}"


def test_a_private_key_is_removed_without_being_known() -> None:
    for text in (PEM, repr(PEM), json.dumps({"k": PEM}), PEM[:60]):
        assert "MC4CAQAw" not in Redactor().text(text)
    assert Redactor().text(f"before {PEM} after") == f"before {GONE} \n after".replace(" \n", "\n")


@pytest.mark.parametrize(
    "text",
    [
        "the signature of this request is not valid",
        "a wrong token",
        "API-key format invalid",
        "symbol=BTCUSDT&side=BUY&quantity=0.02",
        "vlr17-31-t: take_profit open at 50,400.00",
        "tokens are counted: tokens=12",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor([SECRET, "", "ab"]).text(text) == text


@given(
    before=st.text(max_size=20), after=st.text(max_size=20),
    secret=st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Z"]), min_size=8),
)  # fmt: skip
def test_no_known_secret_comes_through_any_text(before: str, after: str, secret: str) -> None:
    clean = Redactor([secret]).text(before + secret + after)
    assert secret not in clean.replace(GONE, "\0")
