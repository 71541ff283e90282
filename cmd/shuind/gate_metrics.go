package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/verify"
)

// gateMetrics are what /metrics tells of the gate. Labels have closed sets of
// values: routes and codes are the program's, rules and principals the
// operator's, and of rules a bounded number is told apart.
type gateMetrics struct {
	requests   *prometheus.CounterVec
	auth       *prometheus.CounterVec
	places     *prometheus.CounterVec
	decisions  *prometheus.CounterVec
	images     *prometheus.CounterVec
	undecided  *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	warm       prometheus.Counter
	registry   *prometheus.CounterVec
	operations *prometheus.CounterVec
	flights    prometheus.Gauge
	records    prometheus.Counter
	reloads    *prometheus.CounterVec
	policyFail prometheus.Counter
	current    *prometheus.GaugeVec
	policy     *prometheus.GaugeVec
	policyTime prometheus.Gauge
	looked     *prometheus.GaugeVec

	mu    sync.Mutex
	rules map[string]bool // that have a label of their own
}

func newGateMetrics(registry *prometheus.Registry) *gateMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &gateMetrics{
		requests:   counter("shuin_gate_requests_total", "Requests to the gate's API answered, by route and error code (ok: a verdict).", "route", "code"),
		auth:       counter("shuin_gate_auth_failures_total", "Requests refused because nobody known sent them, by reason.", "reason"),
		places:     counter("shuin_gate_place_refusals_total", "Requests refused because the principal may not ask about the place.", "principal"),
		decisions:  counter("shuin_gate_decisions_total", "Verdicts about workloads, by outcome and whether it is allowed.", "outcome", "allowed"),
		images:     counter("shuin_gate_images_total", "Answers about images, by outcome, rule and code of the reason.", "outcome", "rule", "code"),
		undecided:  counter("shuin_gate_undecided_total", "Images that could not be checked, by code.", "code"),
		registry:   counter("shuin_gate_registry_requests_total", "HTTP requests to registries, by class of the status (error: no answer).", "status"),
		operations: counter("shuin_gate_registry_operations_total", "What the gate asked of registries (resolve, discover, signatures, platforms), by code (ok: answered).", "operation", "code"),
		reloads:    counter("shuin_gate_reloads_total", "Changes taken over without a restart.", "what"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "shuin_gate_decision_seconds", Help: "Time to answer a request with a verdict, by outcome.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}}, []string{"outcome"}),
		warm: prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_gate_decisions_without_registry_total",
			Help: "Verdicts for which nothing was asked of a registry: remembered, or found by another request at the time."}),
		flights: prometheus.NewGauge(prometheus.GaugeOpts{Name: "shuin_gate_registry_operations_in_flight", Help: "What is being asked of registries now."}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_gate_record_failures_total", Help: "Decisions that could not be recorded; they are undecided."}),
		policyFail: prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_gate_policy_reload_failures_total",
			Help: "Policies and trust stores that were found and cannot be used; each fault counts once, the old ones stay in use."}),
		current: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shuin_gate_current", Help: "1: what is in use is what the files say; 0: they cannot be used."}, []string{"what"}),
		policy:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shuin_gate_policy_info", Help: "1 for the policy and trust stores in use."}, []string{"policy", "trust"}),
		policyTime: prometheus.NewGauge(prometheus.GaugeOpts{Name: "shuin_gate_policy_loaded_timestamp_seconds",
			Help: "When the policy in use was taken over."}),
		looked: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shuin_gate_last_good_look_timestamp_seconds", Help: "When the files were last found fit for use."}, []string{"what"}),
		rules:  map[string]bool{},
	}
	registry.MustRegister(m.requests, m.auth, m.places, m.decisions, m.images, m.undecided, m.seconds, m.warm, m.registry, m.operations,
		m.flights, m.records, m.reloads, m.policyFail, m.current, m.policy, m.policyTime, m.looked)
	for _, reason := range gateapi.AuthReasons() {
		m.auth.WithLabelValues(reason) // there from the start, as zero
	}
	for _, o := range []pipeline.Outcome{pipeline.Admit, pipeline.Deny, pipeline.Undecided} {
		m.seconds.WithLabelValues(o.String())
	}
	return m
}

// newRegistry is a registry with what every process has.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// observe counts one answer of the API.
func (m *gateMetrics) observe(o gateapi.Observation) {
	route, code := o.Route, o.Code
	if route == "" {
		route = other
	}
	if code == "" {
		code = "ok"
	}
	m.requests.WithLabelValues(route, code).Inc()
	if o.Reason != "" {
		m.auth.WithLabelValues(o.Reason).Inc()
	}
	if o.Code == gateapi.CodePlace {
		m.places.WithLabelValues(o.Principal).Inc()
	}
	v := o.Verdict
	if v == nil {
		return
	}
	m.seconds.WithLabelValues(v.Outcome.String()).Observe(o.Took.Seconds())
	m.decisions.WithLabelValues(v.Outcome.String(), fmt.Sprint(v.Allowed)).Inc()
	for i := range v.Images {
		iv := &v.Images[i]
		code := codeLabel(iv.Err)
		m.images.WithLabelValues(iv.Outcome.String(), m.ruleLabel(iv.Rule), code).Inc()
		if iv.Outcome == pipeline.Undecided {
			m.undecided.WithLabelValues(code).Inc()
		}
	}
}

// codeLabel is the code of an error; "ok" for none.
func codeLabel(err error) string {
	if err == nil {
		return "ok"
	}
	return string(shuin.CodeOf(err))
}

// ruleLabel is a rule's name, for as many rules as are told apart.
func (m *gateMetrics) ruleLabel(rule string) string {
	if rule == "" {
		return "default"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.rules[rule] {
		if len(m.rules) >= limits.GateRuleLabels {
			return other
		}
		m.rules[rule] = true
	}
	return rule
}

// rulesInUse tells of the policy in use.
func (m *gateMetrics) rulesInUse(r *gate.Rules, at time.Time) {
	m.policy.Reset()
	m.policy.WithLabelValues(r.Policy().Digest().String(), r.TrustHash().String()).Set(1)
	m.policyTime.Set(float64(at.Unix()))
}

// countingTransport counts the answers of registries.
type countingTransport struct {
	base  http.RoundTripper
	count *prometheus.CounterVec
}

func (t *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.base.RoundTrip(r)
	label := "error"
	if err == nil {
		label = fmt.Sprintf("%dxx", res.StatusCode/100)
		if res.StatusCode == http.StatusTooManyRequests {
			label = "429"
		}
	}
	t.count.WithLabelValues(label).Inc()
	return res, err
}

// asks counts what one decision asked of registries. A flight that was begun
// for it carries it along; one that it only joined does not.
type asks struct{ n atomic.Int64 }

type asksKey struct{}

// countedGate tells which decisions were answered from memory.
type countedGate struct {
	*gate.Gate
	m *gateMetrics
}

// Decide decides.
func (g countedGate) Decide(ctx context.Context, w gate.Workload) *gate.Verdict {
	return g.DecideIn(ctx, w, gate.Place{})
}

// DecideIn decides.
func (g countedGate) DecideIn(ctx context.Context, w gate.Workload, place gate.Place) *gate.Verdict {
	var a asks
	v := g.Gate.DecideIn(context.WithValue(ctx, asksKey{}, &a), w, place)
	if a.n.Load() == 0 && !explains(ctx) {
		g.m.warm.Inc()
	}
	return v
}

// countedSources count what is asked of registries.
type countedSources struct {
	gate.Sources
	m *gateMetrics
}

// Open opens a repository.
func (s countedSources) Open(access string, ref shuin.Reference) (gate.Source, error) {
	source, err := s.Sources.Open(access, ref)
	if err != nil {
		return nil, err
	}
	return countedSource{source, s.m}, nil
}

type countedSource struct {
	gate.Source
	m *gateMetrics
}

func (s countedSource) begin(ctx context.Context, operation string) func(error) {
	if a, ok := ctx.Value(asksKey{}).(*asks); ok {
		a.n.Add(1)
	}
	s.m.flights.Inc()
	return func(err error) {
		s.m.flights.Dec()
		code := codeLabel(err)
		if errors.Is(err, context.Canceled) {
			code = "canceled"
		}
		s.m.operations.WithLabelValues(operation, code).Inc()
	}
}

func (s countedSource) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	end := s.begin(ctx, "resolve")
	a, err := s.Source.Resolve(ctx, ref)
	end(err)
	return a, err
}

func (s countedSource) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	end := s.begin(ctx, "discover")
	a, sigs, err := s.Source.Discover(ctx, ref)
	end(err)
	return a, sigs, err
}

func (s countedSource) Signatures(ctx context.Context, a shuin.Artifact, most int) ([]shuin.Signature, bool, error) {
	end := s.begin(ctx, "signatures")
	sigs, more, err := s.Source.Signatures(ctx, a, most)
	end(err)
	return sigs, more, err
}

func (s countedSource) Platforms(ctx context.Context, a shuin.Artifact) ([]shuin.Platform, error) {
	end := s.begin(ctx, "platforms")
	list, err := s.Source.Platforms(ctx, a)
	end(err)
	return list, err
}
