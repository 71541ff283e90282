package watch

import (
	"context"
	"slices"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// verdict is the gate's about o, as far as it stands where nobody could look what
// o is.
func (w *Watcher) verdict(ctx context.Context, o *Observation) *gate.Verdict {
	v := o.decide(ctx, w.Gate)
	if o.Doubt == nil || v == nil {
		return v
	}
	return doubted(v, o.Doubt)
}

// doubted is v where nobody could look whether it is about images at all. What is
// admitted stays, and what is denied for what it is called, or for the seals that
// it has: whoever could have looked would find nothing in it that changes that.
// That seals are missing would be held against what nobody seals; doubt stands in
// its place, with the rule and mode that it would be told of.
func doubted(v *gate.Verdict, doubt error) *gate.Verdict {
	out := *v
	out.Images = slices.Clone(v.Images)
	for i := range out.Images {
		iv := &out.Images[i]
		if code := shuin.CodeOf(iv.Err); iv.Outcome == pipeline.Deny && (code == shuin.CodeUnsigned || code == shuin.CodeStageMissing) {
			iv.Outcome, iv.Err, iv.Stages = pipeline.Undecided, doubt, nil
		}
	}
	sum(&out)
	return &out
}
