"""Features: causal, anchored, the same bits in batch and live.

`inputs` lays out what a kernel may look at; `kernels` steps one bar at a time; `registry` declares
packs of kernels, and `packs` holds the built-in ones; `walk` runs a pack over a month of bars or
over one live bar with the same step functions; `frames` reads bars from the lake and yields days of
features; `leaks` tries to make any of them look ahead; `document` writes `docs/features.md`.
"""
