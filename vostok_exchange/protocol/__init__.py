"""Binance's spot protocol over the venue: REST, market streams, the WebSocket API.

A request passes `limits` (weights, order counts, bans), `signing` (keys, signatures, time windows)
and `parameters` (form), and becomes a call of one of the operations in `market_data`, `trading`,
`order_lists`, `account` and `wallet`. `catalogue` says which path and which method of the WebSocket
API means which operation; `payloads` writes answers, `user_events` what accounts are told.
`rest`, `streams` (with `topics`) and `ws_api` are the doors, over `sockets` where they are
WebSockets; `files` hands out the archive and the news. `exchange` is what they all share: the desk,
its clocks and its memory.

Wall time signs, limits and answers `/api/v3/time`; all that the market says is in market time.
Source of names, texts and rules: binance/binance-spot-api-docs.
"""
