package sqlstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/shuin/shuin/audit"
)

// checkpointFile is the small file beside the database that holds the log's
// newest checkpoint, so that a database that was put back is noticed. It is
// written in place after each commit, one write of one length: a process that
// is killed leaves the old or the new one, and a machine that stops leaves
// one that is at worst too old, which is no contradiction. So nothing is
// synced but its creation.
type checkpointFile struct {
	path string
	f    *os.File // nil: there is none to keep
}

// checkpointLength is what the file is filled up to with empty lines.
const checkpointLength = 512

// openCheckpoint opens the file and reads it. found is false when there is
// no file yet, or one of length 0 that was never written to.
func openCheckpoint(path string) (file checkpointFile, c audit.Checkpoint, found bool, err error) {
	if path == "" {
		return checkpointFile{}, c, false, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return checkpointFile{path: path}, c, false, nil
	}
	if err != nil {
		return checkpointFile{}, c, false, err
	}
	text, err := io.ReadAll(io.LimitReader(f, checkpointLength+1))
	if err == nil && len(text) > 0 {
		found = true
		c, err = audit.ParseCheckpoint(append(bytes.TrimRight(text, "\n"), '\n'))
	}
	if err != nil {
		f.Close()
		return checkpointFile{}, c, false, fmt.Errorf("read %s: %w: bring back a copy of it; if there is none, move it away "+
			"and accept the log as it is with --accept-missing-checkpoint", path, err)
	}
	return checkpointFile{path: path, f: f}, c, found, nil
}

// create makes the file, durably, with its first content.
func (k *checkpointFile) create(c audit.Checkpoint) error {
	if k.f == nil {
		f, err := os.OpenFile(k.path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		k.f = f
		if err := f.Chmod(0o600); err != nil && runtime.GOOS != "windows" {
			return err
		}
	}
	if err := k.write(c); err != nil {
		return err
	}
	return errors.Join(k.f.Sync(), syncDir(filepath.Dir(k.path)))
}

func (k *checkpointFile) write(c audit.Checkpoint) error {
	if k.f == nil {
		return nil
	}
	text := make([]byte, checkpointLength)
	n := copy(text, c.Marshal())
	for i := n; i < len(text); i++ {
		text[i] = '\n'
	}
	if _, err := k.f.WriteAt(text, 0); err != nil {
		return fmt.Errorf("write the checkpoint: %w", err)
	}
	return nil
}

func (k *checkpointFile) close() error {
	if k.f == nil {
		return nil
	}
	return k.f.Close()
}

// checkAgainst holds the log in the database against the checkpoint that was
// read before it.
func checkAgainst(file string, known, now audit.Checkpoint, r tlog.HashReader) error {
	if known.Origin != now.Origin {
		return fmt.Errorf("%w: %s is of the log %q, and this one is named %q: is it the file of another signer, or was the name changed in the configuration?",
			ErrInconsistent, file, known.Origin, now.Origin)
	}
	if known.Size > now.Size {
		return fmt.Errorf("%w: its log has %d entries and had %d (%s): bring back the newest state of the database, its -wal file included; "+
			"if %d entries are lost for good, keep %s as evidence by moving it away, and accept the loss with --accept-missing-checkpoint",
			ErrRolledBack, now.Size, known.Size, file, known.Size-now.Size, file)
	}
	p, err := audit.ProveConsistency(known, now, r)
	if err == nil {
		err = audit.CheckConsistency(p, known, now)
	}
	if errors.Is(err, audit.ErrInconsistent) {
		return fmt.Errorf("%w: its log of %d entries does not begin with the %d entries that %s stands for: is it the database of another signer, or was it changed?",
			ErrInconsistent, now.Size, known.Size, file)
	}
	return err
}
