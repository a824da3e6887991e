"""docs/features.md says what the registry says."""

from __future__ import annotations

from pathlib import Path

from vostok_core.features.document import features_markdown, needs
from vostok_core.features.registry import pack, packs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == features_markdown(), (
        "run `python -m vostok_core.features.document > docs/features.md`"
    )


def test_the_page_has_every_feature() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for some in packs().values():
        for name in some.columns:
            assert f"| `{name}` |" in page


def test_what_klines_lack_is_found_by_trying() -> None:
    need = needs(pack("core"))
    assert set(need) == set(pack("core").columns)
    assert need["rsi_14"] == need["vwap_distance_60"] == need["volume_ratio"] == "prices"
    assert need["flow_innovation_60"] == need["trades_ratio"] == need["cvd_60"] == "taker volume"
    assert need["size_entropy"] == need["variance_ratio_30"] == "ticks"
