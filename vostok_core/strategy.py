"""Strategy files: one TOML file, one strategy, named by the file's stem."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vostok_core.errors import StrategyError
from vostok_core.hashing import hash_value
from vostok_core.settings import Section, explain, read_toml, taken_by
from vostok_core.times import parse_duration, parse_interval


class FeatureChoice(Section):
    """Which features the model sees."""

    packs: tuple[str, ...] = Field(("core",), min_length=1, description="feature packs, in order")
    exclude: tuple[str, ...] = Field((), description="features of those packs to leave out")


class EventRule(Section):
    """At which bars a decision is made."""

    kind: Literal["cusum", "every_bar"] = Field(
        "cusum", description="cusum: symmetric filter on log returns (AFML 2.5.2.1)"
    )
    threshold: float = Field(
        3.0, gt=0, description="cusum threshold, in volatilities of one bar known at the bar"
    )


class LabelRule(Section):
    """Triple barriers, scaled by a causal volatility over the horizon (AFML 3.4)."""

    side: Literal["long"] = Field("long", description="primary side; the model says whether")
    volatility: str = Field(
        "volatility_1440", description="feature: standard deviation of one bar's log return"
    )
    horizon: str = Field("4h", description="vertical barrier after the decision")
    take_profit: float = Field(1.5, gt=0, description="upper barrier, in volatilities of horizon")
    stop_loss: float = Field(1.5, gt=0, description="lower barrier, in volatilities of horizon")

    _check = field_validator("horizon")(taken_by(parse_duration))


class CostRule(Section):
    """What trading costs; inside labels and simulator alike."""

    taker_fee_bps: float = Field(10.0, ge=0, description="fee of an order that takes, basis points")
    maker_fee_bps: float = Field(10.0, ge=0, description="fee of an order that rests")
    slippage_bps: float = Field(1.0, ge=0, description="added against us on every taker fill")
    latency: str = Field("200ms", description="from decision to the exchange's matching engine")

    _check = field_validator("latency")(taken_by(parse_duration))


class ModelRule(Section):
    """The estimator and its training window."""

    family: Literal["lightgbm"] = Field("lightgbm", description="estimator family")
    train_weeks: int = Field(8, ge=1, description="length of the rolling training window")
    min_labels: int = Field(200, ge=50, description="fewest labels that a model is fitted on")
    deployment_lag: str = Field("1d", description="newest data left out, since it arrives late")
    calibration: Literal["isotonic", "sigmoid"] = Field(
        "sigmoid", description="calibration on the newest, purged slice of the window"
    )
    calibration_share: float = Field(0.25, gt=0, lt=0.9, description="share of that slice")
    seed: int = Field(1, description="seed of the estimator")
    parameters: Mapping[str, int | float | str | bool] = Field(
        default_factory=dict, description="parameters of the family"
    )

    _check = field_validator("deployment_lag")(taken_by(parse_duration))


class DecisionRule(Section):
    """When the probability is high enough, and how much is staked."""

    margin_bps: float = Field(
        0.0, description="least expected net return of a trade, basis points, by the window's means"
    )
    fraction: float = Field(1.0, gt=0, le=1, description="share of equity in one position")


class GateChoice(Section):
    """Which gate judges it."""

    profile: str = Field("standard", description="gate profile of vostok.toml")


class StrategyFile(Section):
    """The content of a strategy file."""

    description: str = Field(min_length=1, description="what it trades on, in a sentence or two")
    instruments: tuple[str, ...] = Field(min_length=1, description="instruments of the universe")
    interval: str = Field("1m", description="bar interval of its decisions")
    features: FeatureChoice = FeatureChoice()
    events: EventRule = EventRule()
    labels: LabelRule = LabelRule()
    costs: CostRule = CostRule()
    model: ModelRule = ModelRule()
    decision: DecisionRule = DecisionRule()
    gate: GateChoice = GateChoice()

    _check = field_validator("interval")(taken_by(parse_interval))


@dataclass(frozen=True)
class Strategy:
    """A named strategy."""

    name: str
    file: StrategyFile

    @property
    def interval_us(self) -> int:
        return parse_interval(self.file.interval)

    @property
    def horizon_us(self) -> int:
        return parse_duration(self.file.labels.horizon)

    @property
    def horizon_bars(self) -> int:
        return max(1, self.horizon_us // self.interval_us)

    @property
    def latency_us(self) -> int:
        return parse_duration(self.file.costs.latency)

    @property
    def deployment_lag_us(self) -> int:
        return parse_duration(self.file.model.deployment_lag)

    def resolved(self) -> dict[str, Any]:
        """Every setting with its default filled in, as JSON-like values."""
        return self.file.model_dump(mode="json")

    def configuration_hash(self, code_versions: Mapping[str, str]) -> str:
        """Name of this configuration as a trial: the resolved file, but for its prose and its list
        of instruments, plus the versions of the code it uses. First 16 hex digits."""
        content = self.resolved()
        for prose in ("description", "instruments"):
            del content[prose]
        return hash_value({"strategy": content, "code": dict(code_versions)})[:16]


@dataclass(frozen=True)
class DataNeeds:
    """What of the data is kept for a strategy.

    Attributes:
        instruments: What it trades.
        interval: The bars that it decides on.
        packs: The feature packs that it names.
    """

    instruments: tuple[str, ...]
    interval: str
    packs: tuple[str, ...]

    @classmethod
    def of(cls, file: StrategyFile) -> DataNeeds:
        """Those of a strategy that can be used."""
        return cls(file.instruments, file.interval, file.features.packs)

    @classmethod
    def read(cls, path: Path) -> DataNeeds | None:
        """Those of a file that can't be used, as far as it tells them all the same.

        None where it can't be read that far. Names are not looked up.
        """
        try:
            found = _DataPart.model_validate(read_toml(path, StrategyError))
        except (StrategyError, ValidationError):
            return None
        return cls(found.instruments, found.interval, found.features.packs)


class _PackPart(BaseModel):
    model_config = ConfigDict(extra="ignore")

    packs: tuple[str, ...] = FeatureChoice().packs


class _DataPart(BaseModel):
    """The part of a strategy file that says what data it needs; whatever else it holds."""

    model_config = ConfigDict(extra="ignore")

    instruments: tuple[str, ...]
    interval: str = StrategyFile.model_fields["interval"].default
    features: _PackPart = _PackPart()


def load_strategy(path: Path) -> Strategy:
    """Read and validate one strategy file.

    Raises:
        StrategyError: The file is absent, is not TOML, holds something that can't be used, or has a
            name that no strategy can have.
    """
    content = read_toml(path, StrategyError)
    if not re.fullmatch(r"[A-Za-z0-9_]+", path.stem):
        raise StrategyError(
            f"{path.stem!r} can't be a strategy's name",
            where=path,
            hint="rename the file: letters, digits and underscores",
        )
    try:
        return Strategy(path.stem, StrategyFile.model_validate(content))
    except ValidationError as error:
        raise StrategyError(
            explain(error, StrategyFile),
            where=path,
            hint="docs/strategies.md lists every setting; `vostok strategy check` tries a file",
        ) from None
