"""The quant library: pure computation and files.

Raw trades become bars (`market`), bars become features (`features`), news becomes point-in-time
sentiment (`sentiment`), both meet in labels (`labels`) and models (`models`); the engine
(`trading`) turns probabilities into orders, `backtest` drives it through history, and `promotion`
judges the result. Everything is read from and written to the `lake`.

No Dagster, ccxt, Optuna or training library, no clock and no environment here, and no socket but
that of a lake at `s3://`.
"""
