"""What the market says, written down as it comes, and landed in the lake hour by hour.

Frames come in on shared connections (`recorder`), are routed to the instrument they are about
(`recording`) and appended to its segment (`segment`) as they are, with the time at which they came.
Beside them stand lines of our own (`lines`): when connections came and went, what the clocks
showed, and answers of REST: trades that were missed (`missed`) and snapshots of the book (`sync`).
When an hour is over its segment is read again (`rows`) and becomes parts of the lake (`landing`).

A segment is a whole account: what lands follows from its bytes alone, so that landing it twice
changes nothing, and captures of others in the same layout land the same way. Nothing is computed
here; days are put in order by `vostok_core.market`.
"""
