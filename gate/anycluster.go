package gate

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// anyCluster answers for images of which nobody knows yet in which cluster they
// will run: each is asked about in every one that the policy tells apart for
// it, and has the mildest of the answers. What others of the workload would ask
// is nothing to it.
func (d *deciding) anyCluster(ctx context.Context, out []ImageVerdict) {
	clusters, left := d.clusters(out)
	answers := make([][]ImageVerdict, len(out))
	for n := 0; ; n++ { // of each image the n-th of its clusters, side by side
		var which []int
		var there []ImageVerdict
		round := *d
		round.clusterOf = nil
		for i := range out {
			if n < len(clusters[i]) {
				which, there = append(which, i), append(there, ImageVerdict{Image: out[i].Image})
				round.clusterOf = append(round.clusterOf, clusters[i][n])
			}
		}
		if len(which) == 0 {
			break
		}
		round.images(ctx, there)
		for k, i := range which {
			answers[i] = append(answers[i], there[k])
		}
	}
	for i := range out {
		out[i] = d.mildest(answers[i], left[i])
	}
}

// where image i is judged.
func (d *deciding) where(i int) pipeline.Where {
	w := d.w.Where
	if d.clusterOf != nil {
		w.Cluster = d.clusterOf[i]
	}
	return w
}

// mildest is the mildest of the answers about one image, with the others. left
// is in how many clusters it was not looked at: in one of them it may be good.
func (d *deciding) mildest(answers []ImageVerdict, left int) ImageVerdict {
	best := 0
	for n := range answers {
		if milder(&answers[n], &answers[best]) {
			best = n
		}
	}
	iv := answers[best]
	for n := range answers {
		if n != best {
			iv.Elsewhere = append(iv.Elsewhere, answers[n])
		}
	}
	if left > 0 && iv.Outcome == pipeline.Deny {
		t := task{iv: &iv}
		t.settle(pipeline.Undecided, &shuin.Error{
			Code: shuin.CodeLimit, Message: fmt.Sprintf("where it will run is not known, the policy tells %d clusters apart for it, and %d are looked at (limit GateClusters)", left+len(answers), len(answers)),
			Hint: "name clusters by patterns, such as prod-*",
		})
		t.bound(d.now)
	}
	return iv
}

// clusters are, of each image, those that the policy tells apart for it, at least
// one; and how many of them are too many.
func (d *deciding) clusters(images []ImageVerdict) (all [][]string, left []int) {
	for i := range images {
		own := toldApart{looked: []string{""}} // as good as any: the reference cannot be read
		if p, err := d.m.parse(images[i].Image.Written); err == nil {
			own = d.rules.clusters(p.name, d.w.Where.Namespace)
		}
		all, left = append(all, own.looked), append(left, own.left)
	}
	return all, left
}

// toldApart are the clusters that a policy tells apart for a repository.
type toldApart struct {
	looked []string // at most limits.GateClusters
	left   int      // how many more there are
}

// clusterMemory recalls what a policy tells apart: to find it out takes every
// rule by every cluster that one names, and a sweep asks again and again.
type clusterMemory struct {
	mu sync.Mutex
	of map[[2]string]toldApart // by repository and namespace
}

// clusters are those that the policy tells apart for the repository.
func (r *Rules) clusters(repository, namespace string) toldApart {
	m, key := r.apart, [2]string{repository, namespace}
	m.mu.Lock()
	got, known := m.of[key]
	m.mu.Unlock()
	if known {
		return got
	}
	all := r.policy.Clusters(repository, namespace)
	looked := min(len(all), limits.GateClusters)
	got = toldApart{slices.Clone(all[:looked]), len(all) - looked}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil || len(m.of) >= limits.GateClusterEntries {
		m.of = map[[2]string]toldApart{}
	}
	m.of[key] = got
	return got
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
