-- +goose Up

-- Times are microseconds since 1970-01-01T00:00:00Z.

-- Findings as they were told: watch.Kept.
CREATE TABLE findings (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order they were first told
	cluster TEXT NOT NULL,
	id      TEXT NOT NULL,
	state   TEXT NOT NULL,
	kind    TEXT NOT NULL,
	rule    TEXT NOT NULL,
	account TEXT NOT NULL,
	outcome TEXT NOT NULL,
	first   INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	over    INTEGER,          -- NULL: it was never told to be over
	because TEXT NOT NULL,
	open    INTEGER NOT NULL,
	told    INTEGER NOT NULL,
	by      TEXT NOT NULL,
	finding TEXT NOT NULL,    -- JSON, application/vnd.shuin.finding.v1+json
	UNIQUE (cluster, id, state)
) STRICT;

CREATE INDEX findings_open ON findings (open, outcome);
CREATE INDEX findings_leave ON findings (open, told);
-- All that is asked for, in the order of pages, without the findings themselves.
CREATE INDEX findings_scan ON findings (seq, open, told, cluster, id, kind, rule, account);

-- How much there is.
CREATE TABLE totals (
	id    INTEGER PRIMARY KEY CHECK (id = 1),
	rows  INTEGER NOT NULL,
	bytes INTEGER NOT NULL
) STRICT;
INSERT INTO totals (id, rows, bytes) VALUES (1, 0, 0);

-- +goose StatementBegin
CREATE TRIGGER findings_come AFTER INSERT ON findings
BEGIN
	UPDATE totals SET rows = rows + 1, bytes = bytes + length(CAST(new.finding AS BLOB)) WHERE id = 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER findings_change AFTER UPDATE OF finding ON findings
BEGIN
	UPDATE totals SET bytes = bytes + length(CAST(new.finding AS BLOB)) - length(CAST(old.finding AS BLOB)) WHERE id = 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER findings_go AFTER DELETE ON findings
BEGIN
	UPDATE totals SET rows = rows - 1, bytes = bytes - length(CAST(old.finding AS BLOB)) WHERE id = 1;
END;
-- +goose StatementEnd

-- What was decided and told by this server's own watching: watch.Store.
CREATE TABLE claims (
	key     TEXT PRIMARY KEY,
	done    INTEGER,          -- the newest version that is; NULL: none
	at      INTEGER NOT NULL, -- when it was done, or claimed
	token   TEXT NOT NULL,    -- of who holds a claim; '': nobody
	held    INTEGER NOT NULL, -- the version that is held
	until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_at ON claims (at);

CREATE TABLE tellings (
	id      TEXT NOT NULL,
	state   TEXT NOT NULL,
	whom    TEXT NOT NULL,
	image   TEXT NOT NULL,
	seen    INTEGER NOT NULL,
	told    INTEGER,          -- NULL: it was not
	until   INTEGER NOT NULL, -- while somebody has the turn to tell it; 0: nobody
	PRIMARY KEY (id, state, whom)
) STRICT, WITHOUT ROWID;
CREATE INDEX tellings_seen ON tellings (seen);

CREATE TABLE counts (
	name    TEXT PRIMARY KEY,
	n       INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX counts_expire ON counts (expires);

-- What is in use under a name, and since when; NULL: ever.
CREATE TABLE in_use (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL,
	since INTEGER
) STRICT, WITHOUT ROWID;

-- While there is a row, reactions are off.
CREATE TABLE reactions_off (
	because TEXT NOT NULL
) STRICT;
