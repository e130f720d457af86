-- Policies that somebody has written and nobody has put in force yet.
CREATE TABLE drafts (
    name        TEXT PRIMARY KEY,
    text        TEXT NOT NULL,
    -- SHA-256 of the file it was written against.
    base        TEXT NOT NULL,
    saved_by    TEXT NOT NULL,
    at_ms       INTEGER NOT NULL
) STRICT;
