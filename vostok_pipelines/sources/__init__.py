"""Sources: readers of files, and the sources of days that stand on them.

`common` opens files, parses delimited text into final types and says on which line a file stops
being what it claims to be; `frames` turns parsed rows into rows of the lake; `binance`, `kraken`,
`klines`, `funding` and `generic` know the formats. `by_day` splits what they read into UTC days, a
large file without holding more than a day of it; `style` tells how a file is written, so that a
change of it is noticed.

`days` says what a source of days is; `layout` knows names and places in Binance's public archive,
and `mirror` is a folder in that layout as a source of days.

Nothing here writes or guesses: a file that doesn't fit raises `SourceFormatError`. docs/sources.md
describes every format and what is assumed about it.
"""
