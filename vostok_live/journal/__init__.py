"""The journal: what the daemon heard, decided, asked for and was answered, in one SQLite file.

`schema` says what is kept and `rows` how it is handed over. `place` makes, checks and opens the
file, `lease` sees to it that one process writes it, and `store` that what is written stays.
`writer` writes; `view` answers the daemon, `reader` others, who may read while it writes; and
`recovery` makes the engine anew that wrote last.

An event and the commands that the engine answered are one transaction, which is on disk before any
of the commands is carried out. A write that fails is the journal's last.
"""
