package gateapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// explanation is what /v1/explain answers: the verdict, and for each of its
// images, in their order, how the policy came to its rule.
type explanation struct {
	MediaType string                  `json:"mediaType"`
	Verdict   json.RawMessage         `json:"verdict"`
	Images    []*pipeline.Explanation `json:"images"`
}

// explained decides, and explains by the policy that the verdict names: where
// the policy is replaced meanwhile, it decides again.
func (s *Server) explained(ctx context.Context, w gate.Workload) (*gate.Verdict, []byte, error) {
	for range 3 {
		p := s.Gate.Rules().Policy()
		v := s.Gate.Decide(ctx, w)
		if v == nil || p == nil {
			return nil, nil, errors.New("the gate gave no verdict")
		}
		if v.Policy != p.Digest() {
			continue
		}
		verdict, err := v.MarshalJSON()
		if err != nil {
			return nil, nil, err
		}
		out := explanation{MediaType: gate.MediaTypeExplanation, Verdict: verdict}
		for i := range v.Images {
			out.Images = append(out.Images, explainImage(p, w.Where, &v.Images[i], v.Time))
		}
		body, err := json.Marshal(out)
		return v, body, err
	}
	return nil, nil, errors.New("the policy was replaced again and again while it was explained")
}

// explainImage is how the policy came to an image's rule; nil where the image
// is no reference.
func explainImage(p *pipeline.Policy, w pipeline.Where, iv *gate.ImageVerdict, now time.Time) *pipeline.Explanation {
	ref, err := shuin.ParseReference(iv.Image.Written)
	if err != nil {
		return nil
	}
	return p.Explain(pipeline.Question{Repository: ref.Name(), Digest: iv.Digest(), Where: w, Now: now})
}
