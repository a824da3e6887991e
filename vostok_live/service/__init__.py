"""The operator's side of the daemon: what it tells a person, and how a person tells it something.

`status` is the published document of how the daemon stands, and `portrait` draws the engine's part
of it. `metrics` says the same to Prometheus, together with what the daemon counts and times in
`measures`; `exposition` writes that down. `source` is what the daemon must offer, `server` opens it
to this machine over HTTP, behind a token (`token`) and the rules of `guard`, and `announce` tells
where. `client` finds a daemon by its state folder and speaks to it. `logs` writes what happens, to
a file and to a terminal, without secrets; `heartbeat` notices an event loop that is late.
`reference` writes the pages of `docs/` that follow from all this.

Nothing here decides anything. The client imports neither aiohttp nor a library of numbers, so that
a command is answered at once.
"""
