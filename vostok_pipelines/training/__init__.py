"""Fitting models: the only place that knows a training library.

`lightgbm` fits trees and exports them to the core's flat arrays. `window` says which days a week
looks at, `inputs` reads them, `train` makes a bundle of the labels known before the week, `predict`
the predictions of its events. `configuration` names what all of that depends on, and `currency`
says whether it is what would be made now. Nothing here knows Dagster; the assets call in.
"""
