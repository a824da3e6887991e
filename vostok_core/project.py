"""A project: the folder with `vostok.toml`, its settings, its strategies and its lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vostok_core.errors import SettingsError, StrategyError, UnknownName, UsageError
from vostok_core.lake.address import LakeAddress, S3Options, parse_address
from vostok_core.lake.store import Lake
from vostok_core.market.instrument import Instrument
from vostok_core.settings import FILE_NAME, Settings, load_settings
from vostok_core.strategy import DataNeeds, Strategy, load_strategy

LAKE_VARIABLE = "VOSTOK_LAKE"
PROJECT_VARIABLE = "VOSTOK_PROJECT"


@dataclass(frozen=True)
class Project:
    """Where everything is.

    Attributes:
        root: The folder that holds `vostok.toml`, `strategies/`, `dagster.yaml`.
        settings: What `vostok.toml` says, with overrides.
        lake_root: Where the lake is: a folder, or an address in an object store.
    """

    root: Path
    settings: Settings
    lake_root: LakeAddress

    @property
    def lake_home(self) -> Path:
        """The folder of this machine that belongs to the lake: the lake's own where it is one.

        The Dagster instance and the daemon's journal live inside it, so that two lakes never touch.
        """
        if isinstance(self.lake_root, Path):
            return self.lake_root
        return self.root / self.settings.lake.home / self.lake_root.folder_name

    @property
    def strategies_folder(self) -> Path:
        return self.root / "strategies"

    @property
    def dagster_home(self) -> Path:
        """Folder of the persistent Dagster instance of this lake."""
        return self.lake_home / ".dagster"

    @property
    def recorder_folder(self) -> Path:
        """The folder of what was recorded and has not landed, and of how recordings stand."""
        return self.lake_home / self.settings.recorder.folder

    def archive(self, instrument: Instrument) -> Path | None:
        """The folder that files of an instrument come from; None where its venue has none."""
        folder = self.settings.sources.archives.get(instrument.id.venue)
        return None if folder is None else self.lake_home / folder

    @property
    def strategy_files(self) -> list[Path]:
        """The strategy files, by name."""
        return sorted(self.strategies_folder.glob("*.toml"))

    @property
    def strategies(self) -> dict[str, Strategy]:
        """Every strategy of the project whose file can be used, by name."""
        return self._read_strategies[0]

    @property
    def unusable_strategies(self) -> dict[str, StrategyError]:
        """What is wrong with each of the other strategy files, by the name it would have.

        A file that can't be used stops only what names its strategy. To raise the error, read the
        strategy anew.
        """
        return self._read_strategies[1]

    @cached_property
    def data_needs(self) -> dict[str, DataNeeds]:
        """What data are kept for each strategy, by name.

        A file that can't be used counts as far as it tells: a slip of the pen in it must not hold
        up the data that its strategy will want once it is mended.
        """
        usable = self.strategies
        found = {
            path.stem: DataNeeds.of(usable[path.stem].file)
            if path.stem in usable
            else DataNeeds.read(path)
            for path in self.strategy_files
        }
        return {name: needs for name, needs in found.items() if needs is not None}

    @cached_property
    def _read_strategies(self) -> tuple[dict[str, Strategy], dict[str, StrategyError]]:
        usable, unusable = {}, {}
        for path in self.strategy_files:
            try:
                usable[path.stem] = self.read_strategy(path)
            except StrategyError as error:
                unusable[path.stem] = error
        return usable, unusable

    def strategy(self, name: str) -> Strategy:
        """One strategy by name.

        Raises:
            UnknownName: No such strategy.
            StrategyError: The file can't be used.
        """
        files = {path.stem: path for path in self.strategy_files}
        if name in files:
            return self.read_strategy(files[name])
        raise UnknownName.of("strategy", name, files, declared_in=str(self.strategies_folder))

    def read_strategy(self, path: Path) -> Strategy:
        """Read a strategy file and look up every name in it.

        Raises:
            StrategyError: It can't be used, or names what vostok.toml or the code doesn't declare:
                an instrument, an interval, a gate profile, a feature pack or a feature.
        """
        strategy = load_strategy(path)
        try:
            self._look_up(strategy)
        except UnknownName as error:
            raise StrategyError(error.what, where=path, hint=error.hint) from None
        return strategy

    def open_lake(self, *, create: bool = True) -> Lake:
        """The lake.

        Raises:
            UsageError: There is none and `create` is false.
            LakeVersionError: A newer Vostok wrote it.
            StoreError: The object store that it is in doesn't answer, or refuses.
        """
        options = S3Options(self.settings.lake.endpoint, self.settings.lake.region)
        return Lake.open(self.lake_root, create=create, home=self.lake_home, options=options)

    @property
    def has_lake(self) -> bool:
        """Whether there is a lake.

        Raises:
            StoreError: The object store that it would be in doesn't answer, or refuses.
        """
        try:
            self.open_lake(create=False)
        except UsageError:
            return False
        return True

    def _look_up(self, strategy: Strategy) -> None:
        from vostok_core.features.registry import pack

        chosen, settings = strategy.file, self.settings
        for name in chosen.instruments:  # in full: they are keys of partitions
            if name not in settings.universe:
                raise UnknownName.of("instrument", name, settings.universe, declared_in=FILE_NAME)
        if chosen.interval not in settings.bars.intervals:
            raise UnknownName.of(
                "bar interval",
                chosen.interval,
                settings.bars.intervals,
                declared_in=f"[bars] of {FILE_NAME}",
            )
        settings.gate(chosen.gate.profile)
        columns = {column for name in chosen.features.packs for column in pack(name).columns}
        for name in (*chosen.features.exclude, chosen.labels.volatility):
            if name not in columns:
                raise UnknownName.of("feature", name, columns)


def find_project(
    start: Path, environ: Mapping[str, str], lake: str | Path | None = None
) -> Project:
    """The project whose `vostok.toml` is nearest, upward from `start`.

    Args:
        start: Folder to look from, unless `VOSTOK_PROJECT` names the project.
        environ: `VOSTOK_PROJECT`, `VOSTOK_LAKE` and overrides `VOSTOK_SECTION__KEY`.
        lake: The lake's folder or address; wins over `VOSTOK_LAKE`, which wins over `vostok.toml`.

    Raises:
        SettingsError: No `vostok.toml`, or it can't be used.
    """
    named = environ.get(PROJECT_VARIABLE)
    folders = [Path(named)] if named else [start.absolute(), *start.absolute().parents]
    root = next((folder for folder in folders if (folder / FILE_NAME).is_file()), None)
    if root is None:
        raise SettingsError(
            f"no {FILE_NAME} in {folders[0]} or above it",
            hint=f"run from the project's folder, or name it with {PROJECT_VARIABLE}",
        )
    settings = load_settings(root / FILE_NAME, environ)
    chosen = lake or environ.get(LAKE_VARIABLE)
    place = parse_address(chosen) if chosen else parse_address(settings.lake.root, root)
    return Project(root, settings, place)
