"""The pages of `docs/` that are made from the types: run `make docs` after changing one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vostok_core.settings import ExchangeSettings, GateProfile, InstrumentSettings, Settings
from vostok_core.strategy import StrategyFile

_TYPES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    Decimal: "number",
    bool: "true or false",
}
_MADE = "<!-- made by `make docs` from {source}; edit that -->"


def settings_page() -> str:
    """docs/settings.md: every key of `vostok.toml`."""
    lines = [
        _MADE.format(source="vostok_core/settings.py"),
        "# Settings: `vostok.toml`",
        "",
        "One file at the project's root, read by the command line and by Dagster alike. A key that",
        "is not listed here is an error, so that a slip of the pen is never ignored.",
        "",
        "A key of a section is overridden by the environment as `VOSTOK_<SECTION>__<KEY>=value`,",
        "for example `VOSTOK_LAKE__ROOT=/data/lake`; a list or a table is written as in TOML:",
        """`VOSTOK_BARS__INTERVALS='["1m", "1h"]'`. Three more variables are read:""",
        "",
        "| variable | meaning |",
        "|---|---|",
        "| `VOSTOK_LAKE` | folder or address of the lake; `--lake` wins over it |",
        "| `VOSTOK_PROJECT` | folder of the project, instead of the nearest one upward |",
        "| `VOSTOK_SHARED` | folder of real market data for the tests |",
        "",
        "Durations are a whole number and a unit (`250ms`, `90s`, `5m`, `4h`, `1d`, `2w`).",
        "`vostok doctor` says whether the file can be used.",
    ]
    for name, field in Settings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            lines += ["", f"## `[{name}]`", "", _sentence(model), "", *_table(model)]
    tables: Mapping[str, tuple[str, type[BaseModel]]] = {
        "instruments": ("venue.market.BASE-QUOTE", InstrumentSettings),
        "exchanges": ("name in ccxt", ExchangeSettings),
        "gates": ("profile", GateProfile),
    }
    for name, (key, model) in tables.items():
        lines += ["", f'## `[{name}."<{key}>"]`', "", _sentence(model), "", *_table(model)]
    return "\n".join(lines) + "\n"


def strategies_page() -> str:
    """docs/strategies.md: every key of a strategy file."""
    lines = [
        _MADE.format(source="vostok_core/strategy.py"),
        "# Strategies: `strategies/<name>.toml`",
        "",
        "One file is one strategy, named by the file. Labels, models, predictions, backtests and",
        "promotions are kept by strategy and instrument. Changing any setting but the description",
        "and the list of instruments makes another configuration: another trial, which the gate",
        "counts.",
        "",
        "`vostok strategy check` tries the files; `vostok strategy show NAME` fills in the",
        "defaults. A file that can't be used stops only what names its strategy: the others go on,",
        "with a warning, and [dagster.md](dagster.md#a-strategy-file-that-cant-be-used) says what",
        "becomes of its data meanwhile. `vostok-live` trades what a promoted model was trained",
        "as, and asks no strategy file.",
        "",
        "## At the top",
        "",
        *_table(StrategyFile),
    ]
    for name, field in StrategyFile.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            lines += ["", f"## `[{name}]`", "", _sentence(model), "", *_table(model)]
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "strategies.md": strategies_page}


def write(folder: Path) -> None:
    """Write every page into `folder`."""
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


def _sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            continue
        cells = [f"`{name}`", _type(field), _default(field), field.description or ""]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(field: FieldInfo) -> str:
    bounds = []
    for rule in field.metadata:
        for sign, attribute in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
            bound = getattr(rule, attribute, None)
            if bound is not None:
                bounds.append(f"{sign} {bound}")
    return ", ".join([_type_name(field.annotation), *bounds])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{choice!r}`".replace("'", '"') for choice in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin in (Union, UnionType):
        return " or ".join(_type_name(each) for each in arguments if each is not type(None))
    if origin is not None:
        return f"table of {_type_name(arguments[1])}"
    return _TYPES.get(annotation) or str(annotation.__name__).lower()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "not set" if value is None else f"`{_toml(value)}`"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return str(value)


if __name__ == "__main__":
    write(Path(__file__).parents[1] / "docs")
