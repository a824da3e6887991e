"""Fetching: days of market data are brought from elsewhere to where a day source reads them.

`fetcher` says what a fetcher is and `choose` knows which there are. Of the archive: `polite` asks
over HTTP without being a nuisance, `download` makes whole, verified files of the answers, and
`archive` knows which files are missing and brings them into the mirror folder. Nothing here writes
to the lake: what has come lands through `vostok_pipelines.landing`.
"""
