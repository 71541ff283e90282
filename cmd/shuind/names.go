package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/shuin/shuin/internal/limits"
)

// nameReport is what was found out about one of the API's three names.
type nameReport struct {
	name      string
	addresses []string
	// problem says why clients will not get here by the name; empty: they will.
	problem string
}

func (n nameReport) String() string {
	to := "does not resolve"
	if len(n.addresses) > 0 {
		to = strings.Join(n.addresses, ", ")
	}
	if n.problem == "" {
		return fmt.Sprintf("%s (%s): reaches this server", n.name, to)
	}
	return fmt.Sprintf("%s (%s): %s", n.name, to, n.problem)
}

// nameCheck asks for the server's own names as a client would.
type nameCheck struct {
	scheme   string
	instance string
	leaf     *x509.Certificate // nil: no TLS of ours
	resolve  func(ctx context.Context, host string) ([]string, error)
}

// check asks for all names at once.
func (c nameCheck) check(ctx context.Context, names []string) []nameReport {
	reports := make([]nameReport, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { reports[i] = c.one(ctx, name) })
	}
	wg.Wait()
	return reports
}

func (c nameCheck) one(ctx context.Context, name string) nameReport {
	ctx, cancel := context.WithTimeout(ctx, limits.ServerNameProbe)
	defer cancel()
	r := nameReport{name: name}
	host := name
	if h, _, err := net.SplitHostPort(name); err == nil {
		host = h
	}
	var err error
	if r.addresses, err = c.resolve(ctx, host); err != nil {
		r.problem = "the name does not resolve here"
		return r
	}
	if c.leaf != nil && c.leaf.VerifyHostname(host) != nil {
		r.problem = "the TLS certificate does not cover the name"
		return r
	}
	if err := c.ask(ctx, name); err != nil {
		r.problem = oneLine(err.Error())
	}
	return r
}

// ask fetches /healthz under the name and looks whether this process answered.
func (c nameCheck) ask(ctx context.Context, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.scheme+"://"+name+"/healthz", nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// Who answered is told by the instance; that the certificate covers
		// the name was looked at, and its CA may be unknown to this machine.
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", unwrapURL(err))
	}
	defer res.Body.Close()
	if res.Header.Get(instanceHeader) != c.instance {
		return errors.New("another server answers (fine, if it is another one of yours, or a load balancer before it)")
	}
	return nil
}

// unwrapURL drops the method and address that net/http puts before a cause.
func unwrapURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
