package watch

import (
	_ "crypto/sha512" // digests of either algorithm can be checked
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

var (
	kinds      = []Kind{NotAdmitted, WrongPrincipal, UnknownProfile, NotAdmin, RevokedBy, BothDuties, NotJudged}
	severities = []Severity{High, Medium, Low}
	phases     = []Phase{Starting, Running, Requested, Registered, Deployed, Pushed, Swept, Asked}
	running    = []SubjectKind{Task, TaskDefinition, Service, Image, Pod}

	findingID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	findingCode = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// ParseFinding reads a finding as [Finding.MarshalJSON] writes it, media type
// [MediaTypeFinding]. It is strict: unknown and repeated members, other
// spellings of their names, values that no finding has, texts with characters
// that cannot be seen and whatever is longer than it may be are refused, with
// the member. What it reads is written again as it was.
//
// The error is a *shuin.Error of the code invalid-input, or limit-exceeded.
func ParseFinding(data []byte) (Finding, error) {
	if len(data) > limits.FindingBytes {
		return Finding{}, parseLimit("it is longer than %d bytes (limit FindingBytes)", limits.FindingBytes)
	}
	var in findingJSON
	if err := json.Unmarshal(data, &in, json.RejectUnknownMembers(true)); err != nil {
		return Finding{}, parseFault("%s", unreadable(err))
	}
	for _, check := range []func(*findingJSON) error{checkWords, checkTimes, checkTexts, checkDigests, checkTogether} {
		if err := check(&in); err != nil {
			return Finding{}, err
		}
	}
	return in.finding(), nil
}

const parseHint = "docs/design/watch.md says what a finding is; one of a newer version needs a newer server"

func parseFault(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read a finding: " + fmt.Sprintf(format, args...), Hint: parseHint}
}

func parseLimit(format string, args ...any) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: "read a finding: " + fmt.Sprintf(format, args...)}
}

// shown is a wrong value for an error's text.
func shown(s string) string { return strconv.QuoteToGraphic(oneLine(s, limits.GateAPIEchoBytes)) }

// unreadable says what the decoder did not like, in words of ours: its own may
// hold parts of what was read.
func unreadable(err error) string {
	var semantic *json.SemanticError
	var syntax *jsontext.SyntacticError
	member := func(p jsontext.Pointer) string {
		return shown(strings.ReplaceAll(strings.TrimPrefix(string(p), "/"), "/", "."))
	}
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return "there is no member " + member(semantic.JSONPointer)
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return "the member " + member(syntax.JSONPointer) + " is there twice"
	case errors.As(err, &syntax):
		return "it is not JSON, at byte " + strconv.FormatInt(syntax.ByteOffset, 10)
	case errors.As(err, &semantic) && semantic.JSONPointer != "":
		return "the member " + member(semantic.JSONPointer) + " has another type, or form, than it should"
	}
	return "a JSON object is wanted"
}

// checkWords checks what is one of a closed set of words.
func checkWords(in *findingJSON) error {
	image := in.Kind == NotAdmitted
	switch {
	case in.MediaType != MediaTypeFinding:
		return parseFault("mediaType is %s, and %q is wanted", shown(in.MediaType), MediaTypeFinding)
	case !findingID.MatchString(in.ID):
		return parseFault("id is %s, and 32 hexadecimal digits are wanted", shown(in.ID))
	case !slices.Contains(kinds, in.Kind):
		return parseFault("kind is %s, which is none", shown(string(in.Kind)))
	case !slices.Contains(severities, in.Severity):
		return parseFault("severity is %s, which is none", shown(string(in.Severity)))
	case in.Status != statusOpen && in.Status != statusResolved:
		return parseFault("status is %s, which is neither open nor resolved", shown(in.Status))
	case valueOf(outcomeNames[:], in.Outcome) < 0:
		return parseFault("outcome is %s, which is none", shown(in.Outcome))
	case image && valueOf(modeNames[:], in.Mode) < 0:
		return parseFault("mode is %s, which is none", shown(in.Mode))
	case image && !slices.Contains(running, in.Subject.Kind), !image && in.Subject.Kind != Signer:
		return parseFault("subject.kind is %s, which is none for the kind %s", shown(string(in.Subject.Kind)), in.Kind)
	case image && !slices.Contains(phases, in.Phase):
		return parseFault("phase is %s, which is none", shown(string(in.Phase)))
	case in.Reason.Code != "" && (len(in.Reason.Code) > limits.FindingCodeBytes || !findingCode.MatchString(string(in.Reason.Code))):
		return parseFault("reason.code is %s, which cannot be a code", shown(string(in.Reason.Code)))
	}
	return nil
}

// valueOf is the value that a name stands for; less than none: it is none.
func valueOf(names []string, name string) int {
	if name == "" {
		return -1
	}
	return slices.Index(names, name)
}

func checkTimes(in *findingJSON) error {
	times := map[string]time.Time{"time": in.Time}
	if in.At != nil {
		times["at"] = *in.At
	}
	for name, t := range times {
		if y := t.UTC().Year(); y < 1970 || y > 9999 {
			return parseFault("%s is missing, or in no year that can be", name)
		}
	}
	return nil
}

func checkTexts(in *findingJSON) error {
	type text struct {
		name, value string
		most        int
		wanted      bool
	}
	s := &in.Subject
	texts := []text{
		{"subject.arn", s.ARN, limits.WatchARNBytes, true},
		{"reason.message", in.Reason.Message, limits.WatchMessageBytes, true},
		{"reason.hint", in.Reason.Hint, limits.WatchHintBytes, false},
	}
	add := func(name, value string) { texts = append(texts, text{name, value, limits.WatchARNBytes, false}) }
	add("rule", in.Rule)
	add("event", in.Event)
	add("by", in.By)
	add("subject.account", s.Account)
	add("subject.region", s.Region)
	add("subject.cluster", s.Cluster)
	add("subject.group", s.Group)
	add("subject.taskDefinition", s.TaskDefinition)
	add("subject.startedBy", s.StartedBy)
	add("container", in.Container)
	add("image", in.Image)
	add("repository", in.Repository)
	stages := map[string][]string{"missingStages": in.Missing}
	if a := in.Signer; a != nil {
		texts = append(texts, text{"signer.action", a.Action, limits.WatchARNBytes, true})
		add("signer.profile", a.Profile)
		add("signer.principal", a.Principal)
		add("signer.session", a.Session)
		add("signer.invokedBy", a.InvokedBy)
		add("signer.job", a.Job)
		add("signer.refused", a.Refused)
		stages["signer.stages"] = a.Stages
	}
	for name, list := range stages {
		if len(list) > limits.PolicyStages {
			return parseLimit("%s has %d elements, more than %d (limit PolicyStages)", name, len(list), limits.PolicyStages)
		}
		for i, stage := range list {
			texts = append(texts, text{name + "[" + strconv.Itoa(i) + "]", stage, limits.PolicyStageBytes, true})
		}
	}
	for _, t := range texts {
		switch {
		case t.value == "" && t.wanted:
			return parseFault("%s is missing or empty", t.name)
		case len(t.value) > t.most:
			return parseLimit("%s is longer than %d bytes", t.name, t.most)
		case oneLine(t.value, t.most) != t.value:
			return parseFault("%s holds characters that cannot be seen", t.name)
		}
	}
	return nil
}

func checkDigests(in *findingJSON) error {
	if len(in.Ends) > limits.WatchTellings {
		return parseLimit("ends has %d elements, more than %d (limit WatchTellings)", len(in.Ends), limits.WatchTellings)
	}
	bad := func(name string, d digest.Digest) error {
		return parseFault("%s is %s, which is no digest", name, shown(string(d)))
	}
	for name, d := range map[string]digest.Digest{"policy": in.Policy, "digest": in.Digest, "running": in.Running} {
		if d != "" && d.Validate() != nil {
			return bad(name, d)
		}
	}
	for i, d := range append([]digest.Digest{in.State}, in.Ends...) {
		name := "state"
		if i > 0 {
			name = "ends[" + strconv.Itoa(i-1) + "]"
		}
		if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
			return bad(name, d)
		}
	}
	return nil
}

// checkTogether refuses what each is possible, and not together.
func checkTogether(in *findingJSON) error {
	over, image := in.Status == statusResolved, in.Kind == NotAdmitted
	switch {
	case over != (in.Outcome == outcomeName(pipeline.Admit)):
		return parseFault("status is %s and outcome %s: resolved and admit go together", in.Status, in.Outcome)
	case over && len(in.Ends) == 0:
		return parseFault("ends is missing or empty: a finding that is resolved says which states are over")
	case !over && len(in.Ends) > 0:
		return parseFault("ends is there, and status is open")
	case over && in.Reminder:
		return parseFault("reminder is true, and status is resolved")
	case image && in.Signer != nil:
		return parseFault("signer is there, and kind is %s", in.Kind)
	case image:
		return nil
	case in.Signer == nil:
		return parseFault("signer is missing, and kind is %s", in.Kind)
	}
	for name, there := range map[string]bool{
		"mode": in.Mode != "", "phase": in.Phase != "", "container": in.Container != "", "image": in.Image != "", "repository": in.Repository != "",
		"digest": in.Digest != "", "running": in.Running != "", "missingStages": len(in.Missing) > 0,
	} {
		if there {
			return parseFault("%s is there, and kind is %s", name, in.Kind)
		}
	}
	return nil
}

// finding is what a checked form says.
func (in *findingJSON) finding() Finding {
	f := Finding{
		ID: in.ID, State: in.State, Kind: in.Kind, Severity: in.Severity, Resolved: in.Status == statusResolved, Reminder: in.Reminder, Ends: some(in.Ends),
		Subject: Subject(in.Subject),
		Phase:   in.Phase, Event: in.Event, By: in.By, Time: in.Time.UTC(),
		Container: in.Container, Image: in.Image, Repository: in.Repository, Digest: in.Digest, Running: in.Running, Missing: some(in.Missing),
		Outcome: pipeline.Outcome(valueOf(outcomeNames[:], in.Outcome)), Mode: pipeline.Mode(max(valueOf(modeNames[:], in.Mode), 0)), Rule: in.Rule, Policy: in.Policy, //nolint:gosec // checked
		Code: in.Reason.Code, Message: in.Reason.Message, Hint: in.Reason.Hint,
	}
	if in.At != nil {
		f.At = in.At.UTC()
	}
	if a := in.Signer; a != nil {
		f.Signer = &SignerAct{a.Action, a.Profile, some(a.Stages), a.Principal, a.Session, a.InvokedBy, a.Job, a.Refused}
	}
	return f
}

// some is nil for none, as it comes back when nothing was written.
func some[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
