CREATE TABLE latches (
    key         TEXT PRIMARY KEY,
    since_ms    INTEGER NOT NULL,
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL
) STRICT;

-- Only ever added to.
CREATE TABLE latch_events (
    id          INTEGER PRIMARY KEY,
    key         TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    is_set      INTEGER NOT NULL,
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL
) STRICT;
CREATE INDEX latch_events_key ON latch_events (key, id);

CREATE TABLE reviews (
    id          TEXT PRIMARY KEY,
    call        TEXT NOT NULL,
    state       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    session     TEXT NOT NULL,
    server      TEXT NOT NULL,
    tool        TEXT NOT NULL,
    shown       TEXT NOT NULL,
    undo        TEXT,
    verdict     TEXT,
    reviewed_ms INTEGER
) STRICT;
CREATE INDEX reviews_state ON reviews (state, created_ms);
