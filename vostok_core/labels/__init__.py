"""From bars and features to what a model learns.

`events` says at which bars a decision is made; `barriers` where its take-profit and stop stand;
`triple_barrier` follows the path of prices to the first barrier touched and books the costs;
`weights` says how much of a label's time is its own. No model and no training here.
"""
