from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from vostok_core.errors import (
    BundleError,
    MissingPartition,
    NotYetKnowable,
    StalePartition,
    TrainingError,
    UnknownName,
)
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.labels.events import event_flags
from vostok_core.labels.version import label_version
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import table
from vostok_core.market import days
from vostok_core.models.bundle_folder import load_bundle
from vostok_core.models.registry import bundle_path
from vostok_core.models.splits import Window
from vostok_core.sentiment import items, scorer
from vostok_core.settings import Settings
from vostok_core.times import DAY, MINUTE, day_of, day_start
from vostok_pipelines.training.configuration import configuration_hash, model_features
from vostok_pipelines.training.currency import StrategyCurrency
from vostok_pipelines.training.predict import predict_week
from vostok_pipelines.training.train import break_even, train_week

SETTINGS = Settings()


@pytest.fixture(scope="module")
def trained(market, tmp_path_factory):
    """The market's lake, copied, with the week's bundle in it."""
    copy = market.copy(tmp_path_factory.mktemp("trained") / "lake")
    return copy, train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)


def labels_of(market) -> pl.DataFrame:
    place = {"strategy": market.strategy.name, "instrument": market.name}
    days = market.lake.days("labels", **place)
    return pl.concat([market.lake.read("labels", **place, date=d) for d in days])


def test_the_bundle_in_the_lake_is_the_one_returned_and_says_what_it_saw(trained) -> None:
    market, bundle = trained
    found = load_bundle(bundle_path(market.lake, market.strategy.name, market.name, market.week))
    assert found.sha256 == bundle.sha256
    manifest = found.manifest
    span = manifest.training
    window = Window.of(market.week, DAY, 1)
    assert (span.start, span.cutoff) == (window.start, window.cutoff)
    assert span.first_ts >= window.start
    assert span.last_label_end < window.cutoff
    assert span.labels == span.fitted + span.purged + span.calibrated >= 100
    assert span.purged > 0
    assert manifest.features == model_features(market.strategy)
    assert manifest.configuration == configuration_hash(
        market.strategy, market.instrument, SETTINGS
    )
    assert set(manifest.inputs) == {"labels", "features/core", "bars before"}
    assert manifest.settings == market.strategy.resolved()
    assert manifest.week == "2024-03-11"


def test_the_model_sees_exactly_the_labels_known_in_time(trained) -> None:
    market, bundle = trained
    labels = labels_of(market)
    cutoff = day_start(market.week) - DAY
    # Saturday's labels reach into Sunday, which has not arrived on Monday; its partition doesn't
    # exist then, so no label of it is used, also when it is trained years later.
    by_hand = labels.filter(
        pl.col("ts").to_physical() >= cutoff - 7 * DAY,
        pl.col("label_end").to_physical() < cutoff,
        pl.col("ts").to_physical() <= cutoff - DAY,
    )
    features = pl.concat(
        [
            market.lake.read("features", pack="core", instrument=market.name, interval="1m", date=d)
            for d in market.lake.days("bars", instrument=market.name, interval="1m")
        ]
    )
    joined = by_hand.join(features, on="ts", suffix="_bar")
    names = list(model_features(market.strategy))
    complete = joined.filter(
        pl.all_horizontal(pl.col(names).is_finite()), pl.col("valid"), pl.col("valid_bar")
    )
    assert bundle.manifest.training.labels == complete.height
    assert complete.height < by_hand.height  # the first days are warm-up
    wins = complete.filter(pl.col("net_return") > 0)["net_return"].mean()
    losses = -complete.filter(pl.col("net_return") <= 0)["net_return"].mean()
    assert bundle.manifest.mean_win == pytest.approx(wins, rel=1e-12)
    assert bundle.manifest.mean_loss == pytest.approx(losses, rel=1e-12)
    assert bundle.manifest.threshold == pytest.approx(losses / (wins + losses), rel=1e-12)


def test_the_same_inputs_give_the_same_bytes_in_another_lake(market, trained, tmp_path) -> None:
    copy = market.copy(tmp_path / "lake")
    again = train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    assert again.sha256 == trained[1].sha256
    assert again.files() == trained[1].files()


def test_nothing_at_or_after_the_cutoff_changes_the_model(market, trained, tmp_path) -> None:
    copy = market.copy(tmp_path / "lake")
    cutoff_day = day_of(day_start(market.week) - DAY)
    for day in copy.lake.days("bars", instrument=copy.name, interval="1m"):
        for name, keys in (
            ("labels", {"strategy": "tiny", "instrument": copy.name}),
            ("features", {"pack": "core", "instrument": copy.name, "interval": "1m"}),
            ("bars", {"instrument": copy.name, "interval": "1m"}),
        ):
            reaches = name == "labels" and day == cutoff_day - timedelta(days=1)
            if (day >= cutoff_day or reaches) and copy.lake.exists(name, **keys, date=day):
                for file in copy.lake.partition(name, **keys, date=day).iterdir():
                    file.unlink()
    again = train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    assert again.sha256 == trained[1].sha256


def test_the_model_has_learned_what_the_market_betrays(trained) -> None:
    market, bundle = trained
    frame, _ = predict_week(market.lake, SETTINGS, market.strategy, market.instrument, market.week)
    joined = frame.join(labels_of(market).select("ts", "label"), on="ts").filter("valid")
    wins = joined.filter(pl.col("label") == 1)["score"].mean()
    losses = joined.filter(pl.col("label") == 0)["score"].mean()
    assert wins > losses
    assert bundle.predict(bundle.golden["rows"])[1].std() > 0


def test_predictions_are_the_bundles_word_on_every_event_of_the_week(trained) -> None:
    market, bundle = trained
    frame, inputs = predict_week(
        market.lake, SETTINGS, market.strategy, market.instrument, market.week
    )
    validate(table("predictions"), frame, "test")
    start = day_start(market.week)
    days = [market.week + timedelta(days=i) for i in range(-1, 7)]
    flags = event_flags(market.lake, market.strategy, market.name, days).filter(
        "event",
        pl.col("ts").to_physical() >= start,
        pl.col("ts").to_physical() < start + 7 * DAY,
    )
    assert frame["ts"].to_list() == flags["ts"].to_list()
    assert frame["reference"].to_list() == flags["close"].to_list()
    assert frame["valid"].all()
    assert frame["model"].unique().to_list() == [bundle.sha256]
    features = pl.concat(
        [
            market.lake.read("features", pack="core", instrument=market.name, interval="1m", date=d)
            for d in days
        ]
    )
    for row in frame.sample(15, seed=1).iter_rows(named=True):
        own = features.filter(pl.col("ts") == row["ts"])
        score, probability = bundle.predict(bundle.select(own))
        assert (row["score"], row["probability"]) == (score[0], probability[0])
        assert row["threshold"] == bundle.manifest.threshold
    assert inputs["model"] == bundle.sha256
    labels = labels_of(market).filter(pl.col("ts").is_in(frame["ts"].implode()))
    assert labels.join(frame, on="ts")["sigma"].to_list() == labels["sigma"].to_list()


def test_a_week_holds_its_monday_midnight_and_not_the_next(
    market, tmp_path, strategy_of, label_writer
) -> None:
    copy = market.copy(tmp_path / "lake", without=("labels",))
    strategy = strategy_of(events={"kind": "every_bar"})
    days = [market.week - timedelta(days=i) for i in range(3, 10)]
    label_writer(copy.lake, strategy, copy.instrument, days)
    train_week(copy.lake, SETTINGS, strategy, copy.instrument, copy.week)
    frame, _ = predict_week(copy.lake, SETTINGS, strategy, copy.instrument, copy.week)
    times = frame["ts"].to_physical()
    assert times[0] == day_start(market.week)
    assert times[-1] == day_start(market.week) + 7 * DAY - MINUTE
    assert frame.height == 7 * 1440


def test_an_event_whose_features_lack_a_value_is_predicted_but_not_valid(trained, tmp_path) -> None:
    market, bundle = trained
    copy = market.copy(tmp_path / "lake")
    day = market.week + timedelta(days=2)
    keys = {"pack": "core", "instrument": market.name, "interval": "1m", "date": day}
    victim = next(n for n in bundle.manifest.features if n != "volatility_60")
    frame = copy.lake.read("features", **keys).with_columns(pl.lit(np.nan).alias(victim))
    copy.lake.write("features", frame, code_version=pack("core").hash, **keys)
    copy.vouch()
    found, _ = predict_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    validate(table("predictions"), found, "test")
    spoiled = set(frame["ts"].to_list())
    for row in found.iter_rows(named=True):
        assert row["valid"] == (row["ts"] not in spoiled)
    assert 0 < found["valid"].sum() < found.height


def test_nothing_is_decided_or_learned_until_features_have_left_a_gap_behind(
    trained, tmp_path
) -> None:
    market, bundle = trained
    copy = market.copy(tmp_path / "lake")
    for day, minute in ((market.week - timedelta(days=5), 700), (market.week, 40)):
        gap = pl.int_range(pl.len()) == minute
        for name, keys in (("bars", {}), ("features", {"pack": "core"})):
            keys |= {"instrument": market.name, "interval": "1m", "date": day}
            frame = copy.lake.read(name, **keys).with_columns(valid=pl.col("valid") & ~gap)
            version = copy.lake.info(name, **keys).code_version
            copy.lake.write(name, frame, code_version=version, **keys)
    copy.vouch()
    # The slowest feature of the pack warms up in 2,880 bars: two days.
    broken = [day_start(market.week - timedelta(days=5)) + 701 * MINUTE]
    broken.append(day_start(market.week) + 41 * MINUTE)
    taught = train_week(
        copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week
    ).manifest.training
    cutoff = day_start(market.week) - DAY
    labels = labels_of(market).filter(
        pl.col("ts").to_physical() >= cutoff - 7 * DAY, pl.col("label_end").to_physical() < cutoff
    )
    starts = labels.filter(pl.col("ts").to_physical() <= cutoff - DAY)["ts"].to_physical()
    lost = starts.filter((starts >= broken[0]) & (starts < broken[0] + 2 * DAY))
    assert taught.labels == bundle.manifest.training.labels - len(lost) < len(starts)
    found, _ = predict_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    for ts, valid in zip(found["ts"].to_physical(), found["valid"], strict=True):
        assert valid == (not broken[1] <= ts < broken[1] + 2 * DAY)
    assert 0 < found["valid"].sum() < found.height


def test_too_few_labels_are_counted_and_the_remedy_named(market, strategy_of) -> None:
    strategy = strategy_of(model={"train_weeks": 1, "min_labels": 5000})
    with pytest.raises(TrainingError, match=r"has \d+ usable labels .* is 5000") as caught:
        train_week(market.lake, SETTINGS, strategy, market.instrument, market.week)
    assert "lack a feature" in str(caught.value)
    assert "min_labels" in caught.value.hint


def test_a_feature_that_never_has_a_value_is_named(market, tmp_path) -> None:
    copy = market.copy(tmp_path / "lake")
    keys = {"pack": "core", "instrument": market.name, "interval": "1m"}
    for day in copy.lake.days("features", **keys):
        frame = copy.lake.read("features", **keys, date=day)
        frame = frame.with_columns(pl.lit(np.nan).alias(frame.columns[-1]))
        copy.lake.write("features", frame, code_version=pack("core").hash, **keys, date=day)
    copy.vouch()
    with pytest.raises(TrainingError) as caught:
        train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    assert f"{frame.columns[-1]} never have a value here" in caught.value.hint


def test_a_week_before_history_and_a_day_that_was_not_labelled_are_named(market, tmp_path) -> None:
    with pytest.raises(TrainingError, match="no bars before"):
        train_week(market.lake, SETTINGS, market.strategy, market.instrument, date(2024, 2, 5))
    copy = market.copy(tmp_path / "lake")
    day = date(2024, 3, 6)
    place = {"strategy": "tiny", "instrument": copy.name, "date": day}
    for file in copy.lake.partition("labels", **place).iterdir():
        file.unlink()
    with pytest.raises(MissingPartition, match="2024-03-06"):
        train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)


def test_costs_that_no_trade_survives_leave_nothing_to_learn(
    market, tmp_path, strategy_of, label_writer
) -> None:
    copy = market.copy(tmp_path / "lake", without=("labels",))
    strategy = strategy_of(costs={"taker_fee_bps": 900.0})
    days = copy.lake.days("bars", instrument=copy.name, interval="1m")[:-1]
    label_writer(copy.lake, strategy, copy.instrument, days)
    with pytest.raises(TrainingError, match=r"0 of .* have a net profit"):
        train_week(copy.lake, SETTINGS, strategy, copy.instrument, copy.week)


def test_a_week_is_predicted_when_it_is_over_and_not_before(trained) -> None:
    market, _ = trained
    following = market.week + timedelta(days=7)
    train_week(market.lake, SETTINGS, market.strategy, market.instrument, following)
    with pytest.raises(NotYetKnowable, match=r"2024-03-18 .* is not over"):
        predict_week(market.lake, SETTINGS, market.strategy, market.instrument, following)


def test_predictions_are_stale_once_their_features_or_model_are_others(trained, tmp_path) -> None:
    market, _ = trained
    copy = market.copy(tmp_path / "lake")
    frame, inputs = predict_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    keys = {"strategy": "tiny", "instrument": copy.name, "week": copy.week}

    def write(**changed: str) -> None:
        version = configuration_hash(copy.strategy, copy.instrument, SETTINGS)
        copy.lake.write(
            "predictions", frame, code_version=version, inputs={**inputs, **changed}, **keys
        )

    def check() -> None:
        found = StrategyCurrency(copy.lake, SETTINGS, copy.strategy, copy.instrument)
        found.require_predictions([copy.week])

    write()
    check()
    write(model="another")
    with pytest.raises(StalePartition, match="model have changed since") as caught:
        check()
    assert f"walk-forward tiny --instrument {copy.name} --from {copy.week}" in caught.value.hint
    write()
    place = {"instrument": copy.name, "interval": "1m", "date": copy.week}
    bars = copy.lake.read("bars", **place).with_columns(pl.col("volume") + 1.0)
    copy.lake.write("bars", bars, code_version=days.CODE_VERSION, **place)
    with pytest.raises(StalePartition, match="bars that they were computed from have changed"):
        check()
    copy.vouch()
    with pytest.raises(StalePartition, match="events have changed since"):
        check()
    # The model may have been cleared away; what it was given may not be another.
    write()
    shutil.rmtree(bundle_path(copy.lake, "tiny", copy.name, copy.week))
    with pytest.raises(StalePartition, match="events have changed since"):
        check()


def test_predictions_are_stale_once_their_model_would_be_trained_otherwise(
    trained, tmp_path
) -> None:
    market, _ = trained
    copy = market.copy(tmp_path / "lake")
    frame, inputs = predict_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    keys = {"strategy": "tiny", "instrument": copy.name, "week": copy.week}
    version = configuration_hash(copy.strategy, copy.instrument, SETTINGS)
    copy.lake.write("predictions", frame, code_version=version, inputs=inputs, **keys)

    def currency() -> StrategyCurrency:
        return StrategyCurrency(copy.lake, SETTINGS, copy.strategy, copy.instrument)

    assert currency().model(copy.week) is None
    assert currency().predictions(copy.week) is None
    day = date(2024, 3, 6)
    place = {"strategy": "tiny", "instrument": copy.name, "date": day}
    labels, made = copy.lake.read("labels", **place), copy.lake.info("labels", **place)
    copy.lake.write(
        "labels", labels[:-1], code_version=made.code_version, inputs=made.inputs, **place
    )
    stale = currency().model(copy.week)
    assert stale is not None
    assert "labels have changed since it was trained" in stale.why
    with pytest.raises(StalePartition, match="labels have changed since it was trained"):
        currency().require_predictions([copy.week])
    for file in copy.lake.partition("labels", **place).iterdir():
        file.unlink()
    stale = currency().model(copy.week)
    assert stale is not None
    assert f"labels of {day}" in stale.why


def test_bars_of_other_rules_than_the_exchanges_now_are_not_trained_on(trained, tmp_path) -> None:
    market, _ = trained
    copy = market.copy(tmp_path / "lake")
    day = date(2024, 3, 6)
    place = {"instrument": copy.name, "interval": "1m", "date": day}
    bars = copy.lake.read("bars", **place)

    def write(rules: str) -> None:
        inputs = {days.RULES: rules}
        copy.lake.write("bars", bars, code_version=days.CODE_VERSION, inputs=inputs, **place)

    write(days.rules_of(copy.instrument))
    train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    write(days.rules_of(replace(copy.instrument, quantity_step=Decimal(1))))
    with pytest.raises(StalePartition, match="by other rules of") as caught:
        train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    assert "ticks,quality,bars,features/core,tiny/labels" in caught.value.hint


def test_a_model_of_another_configuration_does_not_predict(trained, strategy_of) -> None:
    market, _ = trained
    other = strategy_of(decision={"margin_bps": 3.0})
    with pytest.raises(BundleError, match="was trained as configuration"):
        predict_week(market.lake, SETTINGS, other, market.instrument, market.week)
    with pytest.raises(BundleError, match="there is no bundle"):
        predict_week(market.lake, SETTINGS, market.strategy, market.instrument, date(2024, 3, 4))


@pytest.mark.parametrize("calibration", ["isotonic", "sigmoid"])
def test_an_excluded_feature_and_the_kind_of_calibration_are_respected(
    market, tmp_path, strategy_of, calibration: str
) -> None:
    copy = market.copy(tmp_path / "lake")
    everything = model_features(market.strategy)
    strategy = strategy_of(
        features={"exclude": (everything[3], "volatility_60")},
        model={"train_weeks": 1, "min_labels": 100, "calibration": calibration},
    )
    bundle = train_week(copy.lake, SETTINGS, strategy, copy.instrument, copy.week)
    expected = tuple(n for n in everything if n not in {everything[3], "volatility_60"})
    assert bundle.manifest.features == expected
    assert bundle.calibration.kind == calibration


def test_an_unknown_exclusion_is_named(strategy_of) -> None:
    with pytest.raises(UnknownName, match="volatility_6"):
        model_features(strategy_of(features={"exclude": ("volatility_6",)}))


def test_the_configuration_is_named_by_what_decides_and_not_by_prose(market, strategy_of) -> None:
    def named(**changes: object) -> str:
        return configuration_hash(strategy_of(**changes), market.instrument, SETTINGS)

    base = named()
    assert named(description="other words") == base
    assert named(instruments=("test.spot.BBB-USD",)) == base
    assert named(decision={"margin_bps": 1.0}) != base
    assert named(features={"packs": ("core", "sentiment")}) != base


def test_another_market_code_or_rule_of_the_exchange_is_another_configuration(
    market, monkeypatch
) -> None:
    def named(**rules: object) -> str:
        return configuration_hash(market.strategy, replace(market.instrument, **rules), SETTINGS)

    base = named()
    assert named(price_tick=Decimal("0.010")) == base
    for rules in (
        {"tick": "none"},
        {"price_tick": Decimal("0.1")},
        {"quantity_step": Decimal(1)},
        {"min_notional": Decimal(5)},
        {"max_silence": MINUTE},
    ):
        assert named(**rules) != base, rules
    monkeypatch.setattr(days, "CODE_VERSION", "another")
    assert named() != base


class Louder:
    """A scorer by the built-in one's contract, of another version."""

    name, version = "louder", "1"

    def score(self, texts):
        return np.ones(len(texts))


def test_how_news_is_scored_and_delayed_names_only_what_reads_news(
    market, strategy_of, monkeypatch
) -> None:
    monkeypatch.setitem(scorer._SCORERS.items, "louder", Louder())
    others = [
        Settings.model_validate({"sentiment": {"scorer": "louder"}}),
        Settings.model_validate({"sources": {"backfill_lag": "7m"}}),
    ]
    reader = strategy_of(features={"packs": ("core", "sentiment")})
    named = {configuration_hash(reader, market.instrument, s) for s in (SETTINGS, *others)}
    assert len(named) == 3
    monkeypatch.setattr(Louder, "version", "2")
    assert configuration_hash(reader, market.instrument, others[0]) not in named
    for module, version in ((scorer, "CODE_VERSION"), (items, "NEWS_VERSION")):
        monkeypatch.setattr(module, version, "another")
        known = len(named)
        named.add(configuration_hash(reader, market.instrument, SETTINGS))
        assert len(named) == known + 1
    deaf = {configuration_hash(market.strategy, market.instrument, s) for s in (SETTINGS, *others)}
    assert len(deaf) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"volatility": "volatility_60", "horizon": "4h"}},
        {"labels": {"volatility": "volatility_60", "horizon": "1h", "take_profit": 5.0}},
        {"costs": {"taker_fee_bps": 50.0, "maker_fee_bps": 0.0, "slippage_bps": 0.0}},
        {"events": {"kind": "cusum", "threshold": 2.5}},
    ],
)
def test_labels_of_other_rules_under_the_same_name_are_not_trained_on(
    market, strategy_of, changes: dict
) -> None:
    edited = strategy_of(**changes)
    with pytest.raises(StalePartition, match=r"labels of tiny.* other rules or code") as caught:
        train_week(market.lake, SETTINGS, edited, market.instrument, market.week)
    assert re.fullmatch(
        r"run `vostok materialize tiny/labels --instrument test\.spot\.AAA-USD "
        r"--from 2024-03-0[23] --to 2024-03-0\d`",
        caught.value.hint,
    )


def test_labels_depend_on_the_price_step_and_not_on_what_the_model_makes_of_them(
    market, strategy_of
) -> None:
    base = label_version(market.strategy, market.instrument)
    coarse = replace(market.instrument, price_tick=Decimal("0.05"))
    assert label_version(market.strategy, coarse) != base
    assert label_version(strategy_of(decision={"margin_bps": 3.0}), market.instrument) == base


def test_features_of_another_version_of_their_pack_are_not_used(market, tmp_path) -> None:
    copy = market.copy(tmp_path / "lake")
    day = market.week - timedelta(days=5)
    keys = {"pack": "core", "instrument": copy.name, "interval": "1m", "date": day}
    copy.lake.write("features", copy.lake.read("features", **keys), code_version="old", **keys)
    with pytest.raises(StalePartition, match=f"first on {day}: the pack has changed") as caught:
        train_week(copy.lake, SETTINGS, copy.strategy, copy.instrument, copy.week)
    again = f"features/core,tiny/labels --instrument {copy.name} --from {day} --to "
    assert again in caught.value.hint
    with pytest.raises(StalePartition, match="pack core"):
        list(label_days(copy.lake, copy.strategy, copy.instrument, [day + timedelta(days=1)]))


def test_break_even_is_where_the_expected_return_meets_the_margin() -> None:
    returns = np.array([0.02, 0.04, -0.01, -0.02, 0.0])
    for margin in (0.0, 5.0, -3.0):
        p, win, loss = break_even(returns, margin)
        assert (win, loss) == pytest.approx((0.03, 0.01))
        assert p * win - (1 - p) * loss == pytest.approx(margin / 1e4)
    with pytest.raises(TrainingError, match="2 of 2"):
        break_even(np.array([0.1, 0.2]), 0.0)
