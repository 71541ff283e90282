-- +goose Up

-- What was decided and told, by each watcher for itself: the owner is who
-- watches, '' this server. Times are microseconds since 1970-01-01T00:00:00Z.

CREATE TABLE claims_2 (
	owner   TEXT NOT NULL,
	key     TEXT NOT NULL,
	done    INTEGER,          -- the newest version that is; NULL: none
	at      INTEGER NOT NULL, -- when it was done, or claimed
	token   TEXT NOT NULL,    -- of who holds a claim; '': nobody
	held    INTEGER NOT NULL, -- the version that is held
	until   INTEGER NOT NULL,
	PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
INSERT INTO claims_2 SELECT '', key, done, at, token, held, until FROM claims;
DROP TABLE claims;
ALTER TABLE claims_2 RENAME TO claims;
CREATE INDEX claims_at ON claims (owner, at);

CREATE TABLE tellings_2 (
	owner   TEXT NOT NULL,
	id      TEXT NOT NULL,
	state   TEXT NOT NULL,
	whom    TEXT NOT NULL,
	image   TEXT NOT NULL,
	seen    INTEGER NOT NULL,
	told    INTEGER,          -- NULL: it was not
	until   INTEGER NOT NULL, -- while somebody has the turn to tell it; 0: nobody
	PRIMARY KEY (owner, id, state, whom)
) STRICT, WITHOUT ROWID;
INSERT INTO tellings_2 SELECT '', id, state, whom, image, seen, told, until FROM tellings;
DROP TABLE tellings;
ALTER TABLE tellings_2 RENAME TO tellings;
CREATE INDEX tellings_seen ON tellings (owner, seen);

CREATE TABLE counts_2 (
	owner   TEXT NOT NULL,
	name    TEXT NOT NULL,
	n       INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
INSERT INTO counts_2 SELECT '', name, n, expires FROM counts;
DROP TABLE counts;
ALTER TABLE counts_2 RENAME TO counts;
CREATE INDEX counts_expire ON counts (owner, expires);

-- What is in use under a name, and since when; NULL: ever.
CREATE TABLE in_use_2 (
	owner TEXT NOT NULL,
	name  TEXT NOT NULL,
	value TEXT NOT NULL,
	since INTEGER,
	PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
INSERT INTO in_use_2 SELECT '', name, value, since FROM in_use;
DROP TABLE in_use;
ALTER TABLE in_use_2 RENAME TO in_use;

-- What was answered to a change, for who asks again because the answer got
-- lost. at is by this server's clock.
CREATE TABLE answers (
	owner  TEXT NOT NULL,
	once   TEXT NOT NULL, -- the call's name
	answer TEXT NOT NULL,
	at     INTEGER NOT NULL,
	PRIMARY KEY (owner, once)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_at ON answers (at);

-- How many claims and tellings each owner has.
CREATE TABLE owned (
	owner TEXT NOT NULL,
	what  TEXT NOT NULL, -- claims, tellings
	rows  INTEGER NOT NULL,
	PRIMARY KEY (owner, what)
) STRICT, WITHOUT ROWID;
INSERT INTO owned SELECT owner, 'claims', count(*) FROM claims GROUP BY owner;
INSERT INTO owned SELECT owner, 'tellings', count(*) FROM tellings GROUP BY owner;

-- +goose StatementBegin
CREATE TRIGGER claims_come AFTER INSERT ON claims
BEGIN
	INSERT INTO owned (owner, what, rows) VALUES (new.owner, 'claims', 1) ON CONFLICT (owner, what) DO UPDATE SET rows = rows + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER claims_go AFTER DELETE ON claims
BEGIN
	UPDATE owned SET rows = rows - 1 WHERE owner = old.owner AND what = 'claims';
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tellings_come AFTER INSERT ON tellings
BEGIN
	INSERT INTO owned (owner, what, rows) VALUES (new.owner, 'tellings', 1) ON CONFLICT (owner, what) DO UPDATE SET rows = rows + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tellings_go AFTER DELETE ON tellings
BEGIN
	UPDATE owned SET rows = rows - 1 WHERE owner = old.owner AND what = 'tellings';
END;
-- +goose StatementEnd
