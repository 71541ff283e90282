package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gofrs/flock"
)

// lockData takes the data directory for this process: a server holds it while
// it runs, and so does whoever replaces the CA's keys. Two servers would make
// CRLs past each other; one that still has the old intermediate would replace
// that one's last CRL. The system gives it back when the process ends, however
// it ends. Access keys and the log need it not: the database sees to them.
func (c *config) lockData() (release func() error, err error) {
	if err := c.checkNeeds(c.serverNeeds()); err != nil {
		return nil, err
	}
	lock := flock.New(c.lockPath(), flock.SetPermissions(secretPerm))
	taken, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, invalid("make one with shuind ca init, or bring one with shuind ca import", "there is no certificate authority: %w", err)
	case err != nil:
		return nil, fmt.Errorf("lock the data directory: %w", err)
	case !taken:
		return nil, invalid("stop the server, or wait for the other command", "%s is in use by another shuind", c.Data)
	}
	return lock.Close, nil
}

func (c *config) lockPath() string { return filepath.Join(c.Data, "lock") }
