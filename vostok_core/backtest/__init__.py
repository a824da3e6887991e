"""From predictions to equity, and what that equity proves.

`venue` fills the engine's orders on a price path, `simulator` drives engine and venue through time,
`path` gathers the evidence of a configuration from the lake. `observed` says which of its days are
evidence, `moments` what a record of returns is and `sharpe` how much of it may be luck; `metrics`
describes a path by them, `report` shows it (`report_sections`, made of `report_charts`,
`report_parts` and the frame `report_page`).
The decisions are the engine's own (`vostok_core.trading`): there is no second one for backtests.
"""
