"""Every table of the journal, with the meaning of its columns.

Names are those of the lake. `ts` is market time and names that end in `_us` are the wall's time,
both in microseconds since 1970 UTC. Prices are ticks, quantities lots and fees atoms
(`vostok_core.trading.rules`), but for those of ticks and steps, which are doubles as in the lake.
Booleans are 0 or 1. A double that is not a number is NULL.
"""

from __future__ import annotations

APPLICATION_ID = 0x56_4F_53_4A  # VOSJ
VERSION = 2

SCHEMA = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,                       -- created_us
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE instruments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE                   -- as in vostok.toml
) STRICT;

-- Every start of the daemon.
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,                       -- the newest event before it
    wall_us INTEGER NOT NULL,
    version TEXT NOT NULL,                      -- of Vostok
    engine_version TEXT NOT NULL,               -- vostok_core.trading.engine.CODE_VERSION
    strategy TEXT NOT NULL,
    instrument INTEGER NOT NULL REFERENCES instruments,
    configuration TEXT NOT NULL,                -- hash that names the strategy's configuration
    bundle TEXT NOT NULL,                       -- SHA-256 of the bundle's manifest at the start
    name TEXT NOT NULL,                         -- the run's part of client order ids
    config TEXT NOT NULL,                       -- EngineConfig, JSON
    rules TEXT NOT NULL,                        -- Rules, JSON
    interval TEXT NOT NULL,                     -- of its bars; from here on journal.rows.Begins
    begin_us INTEGER NOT NULL,                  -- market time from which bars are the journal's
    next_id INTEGER NOT NULL,                   -- the first trade in them
    previous TEXT,                              -- the trade before it, JSON (LastTick)
    history TEXT NOT NULL,                      -- hash of the lake's bars before begin_us
    elsewhere TEXT NOT NULL,                    -- base in the account that is not the engine's
    account TEXT NOT NULL,                      -- exchange and key: no other is taken for it
    speed REAL NOT NULL,                        -- seconds of market time in a second
    decide_within INTEGER NOT NULL,             -- age of a bar beyond which nothing is entered
    cut_before INTEGER,                         -- ts of the newest cut before it
    trade_before INTEGER                        -- trade_id of the newest tick before it
) STRICT;

-- What the engine heard, in the order it did. seq counts from 1 without a gap, over all runs.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs,
    ts INTEGER NOT NULL,
    wall_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL                          -- vostok_core.trading.events.event_to_json
) STRICT;
CREATE INDEX events_by_ts ON events (ts);

-- What the engine answered to an event, in the order to carry it out.
CREATE TABLE commands (
    seq INTEGER NOT NULL REFERENCES events,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,                         -- vostok_core.trading.commands.command_to_json
    PRIMARY KEY (seq, position)
) STRICT, WITHOUT ROWID;

-- Timers that were asked for and have not rung.
CREATE TABLE timers (
    ts INTEGER NOT NULL,
    seq INTEGER NOT NULL REFERENCES events      -- the event whose answer asked
) STRICT;

-- What the engine remembered after event seq: at the start of every run, and lately.
CREATE TABLE snapshots (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs,
    wall_us INTEGER NOT NULL,
    body TEXT NOT NULL                          -- Engine.snapshot, JSON
) STRICT;

-- Every order that was ever asked for; a client order id is never used again. The second half is
-- what the exchange last said of it, NULL before it said anything.
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,                  -- orders of one command were sent as one list
    leg TEXT NOT NULL,
    side TEXT NOT NULL,
    kind TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    qty INTEGER NOT NULL,
    price INTEGER NOT NULL,
    exchange_order_id INTEGER,
    status TEXT,                                -- the exchange's word
    filled INTEGER,
    wall_us INTEGER,                            -- when it was last heard of
    FOREIGN KEY (seq, position) REFERENCES commands
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_command ON orders (seq, position);

-- What was sent to the exchange, and what came back; NULL while nothing has.
CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    client_order_id TEXT NOT NULL,              -- of a list, its first order's
    kind TEXT NOT NULL,                         -- place, place_list, cancel, replace
    attempt INTEGER NOT NULL,                   -- counts from 1
    sent_us INTEGER NOT NULL,                   -- just before it was sent
    outcome TEXT,                               -- what the answer was taken for
    code INTEGER,                               -- the exchange's, where it gave one
    http_status INTEGER,
    text TEXT,                                  -- the exchange's words
    answered_us INTEGER,
    UNIQUE (client_order_id, kind, attempt)
) STRICT;
CREATE INDEX requests_by_time ON requests (sent_us);

-- Trades of our own, once each however often they were heard.
CREATE TABLE fills (
    instrument INTEGER NOT NULL REFERENCES instruments,
    trade_id INTEGER NOT NULL,
    client_order_id TEXT NOT NULL,
    ts INTEGER NOT NULL,
    price INTEGER NOT NULL,
    qty INTEGER NOT NULL,
    fee INTEGER NOT NULL,                       -- what the commission was worth
    liquidity TEXT NOT NULL,
    commission TEXT NOT NULL,                   -- the decimal that the exchange printed
    commission_asset TEXT NOT NULL,
    source TEXT NOT NULL,                       -- where it was heard first
    wall_us INTEGER NOT NULL,
    seq INTEGER REFERENCES events,              -- the event that told the engine; NULL before
    PRIMARY KEY (instrument, trade_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fills_by_ts ON fills (ts);
CREATE INDEX fills_not_told ON fills (instrument) WHERE seq IS NULL;

-- Trades of the market as the stream brought them.
CREATE TABLE ticks (
    instrument INTEGER NOT NULL REFERENCES instruments,
    trade_id INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    price REAL NOT NULL,                        -- quote per base
    qty REAL NOT NULL,                          -- base
    buyer_maker INTEGER NOT NULL,
    first_id INTEGER,                           -- of the trades beneath an aggregate
    last_id INTEGER,
    seen_us INTEGER NOT NULL,
    PRIMARY KEY (instrument, trade_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ticks_by_ts ON ticks (instrument, ts);

-- Where bars ended (vostok_core.live.cuts.Cut).
CREATE TABLE cuts (
    instrument INTEGER NOT NULL REFERENCES instruments,
    ts INTEGER NOT NULL,                        -- end of the bars
    last_id INTEGER NOT NULL,                   -- the newest trade that counts; -1 before any
    "by" TEXT NOT NULL,                         -- trade (a later one was seen) or timer
    wall_us INTEGER NOT NULL,
    PRIMARY KEY (instrument, ts)
) STRICT, WITHOUT ROWID;

-- A closed bar, and what was made of it (vostok_core.live.cuts.ClosedBar, chain.Step).
CREATE TABLE steps (
    run INTEGER NOT NULL REFERENCES runs,
    ts INTEGER NOT NULL,                        -- end of the bar
    bar BLOB NOT NULL,                          -- float64, little endian: market.bars.BAR_FIELDS
    first_id INTEGER NOT NULL,                  -- of its trades; -1 where there is none
    last_id INTEGER NOT NULL,
    bar_valid INTEGER NOT NULL,                 -- whether nothing was wrong with the bar itself
    sentiment BLOB,                             -- float64: features.inputs.SENTIMENT_FIELDS
    features BLOB NOT NULL,                     -- float64, little endian, as the manifest orders
    event INTEGER NOT NULL,                     -- whether a decision was due
    valid INTEGER NOT NULL,
    score REAL,
    probability REAL,                           -- from here to reference: NULL without an event
    threshold REAL,
    sigma REAL,
    reference REAL,
    withheld TEXT,                              -- why the engine was not told the decision
    asked_ts INTEGER,                           -- when it was asked whether to act; or NULL
    bundle TEXT NOT NULL,                       -- SHA-256 of the manifest of the model that spoke
    wall_us INTEGER NOT NULL,
    PRIMARY KEY (run, ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX steps_by_ts ON steps (ts);

-- News as it was scored.
CREATE TABLE news (
    item_id TEXT NOT NULL,
    asset TEXT NOT NULL,                        -- base asset the score is about, or *
    source TEXT NOT NULL,
    published_at INTEGER NOT NULL,              -- this and the next two: market time
    first_seen_at INTEGER NOT NULL,
    available_at INTEGER NOT NULL,              -- when a decision could first use the score
    title TEXT NOT NULL,
    score REAL NOT NULL,
    scorer TEXT NOT NULL,
    scorer_version TEXT NOT NULL,
    wall_us INTEGER NOT NULL,
    PRIMARY KEY (item_id, asset, scorer, scorer_version)
) STRICT, WITHOUT ROWID;
CREATE INDEX news_by_availability ON news (available_at);

-- What a person was told.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY,
    seq INTEGER REFERENCES events,              -- the event that the engine alerted at, or NULL
    ts INTEGER NOT NULL,
    wall_us INTEGER NOT NULL,
    level TEXT NOT NULL,                        -- info, warning, critical
    code TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX alerts_by_ts ON alerts (ts);

-- What a person asked for.
CREATE TABLE controls (
    id INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    wall_us INTEGER NOT NULL,
    action TEXT NOT NULL,
    asked_by TEXT NOT NULL                      -- by which way it came
) STRICT;
CREATE INDEX controls_by_ts ON controls (ts);

-- The kill latch: the newest row says why it holds; a NULL released it.
CREATE TABLE kill_latch (
    id INTEGER PRIMARY KEY,
    wall_us INTEGER NOT NULL,
    why TEXT
) STRICT;
"""

INTENT = (
    "meta", "instruments", "runs", "events", "commands", "timers", "snapshots", "orders",
    "requests", "fills", "kill_latch",
)  # fmt: skip
"""Tables that recovery stands on; the others can be had again, or are for the record."""
