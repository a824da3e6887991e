"""`vostok.toml`: typed, validated, with errors that say what to write instead.

`load_settings` reads the file and applies overrides of the form `VOSTOK_SECTION__KEY=value` from a
mapping that the caller passes (the environment, in practice: this package reads none).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import permutations
from os.path import normpath
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vostok_core.errors import SettingsError, UnknownName, UsageError, VostokError, nearest
from vostok_core.lake.address import parse_address
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.times import parse_duration, parse_interval

FILE_NAME = "vostok.toml"

PERISHABLE = ("raw_quotes", "quotes", "raw_depth", "depth", "ta_catalogue")
"""Tables by day that can go: what the gate judges and the daemon trades isn't made from them."""

_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


class Section(BaseModel):
    """A table of a TOML file: unknown keys are errors, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def taken_by(parse: Callable[[str], object]) -> Callable[[str], str]:
    """A validator of texts that `parse` takes; what it says of others comes out with their key."""

    def check(text: str) -> str:
        try:
            parse(text)
        except UsageError as error:
            raise ValueError(f"{error.what} ({error.hint})") from None
        return text

    return check


class LakeSettings(Section):
    """Where the lake is. Credentials of an object store come from the environment alone."""

    root: str = Field(
        "data_lake", description="folder, relative to vostok.toml, or s3://bucket/prefix"
    )
    endpoint: str | None = Field(
        None,
        description="address of the server that s3:// is at; by default AWS_ENDPOINT_URL, else AWS",
    )
    region: str | None = Field(
        None, description="region of the bucket; by default AWS_REGION, else us-east-1"
    )
    home: str = Field(
        ".vostok",
        description="folder, relative to vostok.toml, in which each lake at s3:// has one for what "
        "stays on this machine: Dagster's records, archives, the daemon's journal, the catalog",
    )

    @field_validator("root")
    @classmethod
    def _address(cls, root: str) -> str:
        taken_by(parse_address)(root)
        return root

    @field_validator("endpoint")
    @classmethod
    def _url(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ValueError("an address begins with http:// or https://")
        return endpoint


class CalendarSettings(Section):
    """Which days and weeks are partitions."""

    start: date = Field(date(2017, 1, 1), description="first day that can be materialized")


class BarSettings(Section):
    """Which bars are built."""

    intervals: tuple[str, ...] = Field(("1m",), description="bar intervals, each dividing a day")

    @field_validator("intervals")
    @classmethod
    def _known(cls, intervals: tuple[str, ...]) -> tuple[str, ...]:
        if "1m" not in intervals:
            raise ValueError("1m must be among the intervals: sentiment and klines are kept by it")
        for interval in intervals:
            taken_by(parse_interval)(interval)
        return intervals


class SourceSettings(Section):
    """Where files come from; paths are relative to the lake, or to its home where it is at s3://."""

    archives: Mapping[str, str] = Field(
        {"binance": "archive/binance", "demo": "archive/demo"},
        description="venue -> folder of its files, in the public layout of Binance's archive",
    )
    urls: Mapping[str, str] = Field(
        {"binance": "https://data.binance.vision"},
        description="venue -> address that `vostok fetch` brings the files of its folder from",
    )
    rest: Mapping[str, str] = Field(
        {"binance": "binance", "kraken": "kraken", "bitfinex": "bitfinex", "demo": "embedded"},
        description="venue -> name in ccxt of the exchange whose trades are fetched by REST, or "
        "embedded for the exchange that runs on the lake",
    )
    rest_urls: Mapping[str, str] = Field(
        default_factory=dict,
        description="venue -> address of that exchange, instead of the one that ccxt knows",
    )
    feeds: Mapping[str, str] = Field(
        {"demo": "feeds/demo.xml"}, description="name of a feed -> its RSS or Atom file"
    )
    backfill_lag: str = Field(
        "2m", description="assumed delay of a news item whose first sight is lost"
    )

    _check = field_validator("backfill_lag")(taken_by(parse_duration))

    @field_validator("urls")
    @classmethod
    def _addresses(cls, urls: Mapping[str, str]) -> Mapping[str, str]:
        for venue, url in urls.items():
            if not _ADDRESS.fullmatch(url):
                raise ValueError(
                    f"{url!r} is no address to fetch files of {venue} from (it should begin with "
                    "http:// or https://, and end before the folder `data`)"
                )
        return urls

    @field_validator("archives")
    @classmethod
    def _apart(cls, archives: Mapping[str, str]) -> Mapping[str, str]:
        places = {venue: PurePath(normpath(folder)) for venue, folder in archives.items()}
        for one, other in permutations(places, 2):
            if places[one].is_relative_to(places[other]):
                same = places[one] == places[other]
                raise ValueError(
                    (
                        f"{one} and {other} have the same folder"
                        if same
                        else f"the folder of {one} lies inside that of {other}"
                    )
                    + ", and a file's name doesn't say whose it is (give each venue one of its own)"
                )
        return archives

    @property
    def backfill_lag_us(self) -> int:
        return parse_duration(self.backfill_lag)


class SentimentSettings(Section):
    """How news is scored."""

    scorer: str = Field("lexicon", description="name of the scorer")


class LiveSettings(Section):
    """How `vostok-live` trades. Durations are the wall's, however fast market time goes."""

    state: str = Field(
        "live",
        description="folder inside the lake or its home; each strategy and instrument has its "
        "journal in it",
    )
    capital: Decimal | None = Field(
        None, gt=0, description="quote to begin with; by default all that is free then"
    )
    fee_asset: str = Field(
        "BNB", description="asset that commission is to be paid in; empty where it doesn't matter"
    )
    fee_reserve: Decimal = Field(
        Decimal("0.2"), ge=0, description="least of it that must be free before an entry"
    )
    feeds: Mapping[str, str] = Field(
        default_factory=dict,
        description="name of a feed, as in [sources.feeds] -> address that it is polled at",
    )
    poll: str = Field("30s", description="time between two looks at a feed")
    grace: str = Field(
        "1s", description="wait after a bar's end before it closes without a later trade"
    )
    decide_within: str = Field(
        "5s", description="age of a bar beyond which nothing is entered on it"
    )
    stale_after: str = Field(
        "20s", description="silence of the market stream after which nothing is entered"
    )
    compare_every: str = Field("1m", description="time between two comparisons with the exchange")
    model_grace: str = Field(
        "2d", description="how long a model serves beyond its week; market time"
    )
    max_gap: str = Field(
        "3d", description="farthest back that trades are fetched from the exchange; market time"
    )
    port: int = Field(
        0, ge=0, le=65_535, description="of status, metrics and control; 0 for any that is free"
    )

    _check = field_validator(
        "poll", "grace", "decide_within", "stale_after", "compare_every", "model_grace", "max_gap"
    )(taken_by(parse_duration))


class RecorderSettings(Section):
    """How `vostok-live record` records. Its folder is relative to the lake's home."""

    instruments: tuple[str, ...] = Field(
        (),
        description="instruments that are recorded: those of `vostok-live record` without "
        "arguments, and those that quotes and depth have partitions for",
    )
    folder: str = Field("recorder", description="folder of what has not landed yet")
    keep: bool = Field(
        default=False, description="keep what has landed, compressed, frame by frame as it came"
    )
    max_gap: str = Field(
        "3d", description="farthest back that missed trades are fetched; market time"
    )

    _check = field_validator("max_gap")(taken_by(parse_duration))


class InstrumentSettings(Section):
    """One instrument of the universe."""

    tick: Literal["agg_trade", "trade", "none"] = Field(
        description="what one tick is; none where only klines exist"
    )
    price_tick: Decimal = Field(gt=0, description="smallest price step")
    quantity_step: Decimal = Field(gt=0, description="smallest quantity step")
    min_notional: Decimal = Field(Decimal(0), ge=0, description="least worth of an order, in quote")
    max_silence: str = Field("1h", description="longest time without a trade that is no outage")
    reference: str | None = Field(
        None, description="instrument of another venue that its closes are held against"
    )
    reference_bps: tuple[float, float] = Field(
        (15.0, 50.0),
        description="most that they may lie apart on a day, in basis points: median and "
        "99th percentile",
    )

    _check = field_validator("max_silence")(taken_by(parse_duration))

    @field_validator("reference_bps")
    @classmethod
    def _bounds(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not 0 < bounds[0] <= bounds[1] < math.inf:
            raise ValueError("the median's bound should be above 0 and not above the percentile's")
        return bounds


class ExchangeSettings(Section):
    """How an exchange of ccxt's shows its past trades, which Vostok must not guess.

    docs/fetching.md says which exchanges it knows, and what happens to ids.
    """

    ids: Literal["unbroken", "unique", "none"] = Field(
        description="what its ids are: numbers a market without holes, numbers that grow, or none"
    )
    page: int = Field(ge=2, description="most trades that it shows at once")
    step: str = Field("1ms", description="what a time that is asked from is rounded down to")
    window: str | None = Field(
        None, description="longest time that a question may span, where it needs an end"
    )

    _check = field_validator("step")(taken_by(parse_duration))

    @field_validator("window")
    @classmethod
    def _length(cls, window: str | None) -> str | None:
        return None if window is None else taken_by(parse_duration)(window)


class GateProfile(Section):
    """Bounds of the promotion gate; its hash is in every decision.

    Meanings, units and the defence of the defaults are in docs/promotion.md.
    """

    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="least probability of an edge, against each benchmark"
    )
    min_days: int = Field(28, ge=7, description="least out-of-sample days that were observed")
    min_coverage: float = Field(
        0.95,
        gt=0,
        le=1,
        description="least share of the days from first to last that were observed",
    )
    min_trades: int = Field(30, ge=1, description="least closed positions")
    max_drawdown: float = Field(0.35, gt=0, le=1, description="greatest loss from a peak")
    cost_stress: float = Field(
        2.0, ge=1, description="multiple of fees and slippage at which a trade must still pay"
    )
    min_trials: int = Field(1, ge=1, description="trials assumed when fewer are logged")


class RetentionSettings(Section):
    """What `vostok lake gc` lets go, and when."""

    unfinished: str = Field(
        "7d", description="age of a download that broke off, after which it is begun anew"
    )
    replaced: str = Field(
        "30d",
        description="age of landed rows that a later file took the place of; that they landed "
        "stays known",
    )
    tables: Mapping[str, str] = Field(
        default_factory=dict,
        description="table -> age beyond which days of it go; only of tables that models are "
        "not made from: " + ", ".join(PERISHABLE),
    )

    _check = field_validator("unfinished", "replaced")(taken_by(parse_duration))

    @field_validator("tables")
    @classmethod
    def _ages(cls, tables: Mapping[str, str]) -> Mapping[str, str]:
        for name, age in tables.items():
            if name not in PERISHABLE:
                raise ValueError(
                    f"{name} is not kept for a time only: something is made from it, or it can't "
                    f"be made again (tables that may go are {', '.join(PERISHABLE)})"
                )
            taken_by(parse_duration)(age)
        ages = {name: parse_duration(age) for name, age in tables.items()}
        for name, length in ages.items():
            raw = f"raw_{name}"
            if raw in PERISHABLE and ages.get(raw, length + 1) > length:
                raise ValueError(
                    f"days of {name} would be made again from {raw} (give {raw} an age that is not "
                    "greater)"
                )
        return tables


class Settings(Section):
    """The whole of `vostok.toml`."""

    lake: LakeSettings = LakeSettings()
    calendar: CalendarSettings = CalendarSettings()
    bars: BarSettings = BarSettings()
    sources: SourceSettings = SourceSettings()
    sentiment: SentimentSettings = SentimentSettings()
    live: LiveSettings = LiveSettings()
    recorder: RecorderSettings = RecorderSettings()
    retention: RetentionSettings = RetentionSettings()
    instruments: Mapping[str, InstrumentSettings] = Field(default_factory=dict)
    exchanges: Mapping[str, ExchangeSettings] = Field(default_factory=dict)
    gates: Mapping[str, GateProfile] = Field(default_factory=lambda: {"standard": GateProfile()})

    @field_validator("instruments")
    @classmethod
    def _ids(cls, instruments: Mapping[str, InstrumentSettings]) -> Mapping[str, Any]:
        for name, found in instruments.items():
            InstrumentId.parse(name)
            _check_reference(name, found, instruments)
        return instruments

    @cached_property
    def universe(self) -> dict[str, Instrument]:
        """The instruments by id, in the file's order."""
        return {
            name: Instrument(
                id=InstrumentId.parse(name),
                tick=s.tick,
                price_tick=s.price_tick,
                quantity_step=s.quantity_step,
                min_notional=s.min_notional,
                max_silence=parse_duration(s.max_silence),
            )
            for name, s in self.instruments.items()
        }

    @cached_property
    def recorded(self) -> tuple[Instrument, ...]:
        """The instruments that are recorded.

        Raises:
            UsageError: One is not declared, or has no ticks.
        """
        found = []
        for name in self.recorder.instruments:
            if name not in self.universe:
                raise UnknownName.of("instrument", name, self.universe, declared_in=FILE_NAME)
            if self.universe[name].tick == "none":
                raise UsageError(
                    f"recorder.instruments names {name}, which has no ticks",
                    hint='say tick = "trade" or "agg_trade" for it, or leave it out',
                )
            found.append(self.universe[name])
        return tuple(dict.fromkeys(found))

    @property
    def bases(self) -> tuple[str, ...]:
        """The base codes of the universe, sorted: what news are searched for."""
        return tuple(sorted({instrument.id.base for instrument in self.universe.values()}))

    def instrument(self, name: str) -> Instrument:
        """An instrument by its id, or by `BASE/QUOTE` or `BASE-QUOTE` where that is unambiguous.

        Raises:
            UnknownName: The universe has none, or more than one, of that name.
        """
        if name in self.universe:
            return self.universe[name]
        short = name.replace("/", "-").upper()
        matches = [i for key, i in self.universe.items() if key.rsplit(".", 1)[1] == short]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UnknownName(
                f"{name!r} names {len(matches)} instruments",
                hint=f"write one of {', '.join(str(i.id) for i in matches)}",
            )
        found = UnknownName.of("instrument", name, self.universe, declared_in=FILE_NAME)
        raise UnknownName(
            found.what,
            hint=f"{found.hint}; a new one is declared there by its name, venue.market.BASE-QUOTE, "
            "tick, price_tick and quantity_step (docs/settings.md)",
        )

    def gate(self, name: str) -> GateProfile:
        """A gate profile by name.

        Raises:
            UnknownName: No such profile.
        """
        try:
            return self.gates[name]
        except KeyError:
            raise UnknownName.of("gate profile", name, self.gates, declared_in=FILE_NAME) from None


def _check_reference(
    name: str, found: InstrumentSettings, instruments: Mapping[str, InstrumentSettings]
) -> None:
    if found.reference is None:
        if "reference_bps" in found.model_fields_set:
            raise UsageError(
                f"{name} has reference_bps and no reference",
                hint='name the instrument that they are meant for, such as reference = "…"',
            )
    elif found.reference == name:
        raise UsageError(
            f"the reference of {name} is itself",
            hint="name an instrument of another venue, or leave reference out",
        )
    elif found.reference not in instruments:
        unknown = UnknownName.of("instrument", found.reference, instruments.keys() - {name})
        raise UsageError(f"the reference of {name}: {unknown.what}", hint=unknown.hint)


def explain(
    error: ValidationError,
    model: type[BaseModel],
    written_as: Mapping[tuple[str, ...], str] | None = None,
) -> str:
    """The first few problems of a document in words, with what was written.

    Args:
        error: What pydantic found.
        model: What the document should be.
        written_as: Keys that were not written in the document -> how they were written.
    """
    problems = []
    for problem in error.errors(include_url=False)[:3]:
        keys = tuple(str(part) for part in problem["loc"])
        place = (written_as or {}).get(keys[:2], ".".join(keys)) or "the file"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "missing":
            problems.append(f"{place} is missing")
        elif problem["type"] == "extra_forbidden":
            near = nearest(keys[-1], _keys(model, keys[:-1]))
            problems.append(f"{place} is not a setting ({near})")
        elif problem["type"] in ("model_type", "mapping_type"):
            problems.append(f"{place} = {problem['input']!r} should be a table, [{place}]")
        else:
            problems.append(f"{place} = {problem['input']!r}: {message}")
    return "; ".join(problems)


def _keys(model: type[BaseModel], place: Sequence[str]) -> list[str]:
    """The keys of the table at a place of a document."""
    kind: Any = model
    for key in place:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[key].annotation
        else:  # a table of tables by name
            kind = get_args(kind)[1]
    return list(kind.model_fields)


def read_toml(path: Path, error: type[UsageError]) -> dict[str, Any]:
    """The content of a TOML file, or an error of the given type."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error("the file doesn't exist", where=path, hint="check the path") from None
    except OSError as problem:
        raise error(
            f"the file can't be read ({problem.strerror})",
            where=path,
            hint="check what it is, and its rights",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise error(f"not valid TOML: {problem}", where=path, hint="see https://toml.io") from None


def load_settings(path: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """Read and validate `vostok.toml`.

    Args:
        path: The file.
        overrides: `VOSTOK_SECTION__KEY` -> value; other names are ignored.

    Raises:
        SettingsError: The file is absent, is not TOML, or holds something that can't be used.
    """
    content = read_toml(path, SettingsError)
    written_as: dict[tuple[str, ...], str] = {}
    for name, value in (overrides or {}).items():
        keys = tuple(name.lower().removeprefix("vostok_").split("__"))
        if not name.startswith("VOSTOK_") or len(keys) != 2:
            continue
        section, key = keys
        if section not in content:
            content[section] = {}
            written_as[section,] = name
        if isinstance(content[section], dict):
            content[section][key] = _override(value)
            written_as[keys] = name
    try:
        settings = Settings.model_validate(content)
        assert settings.recorded is not None, "an error, or some or none"
    except ValidationError as error:
        raise SettingsError(
            explain(error, Settings, written_as),
            where=path,
            hint="docs/settings.md lists every setting",
        ) from None
    except VostokError as error:
        raise SettingsError(error.what, where=path, hint=error.hint) from None
    return settings


def _override(value: str) -> Any:
    """A list or table is written as in TOML; anything else as it is."""
    if not value.startswith(("[", "{")):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value
