ALTER TABLE holds ADD COLUMN needs TEXT NOT NULL DEFAULT '{}';
ALTER TABLE holds ADD COLUMN approvals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holds ADD COLUMN escalated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE holds ADD COLUMN edited TEXT;

-- One approver counts once; what is voted for is the call as asked or one edit of its arguments.
CREATE TABLE hold_votes (
    hold        TEXT NOT NULL REFERENCES holds (id),
    approver    TEXT NOT NULL,
    subject     TEXT NOT NULL,
    receipt     TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    PRIMARY KEY (hold, approver)
) STRICT;

-- Arguments as a person changed them: raw, and as short-lived as those that came with the call.
CREATE TABLE edits (
    hold        TEXT NOT NULL REFERENCES holds (id),
    digest      TEXT NOT NULL,
    bytes       BLOB NOT NULL,
    PRIMARY KEY (hold, digest)
) STRICT;

-- Rules that a person made from a hold.
CREATE TABLE standing (
    id           TEXT PRIMARY KEY,
    rule         TEXT NOT NULL,
    made_ms      INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    max_uses     INTEGER,
    used         INTEGER NOT NULL,
    withdrawn_ms INTEGER
) STRICT;
CREATE INDEX standing_expires ON standing (expires_ms);

CREATE TABLE freezes (
    what        TEXT PRIMARY KEY,
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL,
    at_ms       INTEGER NOT NULL
) STRICT;

CREATE INDEX holds_decided ON holds (decided_ms) WHERE decided_ms IS NOT NULL;
