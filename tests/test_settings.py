"""`vostok.toml`: defaults, overrides, and errors that say what to write instead."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from vostok_core.errors import SettingsError, UnknownName
from vostok_core.settings import Settings, load_settings
from vostok_core.times import MINUTE

ROOT = Path(__file__).resolve().parents[1]

INSTRUMENT = """
[instruments."binance.spot.BTC-USDT"]
tick = "agg_trade"
price_tick = "0.01"
quantity_step = "0.00001"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "vostok.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_projects_own_file_can_be_used_and_names_the_universe() -> None:
    settings = load_settings(ROOT / "vostok.toml")
    assert list(settings.universe) == [
        "demo.spot.EDGE-USDT",
        "demo.spot.NULL-USDT",
        "binance.spot.BTC-USDT",
        "binance.spot.XRP-ETH",
        "kraken.spot.EOS-USD",
        "bitfinex.spot.BTC-USD",
    ]
    assert settings.instrument("XRP/ETH").price_tick == Decimal("1e-8")
    assert settings.instrument("bitfinex.spot.BTC-USD").tick == "none"


def test_the_projects_own_file_states_the_defaults_and_no_others() -> None:
    settings = load_settings(ROOT / "vostok.toml")
    assert settings.model_dump(exclude={"instruments"}) == Settings().model_dump(
        exclude={"instruments"}
    )


def test_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, "")) == Settings()


def test_values_are_typed(tmp_path: Path) -> None:
    text = INSTRUMENT + '\nmax_silence = "90s"\n[calendar]\nstart = 2024-02-29\n'
    settings = load_settings(written(tmp_path, text))
    instrument = settings.instrument("binance.spot.BTC-USDT")
    assert settings.calendar.start == date(2024, 2, 29)
    assert instrument.quantity_step == Decimal("0.00001")
    assert instrument.max_silence == 3 * MINUTE // 2


def test_environment_overrides_one_key_and_ignores_other_variables(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[lake]\nroot = "here"\n[sources]\nbackfill_lag = "3m"\n[sources.feeds]\na = "a.xml"\n',
    )
    settings = load_settings(
        path,
        {
            "VOSTOK_LAKE__ROOT": "/there",
            "VOSTOK_SOURCES__BACKFILL_LAG": "7m",
            "VOSTOK_SHARED": "/elsewhere",
            "LAKE__ROOT": "nowhere",
        },
    )
    assert settings.lake.root == "/there"
    assert settings.sources.feeds == {"a": "a.xml"}
    assert settings.sources.backfill_lag_us == 7 * MINUTE


def test_list_is_overridden_in_the_words_of_toml(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, ""), {"VOSTOK_BARS__INTERVALS": '["1m", "1h"]'})
    assert settings.bars.intervals == ("1m", "1h")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "VOSTOK_LAKE__FOLDER",
            "x",
            ["VOSTOK_LAKE__FOLDER is not a setting", "known: endpoint, home, region, root"],
        ),
        ("VOSTOK_LAEK__ROOT", "x", ["VOSTOK_LAEK__ROOT is not a setting", "did you mean lake?"]),
        ("VOSTOK_CALENDAR__START", "soon", ["VOSTOK_CALENDAR__START = 'soon'"]),
        ("VOSTOK_BARS__INTERVALS", "1m", ["VOSTOK_BARS__INTERVALS = '1m'"]),
        ("VOSTOK_BARS__INTERVALS", "[1m", ["VOSTOK_BARS__INTERVALS = '[1m'"]),
    ],
)
def test_override_that_cannot_be_used_is_called_by_its_variable(
    tmp_path: Path, name: str, value: str, words: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, "[lake]\n"), {name: value})
    for word in words:
        assert word in str(caught.value)


def test_override_of_a_section_that_is_no_table_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lake = 3 should be a table"):
        load_settings(written(tmp_path, "lake = 3\n"), {"VOSTOK_LAKE__ROOT": "x"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[lake\n", ["not valid TOML"]),
        (
            "[lake]\nfolder = 1\n",
            ["lake.folder is not a setting", "known: endpoint, home, region, root"],
        ),
        ("[laek]\n", ["laek is not a setting", "did you mean lake?"]),
        ("[gates.strict]\nconfidance = 1\n", ["strict.confidance", "did you mean confidence?"]),
        (INSTRUMENT + 'price_tik = "1"\n', ["BTC-USDT.price_tik", "did you mean price_tick?"]),
        ("lake = 3\n", ["lake = 3 should be a table, [lake]"]),
        ('[sources]\nbackfill_lag = "soon"\n', ["sources.backfill_lag", "not a duration", "5m"]),
        ("[gates.standard]\nconfidence = 2\n", ["gates.standard.confidence = 2", "less than 1"]),
        (
            '[sources.archives]\na = "x"\nb = "./x/"\n',
            ["sources.archives", "a and b have the same"],
        ),
        (
            '[sources.archives]\na = "x/../y"\nb = "y"\n',
            ["sources.archives", "a and b have the same folder", "one of its own"],
        ),
        (
            '[sources.archives]\na = "y"\nb = "z"\nc = "./y/data"\n',
            ["sources.archives", "the folder of c lies inside that of a"],
        ),
        ('[bars]\nintervals = ["5m"]\n', ["1m must be among"]),
        ('[bars]\nintervals = ["1m", "7m"]\n', ["'7m'", "use 1s, 1m"]),
        ("[calendar]\nstart = 3.5\n", ["calendar.start"]),
        (INSTRUMENT.replace("agg_trade", "quote"), ["tick = 'quote'", "'agg_trade'"]),
        (INSTRUMENT.replace('"0.01"', '"0"'), ["price_tick", "greater than 0"]),
        (INSTRUMENT.replace('tick = "agg_trade"\n', ""), ["tick is missing"]),
        (INSTRUMENT.replace("BTC-USDT", "btcusdt"), ["is not an instrument", "BASE-QUOTE"]),
        (INSTRUMENT + 'max_silence = "long"\n', ["'long' is not a duration", "5m"]),
    ],
)
def test_what_cannot_be_used_is_named_with_the_file_and_what_to_write(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "Hint: " in message
    for word in words:
        assert word in message


def test_absent_file_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="doesn't exist"):
        load_settings(tmp_path / "vostok.toml")


def test_short_names_are_taken_where_they_are_unambiguous(tmp_path: Path) -> None:
    two = INSTRUMENT + INSTRUMENT.replace("binance", "kraken")
    settings = load_settings(written(tmp_path, two + INSTRUMENT.replace("BTC", "ETH")))
    assert str(settings.instrument("eth/usdt").id) == "binance.spot.ETH-USDT"
    assert str(settings.instrument("kraken.spot.BTC-USDT").id) == "kraken.spot.BTC-USDT"
    with pytest.raises(UnknownName, match="names 2 instruments") as caught:
        settings.instrument("BTC/USDT")
    assert "kraken.spot.BTC-USDT" in str(caught.value)
    with pytest.raises(UnknownName, match=r"did you mean binance\.spot\.ETH-USDT"):
        settings.instrument("binance.spot.ETH-USD")


def test_unknown_gate_profile_lists_the_known_ones(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, ""))
    assert settings.gate("standard").confidence == 0.95
    with pytest.raises(UnknownName, match="known: standard"):
        settings.gate("x")


def test_a_reference_is_another_instrument_and_its_bounds_are_in_order(tmp_path: Path) -> None:
    other = INSTRUMENT.replace("binance", "kraken")
    named = other + 'reference = "binance.spot.BTC-USDT"\n'
    found = load_settings(written(tmp_path, INSTRUMENT + named))
    kraken = found.instruments["kraken.spot.BTC-USDT"]
    assert kraken.reference == "binance.spot.BTC-USDT"
    assert kraken.reference_bps == (15.0, 50.0)
    bounded = load_settings(written(tmp_path, INSTRUMENT + named + "reference_bps = [2, 30.5]\n"))
    assert bounded.instruments["kraken.spot.BTC-USDT"].reference_bps == (2.0, 30.5)
    # It is nothing that data are made by.
    assert found.universe == load_settings(written(tmp_path, INSTRUMENT + other)).universe


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('reference = "binance.spot.BTC-USDC"', "did you mean binance.spot.BTC-USDT"),
        ('reference = "kraken.spot.BTC-USDT"', "is itself"),
        ("reference_bps = [1, 2]", "reference_bps and no reference"),
        ('reference = "binance.spot.BTC-USDT"\nreference_bps = [0, 2]', "above 0"),
        ('reference = "binance.spot.BTC-USDT"\nreference_bps = [3, 2]', "not above the percentile"),
        ('reference = "binance.spot.BTC-USDT"\nreference_bps = [3]', "reference_bps"),
        ('reference = "binance.spot.BTC-USDT"\nreference_bps = 3', "reference_bps"),
        ('reference = "binance.spot.BTC-USDT"\nreference_bps = [1, inf]', "above 0"),
    ],
)
def test_a_reference_that_cannot_be_meant_is_told(tmp_path: Path, line: str, message: str) -> None:
    text = INSTRUMENT + INSTRUMENT.replace("binance", "kraken") + line + "\n"
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, text))
    assert message in str(caught.value)
    assert "kraken.spot.BTC-USDT" in str(caught.value)
    assert caught.value.hint
