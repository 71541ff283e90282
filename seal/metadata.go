package seal

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// The signed metadata of a seal. All begin with Prefix, which is not for the
// user's own.
const (
	Prefix                = "shuin."
	MetadataStage         = shuin.MetadataStage
	MetadataCommand       = "shuin.command"
	MetadataCommandSHA256 = "shuin.command-sha256" // of the whole command, where it was cut
	MetadataExitStatus    = "shuin.exit-status"    // always "0"
	MetadataStarted       = "shuin.started"        // RFC 3339, UTC
	MetadataDuration      = "shuin.duration"       // as Go writes it: 1m2.5s
	MetadataCommit        = "shuin.commit"
	MetadataRun           = "shuin.run"     // address of the CI run
	MetadataTool          = "shuin.tool"    // what ran the command
	MetadataSubject       = "shuin.subject" // what evidence from before the push was bound to
)

// Metadata is e and the user's own metadata as they are signed. subject is what
// the evidence was bound to before the push, empty for evidence of the artifact
// itself. size gives the bytes of the payload that would be signed with a
// metadata; they stay within limits.SignPayload, which is what signing
// services take: the command is cut for it, visibly, and nothing else.
func (e Evidence) Metadata(subject string, user map[string]string, size func(map[string]string) (int, error)) (map[string]string, error) {
	if err := e.Check(); err != nil {
		return nil, &shuin.Error{Code: codeOr(err, shuin.CodeInvalidInput), Err: err}
	}
	if err := CheckUserMetadata(user); err != nil {
		return nil, err
	}
	m := e.plain(subject)
	maps.Copy(m, user)
	n, err := size(m)
	if err != nil {
		return nil, err
	}
	if n > limits.SignPayload {
		return nil, tooLarge(e.Stage, m, n)
	}
	return e.withCommand(m, size)
}

// CheckUserMetadata refuses keys that are a seal's own.
func CheckUserMetadata(user map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(user)) {
		if strings.HasPrefix(k, Prefix) {
			return &shuin.Error{Code: shuin.CodeInvalidInput,
				Message: fmt.Sprintf("user metadata %q: keys that begin with %q are the seal's own", k, Prefix),
				Hint:    "use another key"}
		}
	}
	return nil
}

// plain is everything but the command.
func (e Evidence) plain(subject string) map[string]string {
	m := map[string]string{MetadataStage: e.Stage}
	if e.Ran {
		m[MetadataExitStatus] = "0"
		m[MetadataStarted] = e.Started.UTC().Format(time.RFC3339)
		m[MetadataDuration] = e.Duration.Round(time.Millisecond).String()
	}
	for k, v := range map[string]string{MetadataCommit: e.Commit, MetadataRun: e.Run, MetadataTool: e.Tool, MetadataSubject: subject} {
		if v != "" {
			m[k] = v
		}
	}
	return m
}

// withCommand adds as much of the command as there is room for.
func (e Evidence) withCommand(m map[string]string, size func(map[string]string) (int, error)) (map[string]string, error) {
	if e.Command == (Command{}) {
		return m, nil
	}
	fits := func(c Command) (map[string]string, bool, error) {
		with := maps.Clone(m)
		if c.Text != "" {
			with[MetadataCommand] = c.Text
		}
		if c.SHA256 != "" {
			with[MetadataCommandSHA256] = c.SHA256
		}
		n, err := size(with)
		return with, n <= limits.SignPayload, err
	}
	longest := min(len(e.Command.Text), limits.SealCommandBytes)
	if longest == len(e.Command.Text) {
		if with, ok, err := fits(e.Command); ok || err != nil {
			return with, err
		}
	}
	// The first length that does not fit; the text is longer in JSON than here.
	var failed error
	n := sort.Search(longest, func(n int) bool {
		_, ok, err := fits(e.Command.cut(n + 1))
		if err != nil {
			failed = err
		}
		return err != nil || !ok
	})
	if failed != nil {
		return nil, failed
	}
	with, ok, err := fits(e.Command.cut(n))
	if err == nil && !ok {
		size, _ := size(with)
		return nil, tooLarge(e.Stage, with, size)
	}
	return with, err
}

// tooLarge names what takes the room.
func tooLarge(stage string, m map[string]string, n int) error {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if d := len(b) + len(m[b]) - len(a) - len(m[a]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, k := range keys[:min(3, len(keys))] {
		parts = append(parts, fmt.Sprintf("%s (%d bytes)", k, len(m[k])))
	}
	return &shuin.Error{Code: shuin.CodeLimit,
		Message: fmt.Sprintf("the seal of stage %s would sign %d bytes, and signing services take at most %d (limit SignPayload); the largest metadata: %s",
			stage, n, limits.SignPayload, strings.Join(parts, ", ")),
		Hint: "shorten the user metadata, or leave some of it out"}
}

func codeOr(err error, code shuin.Code) shuin.Code {
	if c := shuin.CodeOf(err); c != shuin.CodeInternal {
		return c
	}
	return code
}
