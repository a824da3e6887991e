"""The daemon put together: a market's trades in, orders out, everything written down before.

`plan` says what is to be done and where, before anything is opened; `venue` knows addresses and
keys. `supervisor` takes the journal and the account, has the `model` in service verified, serves
the control API and keeps a `session` running. That starts in this order: `grounds` and `history`
find the bars from before, `recovery` makes the engine anew, `account_side` compares it with the
exchange and carries its orders, `bells` rings its timers, `walk` goes over the bars that were
missed, `market_side` closes those that come. Without a model or a past it goes no further than the
bells. `trader` goes from a closed bar to the engine and from the engine to the gateway, `readiness`
says why nothing may be entered, and `report` tells how it stands.
"""
