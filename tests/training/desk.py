"""A desk that decides: a lake walked forward to a week whose model is to be judged."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from vostok_core.lake.tables import table
from vostok_core.models.registry import promotion
from vostok_core.project import Project
from vostok_core.promotion.log import decisions
from vostok_core.promotion.trials import log_trial
from vostok_core.settings import Settings
from vostok_core.times import day_start
from vostok_pipelines.due import Due
from vostok_pipelines.evidence import write_backtest
from vostok_pipelines.known_weeks import KnownWeeks
from vostok_pipelines.promotion import decide
from vostok_pipelines.training.configuration import configuration_hash
from vostok_pipelines.training.predict import predict_week
from vostok_pipelines.training.train import train_week

SETTINGS = Settings()
WEEK = timedelta(weeks=1)


class Desk:
    """A lake with a week of predictions, the backtest of the week after, and that week's model."""

    def __init__(self, market) -> None:
        self.lake, self.strategy, self.instrument = market.lake, market.strategy, market.instrument
        self.first, self.week = market.week, market.week + WEEK
        self.configuration = configuration_hash(self.strategy, self.instrument, SETTINGS)
        self.place = {"strategy": self.strategy.name, "instrument": market.name}
        self.project = Project(Path("/nowhere"), SETTINGS, self.lake.root)

    def train(self, week: date) -> str:
        return train_week(self.lake, SETTINGS, self.strategy, self.instrument, week).sha256

    def predict(self, week: date) -> None:
        frame, inputs = predict_week(self.lake, SETTINGS, self.strategy, self.instrument, week)
        self.write("predictions", week, frame, inputs)

    def write(self, name: str, week: date, frame: pl.DataFrame, inputs: dict, version="") -> None:
        version = version or self.configuration
        self.lake.write(name, frame, code_version=version, inputs=inputs, **self.place, week=week)

    def backtest(self, week: date) -> None:
        write_backtest(self.lake, self.strategy, self.instrument, week, self.configuration)

    def rewrite(self, name: str, frame: pl.DataFrame | None = None, **changes: object) -> None:
        """Write a table of the backtest again, as it was but for what is given."""
        info = self.lake.info(name, **self.place, week=self.week)
        frame = self.lake.read(name, **self.place, week=self.week) if frame is None else frame
        inputs = {**info.inputs, **changes.get("inputs", {})}
        self.write(name, self.week, frame, inputs, changes.get("version", ""))

    def log(self, path: pl.DataFrame) -> None:
        log_trial(
            self.lake,
            **self.place,
            configuration=self.configuration,
            daily=path,
            code_version=self.configuration,
        )

    def excel(self) -> None:
        """Make the backtest that of a strategy that anyone would promote."""
        days = [self.week - timedelta(days=i) for i in range(40, 0, -1)]
        rng = np.random.default_rng(0)
        daily = {
            "date": days,
            "net_return": 0.02 + 0.01 * rng.standard_normal(40),
            "benchmark_return": 0.01 * rng.standard_normal(40),
            "trades": [1] * 40,
            "observed": [1.0] * 40,
        }
        path = pl.DataFrame(daily, schema=table("backtest_daily").schema)
        self.rewrite("backtest_daily", path)
        self.log(path)
        hours = [day_start(day) for day in days]
        columns = {}
        for name, kind in table("backtest_trades").schema.items():
            if kind == pl.Float64:
                columns[name] = [{"fees": 1e-4, "slippage": 1e-4, "net_return": 0.05}.get(name, 1)]
            else:
                columns[name] = ["time"] if kind == pl.String else [hours]
        trades = pl.DataFrame(
            {
                name: pl.Series(value[0] if isinstance(value[0], list) else value * 40).cast(kind)
                for (name, value), kind in zip(
                    columns.items(), table("backtest_trades").schema.values(), strict=True
                )
            }
        )
        self.rewrite("backtest_trades", trades)

    def decide(self, week: date | None = None):
        return decide(self.lake, self.project, self.strategy, self.instrument, week or self.week)

    def rows(self, week: date | None = None) -> pl.DataFrame:
        return self.lake.read("promotions", **self.place, week=week or self.week)

    def decisions(self):
        return list(decisions(self.lake, *self.place.values()))

    def due(self) -> date | None:
        """The week whose model and decision the schedule would ask for now."""
        known = KnownWeeks(self.project, self.strategy, self.instrument)
        looking = (self.strategy, self.instrument, self.week, known, math.inf)
        return Due(self.lake, SETTINGS, *looking).model()

    @property
    def pointer(self):
        return promotion(self.lake, *self.place.values())
