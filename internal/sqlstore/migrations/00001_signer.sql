-- +goose Up

-- Times are microseconds since 1970-01-01T00:00:00Z.

-- The log. A row holds the leaf and the hashes that its record completes
-- (32 bytes each, its own first: hash l is the root of the subtree of 2^l
-- records that ends here).
CREATE TABLE entries (
	idx    INTEGER PRIMARY KEY,
	leaf   BLOB NOT NULL,
	hashes BLOB NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN
	SELECT RAISE(ABORT, 'the log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_stay_as_they_are BEFORE UPDATE ON entries
BEGIN
	SELECT RAISE(ABORT, 'the log is append-only');
END;
-- +goose StatementEnd

-- The latest signing time ever given out; NULL: none yet.
CREATE TABLE clock (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	us INTEGER
) STRICT;
INSERT INTO clock (id, us) VALUES (1, NULL);

-- The latest date of a principal's requests that was ahead of the clock.
CREATE TABLE request_clocks (
	principal TEXT PRIMARY KEY,
	us        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- name_key is the name in lower case: names are unique ignoring case.
CREATE TABLE profiles (
	seq              INTEGER PRIMARY KEY,
	account          TEXT NOT NULL,
	name_key         TEXT NOT NULL,
	version          TEXT NOT NULL,
	name             TEXT NOT NULL,
	partition        TEXT NOT NULL,
	region           TEXT NOT NULL,
	kind             TEXT NOT NULL,
	validity_value   INTEGER NOT NULL,
	validity_type    TEXT NOT NULL,
	parameters       TEXT NOT NULL, -- JSON object
	status           TEXT NOT NULL,
	reason           TEXT NOT NULL,
	created          INTEGER NOT NULL,
	status_by        TEXT NOT NULL,
	status_at        INTEGER NOT NULL,
	current          INTEGER NOT NULL,
	revoked_from     INTEGER,       -- these four: NULL when not revoked
	revoked_at       INTEGER,
	revoked_by       TEXT,
	revoked_reason   TEXT,
	UNIQUE (account, name_key, version)
) STRICT;
CREATE UNIQUE INDEX profiles_current ON profiles (account, name_key) WHERE current = 1;

-- What belongs to a profile and not to a version of it.
CREATE TABLE profile_names (
	account     TEXT NOT NULL,
	name_key    TEXT NOT NULL,
	tags        TEXT NOT NULL DEFAULT '{}', -- JSON object
	revision    TEXT NOT NULL DEFAULT '',
	permissions TEXT NOT NULL DEFAULT '[]', -- JSON array
	PRIMARY KEY (account, name_key)
) STRICT, WITHOUT ROWID;

-- One row for each signature: few indexes, each is paid at every signature.
CREATE TABLE jobs (
	seq             INTEGER PRIMARY KEY,
	account         TEXT NOT NULL,
	id              TEXT NOT NULL,
	partition       TEXT NOT NULL,
	region          TEXT NOT NULL,
	profile         TEXT NOT NULL, -- ARN of its version
	kind            TEXT NOT NULL,
	requested_by    TEXT NOT NULL,
	invoker         TEXT NOT NULL,
	created         INTEGER NOT NULL,
	completed       INTEGER NOT NULL,
	signed_at       INTEGER NOT NULL,
	expires         INTEGER NOT NULL,
	status          TEXT NOT NULL,
	payload_sha256  TEXT NOT NULL,
	signature_input TEXT NOT NULL,
	authority       TEXT NOT NULL,
	serial          TEXT NOT NULL,
	certificate_ids TEXT NOT NULL, -- one a line
	entry           INTEGER NOT NULL,
	revoked_at      INTEGER,       -- these three: NULL when not revoked
	revoked_by      TEXT,
	revoked_reason  TEXT
) STRICT;
CREATE UNIQUE INDEX jobs_id ON jobs (id, account);
CREATE INDEX jobs_newest ON jobs (account, created);
CREATE INDEX jobs_asked ON jobs (account, requested_by, created);
CREATE INDEX jobs_foreign ON jobs (account, invoker, created) WHERE invoker <> account;
CREATE INDEX jobs_revoked ON jobs (account, created) WHERE revoked_at IS NOT NULL;

-- key is SHA-256 of principal, invocation id and body hash. Rows go in the
-- order they came, so their age needs no index.
CREATE TABLE replies (
	seq      INTEGER PRIMARY KEY,
	key      BLOB NOT NULL UNIQUE,
	created  INTEGER NOT NULL,
	job      TEXT NOT NULL, -- ARN
	envelope BLOB NOT NULL
) STRICT;

CREATE TABLE authorities (
	seq             INTEGER PRIMARY KEY,
	id              TEXT NOT NULL UNIQUE,
	profile         TEXT NOT NULL, -- ARN of its version; empty: the intermediate
	chain           BLOB NOT NULL, -- DER certificates, each after its length
	sealed_key      BLOB NOT NULL,
	not_before      INTEGER NOT NULL,
	not_after       INTEGER NOT NULL,
	crl_number      INTEGER NOT NULL,
	crl_next        INTEGER NOT NULL,
	revoked_at      INTEGER,       -- these two: NULL when not revoked
	revoked_invalid INTEGER,
	crl             BLOB NOT NULL
) STRICT;
CREATE INDEX authorities_profile ON authorities (profile);

CREATE TABLE revoked_certificates (
	seq       INTEGER PRIMARY KEY,
	authority TEXT NOT NULL REFERENCES authorities (id),
	serial    TEXT NOT NULL,
	at        INTEGER NOT NULL,
	job       TEXT NOT NULL,
	UNIQUE (authority, serial)
) STRICT;

CREATE TABLE revoked_ids (
	id TEXT PRIMARY KEY,
	at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
	access_key_id TEXT PRIMARY KEY,
	sealed_secret BLOB NOT NULL,
	account       TEXT NOT NULL,
	principal     TEXT NOT NULL,
	actions       TEXT NOT NULL, -- JSON array
	profiles      TEXT NOT NULL, -- JSON array
	created       INTEGER NOT NULL,
	expires       INTEGER NOT NULL,
	disabled      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
