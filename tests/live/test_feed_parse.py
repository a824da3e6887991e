"""Frames of the exchange are read as its archive is, and nothing that it sends raises an error."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_live.feed.events import (
    Answer,
    BookTop,
    DepthDiff,
    DepthSnapshot,
    Event,
    Kline,
    Malformed,
    Shutdown,
    Tick,
)
from vostok_live.feed.parse import MAX_FRAME, Impossible, decode, depth_snapshot
from vostok_pipelines.sources.binance import read_agg_trades, read_trades
from vostok_pipelines.sources.common import SourceFile

AGG = (
    '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1723161255343,"s":"BTCUSDT",'
    '"a":26129,"p":"61837.63000000","q":"0.02000000","f":27781,"l":27785,"T":1723161255342,'
    '"m":true,"M":true}}'
)
TRADE = (
    '{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000",'
    '"q":"0.02000000","T":1723161255342,"m":false,"M":true}'
)
DEPTH = (
    '{"stream":"bnbbtc@depth@100ms","data":{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC",'
    '"U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"],["0.0027","0"]]}}'
)
SNAPSHOT = (
    '{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"],["3.90000000","1.00000000"]],'
    '"asks":[["4.00000200","12.00000000"]]}'
)
EVENTS = (Tick, BookTop, DepthDiff, DepthSnapshot, Kline, Shutdown, Answer, Malformed)


def capture(shared: Path, name: str) -> Iterator[bytes]:
    with gzip.open(shared / f"book/binance_ws_hftbacktest/{name}.gz") as lines:
        for line in lines:
            yield line.split(b" ", 1)[1].rstrip(b"\n")


def archive(rows: list[list[object]]) -> SourceFile:
    """Rows as a file of the exchange's archive."""
    text = "\n".join(",".join(str(value) for value in row) for row in rows)
    return SourceFile(Path("BTCUSDT-2024-08-08.csv"), text.encode())


def test_an_aggregate_trade_is_read() -> None:
    assert decode(AGG, 7) == Tick(
        symbol="BTCUSDT",
        trade_id=26129,
        ts=1_723_161_255_342_000,
        price=61837.63,
        qty=0.02,
        buyer_maker=True,
        first_id=27781,
        last_id=27785,
        sent=1_723_161_255_343_000,
        seen=7,
    )


def test_a_trade_has_no_trades_beneath() -> None:
    tick = decode(TRADE)
    assert isinstance(tick, Tick)
    assert (tick.trade_id, tick.first_id, tick.last_id) == (3735683259, -1, -1)


def test_raw_and_combined_frames_say_the_same() -> None:
    raw = json.dumps(json.loads(AGG)["data"])
    wrapped = json.dumps({"stream": "btcusdt@trade", "data": json.loads(TRADE)})
    assert decode(raw) == decode(AGG)
    assert decode(wrapped) == decode(TRADE)
    assert decode(AGG.encode()) == decode(AGG)


def test_milliseconds_and_microseconds_are_told_apart() -> None:
    fine = AGG.replace("1723161255342", "1723161255342000").replace("5343,", "5343000,")
    assert decode(fine) == decode(AGG)
    finer = decode(AGG.replace("1723161255342", "1723161255342789"))
    assert isinstance(finer, Tick)
    assert finer.ts == 1_723_161_255_342_789


@pytest.mark.shared_data
def test_recorded_trades_are_those_that_the_archive_reader_reads(shared: Path) -> None:
    kinds: Counter[str] = Counter()
    ticks: list[Tick] = []
    rows: list[list[object]] = []
    for frame in capture(shared, "spot_btcusdt_20240808"):
        event = decode(frame)
        kinds[event.flaw if isinstance(event, Malformed) else type(event).__name__] += 1
        if isinstance(event, Tick):
            ticks.append(event)
            data = json.loads(frame)["data"]
            rows.append([data["t"], data["p"], data["q"], "0", data["T"], data["m"], data["M"]])
    assert kinds == {"Tick": 9_757, "BookTop": 28_040, "DepthDiff": 3_451, "DepthSnapshot": 1}
    read = read_trades(archive(rows)).frame
    assert read["ts"].to_physical().to_list() == [tick.ts for tick in ticks]
    for column in ("trade_id", "price", "qty", "buyer_maker"):
        assert read[column].to_list() == [getattr(tick, column) for tick in ticks]


decimals = st.one_of(
    st.builds(
        lambda whole, part: f"{whole}.{part:08d}",
        st.integers(0, 10**9),
        st.integers(0, 10**8 - 1),
    ),
    st.decimals(min_value="1e-20", max_value="1e20", allow_nan=False, allow_infinity=False).map(
        lambda value: f"{value:f}"
    ),
).filter(lambda text: float(text) > 0)


@settings(max_examples=50)
@given(st.lists(st.tuples(decimals, decimals), min_size=1, max_size=20))
def test_a_decimal_text_becomes_the_double_that_the_archive_reader_makes_of_it(
    pairs: list[tuple[str, str]],
) -> None:
    rows: list[list[object]] = []
    ticks: list[Event] = []
    for k, (price, qty) in enumerate(pairs):
        rows.append([k, price, qty, k, k, 1723161255342, True, True])
        ticks.append(decode(AGG.replace("61837.63000000", price).replace("0.02000000", qty)))
    read = read_agg_trades(archive(rows)).frame
    assert [t.price for t in ticks if isinstance(t, Tick)] == read["price"].to_list()
    assert [t.qty for t in ticks if isinstance(t, Tick)] == read["qty"].to_list()


def test_the_best_prices_are_read() -> None:
    raw = (
        '{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000",'
        '"A":"0.00000000"}'
    )
    top = BookTop("BNBUSDT", 400900217, 25.3519, 31.21, 25.3652, 0.0, 5)
    assert decode(raw, 5) == top
    assert decode(f'{{"stream":"bnbusdt@bookTicker","data":{raw}}}', 5) == top


def test_changes_of_the_depth_are_read() -> None:
    diff = DepthDiff(
        "BNBBTC", 157, 160, 1_672_515_782_136_000, [(0.0024, 10.0)], [(0.0026, 100.0), (0.0027, 0)],
        5,
    )  # fmt: skip
    assert decode(DEPTH, 5) == diff
    assert decode(json.dumps(json.loads(DEPTH)["data"]), 5) == diff
    assert decode(DEPTH.replace("@100ms", ""), 5) == diff
    fine = decode(DEPTH.replace("1672515782136", "1672515782136789"))
    assert isinstance(fine, DepthDiff)
    assert fine.ts == 1_672_515_782_136_789


def test_a_snapshot_of_the_depth_is_read() -> None:
    bids, asks = [(4.0, 431.0), (3.9, 1.0)], [(4.000002, 12.0)]
    assert decode(SNAPSHOT, 5) == DepthSnapshot(1027024, bids, asks, 5)
    assert depth_snapshot(SNAPSHOT.encode(), 5) == DepthSnapshot(1027024, bids, asks, 5)
    empty = '{"lastUpdateId":0,"bids":[],"asks":[]}'
    assert decode(empty) == DepthSnapshot(0, [], [], 0)


def test_a_kline_is_named_by_its_end() -> None:
    body = (
        '{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,"o":"0.0010",'
        '"c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":false,"q":"1.0000",'
        '"V":"500","Q":"0.500","B":"123456"}'
    )
    frame = (
        f'{{"stream":"bnbbtc@kline_1m","data":{{"e":"kline","E":1672515782136,"s":"BNBBTC",'
        f'"k":{body}}}}}'
    )
    kline = decode(frame)
    assert kline == Kline(
        "BNBBTC", "1m", 1_672_515_840_000_000, 0.001, 0.0025, 0.0015, 0.002, 1000.0, 1.0, 100,
        500.0, closed=False,
    )  # fmt: skip
    fine = frame.replace("1672515780000", "1672515780000000")
    assert decode(fine.replace("1672515839999", "1672515839999999")) == kline


@pytest.mark.parametrize(
    "frame",
    [
        '{"e":"serverShutdown","E":1770123456789}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_a_shutdown_is_announced(frame: str) -> None:
    assert decode(frame) == Shutdown(1_770_123_456_789_000)


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ('{"result":null,"id":1}', Answer(1, "")),
        ('{"id":"a1","result":["btcusdt@aggTrade"]}', Answer("a1", "")),
        ('{"code":2,"msg":"Invalid request: x","id":3}', Answer(3, "2: Invalid request: x")),
        ('{"code":3,"msg":"Invalid JSON: x"}', Answer(None, "3: Invalid JSON: x")),
        ('{"error":{"code":2,"msg":"Invalid x"},"id":4}', Answer(4, "2: Invalid x")),
    ],
)
def test_an_answer_to_a_subscription_is_read(frame: str, answer: Answer) -> None:
    assert decode(frame) == answer


@pytest.mark.parametrize(
    ("frame", "flaw"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (AGG + " " * MAX_FRAME, "huge"),
        (AGG[:-1], "not_json"),
        ("pong", "not_json"),
        (b"\xff\xfe{", "not_json"),
        ("[]", "wrong_shape"),
        ("17", "wrong_shape"),
        ("[" * 60_000, "wrong_shape"),
        (AGG.replace('"a":26129,', ""), "wrong_shape"),
        (AGG.replace('"aggTrade","E"', '"trade","E"'), "wrong_shape"),
        (AGG.replace("26129", "-1"), "wrong_shape"),
        (AGG.replace("26129", "9" * 30), "wrong_shape"),
        (AGG.replace("61837.63000000", "6_1"), "wrong_shape"),
        (AGG.replace("61837.63000000", ""), "wrong_shape"),
        (AGG.replace("61837.63000000", "1e999"), "wrong_shape"),
        (AGG.replace("61837.63000000", "nan"), "impossible"),
        (AGG.replace("61837.63000000", "0.00000000"), "impossible"),
        (AGG.replace("61837.63000000", "-1.0"), "impossible"),
        (AGG.replace("0.02000000", "inf"), "impossible"),
        (AGG.replace("1723161255342", "123456785"), "impossible"),
        (AGG.replace("1723161255342", "1723161255342000000"), "impossible"),
        (AGG.replace('"l":27785', '"l":27780'), "impossible"),
        ("{}", "unexpected"),
        ('{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}}', "wrong_shape"),
        ('{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":1}}', "unexpected"),
        (DEPTH[:-1], "not_json"),
        (DEPTH.replace('"U":157,', ""), "wrong_shape"),
        (DEPTH.replace('["0.0024","10"]', '["0.0024"]'), "wrong_shape"),
        (DEPTH.replace('["0.0024","10"]', '["0.0024","10","1"]'), "wrong_shape"),
        (DEPTH.replace('["0.0024","10"]', '["0.0024",null]'), "wrong_shape"),
        (DEPTH.replace('"0.0024"', '"0"'), "impossible"),
        (DEPTH.replace('"0.0024"', '"nan"'), "impossible"),
        (DEPTH.replace('"10"', '"-1"'), "impossible"),
        (DEPTH.replace('"10"', '"inf"'), "impossible"),
        (DEPTH.replace('"u":160', '"u":156'), "impossible"),
        (DEPTH.replace("1672515782136", "17"), "impossible"),
        (SNAPSHOT.replace("1027024", '"x"'), "wrong_shape"),
        (SNAPSHOT.replace('"asks"', '"sellers"'), "wrong_shape"),
        (SNAPSHOT.replace("4.00000200", "4.00000000"), "impossible"),
        (SNAPSHOT.replace("12.00000000", "0.00000000"), "impossible"),
        (SNAPSHOT.replace("3.90000000", "4.00000000"), "impossible"),
        ('{"e":"24hrTicker","E":123456789}', "unexpected"),
    ],
)
def test_a_frame_that_cannot_be_used_says_why(frame: str | bytes, flaw: str) -> None:
    event = decode(frame)
    assert isinstance(event, Malformed)
    assert event.flaw == flaw
    assert len(event.detail) < 1_000


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_no_bytes_raise_an_error(frame: bytes | str) -> None:
    assert isinstance(decode(frame), EVENTS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
keys = st.sampled_from(
    ["stream", "data", "e", "id", "result", "error", "code", "u", "b", "k", "lastUpdateId"]
)


@given(st.dictionaries(keys, json_values))
def test_no_json_raises_an_error(frame: dict[str, object]) -> None:
    assert isinstance(decode(json.dumps(frame)), EVENTS)


@given(st.data())
def test_a_damaged_frame_raises_no_error(data: st.DataObject) -> None:
    frame = bytearray(data.draw(st.sampled_from([AGG, TRADE, DEPTH, SNAPSHOT])).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(decode(bytes(frame)), EVENTS)


levels = st.lists(st.tuples(decimals, decimals), max_size=4)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), levels, levels)
def test_changes_of_the_depth_keep_their_numbers(
    first: int, more: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]
) -> None:
    last = min(first + more, 2**63 - 1)
    body = {"e": "depthUpdate", "E": 1672515782136, "s": "A", "U": first, "u": last}
    diff = decode(json.dumps(body | {"b": bids, "a": asks}))
    assert isinstance(diff, DepthDiff)
    assert (diff.first_id, diff.last_id) == (first, last)
    assert diff.bids == [(float(price), float(qty)) for price, qty in bids]
    assert diff.asks == [(float(price), float(qty)) for price, qty in asks]


@given(st.one_of(st.binary(max_size=300), st.dictionaries(keys, json_values).map(json.dumps)))
def test_an_answer_that_is_no_snapshot_is_refused_by_the_errors_of_the_parser(
    answer: bytes | str,
) -> None:
    with suppress(msgspec.MsgspecError, Impossible, UnicodeDecodeError, RecursionError):
        assert isinstance(depth_snapshot(answer, 0), DepthSnapshot)


@pytest.mark.shared_data
def test_frames_that_others_recorded_are_read(shared: Path) -> None:
    folder = shared / "fixtures/nautilus_binance/python_resources/ws_messages"
    trade = decode((folder / "ws_spot_trade.json").read_bytes())
    assert isinstance(trade, Tick)
    assert (trade.trade_id, trade.price, trade.ts) == (705291099, 4149.74, 1_639_351_062_243_000)
    aggregate = decode((folder / "ws_spot_agg_trade.json").read_bytes())
    assert isinstance(aggregate, Tick)
    assert (aggregate.trade_id, aggregate.first_id, aggregate.qty) == (226532, 228423, 0.34305)
    assert isinstance(decode((folder / "ws_spot_ticker_book.json").read_bytes()), BookTop)
    net = shared / "fixtures/binance_net/Subscriptions/Spot/ExchangeData"
    for name, kind in (("Trades", Tick), ("AggregatedTrades", Tick), ("BookTicker", BookTop)):
        said = (net / f"{name}.txt").read_text(encoding="utf-8-sig").partition("\n= ")[2]
        assert isinstance(decode(said), kind)
    # A venue of the past: four streams of several symbols, recorded in 2021.
    kinds = Counter(
        type(decode(line.split(": ", 1)[1])).__name__
        for line in (shared / "book/cryptofeed_raw/BINANCE.ws.1.0").read_text().splitlines()
        if line.partition(": ")[2].startswith("{")
    )
    assert kinds["Tick"] == 2
    assert kinds["BookTop"] == 84
    assert kinds["Kline"] == 2
