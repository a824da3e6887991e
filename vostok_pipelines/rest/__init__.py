"""Trades by an exchange's REST, through ccxt: days that are fetched, and spans that are repaired.

`venues` says how each exchange shows its trades, `slim` imports one exchange of ccxt's and `client`
asks it, patiently. `doors` turn questions into ccxt's calls and answers into `trades`. `paging`
knows what to ask next and whether an answer can be right; it does no input or output. `backfill`
drives it, `chunks` keep what has come on disk, so that a killed backfill goes on by what is there,
and `source` reads the days that have come whole. Nothing here writes to the lake.
"""
