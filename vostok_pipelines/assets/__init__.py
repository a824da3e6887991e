"""The assets, a module a domain: read partitions, call the library, write partitions, say what was
written. No algorithm lives here.

`market` turns landed files into ticks, quality and bars; `news` feeds into scores and point-in-time
sentiment; `features` runs the packs; `strategies` makes, for each strategy file, labels, weekly
models, predictions, backtests and promotions; `research` makes tables that no model reads.
"""
