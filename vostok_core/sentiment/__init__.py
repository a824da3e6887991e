"""News and its tone, point in time.

`text` cleans what a feed says; `items` turns it into rows that carry when each became known, and
finds the assets that a headline names; `scorer` is the contract that every scorer meets, `lexicon`
the one that ships, with its words in `words`; `aggregate` sums scores into minutes; `days` does the
same for whole days of the lake. Reading feeds themselves is not done here.
"""
