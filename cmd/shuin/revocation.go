package main

import (
	"net/http"
	"os"

	"github.com/spf13/pflag"

	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/registry"
	"github.com/shuin/shuin/internal/revocation"
)

// revocationFlags are how revocation is checked.
type revocationFlags struct {
	allowPrivate bool
}

// add declares the flag under the name shuin. Notation contacts any address,
// so under its name there is nothing to choose.
func (r *revocationFlags) add(a *app, fs *pflag.FlagSet) {
	if a.asNotation() {
		r.allowPrivate = true
		return
	}
	fs.BoolVar(&r.allowPrivate, "allow-private-revocation-addresses", false,
		"also ask OCSP responders and CRL servers on private and loopback addresses, as a company's own CA has them")
}

// revocationChecker asks responders and CRL servers, and keeps CRLs where
// notation does. Failures of the cache are warnings.
func (a *app) revocationChecker(r *revocationFlags) *revocation.Checker {
	c := &revocation.Checker{
		HTTP:   a.fetchClient(r.allowPrivate),
		OnWarn: func(message string) { a.warnf("%s", oneLine(message)) },
	}
	if a.log != nil {
		c.OnStep = func(text string) { a.log.Debug(oneLine(text)) }
	}
	if a.cacheRoot() == "" {
		a.warnf("CRLs are not kept: there is no cache directory (HOME, XDG_CACHE_HOME, %s)", envCache)
		return c
	}
	dir := a.dir().CRLCache()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		a.warnf("failed to create crl file cache: %v", err)
		return c
	}
	c.Cache = &revocation.FileCache{Dir: dir}
	return c
}

// fetchClient is for addresses that certificates and flags name.
func (a *app) fetchClient(allowPrivate bool) *fetch.Client {
	c := &fetch.Client{
		AllowPrivateAddresses: allowPrivate,
		Proxy:                 http.ProxyFromEnvironment,
		UserAgent:             a.userAgent(),
	}
	if a.log != nil {
		c.Wrap = func(t http.RoundTripper) http.RoundTripper {
			return registry.Traced(t, func(text string) { a.log.Debug(text) })
		}
	}
	return c
}
