CREATE TABLE holds (
    id          TEXT PRIMARY KEY,
    key         TEXT NOT NULL,
    digest      TEXT NOT NULL,
    state       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    session     TEXT NOT NULL,
    principal   TEXT NOT NULL,
    server      TEXT NOT NULL,
    tool        TEXT NOT NULL,
    class       TEXT NOT NULL,
    crisis      INTEGER NOT NULL,
    shown       TEXT NOT NULL,
    decision    TEXT,
    decided_ms  INTEGER,
    count       INTEGER NOT NULL
) STRICT;

-- Equal calls that race open one hold between them.
CREATE UNIQUE INDEX holds_open ON holds (key) WHERE state IN ('pending', 'approved');
CREATE INDEX holds_state ON holds (state, created_ms);

-- Apart from the holds, because they are raw and live shorter.
CREATE TABLE arguments (
    hold        TEXT PRIMARY KEY REFERENCES holds (id),
    bytes       BLOB NOT NULL
) STRICT;

CREATE TABLE definitions (
    server      TEXT NOT NULL,
    tool        TEXT NOT NULL,
    digest      TEXT NOT NULL,
    json        TEXT NOT NULL,
    pinned_ms   INTEGER NOT NULL,
    PRIMARY KEY (server, tool)
) STRICT;
