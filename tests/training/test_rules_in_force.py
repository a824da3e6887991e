"""What is derived is made of bars by the instrument's rules as they are declared now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from vostok_core.errors import StalePartition
from vostok_core.features.frames import feature_frames
from vostok_core.features.registry import pack
from vostok_core.labels.days import label_days
from vostok_core.market.days import RULES, rules_of


def test_bars_by_other_rules_of_the_instrument_make_no_features_and_no_labels(
    market, tmp_path
) -> None:
    """Such as those of another longest silence: other bars of it are valid."""
    copy = market.copy(tmp_path / "lake")
    day = market.week - timedelta(days=5)
    keys = {"instrument": copy.name, "interval": "1m", "date": day}
    bars, core = copy.lake.read("bars", **keys), pack("core")
    version = copy.lake.info("bars", **keys).code_version
    rules = rules_of(copy.instrument)
    for made_by, stale in ((rules, False), ("others", True)):
        copy.lake.write("bars", bars, code_version=version, inputs={RULES: made_by}, **keys)
        for make in (
            lambda: feature_frames(copy.lake, core, copy.name, "1m", [day], rules=rules),
            lambda: label_days(copy.lake, copy.strategy, copy.instrument, [day]),
        ):
            if stale:
                with pytest.raises(StalePartition, match=f"bars of {copy.name} are stale"):
                    list(make())
            else:
                assert list(make())
