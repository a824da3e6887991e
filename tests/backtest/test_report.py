"""The HTML report: well-formed, complete, safe with any text, and it loads nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vostok_core.backtest.report import IndexEntry, ReportContent, write_index, write_report
from vostok_core.backtest.report_charts import growth, thinned
from vostok_core.lake.tables import table
from vostok_core.promotion.gate import Evidence, judge
from vostok_core.settings import GateProfile

_UNPAIRED = {"meta", "path", "polyline"}
_START = datetime(2024, 3, 4, tzinfo=UTC)
_NO_HALT = table("backtest_halts").empty()


class Page(HTMLParser):
    """Parses a page strictly: every element closed in order, ids unique."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.titles: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self._script: dict[str, str | None] | None = None
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        assert len(self.ids) == len(set(self.ids)), "an id is used twice"

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if name == "title":
                self.titles.append(value or "")
        if tag == "script":
            self._script = dict(attrs)
            self.scripts.append((self._script, ""))
        if tag not in _UNPAIRED:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in _UNPAIRED:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def charts(self) -> list[dict]:
        return next(json.loads(t) for a, t in self.scripts if a.get("id") == "charts")


def _frames(days: int = 40, seed: int = 1, edge: float = 0.004):
    rng = np.random.default_rng(seed)
    returns = rng.normal(edge, 0.008, days)
    held = rng.normal(0.001, 0.02, days)
    daily = pl.DataFrame(
        {
            "date": [_START.date() + timedelta(days=i) for i in range(days)],
            "net_return": returns,
            "benchmark_return": held,
            "trades": [3] * days,
            "observed": [1.0] * days,
        },
        schema=table("trials").schema,
    )
    ends = [_START + timedelta(days=i + 1) for i in range(days)]
    equity = pl.DataFrame(
        {
            "ts": ends,
            "equity": 100_000 * np.cumprod(1 + returns),
            "benchmark": 100_000 * np.cumprod(1 + held),
            "position": [0.5] * days,
        },
        schema=table("backtest_equity").schema,
    )
    net = rng.normal(0.003, 0.004, 3 * days)
    trades = pl.DataFrame(
        {
            "decision_ts": [_START + timedelta(hours=8 * i) for i in range(3 * days)],
            "entry_ts": [_START + timedelta(hours=8 * i, seconds=1) for i in range(3 * days)],
            "entry_price": [42_000.0 + i for i in range(3 * days)],
            "exit_ts": [_START + timedelta(hours=8 * i + 2) for i in range(3 * days)],
            "exit_price": [42_100.0 + i for i in range(3 * days)],
            "qty": [0.1] * (3 * days),
            "exit_reason": ["take_profit", "stop_loss", "time"] * days,
            "probability": rng.uniform(0.5, 0.7, 3 * days),
            "fees": [4.2] * (3 * days),
            "slippage": [0.42] * (3 * days),
            "net_pnl": net * 4200,
            "net_return": net,
        },
        schema=table("backtest_trades").schema,
    )
    statistics = pl.DataFrame(
        [
            ("max_drawdown", 0.0731, "fraction", "greatest loss from a peak"),
            ("cagr", 1.2345, "fraction per year", "compound annual growth"),
            ("profit_factor", 1.2345678, "", "profits over losses"),
            ("calmar", math.nan, "annual", "not to be had"),
            ("turnover", 1234.5, "equity per day", "bought plus sold"),
        ],
        schema=table("backtest_statistics").schema,
        orient="row",
    )
    return daily, equity, trades, statistics


def _content(**changes) -> ReportContent:
    daily, equity, trades, statistics = _frames()
    evidence = Evidence(daily, trades, _NO_HALT, {("s", "c"): daily}, {"golden rows": True}, equity)
    content = ReportContent(
        strategy="flow",
        instrument="binance.spot.BTC-USDT",
        daily=daily,
        equity=equity,
        trades=trades,
        halts=_NO_HALT,
        statistics=statistics,
        configuration={"model": {"family": "lightgbm", "num_leaves": 31}},
        hashes={"bundle": "ab" * 32, "trades": "cd" * 32},
        decision=judge(evidence, GateProfile()),
    )
    return dataclasses.replace(content, **changes)


def _written(tmp_path: Path, content: ReportContent) -> tuple[Page, str]:
    path = write_report(tmp_path / "report.html", content)
    text = path.read_text(encoding="utf-8")
    return Page(text), text


@pytest.fixture(scope="module")
def promoted(tmp_path_factory) -> tuple[Page, str]:
    return _written(tmp_path_factory.mktemp("report"), _content())


def test_verdict_stands_before_everything_else(promoted):
    page, _ = promoted
    words = page.words
    assert "Promoted All 10 rules of the gate hold" in words
    assert words.index("Promoted") < words.index("Net return") < words.index("What it earned")


def test_a_refusal_gives_every_reason_twice_in_words_and_a_mark_beside_the_colour(tmp_path):
    daily, _, trades, _ = _frames(edge=0.0)
    decision = judge(Evidence(daily, trades, _NO_HALT, {}, {"golden rows": False}), GateProfile())
    page, text = _written(tmp_path, _content(decision=decision))
    assert len(decision.failed) >= 3
    for rule in decision.failed:
        # In the verdict and in the table of the gate.
        assert page.words.count(" ".join(rule.reason.split())) == 2
    fails = text.count('class="badge fail"')
    assert fails == len(decision.failed)
    assert len(re.findall(r'class="badge fail"><svg[^>]*><path [^>]*/></svg>fail<', text)) == fails


def test_every_rule_statistic_and_hash_is_there_to_the_last_digit(promoted):
    page, _ = promoted
    content = _content()
    for rule in content.decision.rules:
        assert rule.name in page.words
        assert " ".join(rule.reason.split()) in page.words
        assert {repr(rule.value), repr(rule.bound)} <= set(page.titles)
    for row in content.statistics.iter_rows(named=True):
        assert row["name"].replace("_", " ") in page.words
        assert row["description"] in page.words
        assert repr(row["value"]) in page.titles
    for figure in content.decision.reported:
        assert repr(figure.value) in page.titles
    for value in content.hashes.values():
        assert value in page.words
    assert content.decision.profile_hash in page.words
    assert '"num_leaves": 31' in page.words
    assert "1.235" in page.words  # profit factor
    assert "7.31 %" in page.words  # drawdown


def test_the_last_hundred_trades_are_listed_newest_first(promoted):
    page, _ = promoted
    content = _content()
    assert "The last 100 of 120, newest first" in page.words
    shown = content.trades.tail(100)
    for value in [*shown["net_pnl"], *shown["probability"], *shown["entry_price"]]:
        assert repr(value) in page.titles
    assert repr(content.trades["net_pnl"][0]) not in page.titles
    newest, oldest = shown["entry_price"][-1], shown["entry_price"][0]
    assert page.titles.index(repr(newest)) < page.titles.index(repr(oldest))


def test_charts_hold_the_numbers_of_the_frames(promoted):
    page, _ = promoted
    content = _content()
    charts = {chart["id"]: chart["data"] for chart in page.charts}
    daily = charts["chart-daily"][0]
    assert daily["x"] == [str(day) for day in content.daily["date"]]
    assert daily["y"] == pytest.approx((content.daily["net_return"] * 100).to_list(), rel=1e-5)
    strategy, holding, cash = charts["chart-equity"]
    assert strategy["y"][-1] == pytest.approx(content.equity["equity"][-1] / 1000, rel=1e-5)
    assert holding["y"][-1] == pytest.approx(content.equity["benchmark"][-1] / 1000, rel=1e-5)
    assert cash["y"] == [100, 100]
    assert min(charts["chart-drawdown"][0]["y"]) < 0
    assert charts["chart-returns"][0]["x"] == pytest.approx(
        (content.trades["net_return"] * 1e4).to_list(), rel=1e-5
    )
    gross, fees, slippage, net = charts["chart-costs"][0]["x"]
    assert net == pytest.approx(content.trades["net_pnl"].sum(), rel=1e-5)
    assert (fees, slippage) == pytest.approx((-4.2 * 120, -0.42 * 120))
    assert gross == pytest.approx(net - fees - slippage, rel=1e-5)


def test_every_chart_has_a_place_and_a_description(promoted):
    page, text = promoted
    for chart in page.charts:
        assert chart["id"] in page.ids
        assert re.search(rf'id="{chart["id"]}" role="img" aria-label="[^"]+"', text)


def test_weeks_of_the_table_compound_their_days(promoted):
    page, _ = promoted
    week = _content().daily.head(7)
    net, held = (
        math.prod(1 + r for r in week[name]) - 1 for name in ("net_return", "benchmark_return")
    )
    minus = f"{net * 100:+,.2f} % {held * 100:+,.2f} % 7 21".replace("-", "−")
    assert f"2024-03-04 {minus}" in page.words


def test_the_page_is_one_file_that_loads_nothing(promoted):
    page, text = promoted
    policy = next(v for t, n, v in page.attributes if t == "meta" and n == "content")
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert not [a for a in page.attributes if a[1] in {"src", "srcset", "data", "action", "href"}]
    assert not [a for a in page.attributes if a[0] in {"link", "iframe", "object", "embed"}]
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    own = "".join(t for _, t in page.scripts if len(t) < 1_000_000)
    assert "http" not in own
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b", own)


def test_hostile_text_stays_text(tmp_path):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&--ink"
    daily, equity, trades, statistics = _frames()
    decision = judge(
        Evidence(daily, trades, halted(hostile), {}, {hostile: False}, equity), GateProfile()
    )
    content = _content(
        strategy=hostile,
        instrument=hostile,
        title=hostile,
        description=hostile,
        decision=decision,
        halts=halted(hostile),
        statistics=statistics.with_columns(
            pl.lit(hostile).alias("name"),
            pl.lit(hostile).alias("unit"),
            pl.lit(hostile).alias("description"),
        ),
        trades=trades.with_columns(pl.lit(hostile).alias("exit_reason")),
        configuration={hostile: hostile},
        hashes={hostile: hostile},
    )
    clean, _ = _written(tmp_path, _content())
    page, text = _written(tmp_path, content)
    assert len(page.scripts) == len(clean.scripts) == 3
    assert "<img" not in text[: text.index('<script type="application/json"')]
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert page.words.count("alert(2)") > 10
    page.charts  # noqa: B018  the data still parse


def test_hostile_text_stays_text_on_the_index_and_can_not_be_a_script_address(tmp_path):
    daily, *_ = _frames()
    entries = [
        IndexEntry("javascript:alert(1)", "<b>x</b>", '"><script>', daily),
        IndexEntry("flow/BTC USDT/2024-04-15.html", "flow", "binance.spot.BTC-USDT", daily),
    ]
    path = write_index(tmp_path / "index.html", entries, title="<i>", description="</p><script>")
    page = Page(path.read_text(encoding="utf-8"))
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links == ["javascript%3Aalert%281%29", "flow/BTC%20USDT/2024-04-15.html"]
    assert page.scripts == []
    assert "<b>x</b>" in page.words


def halted(reason: str = "kill switch: drawdown") -> pl.DataFrame:
    rows = [(_START + timedelta(days=3, hours=7, minutes=31), reason)]
    return pl.DataFrame(rows, schema=table("backtest_halts").schema, orient="row")


def test_a_path_on_which_the_engine_halted_says_when_and_why(tmp_path, promoted):
    content = _content()
    rows = [("killed_decisions", 1361.0, "decisions", "not taken")]
    killed = pl.DataFrame(rows, schema=content.statistics.schema, orient="row")
    statistics = pl.concat([content.statistics, killed])
    page, _ = _written(tmp_path, _content(statistics=statistics, halts=halted()))
    said = "The engine halted on 7 March 2024 at 07:31 UTC (kill switch: drawdown)"
    assert said in page.words
    assert "1,361 decisions were not taken since" in page.words
    assert "The engine halted" not in promoted[0].words


def test_trials_that_a_profile_assumes_are_not_said_to_be_logged(tmp_path):
    content = _content()
    evidence = Evidence(
        content.daily, content.trades, _NO_HALT, {("s", "c"): content.daily}, {"golden rows": True}
    )
    page, _ = _written(tmp_path, _content(decision=judge(evidence, GateProfile(min_trials=12))))
    assert "12 configurations are taken to have been tried on this instrument" in page.words


def test_index_tells_the_verdict_of_every_report(tmp_path):
    content = _content()
    entries = [
        IndexEntry(
            "a.html", "flow", "binance.spot.BTC-USDT", content.daily, "promoted", "All hold."
        ),
        IndexEntry("b.html", "flow", "binance.spot.ETH-USDT", content.daily),
    ]
    page = Page(write_index(tmp_path / "i.html", entries).read_text(encoding="utf-8"))
    assert "Promoted All hold." in page.words
    assert "Not judged The gate was not asked." in page.words
    empty = Page(write_index(tmp_path / "e.html", []).read_text(encoding="utf-8"))
    assert "There is no report yet." in empty.words


def test_a_path_that_never_traded_has_a_report(tmp_path):
    daily, equity, trades, _ = _frames()
    still = daily.with_columns(pl.lit(0.0).alias("net_return"), pl.lit(0).alias("trades"))
    decision = judge(Evidence(still, trades.clear(), _NO_HALT, {}, {}), GateProfile())
    page, _ = _written(
        tmp_path,
        _content(
            daily=still,
            equity=equity.with_columns(pl.lit(100_000.0).alias("equity")),
            trades=trades.clear(),
            decision=decision,
        ),
    )
    assert "It closed no position." in page.words
    assert "Refused" in page.words
    assert {c["id"] for c in page.charts} == {"chart-equity", "chart-drawdown", "chart-daily"}


def test_an_empty_path_has_a_report(tmp_path):
    daily, equity, trades, statistics = _frames()
    decision = judge(Evidence(daily.clear(), trades.clear(), _NO_HALT, {}, {}), GateProfile())
    page, _ = _written(
        tmp_path,
        _content(
            daily=daily.clear(),
            equity=equity.clear(),
            trades=trades.clear(),
            statistics=statistics.clear(),
            decision=decision,
            configuration={},
            hashes={},
        ),
    )
    assert "no day out of sample" in page.words
    assert "nan" not in page.words.lower().split()


def test_a_backtest_that_nobody_judged_says_so(tmp_path):
    page, _ = _written(tmp_path, _content(decision=None))
    assert "Not judged This path was not put before the promotion gate." in page.words
    assert "Every rule must hold" not in page.words


def test_trades_are_shown_on_the_price_where_bars_are_given(tmp_path):
    content = _content()
    bars = pl.DataFrame({"ts": content.equity["ts"], "close": content.equity["benchmark"]})
    page, _ = _written(tmp_path, dataclasses.replace(content, bars=bars))
    prices = next(c for c in page.charts if c["id"] == "chart-prices")
    assert [t["name"] for t in prices["data"]] == ["Price", "Entry", "Exit"]
    assert prices["data"][1]["y"] == content.trades["entry_price"].to_list()


def test_a_failed_write_leaves_the_old_report(tmp_path):
    path = write_report(tmp_path / "report.html", _content())
    before = path.read_bytes()
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        write_report(path, _content(trades=pl.DataFrame({"net_pnl": [1.0]})))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_worth_starts_from_what_the_daily_returns_grew_from():
    """The first mark comes after an hour, when something may already be lost."""
    daily = pl.DataFrame(
        {"date": [date(2024, 1, 1)], "net_return": [-0.1], "benchmark_return": [0.2], "trades": [1]}
    )
    equity = pl.DataFrame(
        {
            "ts": [_START, _START + timedelta(hours=1)],
            "equity": [95.0, 90.0],
            "benchmark": [110.0, 120.0],
            "position": [1.0, 1.0],
        }
    )
    worth = growth(daily, equity)
    assert worth["strategy"].to_list() == pytest.approx([95.0, 90.0])
    assert worth["holding"].to_list() == pytest.approx([110.0, 120.0])


@pytest.mark.parametrize("rows", [0, 1, 5999, 6000, 6001, 20_000])
def test_long_paths_are_thinned_and_keep_both_ends(rows):
    frame = pl.DataFrame({"x": list(range(rows))}, schema={"x": pl.Int64})
    got = thinned(frame)["x"].to_list()
    assert len(got) <= 6001
    if rows:
        assert (got[0], got[-1]) == (0, rows - 1)
    if rows <= 6000:
        assert len(got) == rows


def test_days_that_were_hardly_seen_are_said_above_the_charts(tmp_path):
    content = _content()
    unseen = pl.when(pl.col("date") < date(2024, 3, 7)).then(0.2).otherwise("observed")
    dark = dataclasses.replace(content, daily=content.daily.with_columns(observed=unseen))
    said = "3 of the 40 days were hardly seen"
    assert said in Page(write_report(tmp_path / "a.html", dark).read_text()).words
    assert "hardly seen" not in Page(write_report(tmp_path / "b.html", content).read_text()).words
