package gate

import (
	"fmt"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// narrow joins two verdicts about one workload as [Gate.DecideIn] says; own is
// the place's. Neither is changed.
func narrow(v, own *Verdict) *Verdict {
	if len(v.Images) != len(own.Images) {
		panic(fmt.Sprintf("gate: verdicts about %d and %d images are joined", len(v.Images), len(own.Images)))
	}
	out := *v
	out.Images = make([]ImageVerdict, len(v.Images))
	for i := range v.Images {
		out.Images[i] = narrower(&v.Images[i], &own.Images[i])
	}
	out.sum()
	return &out
}

// narrower is the worse of two answers about one image; a, where both are alike.
func narrower(a, b *ImageVerdict) ImageVerdict {
	if a.Image != b.Image {
		panic("gate: verdicts about other images are joined")
	}
	out := *a
	switch {
	case a.Allowed && !b.Allowed, !a.Allowed && !b.Allowed && worse(b.Outcome, a.Outcome):
		out = *b
	case a.Allowed && b.Allowed && a.Digest() != "" && b.Digest() != "" && a.Digest() != b.Digest():
		if b.Mode == pipeline.Enforce {
			out.Mode, out.Rule = b.Mode, b.Rule
		}
		out.Outcome, out.Allowed, out.LastGood, out.Pinned = pipeline.Undecided, out.Mode != pipeline.Enforce, time.Time{}, ""
		out.Err = &shuin.Error{
			Code: shuin.CodeTagMoved, Message: fmt.Sprintf("the tag named %s and then %s while it was judged", a.Digest(), b.Digest()),
			Hint: "try again, or deploy by digest",
		}
	case a.Allowed && b.Allowed && worse(b.Outcome, a.Outcome):
		// The place's policy only warns: what it says is told, and what runs is
		// what the policy that counts everywhere judged.
		out = *b
		out.Artifact, out.Pinned = a.Artifact, a.Pinned
	}
	if out.Exception == nil && out.Allowed { // an exception that was used is told, whoever used it
		out.Exception = b.Exception
	}
	out.StaleUntil = earlier(earlier(out.StaleUntil, a.StaleUntil), b.StaleUntil)
	return out
}

// unasked is narrow by rules of the place that cannot be used.
func unasked(v *Verdict, err error) *Verdict {
	own := *v
	own.Images = make([]ImageVerdict, len(v.Images))
	for i := range v.Images {
		iv := &own.Images[i]
		iv.Image, iv.Mode, iv.Outcome, iv.Err = v.Images[i].Image, pipeline.Enforce, pipeline.Undecided, err
		iv.StaleUntil = v.Time.Add(limits.GateDenyLife)
	}
	return narrow(v, &own)
}
