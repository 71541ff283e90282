package gate

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// MediaTypeVerdict is the media type of a [Verdict] as JSON.
const MediaTypeVerdict = "application/vnd.shuin.verdict.v1+json"

// MediaTypeExplanation is the media type of a [Verdict] with, for each of its
// images, how the policy came to its rule: what POST /v1/explain and
// `shuin policy explain --output json` give.
const MediaTypeExplanation = "application/vnd.shuin.explanation.v1+json"

var (
	outcomeNames = [...]string{pipeline.Admit: "admit", pipeline.Deny: "deny", pipeline.Undecided: "undecided"}
	modeNames    = [...]string{pipeline.Enforce: "enforce", pipeline.Warn: "warn", pipeline.Audit: "audit"}
)

// Digest is what was judged; empty where the reference was not resolved.
func (iv *ImageVerdict) Digest() digest.Digest {
	if d := iv.Artifact.Digest(); d != "" {
		return d
	}
	if i := strings.LastIndexByte(iv.Pinned, '@'); i >= 0 {
		return digest.Digest(iv.Pinned[i+1:])
	}
	return ""
}

// The forms of a verdict as JSON. Times are RFC 3339 in UTC, left out where
// there is none; texts hold no control characters.
type (
	verdictJSON struct {
		MediaType  string        `json:"mediaType"`
		Outcome    string        `json:"outcome"`
		Allowed    bool          `json:"allowed"`
		Policy     digest.Digest `json:"policy"`
		Engine     string        `json:"engine"`
		Time       time.Time     `json:"time"`
		StaleUntil *time.Time    `json:"staleUntil,omitempty"`
		Images     []imageJSON   `json:"images"`
	}
	imageJSON struct {
		Name       string                  `json:"name,omitempty"`
		Image      string                  `json:"image"`
		Running    string                  `json:"running,omitempty"`
		Digest     digest.Digest           `json:"digest,omitempty"`
		Pinned     string                  `json:"pinned,omitempty"`
		Unpinned   bool                    `json:"unpinned,omitempty"`
		Outcome    string                  `json:"outcome"`
		Allowed    bool                    `json:"allowed"`
		Mode       string                  `json:"mode"`
		Rule       string                  `json:"rule"`
		Exception  *exceptionJSON          `json:"exception,omitempty"`
		Reason     *reasonJSON             `json:"reason,omitempty"`
		LastGood   *time.Time              `json:"lastGood,omitempty"`
		Trust      digest.Digest           `json:"trust,omitempty"`
		StaleUntil *time.Time              `json:"staleUntil,omitempty"`
		Stages     []stageJSON             `json:"stages"`
		Signatures []shuin.SignatureReport `json:"signatures"`
	}
	exceptionJSON struct {
		Reason  string    `json:"reason"`
		Owner   string    `json:"owner"`
		Expires time.Time `json:"expires"`
	}
	reasonJSON struct {
		Code    shuin.Code `json:"code"`
		Message string     `json:"message"`
		Hint    string     `json:"hint,omitempty"`
	}
	stageJSON struct {
		Stage      string        `json:"stage"`
		Required   bool          `json:"required"`
		Outcome    string        `json:"outcome"`
		Missing    bool          `json:"missing,omitempty"` // it is wanted, and not sealed
		Seal       digest.Digest `json:"seal,omitempty"`
		Identity   string        `json:"identity,omitempty"`
		SealedAt   *time.Time    `json:"sealedAt,omitempty"`
		StaleUntil *time.Time    `json:"staleUntil,omitempty"`
		Reason     *reasonJSON   `json:"reason,omitempty"`
	}
)

// MarshalJSON writes the versioned form, media type [MediaTypeVerdict]. Every
// entrance prints exactly this.
func (v Verdict) MarshalJSON() ([]byte, error) {
	out := verdictJSON{
		MediaType: MediaTypeVerdict, Outcome: nameOf(outcomeNames[:], v.Outcome), Allowed: v.Allowed, Policy: v.Policy, Engine: v.Engine,
		Time: v.Time.UTC(), StaleUntil: timeOf(v.StaleUntil), Images: make([]imageJSON, len(v.Images)),
	}
	for i := range v.Images {
		out.Images[i] = v.Images[i].json()
	}
	return json.Marshal(out)
}

func (iv *ImageVerdict) json() imageJSON {
	out := imageJSON{
		Name: printable(iv.Image.Name), Image: printable(iv.Image.Written), Running: printable(string(iv.Image.Running)),
		Digest: iv.Digest(), Pinned: iv.Pinned, Unpinned: iv.Unpinned,
		Outcome: nameOf(outcomeNames[:], iv.Outcome), Allowed: iv.Allowed, Mode: nameOf(modeNames[:], iv.Mode), Rule: iv.Rule,
		Reason: reasonOf(iv.Err), LastGood: timeOf(iv.LastGood), Trust: iv.TrustHash, StaleUntil: timeOf(iv.StaleUntil),
		Stages: make([]stageJSON, len(iv.Stages)), Signatures: iv.Signatures,
	}
	if e := iv.Exception; e != nil {
		out.Exception = &exceptionJSON{printable(e.Reason), printable(e.Owner), e.Expires.UTC()}
	}
	for i, s := range iv.Stages {
		out.Stages[i] = stageJSON{
			Stage: s.Stage, Required: s.Required, Outcome: s.Outcome.String(), Missing: s.Missing, Seal: s.Seal, Identity: printable(s.Identity),
			SealedAt: timeOf(s.SealedAt), StaleUntil: timeOf(s.StaleUntil), Reason: reasonOf(s.Err),
		}
	}
	if out.Signatures == nil {
		out.Signatures = []shuin.SignatureReport{}
	}
	return out
}

func nameOf[T ~uint8](names []string, v T) string {
	if int(v) < len(names) && names[v] != "" {
		return names[v]
	}
	return "invalid"
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func reasonOf(err error) *reasonJSON {
	if err == nil {
		return nil
	}
	return &reasonJSON{Code: shuin.CodeOf(err), Message: printable(err.Error()), Hint: printable(shuin.HintOf(err))}
}

// Line is the answer in one line for people: image, digest, rule, reason with
// its code, what to do next. It holds no control characters, whatever the
// image's or a signature's maker wrote.
func (iv *ImageVerdict) Line() string {
	var b strings.Builder
	b.WriteString(map[pipeline.Outcome]string{pipeline.Admit: "admitted", pipeline.Deny: "denied", pipeline.Undecided: "undecided"}[iv.Outcome])
	switch {
	case iv.Outcome == pipeline.Admit:
	case !iv.LastGood.IsZero():
		fmt.Fprintf(&b, " (allowed: it was good at %s)", iv.LastGood.UTC().Format(time.RFC3339))
	case iv.Allowed && iv.Mode != pipeline.Enforce:
		fmt.Fprintf(&b, " (allowed: mode %s)", nameOf(modeNames[:], iv.Mode))
	case iv.Allowed:
		b.WriteString(" (allowed: the rule admits what could not be checked)")
	}
	b.WriteString(": ")
	b.WriteString(short(printable(iv.Image.Written), limits.GateReasonRunes))
	if d := iv.Digest(); d != "" && !strings.HasSuffix(iv.Image.Written, string(d)) {
		b.WriteString(" (" + string(d) + ")")
	}
	if rule := fmt.Sprintf("rule %q", iv.Rule); iv.Rule != "" && (iv.Err == nil || !strings.HasPrefix(iv.Err.Error(), rule)) {
		b.WriteString(", " + rule)
	}
	if e := iv.Exception; e != nil {
		fmt.Fprintf(&b, ", exception %q of %s until %s", printable(e.Reason), printable(e.Owner), e.Expires.UTC().Format(time.RFC3339))
	}
	if iv.Err != nil {
		fmt.Fprintf(&b, ": %s [%s]", short(printable(iv.Err.Error()), limits.GateReasonRunes), shuin.CodeOf(iv.Err))
		if h := shuin.HintOf(iv.Err); h != "" {
			b.WriteString("; " + short(printable(h), limits.GateReasonRunes))
		}
	}
	return b.String()
}

// printable shows s without what could steer a terminal or forge a line of a
// log: control characters, line separators and marks of direction become
// question marks.
func printable(s string) string {
	bad := func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
	}
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case bad(r):
			return '?'
		}
		return r
	}, s)
}

// short is at most n runes of s.
func short(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
