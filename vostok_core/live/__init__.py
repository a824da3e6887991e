"""What a trading process computes as time goes on, with the bits that partitions have.

`validity` says which bars nothing was wrong with when they closed, `anchored` keeps what walks from
a month's anchor, `sentiment` sums news onto bars as they close, and `chain` goes from a closed bar
to a decision. None of these knows a clock, a socket or a file: a daemon feeds them.

What the daemon wrote down is shipped to the lake (`shipped` reads it) and held against the batch.
`retell` makes its bars again, `remake` what was made of them, `rehear` the engine's answers, and
`parity` compares all of it bit for bit, counted by `tally` and `told`. `reconciliation` says what
may honestly differ: `against_archive` and `against_simulation` classify it into `findings`.
"""
