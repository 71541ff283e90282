// Package seal knows what a seal says beside the artifact: the stage it is for
// and the evidence that the stage's work succeeded, as signed metadata, and the
// evidence file that carries it from before the push to after it.
//
// It runs no command, reads no file and signs nothing. Evidence is a claim of
// whoever may sign for the stage: its checksum catches damage and careless
// edits, not an attacker who may run the same command.
package seal

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Evidence says which stage an image passed, and by what.
type Evidence struct {
	Stage string
	// Ran: a command was run for the stage, and its exit status was 0. What is
	// not 0 is no evidence.
	Ran      bool
	Command  Command       // zero: not told
	Started  time.Time     // of the command
	Duration time.Duration // of the command
	Commit   string        // of the source; empty: not known
	Run      string        // address of the CI run; empty: not known
	Tool     string        // "shuin/v1.2.3"
}

// A command runs for at most mostRun; longestRun is a duration in it that takes
// the most letters to tell, to the millisecond.
const (
	mostRun    = 366 * 24 * time.Hour
	longestRun = 8783*time.Hour + 59*time.Minute + 59*time.Second + 999*time.Millisecond
)

// Ended is when the command ended.
func (e Evidence) Ended() time.Time { return e.Started.Add(e.Duration) }

// Check says why e cannot be evidence.
func (e Evidence) Check() error {
	if err := CheckStage(e.Stage); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{"commit", e.Commit}, {"run", e.Run}, {"tool", e.Tool}} {
		if err := checkField(f.name, f.value); err != nil {
			return err
		}
	}
	if !e.Ran {
		if e.Command != (Command{}) || !e.Started.IsZero() || e.Duration != 0 {
			return fmt.Errorf("stage %s: a command is told of, and none was run", e.Stage)
		}
		return nil
	}
	if y := e.Started.UTC().Year(); y < 2000 || y > 9999 {
		return fmt.Errorf("stage %s: the command was not started in the year %d", e.Stage, y)
	}
	if e.Duration < 0 || e.Duration > mostRun {
		return fmt.Errorf("stage %s: no command runs for %s", e.Stage, e.Duration)
	}
	return e.Command.check(e.Stage)
}

// Longest is e with the most that it can say once argv was run: what it takes to
// know beforehand whether [Evidence.Metadata] has room. Without argv the command
// is not told of.
func (e Evidence) Longest(argv []string) Evidence {
	e.Ran, e.Started, e.Duration = true, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), longestRun
	if argv != nil {
		e.Command = NewCommand(argv)
	}
	return e
}

// CheckAge refuses evidence whose command ended longer than max ago, or that is
// from a time to come by more than a clock may be wrong.
func (e Evidence) CheckAge(now time.Time, max time.Duration) error {
	age := now.Sub(e.Ended())
	switch {
	case age < -limits.ClockSkew:
		return fmt.Errorf("evidence of stage %s is from %s, which is to come", e.Stage, e.Ended().UTC().Format(time.RFC3339))
	case age > max:
		return fmt.Errorf("evidence of stage %s is %s old, more than %s", e.Stage, age.Truncate(time.Second), max)
	}
	return nil
}

// Common is what all of the evidence says, from the first start to the last end:
// for an index all of whose platforms have evidence of the same stage.
func Common(all []Evidence) Evidence {
	if len(all) == 0 {
		return Evidence{}
	}
	c := all[0]
	for _, e := range all[1:] {
		if e.Command != c.Command {
			c.Command = Command{}
		}
		ended := c.Ended()
		if e.Ended().After(ended) {
			ended = e.Ended()
		}
		if e.Started.Before(c.Started) {
			c.Started = e.Started
		}
		c.Duration = ended.Sub(c.Started)
		c.Ran = c.Ran && e.Ran
		c.Commit, c.Run, c.Tool = same(c.Commit, e.Commit), same(c.Run, e.Run), same(c.Tool, e.Tool)
	}
	return c
}

func same(a, b string) string {
	if a == b {
		return a
	}
	return ""
}

// CheckStage says why name cannot be a stage's. The rule is that of pipeline
// policies: a seal of a stage that no policy can have would count for nothing.
func CheckStage(name string) error {
	bad := name == "" || len(name) > limits.PolicyStageBytes || strings.ContainsAny(name[:1]+name[len(name)-1:], "-_.") ||
		strings.ContainsFunc(name, func(r rune) bool {
			return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
		})
	if bad {
		return fmt.Errorf("%q cannot name a stage: it takes 1 to %d lower-case letters, digits, dashes, underscores and dots, with a letter or digit at both ends",
			name, limits.PolicyStageBytes)
	}
	return nil
}

func checkField(name, value string) error {
	switch {
	case len(value) > limits.SealFieldBytes:
		return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("%s has %d bytes, more than %d", name, len(value), limits.SealFieldBytes)}
	case !graphic(value):
		return fmt.Errorf("%s %q has characters that are not seen", name, value)
	}
	return nil
}

// graphic reports whether s is UTF-8 and all of it is seen.
func graphic(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}
