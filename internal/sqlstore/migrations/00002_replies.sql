-- +goose Up

-- Replies are found by their key in the memory of the process that writes
-- (replies.go). An index on the disk has its keys in random order: a page of
-- it was written for each signature.
CREATE TABLE replies_kept (
	seq      INTEGER PRIMARY KEY,
	key      BLOB NOT NULL,
	created  INTEGER NOT NULL,
	job      TEXT NOT NULL, -- ARN
	envelope BLOB NOT NULL
) STRICT;
INSERT INTO replies_kept (seq, key, created, job, envelope) SELECT seq, key, created, job, envelope FROM replies ORDER BY seq;
DROP TABLE replies;
ALTER TABLE replies_kept RENAME TO replies;
