package gate

import (
	"context"
	"fmt"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// anyCluster answers for images of which nobody knows yet in which cluster they
// will run: each is asked about in every one that the policy tells apart for
// it, and has the mildest of the answers.
func (d *deciding) anyCluster(ctx context.Context, out []ImageVerdict) {
	clusters, left := d.clusters(out)
	answers := make([][]ImageVerdict, len(clusters))
	for n, cluster := range clusters {
		w := *d.w
		w.Where.Cluster = cluster
		there := *d
		there.w = &w
		answers[n] = make([]ImageVerdict, len(out))
		for i := range out {
			answers[n][i].Image = out[i].Image
		}
		there.images(ctx, answers[n])
	}
	for i := range out {
		best := 0
		for n := range answers {
			if milder(&answers[n][i], &answers[best][i]) {
				best = n
			}
		}
		iv := answers[best][i]
		for n := range answers {
			if n != best {
				iv.Elsewhere = append(iv.Elsewhere, answers[n][i])
			}
		}
		if left > 0 && iv.Outcome == pipeline.Deny {
			t := task{iv: &iv}
			t.settle(pipeline.Undecided, &shuin.Error{
				Code: shuin.CodeLimit, Message: fmt.Sprintf("where it will run is not known, the policy tells %d clusters apart for it, and %d are looked at (limit GateClusters)", left+len(clusters), len(clusters)),
				Hint: "name clusters by patterns, such as prod-*",
			})
			t.bound(d.now)
		}
		out[i] = iv
	}
}

// clusters are those that the policy tells apart for one of the images, each
// once, and how many of them are too many.
func (d *deciding) clusters(images []ImageVerdict) (all []string, left int) {
	seen := map[string]bool{}
	for i := range images {
		p, err := d.m.parse(images[i].Image.Written)
		if err != nil {
			continue // nothing is asked about it
		}
		for _, c := range d.rules.policy.Clusters(p.name, d.w.Where.Namespace) {
			switch {
			case seen[c]:
			case len(all) == limits.GateClusters:
				left++
				seen[c] = true
			default:
				seen[c] = true
				all = append(all, c)
			}
		}
	}
	if all == nil {
		all = []string{""} // as good as any: no reference can be read
	}
	return all, left
}

// milder says whether a is the better news of two answers about an image; of
// two denials, that of a rule goes before the policy's default.
func milder(a, b *ImageVerdict) bool {
	rank := func(iv *ImageVerdict) int {
		switch {
		case iv.Outcome == pipeline.Admit:
			return 0
		case iv.Outcome == pipeline.Undecided:
			return 1
		case iv.Allowed:
			return 2
		case iv.Rule != "":
			return 3
		}
		return 4
	}
	return rank(a) < rank(b)
}
