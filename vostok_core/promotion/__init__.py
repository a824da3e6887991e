"""Promotion: does a configuration's out-of-sample path earn it a place in service?

`trials` logs and reads the daily returns of every configuration walked forward; `gate` judges one
of them against a profile, rule by rule, with a reason for each; `rules` holds the rules and `edge`
their statistics; `records` turns a decision into rows for the lake and a report for the bundle, and
`log` keeps every decision. `service` is what a person may do with what was promoted.

The formulas beneath are in `backtest.moments` and `backtest.sharpe`, the promoted pointer is in
`models.registry`; what the gate promotes is put into service by `vostok_pipelines.promotion`.
"""
