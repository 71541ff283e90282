-- +goose Up

-- Signing certificates that operators imported with their keys. A deleted one
-- stays for the chain of what it signed, without its key.
CREATE TABLE certificates (
	seq        INTEGER PRIMARY KEY,
	arn        TEXT NOT NULL UNIQUE,
	chain      BLOB NOT NULL,    -- DER certificates, each after its length
	ids        TEXT NOT NULL,    -- certificate ids of the chain, one a line
	sealed_key BLOB NOT NULL,
	not_before INTEGER NOT NULL, -- of the whole chain
	not_after  INTEGER NOT NULL,
	imported   INTEGER NOT NULL,
	deleted    INTEGER           -- NULL: not
) STRICT;

-- ARN of the imported certificate that signs; empty: the signer makes its own.
ALTER TABLE profiles ADD COLUMN certificate TEXT NOT NULL DEFAULT '';

-- ARN of the imported certificate that signed.
ALTER TABLE jobs ADD COLUMN certificate TEXT NOT NULL DEFAULT '';
