"""Everything that brings data in and keeps it moving: adapters to files, Dagster, training.

Data passes in this order: `sources` parse files of exchanges and archives, `landing` writes them
into the lake as they came, and Dagster assets then read partitions, call `vostok_core`, and write
partitions. No algorithm lives here: what is computed, is computed in `vostok_core`, so that the
daemon computes the same. Nothing here trades, and nothing here knows the embedded exchange.
"""
