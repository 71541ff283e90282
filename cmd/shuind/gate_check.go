package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/shuin/shuin/gate"
)

// describeGate says in words what the gate would do.
func (c *config) describeGate(rules *gate.Rules) []string {
	g := &c.Gate
	how := "plain HTTP"
	switch t := c.gateTLS(); {
	case t.Certificate != "":
		how = "HTTPS with " + t.Certificate
	case t.PlaintextBehindProxy:
		how = "plain HTTP, behind a proxy that ends TLS"
	}
	var lines []string
	if c.gateAPI() {
		lines = append(lines, "The gate is served on "+c.gateListen()+" by "+how+", under /v1/.")
	}
	if c.admits() {
		lines = append(lines, c.Kubernetes.describe()...)
	}
	if rules != nil {
		lines = append(lines, fmt.Sprintf("It decides by %s (%s) with the trust stores of %s (%s).", g.decidesBy(), rules.Policy().Digest(), cmp.Or(g.Bundle, g.Trust), rules.TrustHash()))
	}
	lines = append(lines,
		"Signatures and CRLs are kept in "+cmp.Or(g.Cache, "memory only (gate.cache is not set)")+".",
		"Decisions are recorded "+recordedIn(g.Records)+".",
		"Findings are kept in "+cmp.Or(g.Findings, "no database (gate.findings is not set)")+".")
	if g.AnyoneOnLoopbackMayAsk {
		return append(lines, "EVERYBODY on this machine may ask about every place (gate.anyoneOnLoopbackMayAsk).")
	}
	for _, p := range g.Principals {
		known, places := "a token in "+cmp.Or(p.Token.File, "the environment variable "+p.Token.Env), "every place"
		if p.Token == (tokenConfig{}) {
			known = "a client certificate of " + cmp.Or(p.Certificate.URI, p.Certificate.DNS, p.Certificate.Subject)
		}
		if !p.Anywhere {
			var parts []string
			if len(p.Clusters) > 0 {
				parts = append(parts, "clusters "+strings.Join(p.Clusters, ", "))
			}
			if len(p.Namespaces) > 0 {
				parts = append(parts, "namespaces "+strings.Join(p.Namespaces, ", "))
			}
			places = strings.Join(parts, " and ")
		}
		if p.Reports {
			places += ", and tell of findings there, and keep what it decided and told"
		}
		if p.ReadsPolicy {
			places += ", and fetch the policy bundle"
		}
		lines = append(lines, fmt.Sprintf("Principal %s, known by %s, may ask about %s.", p.Name, known, places))
	}
	return lines
}

// recordedIn is where gate.records has decisions written to.
func recordedIn(records string) string {
	switch records {
	case "":
		return "in no file (gate.records is not set)"
	case recordsToStdout:
		return "on standard output"
	}
	return "in " + records
}

// checkGate loads what the gate would load, and says what it would do.
func (a *app) checkGate(ctx context.Context, c *config) ([]string, error) {
	if c.Kubernetes.policyInCluster() || c.Kubernetes.trustInCluster() {
		return c.describeGate(nil), c.checkOutside(ctx, a)
	}
	files := &gateFiles{policy: c.Gate.Policy, trust: c.gateDir(slog.New(slog.DiscardHandler))}
	var err error
	if files.bundle, err = c.newBundleFile(c.checkingVerifier(a.now), a.now, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	rules, err := files.load(ctx)
	if err != nil {
		return nil, err
	}
	if c.gateAPI() {
		if _, err := a.principals(&c.Gate); err != nil {
			return nil, err
		}
	}
	for _, p := range c.Gate.Principals {
		if info, err := os.Stat(p.Token.File); p.Token.File != "" && err == nil && info.Mode().Perm()&0o044 != 0 {
			a.warnf("the token file %s of principal %s may be read by other users of this machine", p.Token.File, p.Name)
		}
	}
	for _, w := range rules.Policy().Lint(a.now()) {
		a.warnf("%s: %s", cmp.Or(c.Gate.Policy, c.Gate.Bundle), w)
	}
	return c.describeGate(rules), nil
}
