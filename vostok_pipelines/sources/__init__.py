"""Readers of source files: one module per kind of source, one checked frame per file.

`common` opens files, parses delimited text into final types and says on which line a file stops
being what it claims to be; `frames` turns parsed rows into rows of the lake; `binance`, `kraken`,
`klines` and `generic` know the layouts; `style` tells how a file is written, so that a change of it
is noticed. Readers never write and never guess: a file that doesn't
fit raises `SourceFormatError`. docs/sources.md describes every format and what is assumed about it.
"""
