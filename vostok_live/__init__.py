"""The daemon: it moves bytes between exchange, journal and engine, and holds no algorithm.

Trades come in (`feed`), become bars (`market`), news are scored (`news`), the engine hears and
answers (`daemon`), the journal writes both down (`journal`), and then orders are sent (`gateway`).
`service` tells an operator how it stands and takes their word, `monitor` shows it in a terminal,
`shipping` copies the journal into the lake, `audit` and `doctor` look from outside. It imports
`vostok_core` and none of the others. Clock, chance, sockets and files are reached through `seams`.
"""
