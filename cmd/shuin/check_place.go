package main

import (
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// warnPlaces warns of rules that would match an image but for its place, of
// which not enough is known here: another rule decides then than in the cluster.
// Each rule is told of once.
func (a *app) warnPlaces(p *pipeline.Policy, workloads []gate.Workload, now time.Time) {
	type asked struct {
		repository string
		where      pipeline.Where
	}
	told, seen := map[string]bool{}, map[asked]bool{}
	for _, w := range workloads {
		if w.Where.Cluster != "" && w.Where.Namespace != "" {
			continue
		}
		for _, image := range w.Images {
			ref, err := shuin.ParseReference(image.Written)
			q := asked{ref.Name(), w.Where}
			if err != nil || seen[q] || len(seen) >= limits.CheckPlaces {
				continue
			}
			seen[q] = true
			for _, r := range p.Explain(pipeline.Question{Repository: q.repository, Where: q.where, Now: now}).Rules {
				if !r.Unplaced || told[r.Name] {
					continue
				}
				told[r.Name] = true
				a.warnf("rule %q does not apply to %s here: %s", r.Name, visible(q.repository), oneLine(r.Why))
			}
		}
	}
}
