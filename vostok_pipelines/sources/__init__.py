"""Sources: readers of files, and the sources of days that stand on them.

A file goes through `packed` (what it is packed in), `text` (blocks of whole lines in UTF-8),
`delimited` (rows in their final types, or the line at which it stops being what it claims) and
`frames` (rows of the lake); `columnar` takes the place of the first three for Parquet and Feather.
`binance`, `kraken`, `bulk`, `klines`, `bybit`, `okx`, `tardis`, `funding` and `generic` know the
layouts, `formats` lists them, and `reading` reads a file of any; `style` tells how it is written,
so that a change of it is noticed. `by_day` splits what was read into UTC days, a large file without
holding more than a day of it.

`days` says what a source of days is; `layout` knows names and places in Binance's public archive,
and `mirror` is a folder in that layout as a source of days.

Nothing here writes or guesses: a file that doesn't fit raises `SourceFormatError`. docs/sources.md
describes every format and what is assumed about it.
"""
