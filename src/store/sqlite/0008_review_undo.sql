-- What undoing a call takes: raw, and gone as soon as the call is accepted, reverted or too old.
CREATE TABLE review_kept (
    review      TEXT PRIMARY KEY,
    kept        TEXT NOT NULL
) STRICT;

CREATE TABLE review_uses (
    server      TEXT NOT NULL,
    tool        TEXT NOT NULL,
    uses        INTEGER NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT;

-- Tools whose calls are held instead of reviewed, because somebody said so.
CREATE TABLE review_flags (
    server      TEXT NOT NULL,
    tool        TEXT NOT NULL,
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT;
