"""News as it comes: fetched, scored, written down, and only then counted.

`fetch` asks for one feed's document, `feed` looks at all of them again and again and hands what is
new to `vostok_core.live.sentiment`, `rows` turns items into the journal's rows and back. What is
made of news is decided in the library; nothing here can keep the daemon from trading.
"""
