"""Fitting models: the only place that knows a training library.

`lightgbm` fits trees and exports them to the core's flat arrays; `walk_forward` does what a week
asks for: a bundle from the labels known before it, then predictions of its events. Nothing here
knows Dagster; the assets call in.
"""
