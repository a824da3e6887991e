"""What is traded, and how trades become bars.

`instrument` names and rules; `ticks` puts raw trades in order, once each, and `klines` does so with
published bars; `quality` finds what is wrong with them, in rows of `findings`; `bars` folds ticks
into bars; `days` does all this for one day of the lake; `paths` answers, for labels and simulator
alike, where an order would have filled; `synthetic` makes markets whose truth is known.
"""
