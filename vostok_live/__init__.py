"""The daemon: it moves bytes between exchange, journal and engine, and holds no algorithm.

Trades come in (`feed`), become bars and decisions (`market`), the engine answers with orders, the
journal writes them down (`journal`), and then they are sent (`gateway`). It imports `vostok_core`
and none of the others. Clock, chance, sockets and files are reached through `seams` alone.
"""
