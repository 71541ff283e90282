package watch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

var (
	outcomeNames = [...]string{pipeline.Admit: "admit", pipeline.Deny: "deny", pipeline.Undecided: "undecided"}
	modeNames    = [...]string{pipeline.Enforce: "enforce", pipeline.Warn: "warn", pipeline.Audit: "audit"}
)

func outcomeName(o pipeline.Outcome) string {
	if int(o) < len(outcomeNames) && outcomeNames[o] != "" {
		return outcomeNames[o]
	}
	return "invalid"
}

func modeName(m pipeline.Mode) string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "invalid"
}

// The values of status.
const (
	statusOpen     = "open"
	statusResolved = "resolved"
)

// The form of a finding as JSON. Times are RFC 3339 in UTC. What does not
// apply is left out; texts hold no control characters.
type (
	findingJSON struct {
		MediaType  string          `json:"mediaType"`
		ID         string          `json:"id"`
		State      digest.Digest   `json:"state"`
		Kind       Kind            `json:"kind"`
		Severity   Severity        `json:"severity"`
		Status     string          `json:"status"`         // open, resolved
		Ends       []digest.Digest `json:"ends,omitempty"` // where resolved: the states that are over
		Reminder   bool            `json:"reminder,omitempty"`
		Outcome    string          `json:"outcome"` // deny, undecided; admit where resolved
		Mode       string          `json:"mode,omitempty"`
		Rule       string          `json:"rule,omitempty"`
		Policy     digest.Digest   `json:"policy,omitempty"`
		Time       time.Time       `json:"time"`
		At         *time.Time      `json:"at,omitempty"`
		Phase      Phase           `json:"phase,omitempty"`
		Event      string          `json:"event,omitempty"`
		By         string          `json:"by,omitempty"`
		Subject    subjectJSON     `json:"subject"`
		Container  string          `json:"container,omitempty"`
		Image      string          `json:"image,omitempty"`
		Repository string          `json:"repository,omitempty"`
		Digest     digest.Digest   `json:"digest,omitempty"`
		Running    digest.Digest   `json:"running,omitempty"`
		Missing    []string        `json:"missingStages,omitempty"`
		Signer     *signerJSON     `json:"signer,omitempty"`
		Reason     reasonJSON      `json:"reason"`
	}
	subjectJSON struct {
		Kind           SubjectKind `json:"kind"`
		ARN            string      `json:"arn"`
		Account        string      `json:"account,omitempty"`
		Region         string      `json:"region,omitempty"`
		Cluster        string      `json:"cluster,omitempty"`
		Group          string      `json:"group,omitempty"`
		TaskDefinition string      `json:"taskDefinition,omitempty"`
		StartedBy      string      `json:"startedBy,omitempty"`
	}
	signerJSON struct {
		Action    string   `json:"action"`
		Profile   string   `json:"profile,omitempty"`
		Stages    []string `json:"stages,omitempty"`
		Principal string   `json:"principal,omitempty"`
		Session   string   `json:"session,omitempty"`
		InvokedBy string   `json:"invokedBy,omitempty"`
		Job       string   `json:"job,omitempty"`
		Refused   string   `json:"refused,omitempty"`
	}
	reasonJSON struct {
		Code    shuin.Code `json:"code,omitempty"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	}
)

// MarshalJSON writes the versioned form, media type [MediaTypeFinding]:
// docs/design/watch.md has its shape. Every notifier sends exactly this.
func (f Finding) MarshalJSON() ([]byte, error) {
	clean := func(s string) string { return oneLine(s, limits.WatchARNBytes) }
	s := f.Subject
	out := findingJSON{
		MediaType: MediaTypeFinding, ID: f.ID, State: f.State, Kind: f.Kind, Severity: f.Severity, Status: statusOpen, Reminder: f.Reminder, Ends: f.Ends,
		Outcome: outcomeName(f.Outcome), Rule: clean(f.Rule), Policy: f.Policy, Time: f.Time.UTC(), Phase: f.Phase, Event: clean(f.Event), By: clean(f.By),
		Subject: subjectJSON{s.Kind, clean(s.ARN), clean(s.Account), clean(s.Region), clean(s.Cluster), clean(s.Group), clean(s.TaskDefinition), clean(s.StartedBy)},

		Container: clean(f.Container), Image: clean(f.Image), Repository: clean(f.Repository), Digest: f.Digest, Running: f.Running, Missing: f.Missing,
		Reason: reasonJSON{f.Code, oneLine(f.Message, limits.WatchMessageBytes), oneLine(f.Hint, limits.WatchHintBytes)},
	}
	if f.Resolved {
		out.Status = statusResolved
	}
	if f.Kind == NotAdmitted {
		out.Mode = modeName(f.Mode)
	}
	if !f.At.IsZero() {
		at := f.At.UTC()
		out.At = &at
	}
	if a := f.Signer; a != nil {
		out.Signer = &signerJSON{clean(a.Action), clean(a.Profile), a.Stages, clean(a.Principal), clean(a.Session), clean(a.InvokedBy), clean(a.Job), clean(a.Refused)}
	}
	return json.Marshal(out)
}

// Line is the finding in one line for people: how bad, where, what, the reason
// with its code, what to do next. It holds no control characters, whatever an
// image's or an event's maker wrote.
func (f *Finding) Line() string {
	var b strings.Builder
	switch {
	case f.Resolved:
		b.WriteString("resolved: ")
	case f.Reminder:
		b.WriteString(string(f.Severity) + ", still: ")
	default:
		b.WriteString(string(f.Severity) + ": ")
	}
	b.WriteString(f.where())
	if f.Kind == NotAdmitted {
		if f.Container != "" {
			fmt.Fprintf(&b, ", container %s", f.Container)
		}
		b.WriteString(", image " + f.Image)
		if d := f.Digest; d != "" && !strings.HasSuffix(f.Image, string(d)) {
			b.WriteString(" (" + string(d) + ")")
		}
		if !f.Resolved {
			b.WriteString(map[pipeline.Outcome]string{pipeline.Undecided: " could not be checked"}[f.Outcome])
			if f.Outcome != pipeline.Undecided {
				b.WriteString(" is not admitted")
			}
			if f.Mode != pipeline.Enforce {
				b.WriteString(" (mode " + modeName(f.Mode) + ")")
			}
		}
	}
	b.WriteString(": " + f.Message)
	if f.Code != "" {
		fmt.Fprintf(&b, " [%s]", f.Code)
	}
	if f.Hint != "" {
		b.WriteString("; " + f.Hint)
	}
	fmt.Fprintf(&b, " (finding %s)", f.ID)
	return oneLine(b.String(), limits.WatchLineBytes)
}

// where names the subject as people do.
func (f *Finding) where() string {
	s := &f.Subject
	name := s.ARN
	switch kind, rest, ok := strings.Cut(s.Group, ":"); {
	case s.Kind == Signer:
		name = "signing profile " + rest
	case ok:
		name = kind + " " + rest
	}
	if s.Kind == Task || s.Kind == TaskDefinition {
		if i := strings.LastIndexByte(s.ARN, '/'); i >= 0 && name != s.ARN {
			name = strings.ReplaceAll(string(s.Kind), "-", " ") + " " + s.ARN[i+1:] + " of " + name
		}
	}
	if s.Cluster != "" {
		name += ", cluster " + s.Cluster
	}
	if s.Account != "" {
		name += " (" + strings.TrimSpace(s.Account+" "+s.Region) + ")"
	}
	return name
}
