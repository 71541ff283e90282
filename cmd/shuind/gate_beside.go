package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"slices"
)

// The signer's node with a gate beside it.

// addGate opens the gate that the configuration has, if it has one.
func (n *node) addGate(ctx context.Context, a *app, configPath string) (err error) {
	if n.c.gates() {
		n.gate, err = a.newGatePart(ctx, n.c, configPath, n, n.log, n.metrics.registry)
	}
	return err
}

// besideGate is the API's address, with the gate's paths where it has no
// address of its own.
func (n *node) besideGate(api http.Handler) http.Handler {
	if n.gate == nil || n.gate.api == nil || n.c.Gate.Listen != "" {
		return api
	}
	return n.gate.beside(api)
}

// sharedTLS is the API's TLS: where the gate is there too, clients are asked
// for a certificate, which those of the signer need not have.
func (c *config) sharedTLS(t *tls.Config) *tls.Config {
	if c.Gate.Listen != "" {
		return t
	}
	return c.asksForCertificates(t)
}

// apiReady is the readiness of what the API's address serves.
func (n *node) apiReady() *readiness {
	if n.gate == nil || n.c.Gate.Listen != "" {
		return n.ready
	}
	return n.allReady()
}

// allReady is the readiness of everything, for the operations address.
func (n *node) allReady() *readiness {
	if n.gate == nil {
		return n.ready
	}
	if n.both == nil {
		n.both = &readiness{now: n.now, probes: append(slices.Clone(n.ready.probes), n.gate.ready.probes...)}
	}
	return n.both
}

// ending makes every readiness say so.
func (n *node) ending() {
	n.ready.end()
	if n.gate != nil {
		n.gate.ready.end()
		n.allReady().end()
	}
}
