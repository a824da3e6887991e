"""How exchanges show their trades, as declared; and one of ccxt's imported alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rest.exchanges import instrument
from vostok_core.errors import SettingsError, UsageError
from vostok_core.settings import ExchangeSettings, Settings, load_settings
from vostok_pipelines.rest.slim import exchange_class
from vostok_pipelines.rest.venues import Venue, venue_of

ONE = instrument("some.spot.A-B")


def settings(exchange: str, **declared: Any) -> Settings:
    exchanges = {exchange: ExchangeSettings(**declared)} if declared else {}
    return Settings(sources={"rest": {"some": exchange}}, exchanges=exchanges)


def test_an_exchange_that_is_not_known_is_refused_until_it_is_declared() -> None:
    with pytest.raises(UsageError, match="it isn't known how gemini shows its trades"):
        venue_of(settings("gemini"), ONE)
    declared = settings("gemini", ids="unique", page=500, step="1ms", window="1h")
    assert venue_of(declared, ONE) == Venue(
        "gemini", ids="unique", page=500, step=1_000, window=3_600_000_000
    )


def test_a_declaration_wins_over_what_is_known() -> None:
    with pytest.raises(UsageError, match="nothing but its newest trades"):
        venue_of(settings("okx"), ONE)
    assert venue_of(settings("okx", ids="none", page=100), ONE).page == 100


def test_a_declaration_that_can_t_be_meant_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vostok.toml"
    path.write_text('[exchanges.gemini]\nids = "some"\npage = 1\nstep = "short"\n')
    with pytest.raises(SettingsError) as error:
        load_settings(path)
    for word in ("exchanges.gemini.ids", "exchanges.gemini.page", "exchanges.gemini.step"):
        assert word in error.value.what


def test_a_name_that_ccxt_does_not_have_is_named() -> None:
    for name in ("nowhere", "base", "../x"):
        with pytest.raises(UsageError, match="ccxt knows no exchange"):
            exchange_class(name)


def test_one_exchange_is_imported_without_the_others() -> None:
    script = (
        "import sys; from vostok_pipelines.rest.slim import exchange_class;"
        "kraken = exchange_class('kraken'); binance = exchange_class('binanceusdm');"
        "found = [n for n in sys.modules if n.startswith('ccxt.async_support.')];"
        "assert not [n for n in found if n.endswith(('.okx', '.bybit'))], found;"
        "import ccxt.async_support as whole; assert whole.kraken is kraken;"
        "assert whole.okx().id == 'okx'; import ccxt; assert 'okx' in ccxt.exchanges"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)
