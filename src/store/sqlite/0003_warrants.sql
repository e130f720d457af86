-- What was drawn of a warrant's budgets, in millionths, as text: the numbers have up to 128 bits.
CREATE TABLE warrant_budgets (
    warrant     TEXT NOT NULL,
    pool        TEXT NOT NULL,
    spent       TEXT NOT NULL,
    PRIMARY KEY (warrant, pool)
) STRICT;

-- When calls under a rate were made.
CREATE TABLE warrant_paces (
    warrant     TEXT NOT NULL,
    calls       INTEGER NOT NULL,
    seconds     INTEGER NOT NULL,
    at          INTEGER NOT NULL
) STRICT;
CREATE INDEX warrant_paces_warrant ON warrant_paces (warrant, calls, seconds);

-- Proofs and approvals that are good once, until they die of age.
CREATE TABLE warrant_used (
    key         BLOB PRIMARY KEY,
    until       INTEGER NOT NULL
) STRICT;
CREATE INDEX warrant_used_until ON warrant_used (until);

CREATE TABLE warrant_revoked (
    kind        TEXT NOT NULL,
    value       TEXT NOT NULL,
    at_ms       INTEGER NOT NULL,
    by          TEXT NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (kind, value)
) STRICT;

-- The newest signed list of each issuer, so that an older one is known for what it is.
CREATE TABLE warrant_lists (
    issuer      TEXT PRIMARY KEY,
    bytes       BLOB NOT NULL
) STRICT;

CREATE TABLE warrants_assigned (
    subject     TEXT PRIMARY KEY,
    stack       BLOB NOT NULL,
    by          TEXT NOT NULL,
    at_ms       INTEGER NOT NULL
) STRICT;

-- The latest second by which a warrant was judged.
CREATE TABLE clock (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    latest      INTEGER NOT NULL
) STRICT;
