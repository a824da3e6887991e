"""What a strategy is as a trial: its settings, and everything else that decides its results."""

from __future__ import annotations

from vostok_core.backtest import simulator
from vostok_core.features.currency import Rules
from vostok_core.features.reading import chosen_columns
from vostok_core.features.registry import pack
from vostok_core.labels import events, triple_barrier
from vostok_core.market import days
from vostok_core.market.instrument import Instrument
from vostok_core.sentiment import items, scorer
from vostok_core.sentiment.currency import SentimentRules
from vostok_core.settings import Settings
from vostok_core.strategy import Strategy
from vostok_core.trading import engine

TRAINING_VERSION = "3"
"""Changes whenever the bytes of a bundle or a prediction change for the same inputs."""


def model_features(strategy: Strategy) -> tuple[str, ...]:
    """The columns a strategy's model sees: its packs in order, less what it excludes.

    Raises:
        UnknownName: It names an unknown pack, or excludes a feature that none of its packs has.
        UsageError: Two of its packs have a feature of the same name.
    """
    choice = strategy.file.features
    return tuple(
        name for part in chosen_columns(choice.packs, choice.exclude).values() for name in part
    )


def code_versions(strategy: Strategy, instrument: Instrument, settings: Settings) -> dict[str, str]:
    """What a strategy's results on an instrument depend on beside its own file.

    That is the version of every piece of code, the exchange's rules for the instrument, and, where
    a pack reads sentiment, the scorer, the code that reads news and sums their scores, and the
    delay that news is assumed to come with.
    """
    packs = {name: pack(name) for name in strategy.file.features.packs}
    versions = {f"pack/{name}": found.hash for name, found in packs.items()}
    versions |= {
        "market": days.CODE_VERSION,
        "events": events.CODE_VERSION,
        "labels": triple_barrier.CODE_VERSION,
        "training": TRAINING_VERSION,
        "engine": engine.CODE_VERSION,
        "simulator": simulator.CODE_VERSION,
        "instrument/tick": instrument.tick,
        "instrument/max_silence": str(instrument.max_silence),
    }
    for rule in ("price_tick", "quantity_step", "min_notional"):
        # 0.10 and 0.1 are one rule.
        versions[f"instrument/{rule}"] = str(getattr(instrument, rule).normalize())
    if any(found.inputs == "sentiment" for found in packs.values()):
        chosen = scorer.scorer(settings.sentiment.scorer)
        versions["sentiment/scorer"] = f"{chosen.name} {chosen.version}"
        versions["sentiment/code"] = scorer.CODE_VERSION
        versions["sentiment/news"] = items.NEWS_VERSION
        versions["sentiment/backfill_lag"] = str(settings.sources.backfill_lag_us)
    return versions


def configuration_hash(strategy: Strategy, instrument: Instrument, settings: Settings) -> str:
    """The name of a strategy's configuration on an instrument, as a trial.

    Raises:
        UnknownName: The strategy names an unknown pack, or the settings an unknown scorer.
    """
    return strategy.configuration_hash(code_versions(strategy, instrument, settings))


def rules_in_force(settings: Settings, instrument: Instrument) -> Rules:
    """What the market data of an instrument and its sentiment are made by, as settings are now.

    Raises:
        UnknownName: The settings name an unknown scorer.
    """
    return Rules(
        market=days.rules_of(instrument),
        sentiment=SentimentRules.in_force(settings),
    )
