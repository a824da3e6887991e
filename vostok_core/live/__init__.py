"""What a trading process computes as time goes on, with the bits that partitions have.

`validity` says which bars nothing was wrong with when they closed, `anchored` keeps what walks from
a month's anchor, and `chain` goes from a closed bar to a decision. Nothing here knows a clock, a
socket or a file: a daemon feeds it, and a batch replay of the daemon's journal feeds it again.
"""
