// Package webstate keeps what a watcher decided and told with a Shuin server,
// over HTTPS (/v1/watch/, docs/gate.md): a watch.Store that any number of
// functions may share, wherever they run. It follows no redirect, so that the
// token goes nowhere else, takes no answer that is not the server's for one,
// and decides nothing: what is new or due is package watch's to say.
package webstate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/watch"
)

// watchPath is what the paths of the server begin with, below its address.
const watchPath = "/v1/watch/"

// Store is a Shuin server as a watch.Store. What its principal keeps there is
// that principal's own: who is to share it asks with the same principal's
// token. Every call has a name of its own and is made once, however often it is
// sent; so it is tried again where the answer did not come. Fields are not
// changed after first use; it is safe for concurrent use.
type Store struct {
	URL string // of the server: https://HOST[:PORT][/PREFIX]; http only to this machine
	// Token gives the bearer token. It is asked for each request.
	Token func(ctx context.Context) (string, error)
	// Refused is told when the server did not take the token; may be nil. Where
	// Token then gives another, that is tried at once.
	Refused func()
	// Random gives 16 random bytes as hexadecimal digits: names of calls.
	Random func() string
	// Roots are the CAs that the server's certificate may be of. Nil: the
	// system's.
	Roots     *x509.CertPool
	UserAgent string
	// Wait waits between tries, or ends with ctx. Nil: a timer.
	Wait func(ctx context.Context, d time.Duration) error

	once sync.Once
	http *http.Client
}

var _ watch.Store = (*Store)(nil)

// Check refuses an address that no state is kept at.
func (s *Store) Check() error {
	u, err := url.Parse(s.URL)
	fail := func(what, hint string) error {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: what, Hint: hint}
	}
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "", u.Scheme != "https" && u.Scheme != "http":
		return fail("the address of the server is none", "write https://HOST: no user, query or fragment; the token is kept apart")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fail("the address of the server is without TLS: whoever is on the way could read the token", "write https://HOST")
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost"
}

// The bodies of requests: docs/gate.md.
type (
	claim struct {
		Key     string     `json:"key"`
		Version int64      `json:"version"`
		Token   string     `json:"token,omitzero"`
		Now     *time.Time `json:"now,omitzero"`
		Lease   string     `json:"lease,omitzero"`
	}
	telling struct {
		ID     string     `json:"id"`
		State  string     `json:"state"`
		To     string     `json:"to"`
		Image  string     `json:"image,omitzero"`
		Seen   *time.Time `json:"seen,omitzero"`
		Now    *time.Time `json:"now,omitzero"`
		Remind string     `json:"remind,omitzero"`
		Lease  string     `json:"lease,omitzero"`
	}
	take struct {
		Count   string    `json:"count"`
		Most    int       `json:"most"`
		Now     time.Time `json:"now"`
		Expires time.Time `json:"expires"`
	}
	inUse struct {
		Name  string    `json:"name"`
		Value string    `json:"value"`
		Now   time.Time `json:"now"`
	}
	// done is answered where there is nothing to say.
	done struct {
		OK bool `json:"ok"`
	}
)

func newTelling(t watch.Telling) telling {
	return telling{ID: t.ID, State: string(t.State), To: t.To, Image: string(t.Image)}
}

// Begin is watch.Store's.
func (s *Store) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	var out struct {
		Token string `json:"token"`
	}
	now = now.UTC()
	err := s.post(ctx, "claim a decision", "begin", claim{Key: c.Key, Version: c.Version, Now: &now, Lease: lease.String()}, &out, func() bool { return out.Token != "" })
	if err != nil {
		return "", err
	}
	return out.Token, nil
}

// Done is watch.Store's.
func (s *Store) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	if token == "" {
		return watch.ErrLost
	}
	var out done
	now = now.UTC()
	return s.post(ctx, "record a decision", "done", claim{Key: c.Key, Version: c.Version, Token: token, Now: &now}, &out, out.ok)
}

func (d *done) ok() bool { return d.OK }

// Release is watch.Store's.
func (s *Store) Release(ctx context.Context, c watch.Claim, token string) error {
	if token == "" {
		return nil
	}
	var out done
	return s.post(ctx, "release a claim", "release", claim{Key: c.Key, Version: c.Version, Token: token}, &out, out.ok)
}

// Tell is watch.Store's.
func (s *Store) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	var out struct {
		Turn string `json:"turn"`
	}
	in := newTelling(t)
	now = now.UTC()
	in.Now, in.Remind, in.Lease = &now, min(max(remind, 0), limits.StateRemindMost).String(), lease.String()
	turns := map[string]watch.Turn{"first": watch.First, "again": watch.Again, "silent": watch.Silent}
	if err := s.post(ctx, "ask whether a finding was told", "tell", in, &out, func() bool { return turns[out.Turn] != 0 }); err != nil {
		return 0, err
	}
	return turns[out.Turn], nil
}

// Told is watch.Store's.
func (s *Store) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	var out done
	in := newTelling(t)
	now = now.UTC()
	in.Now = &now
	return s.post(ctx, "record that a finding was told", "told", in, &out, out.ok)
}

// Untell is watch.Store's.
func (s *Store) Untell(ctx context.Context, t watch.Telling) error {
	var out done
	return s.post(ctx, "record that a finding was not told", "untell", newTelling(t), &out, out.ok)
}

// Tellings is watch.Store's.
func (s *Store) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	var out struct {
		Tellings []struct {
			State digest.Digest `json:"state"`
			To    string        `json:"to"`
			Image digest.Digest `json:"image"`
			Seen  time.Time     `json:"seen"`
		} `json:"tellings"`
	}
	if err := s.get(ctx, "read what was told of a finding", "tellings?id="+url.QueryEscape(id), &out, func() bool {
		return out.Tellings != nil && len(out.Tellings) <= limits.WatchTellings
	}); err != nil {
		return nil, err
	}
	var all []watch.Telling
	for _, t := range out.Tellings {
		all = append(all, watch.Telling{ID: id, State: t.State, To: t.To, Image: t.Image, Seen: t.Seen.UTC()})
	}
	return all, nil
}

// Forget is watch.Store's.
func (s *Store) Forget(ctx context.Context, t watch.Telling) (bool, error) {
	var out struct {
		Forgot *bool `json:"forgot"`
	}
	if t.Seen.IsZero() {
		return false, nil // whatever is there was seen later
	}
	in, seen := newTelling(t), t.Seen.UTC()
	in.Seen = &seen
	err := s.post(ctx, "forget that a finding was told", "forget", in, &out, func() bool { return out.Forgot != nil })
	return err == nil && *out.Forgot, err
}

// Take is watch.Store's.
func (s *Store) Take(ctx context.Context, count string, most int, now, expires time.Time) (bool, error) {
	var out struct {
		Took *bool `json:"took"`
	}
	if most <= 0 {
		return false, nil
	}
	err := s.post(ctx, "count a reaction", "take", take{count, most, now.UTC(), expires.UTC()}, &out, func() bool { return out.Took != nil })
	return err == nil && *out.Took, err
}

// InUse is watch.Store's.
func (s *Store) InUse(ctx context.Context, name, value string, now time.Time) (time.Time, error) {
	var out struct {
		Since *time.Time `json:"since"`
	}
	if err := s.post(ctx, "record what is in use", "in-use", inUse{name, value, now.UTC()}, &out, func() bool { return true }); err != nil || out.Since == nil {
		return time.Time{}, err
	}
	return out.Since.UTC(), nil
}

// ReactionsOff is watch.Store's: somebody switches them off at the server.
func (s *Store) ReactionsOff(ctx context.Context) (bool, error) {
	var out struct {
		Off *bool `json:"off"`
	}
	err := s.get(ctx, "see whether reactions are switched off", "reactions", &out, func() bool { return out.Off != nil })
	return err == nil && *out.Off, err
}

// client is TLS 1.2 at least, without redirects, and with no proxy but the
// environment's. The whole of a function's connections are to one server.
func (s *Store) client() *http.Client {
	s.once.Do(func() {
		s.http = &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: limits.StateTryTime}).DialContext,
				TLSClientConfig:        &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12},
				TLSHandshakeTimeout:    limits.StateTryTime,
				ResponseHeaderTimeout:  limits.StateTryTime,
				MaxResponseHeaderBytes: limits.FetchHeaderBytes,
				MaxIdleConnsPerHost:    limits.LambdaBatch,
				IdleConnTimeout:        30 * time.Second,
				ForceAttemptHTTP2:      true,
				DisableCompression:     true, // a small answer stays small
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	})
	return s.http
}
