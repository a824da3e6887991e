"""The generated pages of docs/ are current and complete."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from vostok.reference import PAGES, settings_page, strategies_page
from vostok_core.settings import ExchangeSettings, GateProfile, InstrumentSettings, Settings
from vostok_core.strategy import StrategyFile

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def documented(model: type[BaseModel]) -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            keys += documented(annotation)
        else:
            assert field.description or name in ("instruments", "exchanges", "gates"), (
                f"{model}.{name}"
            )
            keys.append(name)
    return keys


def test_every_key_is_on_its_page_with_a_meaning() -> None:
    for page, models in (
        (settings_page(), (Settings, InstrumentSettings, ExchangeSettings, GateProfile)),
        (strategies_page(), (StrategyFile,)),
    ):
        for model in models:
            for key in documented(model):
                assert f"| `{key}` |" in page or f'[{key}."<' in page, key
