"""Metrics as Prometheus reads them: read back here by a small parser of the same format."""

from __future__ import annotations

import asyncio
import math
import re

import msgspec
import pytest

from tests.live.service_world import NOW, flat, held
from vostok_live.service.exposition import Family, write
from vostok_live.service.heartbeat import Heartbeat
from vostok_live.service.measures import Measures, Timing
from vostok_live.service.metrics import METRICS, expose

Key = tuple[str, frozenset[tuple[str, str]]]
OF = {"strategy": "momentum", "instrument": "binance.spot.BTC-USDT"}
_LINE = re.compile(
    r'([a-zA-Z_][a-zA-Z0-9_]*)(?:\{((?:[a-z_][a-z0-9_]*="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)'
)
_LABEL = re.compile(r'([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse(text: str) -> tuple[dict[Key, float], dict[str, str]]:
    """Samples by name and labels, and kinds by name; fails on a line that is neither."""
    assert text.endswith("\n")
    samples: dict[Key, float] = {}
    kinds: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        if line.startswith("# HELP "):
            assert len(line.split(" ", 3)) == 4
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, "a family comes once"
            kinds[name] = kind
        else:
            match = _LINE.fullmatch(line)
            assert match, line
            labels = {
                name: re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value)
                for name, value in _LABEL.findall(match[2] or "")
            }
            key = (match[1], frozenset(labels.items()))
            assert key not in samples, "a sample comes once"
            samples[key] = float(match[3].replace("Inf", "inf"))
    return samples, kinds


def at(samples: dict[Key, float], name: str, **labels: str) -> float:
    return samples[name, frozenset({**OF, **labels}.items())]


def test_status_and_measures_are_told() -> None:
    measures = Measures()
    measures.orders["buy", "limit", "accepted"] += 3
    measures.fills["sell", "maker"] += 2
    measures.uncovered_seconds = 1.25
    measures.order_round_trip.observe(0.012)
    samples, kinds = parse(expose(held(), measures, private=True))
    assert at(samples, "vostok_equity_quote") == 10_123.45
    assert at(samples, "vostok_position_base") == 0.02012
    assert at(samples, "vostok_ready") == 1
    assert at(samples, "vostok_kill_switch") == 0
    assert at(samples, "vostok_exposure_ratio") == 0.02012 * 50_088.77 / 10_123.45
    assert at(samples, "vostok_state", state="holding") == 1
    assert at(samples, "vostok_state", state="flat") == 0
    assert at(samples, "vostok_ws_connected", stream="market") == 1
    assert at(samples, "vostok_ws_last_message_age_seconds", stream="user") == 12.4
    assert at(samples, "vostok_ws_ended_total", stream="user", reason="broken") == 1
    assert at(samples, "vostok_decisions_total", outcome="busy") == 40
    assert at(samples, "vostok_clock_offset_seconds") == 0.0035
    assert at(samples, "vostok_api_weight_used_ratio") == 0.07
    assert at(samples, "vostok_last_heartbeat_timestamp_seconds") == NOW / 1e6
    assert at(samples, "vostok_model_info", sha256="a1b2c3d4" * 8, week="2026-07-20") == 1
    assert at(samples, "vostok_orders_total", side="buy", kind="limit", outcome="accepted") == 3
    assert at(samples, "vostok_fills_total", side="sell", liquidity="maker") == 2
    assert at(samples, "vostok_uncovered_seconds_total") == 1.25
    assert at(samples, "vostok_order_rtt_seconds_count") == 1
    assert kinds["vostok_order_rtt_seconds"] == "histogram"
    assert set(kinds) == {metric.family.name for metric in METRICS}


def test_a_daemon_that_waits_tells_why_and_leaves_out_what_it_does_not_know() -> None:
    samples, _ = parse(expose(flat(killed="lost too much"), Measures(), private=True))
    assert at(samples, "vostok_ready") == 0
    assert at(samples, "vostok_not_ready", code="no_model") == 1
    assert at(samples, "vostok_kill_switch") == 1
    assert at(samples, "vostok_position_covered") == 1
    assert at(samples, "vostok_position_base") == 0
    absent = {"vostok_last_price", "vostok_model_prediction", "vostok_sentiment_age_seconds"}
    assert not absent & {name for name, _ in samples}


def test_an_uncovered_position_shows() -> None:
    bare = msgspec.structs.replace(held().position, covered=False)
    samples, _ = parse(
        expose(msgspec.structs.replace(held(), position=bare), Measures(), private=False)
    )
    assert at(samples, "vostok_position_covered") == 0


def test_without_the_token_nothing_says_how_much_money_there_is() -> None:
    open_to_all, kinds = parse(expose(held(), Measures(), private=False))
    names = {name for name, _ in open_to_all}
    assert not [name for name in names if name.endswith(("_quote", "_base"))]
    assert not [name for name in kinds if name.endswith(("_quote", "_base"))]
    money = held().money
    amounts = {money.equity, money.cash, money.realised, money.day_pnl, held().position.qty}
    assert not amounts & set(open_to_all.values())
    assert at(open_to_all, "vostok_drawdown_ratio") == money.drawdown


def test_labels_that_would_break_a_line_are_escaped() -> None:
    odd = 'a "b" \\ c\nd,e={}'
    measures = Measures()
    measures.requests["/api", odd] = 1
    text = expose(msgspec.structs.replace(held(), strategy=odd), measures, private=False)
    samples, _ = parse(text)
    labels = {**OF, "strategy": odd, "endpoint": "/api", "code": odd}
    assert samples["vostok_api_requests_total", frozenset(labels.items())] == 1


def test_numbers_keep_every_digit() -> None:
    family = Family("x", "gauge", "y", ("a",))
    values = [0.1 + 0.2, 1e-300, 12345678901, math.inf, -math.inf, True]
    samples, _ = parse(write([(family, [((str(n),), v) for n, v in enumerate(values)])], {}))
    assert list(samples.values()) == values
    assert write([(family, [(("z",), math.nan)])], {}).endswith('x{a="z"} NaN\n')


@pytest.mark.parametrize(
    ("name", "kind"), [("x_total", "gauge"), ("x", "counter"), ("x-y", "gauge"), ("1x", "gauge")]
)
def test_a_name_against_the_conventions_is_refused(name: str, kind: str) -> None:
    with pytest.raises(AssertionError):
        Family(name, kind, "")


def test_histogram_counts_what_took_no_longer_than_each_bound() -> None:
    timing = Timing((0.01, 0.1, 1.0))
    for seconds in (0.005, 0.01, 0.011, 0.5, 7.0, -3.0):
        timing.observe(seconds)
    samples, _ = parse(write([(Family("t_seconds", "histogram", "h"), timing)], {"k": "v"}))

    def bucket(le: str) -> float:
        return samples["t_seconds_bucket", frozenset({("k", "v"), ("le", le)})]

    assert [bucket(le) for le in ("0.01", "0.1", "1.0", "+Inf")] == [3, 4, 5, 6]
    assert samples["t_seconds_count", frozenset({("k", "v")})] == 6
    assert samples["t_seconds_sum", frozenset({("k", "v")})] == pytest.approx(7.526)


def test_quantiles_are_those_of_the_newest_thousand() -> None:
    timing = Timing((1.0,))
    assert timing.latency() is None
    assert timing.newest is None
    for n in range(5_000):
        timing.observe(n / 1e3)
    found = timing.latency()
    assert found is not None
    newest = sorted(n / 1e3 for n in range(5_000 - 1_024, 5_000))
    # At least so many of 100 took no longer, and one time less would be too few.
    for share, value in ((50, found.p50_ms), (99, found.p99_ms)):
        place = newest.index(value / 1e3)
        assert 100 * (place + 1) >= share * len(newest) > 100 * place
    assert found.count == 5_000
    assert timing.newest == 4.999


def test_a_loop_that_was_blocked_is_noticed() -> None:
    async def play() -> tuple[bool, float, float, bool]:
        beat = Heartbeat()
        task = asyncio.create_task(beat.run())
        await asyncio.sleep(0.15)
        calm = beat.beating
        until = asyncio.get_running_loop().time() + 0.4
        while asyncio.get_running_loop().time() < until:
            pass
        overdue = beat.lag()  # it has not had its turn yet
        await asyncio.sleep(0.15)
        remembered = beat.lag()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return calm, overdue, remembered, beat.beating

    calm, overdue, remembered, after = asyncio.run(play())
    assert calm
    assert not after
    assert overdue >= 0.25
    assert remembered >= 0.25
