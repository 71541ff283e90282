package main

import (
	"bytes"
	"path/filepath"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
)

func (c *config) checkpointPath() string { return filepath.Join(c.Data, "checkpoint") }

// newOrigin is what a new log is named after: checkpoints of two logs that have
// one name would contradict each other.
func (c *config) newOrigin() string { return c.hostname() + "/log" }

// origin is the log's name: as configured, else as the log there is was named
// when it was made, whatever the server is called now.
func (c *config) origin() string {
	if c.Checkpoint.Origin != "" {
		return c.Checkpoint.Origin
	}
	if kept, found := c.keptOrigin(); found {
		return kept
	}
	return c.newOrigin()
}

// keptOrigin is the name in the checkpoint beside the database: its first
// line, which never changes, whatever a server writes into the others
// meanwhile. What is wrong with that file is said when the database is opened.
func (c *config) keptOrigin() (origin string, found bool) {
	text, err := readFile(c.checkpointPath(), checkpointBytes, "checkpointBytes")
	if err != nil {
		return "", false
	}
	line, _, whole := bytes.Cut(text, []byte("\n"))
	return string(line), whole && audit.ValidOrigin(string(line))
}

// checkpointBytes is more than a checkpoint has, the file's filling included.
const checkpointBytes = limits.LogOriginBytes + 1024

// checkOrigin refuses a configured name that is not the log's: a log keeps its
// name, and a checkpoint with another one is another log's.
func (c *config) checkOrigin() error {
	kept, found := c.keptOrigin()
	if found && kept != c.origin() {
		return invalid("leave checkpoint.origin out, or write the log's name; if another signer's file is there, put this one's in its place",
			"checkpoint.origin is %q, and %s is of the log %q: a log keeps the name it was made with", c.origin(), c.checkpointPath(), kept)
	}
	return nil
}
