"""Step kernels: compiled functions that consume one bar and write a few features.

`volatility` measures how much prices move; `indicators` holds the classics of technical analysis;
`averages` says how far the price is from its means; `flow` weighs buying against selling; `trades`
looks at the prints inside bars; `clock` reads the bar's shape and the time; `news` lets sentiment
decay. Each module has functions that return a declared `Kernel`; `packs` puts them together.

Rules that all of them keep:

- Windows count bars. A window lives in a ring and is summed anew on every bar, from the newest
  value to the oldest, so that a value is a function of its window and of nothing before it.
- Exponential means are recursive. Where a library has the indicator, they are seeded as it seeds
  them; elsewhere the weights seen so far are normalised, as `ewm(adjust=True)` of pandas does.
- Where a ratio is 0/0 (no volume in the window, a flat price) the description says its value.
- Open, high, low, close and volume are never NaN. Other fields are, where bars come from klines. A
  feature is NaN on a bar whose own field is NaN, and a window is NaN while it holds such a bar;
  exponential means pass over it. No other feature is touched, and each recovers by itself.
- A bar without volume has no trades, so its tick statistics count as absent even if NaN.
"""
