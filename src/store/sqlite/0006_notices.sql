-- Messages to people that are not delivered yet, and those that never will be.
CREATE TABLE notices (
    id          TEXT PRIMARY KEY,
    channel     TEXT NOT NULL,
    about       TEXT NOT NULL,
    body        TEXT NOT NULL,
    dead        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    next_ms     INTEGER NOT NULL,
    error       TEXT
) STRICT;
CREATE INDEX notices_due ON notices (channel, dead, next_ms);

-- Which step of the ladder was told of which hold, so that a restart tells nobody twice.
CREATE TABLE notified (
    hold        TEXT NOT NULL,
    rung        TEXT NOT NULL,
    channel     TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (hold, rung, channel)
) STRICT;

-- Channels whose receiver said that it wants nothing any more.
CREATE TABLE channels_off (
    channel     TEXT PRIMARY KEY,
    since_ms    INTEGER NOT NULL,
    why         TEXT NOT NULL
) STRICT;
