package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
)

// The signer's node with a gate beside it; and the addresses of a gate alone.

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

// entrances opens the addresses of a gate alone: of its API and of the webhooks.
// On an error none is left open.
func (g *gatePart) entrances(ctx context.Context, healthy http.Handler) (all []entrance, err error) {
	if g.api != nil {
		one, err := g.entrance(ctx, healthy)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if g.kube != nil {
		one, err := g.kube.entrance(ctx)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		all = append(all, one)
	}
	return all, nil
}

func closeAll(entrances []entrance) error {
	var errs []error
	for _, e := range entrances {
		errs = append(errs, e.ln.Close())
	}
	return errors.Join(errs...)
}
