package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/pipeline"
	watching "github.com/shuin/shuin/watch"
)

// Findings that watchers tell of, kept beside the gate.

// validateFindings checks where findings are kept, and who tells of them.
func (c *config) validateFindings(f *faults) {
	g := &c.Gate
	if g.Findings != "" {
		info, err := os.Stat(filepath.Dir(g.Findings))
		switch {
		case err != nil || !info.IsDir():
			f.at("gate.findings", "there is no directory %s", filepath.Dir(g.Findings))
		case g.Findings == g.Records:
			f.at("gate.findings", "this is the file of gate.records: findings have a database of their own")
		}
	}
	for i := range g.Principals {
		p := &g.Principals[i]
		at := "gate.principals[" + strconv.Itoa(i) + "].reports"
		switch {
		case !p.Reports:
		case g.Findings == "":
			f.at(at, "this server keeps no findings: set gate.findings")
		case len(p.Namespaces) > 0:
			f.at(at, "findings have no namespace, so it could tell of none: bind it to clusters, or set anywhere to true")
		}
	}
}

// openFindings opens the database of findings, if there is to be one.
func (g *gatePart) openFindings(ctx context.Context) (err error) {
	if g.c.Gate.Findings == "" {
		return nil
	}
	if g.findings, err = sqlstore.OpenFindings(ctx, sqlstore.FindingsOptions{Path: g.c.Gate.Findings}); err != nil {
		return invalid("gate.findings is a file in a directory that this user may write to, and a database of findings alone", "%w", err)
	}
	m := newFindingsMetrics(g.findings)
	m.register(g.registry)
	g.keeper = countedKeeper{g.findings, m}
	return nil
}

// watching is what principals decided and told as watchers, in the database of
// findings; nil: there is none.
func (g *gatePart) watching() func(principal, once string, now time.Time) watching.Store {
	if g.findings == nil {
		return nil
	}
	return func(principal, once string, now time.Time) watching.Store {
		return g.findings.State(principal).Once(once, now)
	}
}

// tidyFindings forgets what watchers need no more once it is due and then every
// day, until ctx ends; not at the start, when a clock may not be set yet.
func (g *gatePart) tidyFindings(ctx context.Context, due <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
		}
		switch forgot, err := g.findings.Tidy(ctx, g.now()); {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.log.Error("what watchers decided and told long ago could not be forgotten", "error", err)
		case forgot > 0:
			g.log.Info("what watchers decided and told long ago is forgotten", "rows", forgot)
		}
		due = time.After(limits.StateTidyEvery)
	}
}

// The reasons why a finding was not kept, or not read: labels of a metric.
const (
	reasonFull  = "full"
	reasonStore = "store"
)

// findingsMetrics are what /metrics tells of findings.
type findingsMetrics struct {
	received prometheus.Counter
	failures *prometheus.CounterVec
	dropped  prometheus.CounterFunc
	open     openFindings
}

func newFindingsMetrics(f *sqlstore.Findings) *findingsMetrics {
	m := &findingsMetrics{
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "shuin_findings_received_total",
			Help: "Findings that were told and kept, reminders and what is resolved included."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "shuin_findings_failures_total",
			Help: "Findings that could not be kept or listed, by reason (full: no room; store: the database failed)."}, []string{"reason"}),
		dropped: prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "shuin_findings_dropped_total",
			Help: "Findings that made room for others: resolved ones, then those of which nothing was told for 90 days."},
			func() float64 { return float64(f.Dropped()) }),
		open: openFindings{f, prometheus.NewDesc("shuin_findings_open", "Findings that are open now, by outcome (deny, undecided).", []string{"outcome"}, nil)},
	}
	m.failures.WithLabelValues(reasonFull) // there from the start, as zero
	m.failures.WithLabelValues(reasonStore)
	return m
}

func (m *findingsMetrics) register(r *prometheus.Registry) {
	r.MustRegister(m.received, m.failures, m.dropped, m.open)
}

func (m *findingsMetrics) failed(err error) {
	switch {
	case err == nil, errors.Is(err, watching.ErrPage), errors.Is(err, context.Canceled):
	case errors.Is(err, watching.ErrFull):
		m.failures.WithLabelValues(reasonFull).Inc()
	default:
		m.failures.WithLabelValues(reasonStore).Inc()
	}
}

// openFindings counts what is open whenever it is asked. Where it cannot be
// counted there is no value: none is not the same as unknown.
type openFindings struct {
	keeper watching.Keeper
	desc   *prometheus.Desc
}

// Describe satisfies prometheus.Collector.
func (o openFindings) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect satisfies prometheus.Collector.
func (o openFindings) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), limits.FindingsCountTime)
	defer cancel()
	count, err := o.keeper.Count(ctx)
	if err != nil {
		return
	}
	for _, outcome := range []pipeline.Outcome{pipeline.Deny, pipeline.Undecided} {
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, float64(count[outcome.String()]), outcome.String())
	}
}

// countedKeeper counts what is told.
type countedKeeper struct {
	watching.Keeper
	m *findingsMetrics
}

// Keep is watch.Keeper's.
func (k countedKeeper) Keep(ctx context.Context, f watching.Finding, by string, now time.Time) (watching.Became, error) {
	became, err := k.Keeper.Keep(ctx, f, by, now)
	if k.m.failed(err); err == nil {
		k.m.received.Inc()
	}
	return became, err
}

// Find is watch.Keeper's.
func (k countedKeeper) Find(ctx context.Context, q watching.Query) (watching.Page, error) {
	page, err := k.Keeper.Find(ctx, q)
	k.m.failed(err)
	return page, err
}
