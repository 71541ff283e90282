package watch

import (
	"context"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// verdict is the gate's about o; where nobody could look what o is, that.
func (w *Watcher) verdict(ctx context.Context, o *Observation) *gate.Verdict {
	if o.Doubt == nil {
		return o.decide(ctx, w.Gate)
	}
	var p *pipeline.Policy
	if w.Policy != nil {
		p = w.Policy()
	}
	return o.doubted(p, w.Now())
}

// doubted is the verdict about what nobody could look at; p is the policy, which
// says whose rule it would be about; it may be nil.
func (o *Observation) doubted(p *pipeline.Policy, now time.Time) *gate.Verdict {
	v := &gate.Verdict{Outcome: pipeline.Undecided, Time: now, StaleUntil: now}
	if p != nil {
		v.Policy = p.Digest()
	}
	for _, image := range o.Images {
		iv := gate.ImageVerdict{Image: image, Outcome: pipeline.Undecided, Err: o.Doubt, StaleUntil: now}
		repository := repositoryOf(&iv)
		if ref, err := shuin.ParseReference(image.Written); err == nil && ref.Digest != "" {
			iv.Pinned = repository + "@" + string(ref.Digest)
		}
		if p != nil {
			s := p.Select(pipeline.Question{Repository: repository, Where: o.Where, Now: now})
			iv.Rule, iv.Mode = s.Rule, s.Mode
		}
		v.Images = append(v.Images, iv)
	}
	return v
}
