"""The bundles that spoke in a run, and the strategies that they were trained as."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from vostok_core.errors import BundleError, VostokError
from vostok_core.hashing import canonical_json
from vostok_core.lake.store import Lake
from vostok_core.models.bundle import Bundle
from vostok_core.models.bundle_folder import load_kept
from vostok_core.models.registry import kept_path
from vostok_core.strategy import Strategy, StrategyFile


@dataclass(frozen=True)
class Spoken:
    """A bundle that spoke, and the strategy it was trained as."""

    bundle: Bundle
    strategy: Strategy

    @property
    def configuration(self) -> str:
        """What features depend on: bundles that share it are made again together."""
        return canonical_json([self.strategy.resolved(), list(self.bundle.manifest.features)])


class Bundles:
    """The kept bundles of a lake, each loaded once."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._loaded: dict[str, Spoken | VostokError] = {}

    def load(self, sha256: str) -> Spoken | VostokError:
        """The bundle whose manifest has that hash, or why it can't be used."""
        if sha256 not in self._loaded:
            self._loaded[sha256] = self._load(sha256)
        return self._loaded[sha256]

    def _load(self, sha256: str) -> Spoken | VostokError:
        folder = kept_path(self._lake, sha256)
        try:
            bundle, _ = load_kept(folder, sha256=sha256)
            settings = StrategyFile.model_validate(bundle.manifest.settings)
        except VostokError as error:
            return error
        except ValidationError as error:
            said = f"the strategy in its manifest can't be used ({error.error_count()} problems)"
            return BundleError(said, where=folder, hint="prove it with the Vostok that trained it")
        return Spoken(bundle, Strategy(bundle.manifest.strategy, settings))
