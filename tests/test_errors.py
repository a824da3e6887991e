"""Errors: their text, their way to another process and back, and guesses at what was meant."""

from __future__ import annotations

import json

import pytest

from vostok_core import errors
from vostok_core.errors import DataError, UnknownName, VostokError, nearest

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VostokError)
]
PARTS = [
    ("it broke", None, None),
    ("not valid TOML: line 3. Hint: none", "/lake/a: b.csv", "mend it. Hint: with glue"),
    ("it said 'no'\nand left", "line 1", "ask „again“"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("what", "where", "hint"), PARTS)
def test_error_arrives_in_another_process_as_it_was_raised(
    kind: type[VostokError], what: str, where: str | None, hint: str | None
) -> None:
    raised = kind(what, where=where, hint=hint)
    told = json.loads(json.dumps(raised.to_json()))
    arrived = VostokError.from_json(told)
    assert type(arrived) is kind
    assert (arrived.what, arrived.where, arrived.hint) == (what, where, hint)
    assert str(arrived) == str(raised)
    assert arrived.exit_code == kind.exit_code


def test_wider_place_stands_before_the_nearer_one() -> None:
    assert str(DataError("it broke").within("run 1")) == "run 1: it broke"
    error = DataError("it broke", where="a.csv", hint="mend it")
    assert str(error.within("run 1").within("BTC")) == "BTC: run 1: a.csv: it broke. Hint: mend it"


def test_unknown_name_is_answered_with_the_nearest_ones_or_with_some_that_there_are() -> None:
    assert nearest("volatilty", ["volatility", "volume"]) == "did you mean volatility?"
    assert nearest("trainweeks", ["train_weeks", "parameters"]) == "did you mean train_weeks?"
    assert nearest("rsi_15", ["rsi_14", "rsi_16"]) == "did you mean rsi_16 or rsi_14?"
    assert nearest("x", ["b", "a"]) == "known: a, b"
    assert nearest("x", [f"n{i}" for i in range(9)]).endswith("n7 …")
    assert nearest("x", []) == ""
    assert UnknownName.of("pack", "x", []).hint == "none is declared yet"
    assert UnknownName.of("pack", "cor", ["core"], declared_in="y").hint == (
        "did you mean core? (declared in y)"
    )
