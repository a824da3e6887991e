"""News and its tone, point in time.

`feeds` parses a feed's bytes, whoever read them; `text` cleans what they say; `items` turns it into
rows that carry when each became known, and finds the assets that a headline names; `scorer` is the
contract that every scorer meets, `lexicon` the one that ships, with its words in `words`;
`aggregate` sums scores into minutes; `days` does the same for whole days of the lake, `redating`
dates their items by another lag, and `currency` says whether they are what would be made now. Files
and addresses are read elsewhere.
"""
