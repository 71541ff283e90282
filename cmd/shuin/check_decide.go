package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/manifest"
	"github.com/shuin/shuin/pipeline"
)

// checked is one workload and the answer about it.
type checked struct {
	*manifest.Item
	from    *deployed
	verdict *gate.Verdict
}

// checkList are the workloads of all inputs, where they are to run. What is
// deployed to Kubernetes is pinned there by the cluster's gate; nobody does
// that for ECS.
func (a *app) checkList(inputs []*deployed, w *whereFlags) []*checked {
	var list []*checked
	for _, in := range inputs {
		if len(in.Items) == 0 {
			a.warnf("%s holds no images: %s", in.label(), kinds(in.Without))
		}
		a.warnForeign(in)
		for i := range in.Items {
			item := &in.Items[i]
			where := &item.Workload.Where
			if where.Cluster = w.cluster; w.cluster == "" {
				where.Cluster = in.cluster
			}
			if where.Namespace == "" {
				where.Namespace = w.namespace
			}
			item.Workload.Pins = in.Format == manifest.Kubernetes
			list = append(list, &checked{Item: item, from: in})
		}
	}
	return list
}

// warnForeign names the objects of unknown kinds in which no image was found,
// or something called an image where none is looked for: they may run what
// nobody looked at.
func (a *app) warnForeign(in *deployed) {
	told := 0
	warn := func(s *manifest.Source, found bool) {
		switch {
		case !s.Foreign || found && s.Unread == 0:
			return
		case told >= limits.CheckForeign:
		case s.Unread > 0:
			a.warnf("%s:%d: %s: not read: it has an image in line %d, and its kind is not known here: what it runs was not checked", visible(in.label()), s.Line, visible(s.String()), s.Unread)
		default:
			a.warnf("%s:%d: %s: no image was found in it, and its kind is not known here: what it runs was not checked", visible(in.label()), s.Line, visible(s.String()))
		}
		told++
	}
	for i := range in.Without {
		warn(&in.Without[i], false)
	}
	for i := range in.Items {
		warn(&in.Items[i].Source, true)
	}
	if more := told - limits.CheckForeign; more > 0 {
		a.warnf("%s: the same is true of %s of unknown kinds", visible(in.label()), count(more, "more object"))
	}
}

func workloads(list []*checked) []gate.Workload {
	out := make([]gate.Workload, len(list))
	for i, c := range list {
		out[i] = c.Workload
	}
	return out
}

// decideAll asks the gate about every workload, several at a time.
func decideAll(ctx context.Context, g *gate.Gate, list []*checked) {
	slots := make(chan struct{}, limits.CheckInFlight)
	var wg sync.WaitGroup
	for _, c := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c.verdict = g.Decide(ctx, c.Workload)
		})
	}
	wg.Wait()
}

// checkedError is nil where everything may run. What is denied counts before
// what could not be decided.
func checkedError(list []*checked) error {
	var denied, undecided, images int
	for _, c := range list {
		for i := range c.verdict.Images {
			images++
			switch v := &c.verdict.Images[i]; {
			case v.Allowed:
			case v.Outcome == pipeline.Undecided:
				undecided++
			default:
				denied++
			}
		}
	}
	switch {
	case denied > 0:
		return &verdictError{err: &shuin.Error{Code: shuin.CodeNotAllowed, Message: fmt.Sprintf("%d of %s may not run", denied, count(images, "image"))}}
	case undecided > 0:
		return &verdictError{err: &shuin.Error{Code: shuin.CodeUnavailable, Message: fmt.Sprintf("could not decide about %d of %s", undecided, count(images, "image"))}, undecided: true}
	}
	return nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
