-- People who decide in a browser, and the keys they are known by.
CREATE TABLE approvers (
    name        TEXT PRIMARY KEY,
    handle      BLOB NOT NULL UNIQUE,
    added_ms    INTEGER NOT NULL
) STRICT;

CREATE TABLE approver_keys (
    id          TEXT PRIMARY KEY,
    approver    TEXT NOT NULL REFERENCES approvers (name) ON DELETE CASCADE,
    kind        TEXT NOT NULL,
    algorithm   INTEGER NOT NULL,
    public      BLOB NOT NULL,
    label       TEXT NOT NULL,
    added_ms    INTEGER NOT NULL,
    used_ms     INTEGER,
    counter     INTEGER NOT NULL
) STRICT;
CREATE INDEX approver_keys_approver ON approver_keys (approver);

-- The inbox lists what waits by its group.
CREATE INDEX holds_waiting ON holds (crisis, class, created_ms) WHERE state = 'pending';
