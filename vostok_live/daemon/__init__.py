"""The daemon put together: a market's trades in, orders out, everything written down before.

`plan` says what is to be done and where, before anything is opened; `venue` knows addresses and
keys. `model` keeps the bundle in service, `history` brings the bars from before, and `trader` goes
from a closed bar to the engine and from the engine to the gateway. `bells` rings its timers, and
`readiness` says why nothing may be entered. `supervisor` starts all of it in order, keeps it
running and ends it; `report` tells how it stands.
"""
