"""What is traded, and how trades become bars.

`instrument` names and rules; `ticks` puts raw trades in order, once each, and `klines` does so with
published bars; `quality` finds what is wrong with them, `oddities` and `drift` what is odd, in rows
of `findings`; `bars` folds ticks into bars; `days` does all this for one day of the lake;
`agreement` holds the bars against a second view of the market, `second_view` against the exchange's
own klines; `paths` answers, for labels and simulator alike, where an order would have filled;
`synthetic` makes markets whose truth is known.
"""
