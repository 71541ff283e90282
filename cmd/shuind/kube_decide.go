package main

import (
	"context"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/kube"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// Decide is the cluster's answer about a workload, narrowed by the policy of its
// namespace where that has one.
func (k *kubePart) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	var place gate.Place
	if k.spaces != nil && w.Where.Namespace != "" {
		place.Rules, place.Err = k.spaces.Of(w.Where.Namespace)
	}
	return countedGate{k.g.gate, k.g.metrics}.DecideIn(ctx, w, place)
}

// explains: a decision is asked for that only tells why another was made.
func explains(ctx context.Context) bool {
	c, ok := admission.CallerOf(ctx)
	return ok && c.Explains
}

// dryRun: the review asks what would be answered, and nothing comes of it.
func dryRun(ctx context.Context) bool {
	c, ok := admission.CallerOf(ctx)
	return ok && c.DryRun
}

// narrowedGate answers the API over HTTP as the cluster is answered, where it is
// asked about this cluster.
type narrowedGate struct {
	countedGate
	k *kubePart
}

// Decide decides.
func (g narrowedGate) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	if w.Where.Cluster == g.k.c.Cluster {
		return g.k.Decide(ctx, w)
	}
	return g.countedGate.Decide(ctx, w)
}

// storesBeside are the trust stores of a namespace's policy: its own before the
// cluster's.
type storesBeside struct {
	own     kube.Stores
	cluster verify.Stores
}

// Store satisfies verify.Stores.
func (s storesBeside) Store(ctx context.Context, name trust.StoreName) (*trust.Store, error) {
	if one := s.own[name]; one != nil {
		return one, nil
	}
	return s.cluster.Store(ctx, name)
}

// The routes of decisions that no request asks for.
const (
	routeSweep  = "sweep"
	routeWarmUp = "warm-up"
)

type routeKey struct{}

// asked marks a context: who asks for the decision in it.
func asked(ctx context.Context, route string) context.Context {
	return context.WithValue(ctx, routeKey{}, route)
}

// callerOf says for records whose decision it is: a principal's of the API, a
// user's of the cluster, or the gate's own.
func callerOf(ctx context.Context) gateapi.Caller {
	if c, ok := gateapi.CallerOf(ctx); ok {
		return c
	}
	if c, ok := admission.CallerOf(ctx); ok {
		return gateapi.Caller{Principal: "kubernetes:" + printable(c.User), RequestID: printable(c.Review), Route: "k8s/" + c.Endpoint}
	}
	if route, ok := ctx.Value(routeKey{}).(string); ok {
		return gateapi.Caller{Principal: "shuind", Route: route}
	}
	return gateapi.Caller{}
}
