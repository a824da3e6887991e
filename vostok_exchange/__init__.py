"""The embedded exchange's world: markets made by the synthetic kernel, and how they reach the rest.

`world` says which markets there are; `archive` writes their trades as daily files in the public
layout of Binance's archive; `feed` writes their news as RSS. Knows `vostok_core` alone.
"""
