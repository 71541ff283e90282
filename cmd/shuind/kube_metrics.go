package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/admission"
	"github.com/shuin/shuin/internal/kube"
)

// kubeMetrics are what /metrics tells of the gate in a cluster. Labels have
// closed sets of values.
type kubeMetrics struct {
	reviews    *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	images     *prometheus.CounterVec
	pinned     prometheus.Counter
	excepted   prometheus.Counter
	sweeps     *prometheus.CounterVec
	swept      prometheus.Gauge
	sweepTime  prometheus.Gauge
	pods       *prometheus.GaugeVec
	looks      prometheus.Counter
	turns      *prometheus.CounterVec
	collectors []prometheus.Collector // of what is asked when it is wanted
}

func newKubeMetrics(k *kubePart) *kubeMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &kubeMetrics{
		reviews: counter("shuin_kube_reviews_total", "Admission reviews answered, by webhook, kind of object, operation and what became of them (skipped: allowed without a question).", "webhook", "kind", "operation", "outcome"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "shuin_kube_review_seconds", Help: "Time to answer an admission review, by webhook and outcome.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}, []string{"webhook", "outcome"}),
		images:   counter("shuin_kube_images_total", "Images that reviews asked about, by webhook and outcome.", "webhook", "outcome"),
		pinned:   prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_kube_images_pinned_total", Help: "Images that were written with their digest into an object; dry runs write none."}),
		excepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_kube_exception_uses_total", Help: "Images that were admitted by an exception in a validating review, dry runs apart."}),
		sweeps:   counter("shuin_kube_sweeps_total", "Sweeps over all that runs, by result (whole, partial: something could not be looked at, failed).", "result"),
		swept:    gauge("shuin_kube_last_sweep_timestamp_seconds", "When the last sweep ended that saw all that runs; 0: none did, or another replica sweeps."),
		sweepTime: gauge("shuin_kube_last_sweep_seconds",
			"How long that sweep took."),
		pods:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shuin_kube_pods", Help: "Pods that run, by the outcome of the last sweep; of the replica that sweeps."}, []string{"outcome"}),
		looks: prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_kube_revocation_looks_total", Help: "Looks at the revocation of what was decided, between decisions."}),
		turns: counter("shuin_kube_revocation_changes_total", "Certificates and signatures that a look found to be revoked, or good again; each has what runs judged soon.", "to"),
	}
	m.asked(k)
	for _, endpoint := range []string{admission.Validate, admission.Mutate} {
		for _, outcome := range []string{admission.Admitted, admission.Denied, admission.Undecided} {
			m.seconds.WithLabelValues(endpoint, outcome) // there from the start, as zero
		}
	}
	for _, result := range []string{sweepWhole, sweepPartial, sweepFailed} {
		m.sweeps.WithLabelValues(result)
	}
	for _, to := range []string{"revoked", "good"} {
		m.turns.WithLabelValues(to)
	}
	return m
}

// asked are the values that are looked up whenever they are wanted.
func (m *kubeMetrics) asked(k *kubePart) {
	value := func(name, help string, of func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, of))
	}
	value("shuin_kube_leader", "1: this replica sweeps and writes reports.", func() float64 { return truth(k.leader.Leads()) })
	value("shuin_kube_certificate_end_timestamp_seconds", "When the certificate ends that the webhooks are served with; 0: there is none yet.", func() float64 {
		switch {
		case k.pair != nil:
			return float64(k.pair.leaf().NotAfter.Unix())
		case k.serving != nil && !k.serving.Ends().IsZero():
			return float64(k.serving.Ends().Unix())
		}
		return 0
	})
	value("shuin_kube_watch_broken", "How many of the gate's watches of the cluster (policy and trust, exceptions, policies of namespaces, the certificate) cannot be kept now; what was read before counts.", func() float64 {
		n := 0.0
		for _, broken := range k.watches() {
			n += truth(broken() != nil)
		}
		return n
	})
	m.collectors = append(m.collectors, clusterState{k,
		prometheus.NewDesc("shuin_kube_exceptions", "PolicyExceptions, by what they count for.", []string{"state"}, nil),
		prometheus.NewDesc("shuin_kube_namespace_policies", "Policies of namespaces, by whether they are in use (in-use) or cannot be used (refused; one may be in use from before).", []string{"state"}, nil),
	})
}

// watches are what tells whether the cluster can be followed.
func (k *kubePart) watches() (out []func() error) {
	if k.own != nil {
		out = append(out, k.own.Broken)
	}
	if k.exceptions != nil {
		out = append(out, k.exceptions.Broken)
	}
	if k.spaces != nil {
		out = append(out, k.spaces.Broken)
	}
	if k.serving != nil {
		out = append(out, k.serving.Fault)
	}
	return out
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (m *kubeMetrics) register(r *prometheus.Registry) {
	r.MustRegister(m.reviews, m.seconds, m.images, m.pinned, m.excepted, m.sweeps, m.swept, m.sweepTime, m.pods, m.looks, m.turns)
	r.MustRegister(m.collectors...)
}

// clusterState counts what the cluster keeps for the gate.
type clusterState struct {
	k                     *kubePart
	exceptions, namespace *prometheus.Desc
}

// Describe satisfies prometheus.Collector.
func (s clusterState) Describe(ch chan<- *prometheus.Desc) { ch <- s.exceptions; ch <- s.namespace }

// Collect satisfies prometheus.Collector.
func (s clusterState) Collect(ch chan<- prometheus.Metric) {
	if s.k.exceptions != nil {
		count := map[string]int{kube.ExceptionInForce: 0, kube.ExceptionExpired: 0, kube.ExceptionInvalid: 0, kube.ExceptionTooMany: 0}
		for _, one := range s.k.exceptions.Standings() {
			count[one.Reason]++
		}
		for state, n := range count {
			ch <- prometheus.MustNewConstMetric(s.exceptions, prometheus.GaugeValue, float64(n), state)
		}
	}
	if s.k.spaces != nil {
		faults, inUse := s.k.spaces.Faults()
		ch <- prometheus.MustNewConstMetric(s.namespace, prometheus.GaugeValue, float64(inUse), "in-use")
		ch <- prometheus.MustNewConstMetric(s.namespace, prometheus.GaugeValue, float64(len(faults)), "refused")
	}
}

// observe counts one review.
func (m *kubeMetrics) observe(o admission.Observation) {
	endpoint, kind, operation := o.Endpoint, o.Kind, o.Operation
	for _, label := range []*string{&endpoint, &kind, &operation} {
		if *label == "" {
			*label = other
		}
	}
	m.reviews.WithLabelValues(endpoint, kind, operation, o.Outcome).Inc()
	m.seconds.WithLabelValues(endpoint, o.Outcome).Observe(o.Took.Seconds())
	if !o.DryRun {
		m.pinned.Add(float64(o.Pinned))
	}
	if o.Verdict == nil {
		return
	}
	for i := range o.Verdict.Images {
		iv := &o.Verdict.Images[i]
		m.images.WithLabelValues(endpoint, iv.Outcome.String()).Inc()
		if iv.Exception != nil && endpoint == admission.Validate && !o.DryRun {
			m.excepted.Inc()
		}
	}
}

// The results of sweeps.
const (
	sweepWhole   = "whole"
	sweepPartial = "partial"
	sweepFailed  = "failed"
)

// sweepEnded counts one sweep.
func (m *kubeMetrics) sweepEnded(result string, judged []kube.Judged, began, ended time.Time) {
	m.sweeps.WithLabelValues(result).Inc()
	if result == sweepFailed {
		return
	}
	count := map[string]int{"admit": 0, "deny": 0, "undecided": 0}
	for _, j := range judged {
		if j.Verdict != nil {
			count[worst(j.Verdict).String()] += j.Group.Count
		}
	}
	for outcome, n := range count {
		m.pods.WithLabelValues(outcome).Set(float64(n))
	}
	if result == sweepWhole {
		m.swept.Set(float64(ended.Unix()))
		m.sweepTime.Set(ended.Sub(began).Seconds())
	}
}

// notLeading: another replica's numbers count now.
func (m *kubeMetrics) notLeading() {
	m.pods.Reset()
	m.swept.Set(0)
	m.sweepTime.Set(0)
}

// observeDecision counts a verdict that no request asked for, as those of the
// API are counted.
func (m *gateMetrics) observeDecision(v *gate.Verdict) {
	for i := range v.Images {
		iv := &v.Images[i]
		m.images.WithLabelValues(iv.Outcome.String(), m.ruleLabel(iv.Rule), codeLabel(iv.Err)).Inc()
	}
}
