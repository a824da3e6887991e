"""Readers of source files: one module per kind of source, one checked frame per file.

A file goes through `packed` (what it is packed in), `text` (blocks of whole lines in UTF-8),
`delimited` (rows in their final types, or the line at which it stops being what it claims) and
`frames` (rows of the lake); `columnar` takes the place of the first three for Parquet and Feather.
`binance`, `kraken`, `bulk`, `klines`, `bybit`, `okx`, `tardis` and `generic` know the layouts, and
`formats` knows them. Readers never write and never guess: a file that doesn't fit raises
`SourceFormatError`. docs/sources.md describes every format and what is assumed about it.
"""
