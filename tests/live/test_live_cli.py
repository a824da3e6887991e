"""`vostok-live` as a person calls it: what it teaches, what it refuses, and with which code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.daemon_world import ROOT, SETTINGS, STRATEGY_FILE
from vostok_core.errors import SettingsError, UsageError
from vostok_core.lake.store import Lake
from vostok_live.daemon.plan import JOURNAL
from vostok_live.daemon.venue import BINANCE, TESTNET, find_key, find_venue
from vostok_live.gateway.permission import check_permissions
from vostok_live.gateway.port import GatewayError

VERBS = ("run", "status", "pause", "resume", "flatten", "kill", "reset", "monitor", "doctor")
THERE = ("quick", "--instrument", "demo.spot.ABC-USDT")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a strategy, a file that can't be used, and a lake that holds nothing."""
    (tmp_path / "vostok.toml").write_text(SETTINGS)
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "quick.toml").write_text(STRATEGY_FILE)
    (tmp_path / "strategies" / "broken.toml").write_text("instruments = [")
    Lake.open(tmp_path / "data_lake")
    return tmp_path


def call(folder: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, without a key in its environment."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("BINANCE", "VOSTOK_L"))}
    return subprocess.run(
        [sys.executable, "-m", "vostok_live", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("verb", [*VERBS, "audit", "ship"])
def test_every_verb_teaches_by_an_example(project: Path, verb: str) -> None:
    done = call(project, verb, "--help")
    assert done.returncode == 0
    assert f"vostok-live {verb} " in done.stdout
    assert "Example" in done.stdout


def test_without_a_verb_it_says_which_there_are(project: Path) -> None:
    said = call(project, "--help").stdout
    assert all(f"\n  {verb} " in said for verb in (*VERBS, "audit", "ship"))


@pytest.mark.parametrize("verb", ["status", "pause", "flatten"])
def test_where_no_daemon_runs_it_says_how_to_start_one(project: Path, verb: str) -> None:
    done = call(project, verb, *THERE)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "`vostok-live run quick --instrument demo.spot.ABC-USDT`" in done.stderr


@pytest.mark.parametrize("verb", ["run", "audit", "doctor"])
@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("quik", *THERE[1:]), "no strategy is called 'quik'. Hint: did you mean quick?"),
        (("quick", "--instrument", "demo.spot.ABC-USD"), "did you mean demo.spot.ABC-USDT?"),
    ],
)
def test_names_are_looked_up_before_an_exchange_or_a_key_is_asked_for(
    project: Path, verb: str, named: tuple[str, ...], said: str
) -> None:
    done = call(project, verb, *named)
    assert done.returncode == (1 if verb == "doctor" else 2)
    assert said in (done.stdout if verb == "doctor" else done.stderr)
    assert not (project / "data_lake" / "live").exists()


def test_a_first_start_without_a_model_is_refused_before_anything_else_is_asked_for(
    project: Path,
) -> None:
    before = sorted(project.rglob("*"))
    done = call(project, "run", *THERE)
    assert done.returncode == 3
    assert done.stderr.count("Refused: ") == 1
    assert done.stderr.count("\n") == 1
    assert "no model of quick is in service" in done.stderr
    assert sorted(project.rglob("*")) == before


def test_what_is_missing_is_named_before_anything_is_opened(project: Path) -> None:
    state = project / "data_lake" / "live" / THERE[0] / THERE[2]
    state.mkdir(parents=True)
    (state / JOURNAL).touch()  # something may be open, so that a model is not asked for first
    before = sorted(project.rglob("*"))
    done = call(project, "run", *THERE, "--exchange", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "BINANCE_APIKEY is not set" in done.stderr
    assert "vostok-exchange key" in done.stderr
    key = {"BINANCE_APIKEY": "k", "BINANCE_SECRET": "s"}
    done = call(project, "run", *THERE, **key)
    assert "no embedded exchange runs on this lake" in done.stderr
    done = call(project, "run", *THERE, "--exchange", "binance", **key)
    assert "trades real money" in done.stderr
    assert sorted(project.rglob("*")) == before


def test_strategy_whose_file_has_gone_is_known_by_its_journal(project: Path) -> None:
    state = project / "data_lake" / "live" / THERE[0] / THERE[2]
    state.mkdir(parents=True)
    (state / JOURNAL).touch()
    (project / "strategies" / "quick.toml").unlink()
    assert "no embedded exchange runs" in call(project, "run", *THERE).stderr


def test_doctor_says_what_fails_first(project: Path) -> None:
    done = call(project, "doctor", *THERE, "--exchange", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL plan")
    assert "BINANCE_APIKEY is not set" in done.stdout


def test_real_money_needs_two_words(tmp_path: Path) -> None:
    assert find_venue("testnet", tmp_path, real=False) is TESTNET
    assert find_venue("binance", tmp_path, real=True) is BINANCE
    for named, real in (("binance", False), ("testnet", True), ("http://127.0.0.1:1", True)):
        with pytest.raises(UsageError, match="real"):
            find_venue(named, tmp_path, real=real)
    with pytest.raises(UsageError, match="is not an exchange"):
        find_venue("coinbase", tmp_path, real=True)
    with pytest.raises(SettingsError, match="not sent to"):
        find_venue("http://evil.example", tmp_path, real=False)


def test_a_key_is_read_from_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    given = {"BINANCE_APIKEY": "k", "BINANCE_SECRET_FILE": str(secret)}
    secret.chmod(0o640)
    with pytest.raises(SettingsError, match="others may read this file"):
        find_key(given)
    secret.chmod(0o600)
    assert find_key(given).secret == "hush"
    assert "hush" not in repr(find_key(given))


def test_a_key_that_could_move_money_or_can_not_trade_is_refused() -> None:
    good = {"enableWithdrawals": False, "enableSpotAndMarginTrading": True, "ipRestrict": True}
    assert check_permissions(good, "there") is None
    assert "any address" in (check_permissions({**good, "ipRestrict": False}, "there") or "")
    for name in ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"):
        with pytest.raises(GatewayError, match=name):
            check_permissions({**good, name: True}, "there")
    with pytest.raises(GatewayError, match="may not trade"):
        check_permissions({**good, "enableSpotAndMarginTrading": False}, "there")
