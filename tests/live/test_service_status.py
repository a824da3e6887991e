"""The status document: as published, and as it goes from one process to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from tests.live.service_world import MINUTE, NOW, flat, held
from vostok_core.trading import engine
from vostok_live.service import status as service
from vostok_live.service.metrics import METRICS
from vostok_live.service.reference import PAGES, schema, write

DOCS = Path(__file__).resolve().parents[2] / "docs"
VALIDATOR = jsonschema.Draft202012Validator


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_pages_are_written_where_they_belong(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)
    assert json.loads((tmp_path / "live-status.schema.json").read_text()) == schema()


def test_schema_is_a_schema_and_says_what_every_field_means() -> None:
    VALIDATOR.check_schema(schema())
    bare = [
        f"{name}.{field}"
        for name, part in schema()["$defs"].items()
        for field, about in part["properties"].items()
        if not about.get("description")
    ]
    assert bare == []
    assert all(part["description"] for part in schema()["$defs"].values())


@pytest.mark.parametrize("document", [held(), flat()], ids=["held", "flat"])
def test_document_is_as_published_and_comes_back_the_same(document: service.Status) -> None:
    content = service.encode(document)
    VALIDATOR(schema()).validate(json.loads(content))
    assert service.decode(content) == document


@pytest.mark.parametrize(
    ("field", "value"),
    [("ready", "yes"), ("state", "lost"), ("run", 1.5), ("money", None), ("mode", "demo")],
)
def test_published_schema_refuses_what_the_reader_refuses(field: str, value: Any) -> None:
    document = json.loads(service.encode(held()))
    document[field] = value
    assert not VALIDATOR(schema()).is_valid(document)
    with pytest.raises(msgspec.ValidationError):
        service.decode(json.dumps(document).encode())


def test_reader_passes_over_fields_that_it_does_not_know() -> None:
    document = json.loads(service.encode(held()))
    document["of_tomorrow"] = 1
    document["money"]["of_tomorrow"] = 1
    assert service.decode(json.dumps(document).encode()) == held()
    assert VALIDATOR(schema()).is_valid(document)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_sent_as_one(number: float) -> None:
    money = msgspec.structs.replace(held().money, equity=number)
    with pytest.raises(msgspec.ValidationError):
        service.encode(msgspec.structs.replace(held(), money=money))
    assert service.known(number) is None
    assert service.known(None) is None
    assert service.known(1.5) == 1.5


def test_more_closes_than_published_are_not_sent() -> None:
    closes = tuple(service.Point(NOW - n * MINUTE, 1.0) for n in range(service.PRICES + 1))
    prices = msgspec.structs.replace(held().prices, closes=closes)
    with pytest.raises(msgspec.ValidationError, match="length <= 240"):
        service.encode(msgspec.structs.replace(held(), prices=prices))


def test_states_are_the_engines() -> None:
    assert set(get_args(service.State)) == set(get_args(engine.State))


def test_every_metric_is_on_its_page_once() -> None:
    page = (DOCS / "live-metrics.md").read_text(encoding="utf-8")
    names = [metric.family.name for metric in METRICS]
    assert len(names) == len(set(names))
    assert all(page.count(f"| `{name}`") == 1 for name in names)
