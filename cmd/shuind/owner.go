package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// need is what this process does with a path of the data directory.
type need struct {
	path string
	may  uint32
}

// storeNeeds are what the database needs; serverNeeds what a server and the
// ceremonies with the CA's keys need beside that.
func (c *config) storeNeeds() []need {
	data := func(name string) string { return filepath.Join(c.Data, name) }
	return []need{
		{c.Data, mayRead | mayWrite | mayEnter},
		{data("shuin.db"), mayRead | mayWrite}, {data("shuin.db-wal"), mayRead | mayWrite}, {data("shuin.db-shm"), mayRead | mayWrite},
		{c.checkpointPath(), mayRead | mayWrite},
	}
}

func (c *config) serverNeeds() []need {
	ca := c.caFiles()
	return append(c.storeNeeds(),
		need{c.lockPath(), mayRead},
		need{ca.dir, mayRead | mayEnter}, need{ca.root(), mayRead}, need{ca.intermediate(), mayRead}, need{ca.intermediateKey(), mayRead},
		need{c.CRL.Directory, mayRead | mayWrite | mayEnter},
	)
}

// checkNeeds names all that another user made, most often root by sudo: one
// "permission denied" after the other, or SQLite's "unable to open", tells
// neither whose it is nor what to do.
func (c *config) checkNeeds(needs []need) error {
	var faults []string
	for i, n := range needs {
		if !denied(n.path, n.may) {
			continue
		}
		faults = append(faults, described(n.path))
		if i == 0 {
			break // nothing below can be looked at
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return invalid(c.ownerHint(), "the user %s may not use %s", systemUser(os.Geteuid()), strings.Join(faults, ", "))
}

func described(path string) string {
	uid, mode, known := owner(path)
	if !known {
		return path
	}
	return fmt.Sprintf("%s (it belongs to %s, mode %04o)", path, systemUser(uid), mode)
}

// ownerHint is the way out, for all files at once.
func (c *config) ownerHint() string {
	dirs := c.Data
	if rel, err := filepath.Rel(c.Data, c.CRL.Directory); err != nil || strings.HasPrefix(rel, "..") {
		dirs += " " + c.CRL.Directory
	}
	return fmt.Sprintf("give all of it to the user that runs the server (chown -R USER %s; its owner needs u+rwX), and run every shuind command as that user (sudo -u USER shuind …)", dirs)
}

// deniedHint is for a file that an error names and this process may not use.
func deniedHint(err error) string {
	path, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	at := path.Path
	for { // the first one upwards that can be looked at
		if _, _, known := owner(at); known {
			return fmt.Sprintf("this process is of the user %s: %s; change the owner or the permissions, or run it as that user", systemUser(os.Geteuid()), described(at))
		}
		up := filepath.Dir(at)
		if up == at {
			return ""
		}
		at = up
	}
}
