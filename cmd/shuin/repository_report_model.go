package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// mediaTypeRepositoryReport is of `report --output json`.
const mediaTypeRepositoryReport = "application/vnd.shuin.repository-report.v1+json"

// repositoryReport is what `report` found, whatever form it is written in.
type repositoryReport struct {
	MediaType     string                `json:"mediaType"`
	Time          time.Time             `json:"time"` // when it was begun
	Policy        digest.Digest         `json:"policy"`
	Trust         digest.Digest         `json:"trust"`
	Engine        string                `json:"engine"`
	Where         pipeline.Where        `json:"where"`
	UnsealedSince *time.Time            `json:"unsealedSince,omitempty"`
	Stages        []string              `json:"stages"` // of the policy
	Repositories  []*reportedRepository `json:"repositories"`
}

// reportedRepository is one repository.
type reportedRepository struct {
	Name string `json:"name"`
	// Listing is "tags": what has a tag, or "images": what has none too.
	Listing string `json:"listing"`
	// TagsOnly is why only tags are listed of a registry that could list images.
	TagsOnly string         `json:"tagsOnly,omitempty"`
	Counts   reportedCounts `json:"counts"`
	// Reason is why it was not reported on to the end.
	Reason *reportedReason  `json:"reason,omitempty"`
	Images []*reportedImage `json:"images"`

	err error
}

// reportedCounts are of all images of a repository, shown or not.
type reportedCounts struct {
	Images         int `json:"images"` // distinct
	Tags           int `json:"tags"`
	Admitted       int `json:"admitted"`
	Exceptions     int `json:"exceptions"` // of those admitted
	Denied         int `json:"denied"`
	Undecided      int `json:"undecided"`
	PlatformImages int `json:"platformImages"` // untagged ones that are counted with their index
	ReferrersTags  int `json:"referrersTags"`  // tags that hold what refers to an image
	PushUnknown    int `json:"pushUnknown"`    // shown for unsealedSince although it is not known when they were pushed
}

// reportedImage is one distinct image, or a tag that could not be resolved.
type reportedImage struct {
	Digest    digest.Digest `json:"digest,omitempty"` // empty: not resolved
	Tags      []string      `json:"tags"`
	MediaType string        `json:"mediaType,omitempty"`
	// Pushed is when the registry says it was pushed last; not every registry does.
	Pushed     *time.Time         `json:"pushed,omitempty"`
	Platforms  []reportedPlatform `json:"platforms,omitempty"`  // of an index
	PlatformOf []digest.Digest    `json:"platformOf,omitempty"` // the indexes it is in
	reportedAnswer

	known shuin.Descriptor // as it was resolved; zero: it was not
}

// reportedPlatform is an image of an index.
type reportedPlatform struct {
	Platform string        `json:"platform"`
	Digest   digest.Digest `json:"digest"`
}

// reportedAnswer is the gate's answer about one image: the same words as in its
// verdict.
type reportedAnswer struct {
	Outcome    string             `json:"outcome"` // admit, deny, undecided
	Allowed    bool               `json:"allowed"`
	Mode       string             `json:"mode,omitempty"`
	Rule       string             `json:"rule,omitempty"`
	Exception  *reportedException `json:"exception,omitempty"`
	Reason     *reportedReason    `json:"reason,omitempty"`
	Missing    []string           `json:"missing,omitempty"` // required stages that are not sealed, of an image that is not admitted
	Stages     []reportedStage    `json:"stages"`            // all of the policy; none: they were not looked at
	SignedBy   []string           `json:"signedBy,omitempty"`
	Signatures int                `json:"signatures"` // that were found
	StaleUntil *time.Time         `json:"staleUntil,omitempty"`
}

type reportedException struct {
	Reason  string    `json:"reason"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
}

type reportedReason struct {
	Code    shuin.Code `json:"code"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// reportedStage says whether an image has a stage, and who sealed it when.
type reportedStage struct {
	Stage    string          `json:"stage"`
	Required bool            `json:"required"`
	Outcome  shuin.Outcome   `json:"outcome"`
	Seal     digest.Digest   `json:"seal,omitempty"`
	Identity string          `json:"identity,omitempty"` // of the policy, that matched
	SignedBy string          `json:"signedBy,omitempty"` // signing profile, or subject of the certificate
	SealedAt *time.Time      `json:"sealedAt,omitempty"`
	Reason   *reportedReason `json:"reason,omitempty"`
}

const (
	outcomeAdmit     = "admit"
	outcomeDeny      = "deny"
	outcomeUndecided = "undecided"
)

func reasonOfError(a *app, err error) *reportedReason {
	if err == nil {
		return nil
	}
	code := shuin.CodeOf(err)
	return &reportedReason{Code: code, Message: oneLine(err.Error()), Hint: oneLine(a.gateHint(err))}
}

// notAsked is the answer about an image that could not be asked about.
func notAsked(a *app, err error) reportedAnswer {
	return reportedAnswer{Outcome: outcomeUndecided, Reason: reasonOfError(a, err)}
}

// answerOf takes from a verdict what a report shows.
func answerOf(a *app, v *gate.ImageVerdict) reportedAnswer {
	r := reportedAnswer{
		Outcome: outcomeUndecided, Allowed: v.Allowed, Mode: modeName(v.Mode), Rule: v.Rule, Reason: reasonOfError(a, v.Err),
		Signatures: len(v.Signatures),
	}
	switch v.Outcome {
	case pipeline.Admit:
		r.Outcome, r.StaleUntil = outcomeAdmit, timeOrNil(v.StaleUntil)
	case pipeline.Deny:
		r.Outcome = outcomeDeny
	}
	if e := v.Exception; e != nil {
		r.Exception = &reportedException{Reason: e.Reason, Owner: e.Owner, Expires: e.Expires}
	}
	for _, s := range v.Stages {
		signer := ""
		if s.Outcome == shuin.Passed {
			signer = signerOf(v.Signatures, s)
		}
		r.Stages = append(r.Stages, reportedStage{
			Stage: s.Stage, Required: s.Required, Outcome: s.Outcome, Seal: s.Seal, Identity: s.Identity, SignedBy: signer,
			SealedAt: timeOrNil(s.SealedAt), Reason: reasonOfError(a, s.Err),
		})
		switch {
		case signer != "" && !slices.Contains(r.SignedBy, signer):
			r.SignedBy = append(r.SignedBy, signer)
		case s.Required && s.Outcome != shuin.Passed && v.Outcome != pipeline.Admit:
			r.Missing = append(r.Missing, s.Stage)
		}
	}
	return r
}

// signerOf is who made the seal of a stage: the profile or certificate that
// signed it, for the policy may name many at once ("*").
func signerOf(signatures []shuin.SignatureReport, s pipeline.StageResult) string {
	for _, sig := range signatures {
		switch {
		case sig.Digest != s.Seal:
		case sig.SigningProfile != "":
			return sig.SigningProfile
		case sig.Signer != nil && sig.Signer.Subject != "":
			return sig.Signer.Subject
		}
	}
	return s.Identity
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// unsealed reports whether an image lacks what it needs, also where an
// exception lets it run, or may lack it.
func (i *reportedImage) unsealed() bool { return i.Outcome != outcomeAdmit || i.Exception != nil }

// count fills in the numbers.
func (r *reportedRepository) count() {
	for _, i := range r.Images {
		r.Counts.Tags += len(i.Tags)
		if i.Digest != "" {
			r.Counts.Images++
		}
		switch i.Outcome {
		case outcomeAdmit:
			if r.Counts.Admitted++; i.Exception != nil {
				r.Counts.Exceptions++
			}
		case outcomeDeny:
			r.Counts.Denied++
		default:
			r.Counts.Undecided++
		}
	}
}

// sort orders images: the newest push first, those of unknown push by tag, what
// has no tag last.
func (r *reportedRepository) sort() {
	slices.SortStableFunc(r.Images, func(a, b *reportedImage) int {
		switch {
		case a.Pushed != nil && b.Pushed != nil && !a.Pushed.Equal(*b.Pushed):
			return b.Pushed.Compare(*a.Pushed)
		case (a.Pushed == nil) != (b.Pushed == nil):
			return cmp.Compare(unknown(a.Pushed == nil), unknown(b.Pushed == nil))
		case len(a.Tags) > 0 && len(b.Tags) > 0:
			return compareTags(a.Tags[0], b.Tags[0])
		case (len(a.Tags) > 0) != (len(b.Tags) > 0):
			return cmp.Compare(unknown(len(a.Tags) == 0), unknown(len(b.Tags) == 0))
		}
		return cmp.Compare(a.Digest, b.Digest)
	})
}

func unknown(is bool) int {
	if is {
		return 1
	}
	return 0
}

// compareTags orders tags as people count: v2 comes before v10.
func compareTags(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		p, restX := firstPart(x)
		q, restY := firstPart(y)
		c := cmp.Compare(p, q)
		if isNumber(p) && isNumber(q) {
			p, q = strings.TrimLeft(p, "0"), strings.TrimLeft(q, "0")
			c = cmp.Or(cmp.Compare(len(p), len(q)), cmp.Compare(p, q))
		}
		if c != 0 {
			return c
		}
		x, y = restX, restY
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// firstPart is the number, or the text before the next number, that s begins with.
func firstPart(s string) (part, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return isNumber(string(r)) != isNumber(s[:1]) })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

func isNumber(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// keep leaves what lacks a seal and was pushed before since; zero: everything.
// An image of which it is not known when it was pushed stays, and is counted.
func (r *repositoryReport) keep(since time.Time) {
	if since.IsZero() {
		return
	}
	r.UnsealedSince = timeOrNil(since)
	for _, repo := range r.Repositories {
		repo.Images = slices.DeleteFunc(repo.Images, func(i *reportedImage) bool {
			if !i.unsealed() || i.Pushed != nil && i.Pushed.After(since) {
				return true
			}
			if i.Pushed == nil {
				repo.Counts.PushUnknown++
			}
			return false
		})
	}
}
