"""The order gateway: what the engine asks for reaches the exchange, and what came of it comes back.

`port` is the seam: what an exchange is told and asked, and what it answers. `ccxt_port` is that
over HTTP, with ccxt (`slim`) to sign and send, `access` for addresses and keys, `restraint` for the
exchange's limits, `payloads` to read its answers and `classify` to judge its refusals.
`wire` writes commands as requests, and `symbol` compares what the exchange trades with what we do.
`orders` turns reports into engine events (`news`), each once, with `fees` in atoms; `strangers` are
the orders and trades that aren't ours. `resolve` finds out what became of requests without an
answer, `reconcile` compares all that is known with all that the exchange says; both only ask
questions, and `desk` puts them, carries out commands and hands on the news. `user_stream` hears of
changes as they happen, in `frames`. `docs/live-orders.md` tells the rules.
"""
