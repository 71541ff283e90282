package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// name is a notifier's: what it was given, else its kind and a hash of what
// tells it from others of the kind.
func name(given, kind, distinct string) string {
	if given != "" {
		return given
	}
	sum := sha256.Sum256([]byte(distinct))
	return kind + "-" + hex.EncodeToString(sum[:6])
}

// CheckName refuses what cannot be a notifier's name (see watch.Notifier).
func CheckName(s string) error {
	if s == "" || len(s) > limits.WatchNameBytes || strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}) {
		return &shuin.Error{
			Code: shuin.CodeInvalidInput, Message: "a notifier's name is wrong",
			Hint: fmt.Sprintf("use 1 to %d letters, digits, \"-\", \"_\" and \".\"", limits.WatchNameBytes),
		}
	}
	return nil
}

// body is the finding as it is sent, media type watch.MediaTypeFinding.
func body(f watch.Finding) ([]byte, error) {
	data, err := json.Marshal(f)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInternal, Message: "write a finding as JSON", Err: err}
	}
	if len(data) > limits.NotifyDetailBytes {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("a finding has %d bytes (limit NotifyDetailBytes)", len(data))}
	}
	return data, nil
}

// subject is the finding in one line of printable ASCII, no longer than SNS
// takes it as a subject.
func subject(f watch.Finding) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, "Shuin: "+strings.ReplaceAll(f.Line(), "…", "..."))
	if len(s) > limits.NotifySubject {
		s = s[:limits.NotifySubject-3] + "..."
	}
	return strings.TrimSpace(s)
}

func status(f watch.Finding) string {
	if f.Resolved {
		return "resolved"
	}
	return "open"
}

// message is the finding for people, in a few lines. What comes from outside
// is escaped: it neither calls everybody nor hides a link.
func message(f watch.Finding) string {
	var b strings.Builder
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s%s\n", label, escape(awscall.Printable(text, limits.NotifyChatBytes)))
		}
	}
	head := map[bool]string{true: "RESOLVED", false: strings.ToUpper(string(f.Severity))}[f.Resolved]
	if f.Reminder {
		head += " (reminder)"
	}
	where := f.Subject.Group
	if where == "" {
		where = f.Subject.ARN
	}
	if f.Subject.Cluster != "" {
		where += ", cluster " + f.Subject.Cluster
	}
	if f.Subject.Account != "" {
		where += ", account " + f.Subject.Account
	}
	if f.Subject.Region != "" {
		where += ", " + f.Subject.Region
	}
	line(head+": ", what(f)+": "+where)
	line("container: ", f.Container)
	line("image: ", f.Image)
	if !strings.HasSuffix(f.Image, string(f.Digest)) {
		line("digest: ", string(f.Digest))
	}
	line("missing stages: ", strings.Join(f.Missing, ", "))
	if a := f.Signer; a != nil {
		line("signing profile: ", a.Profile)
		line("done by: ", a.Principal)
	}
	reason := f.Message
	if f.Code != "" {
		reason += " (" + string(f.Code) + ")"
	}
	line("why: ", reason)
	line("what to do: ", f.Hint)
	line("subject: ", f.Subject.ARN)
	line("finding: ", f.ID)
	return shorten(strings.TrimSuffix(b.String(), "\n"), limits.NotifyChatBytes)
}

// what says in a few words what the finding is of.
func what(f watch.Finding) string {
	switch {
	case f.Kind == watch.NotAdmitted && f.Resolved:
		return "image is in order"
	case f.Kind == watch.NotAdmitted && f.Outcome.String() == "undecided":
		return "image could not be checked"
	case f.Kind == watch.NotAdmitted && f.Mode.String() != "enforce":
		return "image would not be admitted"
	case f.Kind == watch.NotAdmitted:
		return "image is not admitted"
	}
	return strings.ReplaceAll(string(f.Kind), "-", " ")
}

// shorten cuts s to at most n bytes.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
