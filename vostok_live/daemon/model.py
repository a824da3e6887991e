"""The model in service: verified, followed when the pointer moves, and not trusted for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Self

from pydantic import ValidationError

from vostok_core.errors import BundleError, Refused
from vostok_core.lake.store import Lake
from vostok_core.models.bundle import Bundle
from vostok_core.models.registry import promoted, promotion
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import WEEK, day_start


@dataclass(frozen=True)
class Model:
    """A promoted bundle, and the strategy that it was trained as.

    Attributes:
        bundle: Every hash of it verified, its golden rows reproduced.
        strategy: As the bundle was trained on; what the strategy's file says now is not asked.
    """

    bundle: Bundle
    strategy: Strategy

    @classmethod
    def load(cls, lake: Lake, strategy: str, instrument: str) -> Self:
        """The model in service.

        Raises:
            Refused: Nothing is in service.
            BundleError: The pointer or the bundle can't be trusted.
        """
        bundle = promoted(lake, strategy, instrument)
        if bundle is None:
            raise Refused(
                f"no model of {strategy} is in service on {instrument}",
                where=lake.root,
                hint=f"`vostok walk-forward {strategy} --instrument {instrument} --from WEEK --to "
                "WEEK` lets the gate decide; only what it promotes is traded",
            )
        try:
            settings = StrategyFile.model_validate(bundle.manifest.settings)
        except ValidationError as error:
            raise BundleError(
                f"the strategy in the manifest can't be used ({error.error_count()} problems)",
                where=strategy,
                hint="train the model with this version of Vostok",
            ) from None
        return cls(bundle, Strategy(strategy, settings))

    @property
    def sha256(self) -> str:
        """Its name: the SHA-256 of the bundle's manifest."""
        return self.bundle.sha256

    def serves_until(self, grace: int) -> int:
        """The market time at which it is stale, microseconds.

        Args:
            grace: How long it serves beyond its week: the next is promoted some hours into the
                next one.
        """
        monday = date.fromisoformat(self.bundle.manifest.week)
        return day_start(monday) + WEEK + grace

    def takes_over_from(self, other: Model) -> bool:
        """Whether it can go on where another is: it sees the same features and trades alike."""
        mine, theirs = self.bundle.manifest, other.bundle.manifest
        return (
            mine.features == theirs.features
            and mine.packs == theirs.packs
            and mine.interval == theirs.interval
            and self.strategy.resolved() == other.strategy.resolved()
        )


def in_service(lake: Lake, strategy: str, instrument: str) -> str | None:
    """SHA-256 of the manifest that the pointer names; None where nothing is in service.

    Raises:
        BundleError: The pointer doesn't read.
    """
    found = promotion(lake, strategy, instrument)
    return None if found is None else found.manifest_sha256
