"""`vostok-live doctor` finds what would keep the daemon from entering, before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.live.daemon_world import (
    API_KEY,
    NAME,
    SETTINGS,
    STRATEGY,
    WEEK,
    World,
    exchange_process,
    make_world,
)
from vostok_core.models.registry import pointer_path
from vostok_core.trading.account import Account
from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import Engine
from vostok_core.trading.events import Action, Control
from vostok_core.trading.rules import Rules
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.venue import KEY, SECRET
from vostok_live.doctor import Finding, examine
from vostok_live.journal.rows import Begins, RunStart
from vostok_live.journal.writer import Journal
from vostok_live.seams import real_seams


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("doctor") / "project")


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    return made.copy(tmp_path / "project")


@pytest.fixture
def url(world: World) -> Iterator[str]:
    with exchange_process(world, speed=1.0) as url:
        yield url


def wrong(world: World, url: str) -> list[Finding]:
    found = look(world, url)
    names = [each.name for each in found if each.ok]
    assert {"key", "exchange", "symbol", "account", "history"} <= set(names)
    return [each for each in found if not each.ok]


def test_where_all_is_well_nothing_is_found(world: World, url: str) -> None:
    assert wrong(world, url) == []


def test_a_model_past_its_time_is_found(world: World, url: str) -> None:
    settings = world.root / "vostok.toml"
    settings.unlink()
    settings.write_text(SETTINGS.replace('model_grace = "40d"', 'model_grace = "1ms"'))
    assert wrong(world, url) == []
    pointer_path(world.lake, STRATEGY, NAME).unlink()
    world.promote(WEEK - timedelta(days=7))
    (stale,) = wrong(world, url)
    assert stale.name == "model"
    assert stale.detail.startswith(f"stale: it served until {WEEK} 00:00:00, and it is {WEEK} 00:")
    assert "weekly retraining" in stale.hint


def test_a_kill_switch_that_holds_is_found_also_without_a_model(world: World, url: str) -> None:
    world.state.mkdir(parents=True)
    with Journal.open(world.state / JOURNAL, real_seams()) as journal:
        journal.latch("asked for by somebody")
    (held,) = wrong(world, url)
    assert str(held).startswith("FAIL journal")
    assert held.detail == "the kill switch holds: asked for by somebody"
    assert "reset" in held.hint
    pointer_path(world.lake, STRATEGY, NAME).unlink()
    environ = {KEY: API_KEY.key, SECRET: API_KEY.secret}
    found = list(examine(world.project, STRATEGY, NAME, url, environ, real=False))
    assert [each.name for each in found if not each.ok] == ["journal", "plan"]


def look(world: World, url: str) -> list[Finding]:
    environ = {KEY: API_KEY.key, SECRET: API_KEY.secret}
    return list(examine(world.project, STRATEGY, NAME, url, environ, real=False))


def heard(world: World, action: Action, account: str) -> None:
    """A journal whose engine was told something, and of which no snapshot says so."""
    world.state.mkdir(parents=True)
    rules = Rules.of(world.instrument)
    config = EngineConfig("a1", 60_000_000, 2.0, 1.0, capabilities=Capabilities())
    begins = Begins(account=account)
    start = RunStart("t", STRATEGY, NAME, "c", "b" * 64, config, rules, begins)
    engine = Engine(config, rules, Account.opening(1_000_000_000))
    with Journal.open(world.state / JOURNAL, real_seams()) as journal:
        journal.begin_run(start, engine.snapshot())
        event = Control(1, action)
        journal.append(event, engine.handle(event), 1)


def test_an_engine_that_is_killed_is_found_though_no_snapshot_says_so(
    world: World, url: str
) -> None:
    heard(world, "kill", world.plan(url).account)
    (held,) = wrong(world, url)
    assert (held.name, held.detail) == ("journal", "the kill switch holds: asked for")


def test_a_pause_is_told_and_keeps_nothing_from_starting(world: World, url: str) -> None:
    heard(world, "pause", world.plan(url).account)
    assert wrong(world, url) == []
    assert "vostok-live resume" in {each.name: each for each in look(world, url)}["journal"].hint


def test_a_journal_of_another_account_is_found(world: World, url: str) -> None:
    heard(world, "pause", "embedded-another")
    (other,) = [each for each in look(world, url) if not each.ok]
    assert "the journal is of the account embedded-another" in other.detail


def test_a_lake_that_ends_too_long_ago_is_found_as_such(world: World, url: str) -> None:
    settings = world.root / "vostok.toml"
    settings.unlink()
    settings.write_text(SETTINGS.replace("[live]", '[live]\nmax_gap = "1ms"'))
    assert [each.name for each in look(world, url) if not each.ok] == ["history"]
