"""The engine: one pure state machine for backtest, paper, live and fault simulation.

`rules` turns an instrument into integers of ticks and lots; `config` says what an engine is told
once; `events` go in, `commands` come out. `register` names orders and holds what is known of each
(`orders`), `account` holds the money and `trade` the one position; `entry` says how much an entry
may pay and how long it waits, `sizing` how much it buys. `engine` takes note of events and decides,
`upkeep` sees to the open trade. Nothing here has a clock, a socket, a file or chance: the same
events give the same commands, bit for bit. `docs/engine.md` tells the states and walks through a
trade.
"""
