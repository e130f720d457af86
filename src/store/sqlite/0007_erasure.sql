-- One salt to a day: once it is gone, nobody can tell any more which arguments the digests of that day stand for.
CREATE TABLE salts (
    day         INTEGER PRIMARY KEY,
    salt        BLOB NOT NULL
) STRICT;
