"""Trades from the exchange: each once, in order of ids, or said to be missing.

A frame comes in on a WebSocket (`connection`), is decoded (`parse`) into a value (`events`) and
waits to be looked at (`inbox`). Trades are put in order (`continuity`); what is missing is asked
for by REST (`rest`, over `http`). `trades` ties these together and hands on what may be counted.
Only Binance's protocol is spoken here; bars are made elsewhere (`vostok_live.market`).
"""
