"""Strategy files: defaults, what names a configuration, and errors that say what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from vostok_core.errors import StrategyError, UnknownName
from vostok_core.features.registry import pack
from vostok_core.project import Project, find_project
from vostok_core.settings import Settings
from vostok_core.strategy import DataNeeds, load_strategy
from vostok_core.times import DAY, HOUR, MILLISECOND

ROOT = Path(__file__).resolve().parents[1]
HEAD = 'description = "Flow."\ninstruments = ["binance.spot.BTC-USDT"]\n'


def written(folder: Path, text: str, name: str = "flow") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["demo_flow", "eos_flow", "minute_trend"])
def test_the_projects_own_strategies_can_be_used(name: str) -> None:
    project = find_project(ROOT, {})
    strategy = load_strategy(ROOT / "strategies" / f"{name}.toml")
    assert project.strategy(name) == strategy == project.strategies[name]


def test_klines_only_strategy_names_no_feature_that_needs_ticks() -> None:
    """On bars without tick statistics every feature that it keeps has values."""
    import numpy as np

    from vostok_core.features.inputs import CLOSE, HIGH, LOW, OPEN, TS, VOLUME
    from vostok_core.features.leaks import probe_rows
    from vostok_core.features.walk import walk

    chosen = load_strategy(ROOT / "strategies" / "minute_trend.toml").file.features
    core = pack("core")
    full = probe_rows("bars", core.warmup + 50, 1, empty=0, unknown=0, flat=0)
    klines = np.full_like(full, np.nan)
    for field in (TS, OPEN, HIGH, LOW, CLOSE, VOLUME):
        klines[:, field] = full[:, field]
    values = dict(zip(core.columns, walk(core, klines).T, strict=True))
    empty = {name for name, column in values.items() if np.isnan(column[core.warmup :]).any()}
    assert set(chosen.exclude) == empty


def test_durations_and_defaults_are_resolved(tmp_path: Path) -> None:
    strategy = load_strategy(written(tmp_path, HEAD + '[labels]\nhorizon = "90m"\n'))
    assert strategy.name == "flow"
    assert strategy.horizon_us == 3 * HOUR // 2
    assert strategy.horizon_bars == 90
    assert strategy.latency_us == 200 * MILLISECOND
    assert strategy.deployment_lag_us == DAY
    assert strategy.resolved()["model"]["family"] == "lightgbm"


def test_configuration_is_named_by_settings_and_code_not_by_prose(tmp_path: Path) -> None:
    code = {"core": "1"}
    base = load_strategy(written(tmp_path, HEAD)).configuration_hash(code)
    prose = HEAD.replace("Flow.", "Other words.").replace("BTC", "ETH")
    spelt_out = HEAD + "[model]\ntrain_weeks = 8\n"
    changed = HEAD + "[model]\ntrain_weeks = 9\n"
    assert load_strategy(written(tmp_path, prose, "renamed")).configuration_hash(code) == base
    assert load_strategy(written(tmp_path, spelt_out)).configuration_hash(code) == base
    assert load_strategy(written(tmp_path, changed)).configuration_hash(code) != base
    assert load_strategy(written(tmp_path, HEAD)).configuration_hash({"core": "2"}) != base


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("description = \n", ["not valid TOML"]),
        ("", ["description is missing", "instruments is missing"]),
        (
            HEAD + "[model]\ntrainweeks = 3\n",
            ["model.trainweeks is not a setting", "did you mean train_weeks?"],
        ),
        (HEAD + "[label]\n", ["label is not a setting", "did you mean labels?"]),
        (HEAD + "[gate]\nzzz = 1\n", ["gate.zzz is not a setting", "known: profile"]),
        ("features = 3\n" + HEAD, ["features = 3 should be a table, [features]"]),
        (HEAD + '[model]\nfamily = "oracle"\n', ["model.family = 'oracle'", "'lightgbm'"]),
        (HEAD + "[decision]\nfraction = 1.5\n", ["decision.fraction = 1.5", "less than or equal"]),
        (
            HEAD + '[costs]\nlatency = "fast"\n',
            ["costs.latency", "'fast' is not a duration", "250ms"],
        ),
        (HEAD + "[costs]\ntaker_fee_bps = -1\n", ["costs.taker_fee_bps = -1"]),
        ('interval = "7m"\n' + HEAD, ["'7m' can't be a bar interval"]),
        (HEAD.replace('["binance.spot.BTC-USDT"]', "[]"), ["instruments", "at least 1"]),
    ],
)
def test_what_cannot_be_used_is_named_with_the_file_and_what_to_write(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(StrategyError) as caught:
        load_strategy(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "Hint: " in message
    for word in words:
        assert word in message


def test_name_that_dagster_and_the_lake_could_not_keep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="'my-flow' can't be a strategy's name") as caught:
        load_strategy(written(tmp_path, HEAD, "my-flow"))
    assert "underscores" in str(caught.value)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one instrument and an empty folder of strategies."""
    (tmp_path / "strategies").mkdir()
    rules = {"tick": "trade", "price_tick": "0.1", "quantity_step": "0.1"}
    settings = Settings.model_validate({"instruments": {"binance.spot.BTC-USDT": rules}})
    return Project(tmp_path, settings, tmp_path / "lake")


def test_strategies_are_found_by_the_name_of_their_file(project: Project) -> None:
    folder = project.strategies_folder
    written(folder, HEAD, "slow_flow")
    written(folder, HEAD, "fast_flow")
    (folder / "notes.md").write_text("no strategy")
    assert list(project.strategies) == ["fast_flow", "slow_flow"]
    assert project.strategy("slow_flow").name == "slow_flow"
    with pytest.raises(UnknownName, match="did you mean"):
        project.strategy("slow_flaw")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD.replace("USDT", "USD"), ["did you mean binance.spot.BTC-USDT"]),
        (HEAD.replace("binance.spot.BTC-USDT", "BTC/USDT"), ["no instrument is called 'BTC/USDT'"]),
        ('interval = "5m"\n' + HEAD, ["no bar interval is called '5m'", "[bars] of vostok.toml"]),
        (HEAD + '[features]\npacks = ["cores"]\n', ["did you mean core?"]),
        (HEAD + '[features]\nexclude = ["rsi_15"]\n', ["rsi_14"]),
        (HEAD + '[labels]\nvolatility = "volatilty_60"\n', ["volatility_60"]),
        (HEAD + '[gate]\nprofile = "strict"\n', ["no gate profile is called 'strict'"]),
    ],
)
def test_name_that_nobody_declared_is_an_error_of_the_file_that_uses_it(
    project: Project, text: str, words: list[str]
) -> None:
    path = written(project.strategies_folder, text)
    with pytest.raises(StrategyError) as caught:
        project.strategy("flow")
    assert str(project.unusable_strategies["flow"]) == str(caught.value)
    assert caught.value.where == str(path)
    for word in words:
        assert word in str(caught.value)


def test_file_that_cannot_be_used_leaves_the_others_as_they_are(project: Project) -> None:
    folder = project.strategies_folder
    written(folder, HEAD)
    written(folder, HEAD + "[model]\ntrainweeks = 3\n", "slip")
    written(folder, HEAD, "my-flow")
    (folder / "folder.toml").mkdir()
    (folder / "gone.toml").symlink_to(folder / "nowhere")
    assert list(project.strategies) == ["flow"]
    found = {name: error.what for name, error in project.unusable_strategies.items()}
    assert found == {
        "folder": "the file can't be read (Is a directory)",
        "gone": "the file doesn't exist",
        "my-flow": "'my-flow' can't be a strategy's name",
        "slip": "model.trainweeks is not a setting (did you mean train_weeks?)",
    }


def test_data_are_kept_for_a_file_that_cannot_be_used_as_far_as_it_tells_which(
    project: Project,
) -> None:
    folder = project.strategies_folder
    written(folder, HEAD)
    packs = '[features]\npacks = ["core", "sentiment"]\npack = "core"\n'
    written(folder, 'interval = "5m"\n' + HEAD + packs, "slip")
    written(folder, HEAD + "[features]\npacks = 3\n", "kind")
    written(folder, "instruments = [", "half")
    btc = ("binance.spot.BTC-USDT",)
    assert project.data_needs == {
        "flow": DataNeeds(btc, "1m", ("core",)),
        "slip": DataNeeds(btc, "5m", ("core", "sentiment")),
    }
