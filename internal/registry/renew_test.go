package registry

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin"
)

// tokenRegistry takes the newest password only and answers 403, or 401, to
// older ones, as ECR does with tokens that are over.
type tokenRegistry struct {
	mu      sync.Mutex
	status  int
	good    string
	refused int
	always  bool // refuses whatever comes
}

func (s *tokenRegistry) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, password, ok := r.BasicAuth()
	switch {
	case !ok:
		out.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		out.WriteHeader(http.StatusUnauthorized)
	case password != s.good || s.always:
		s.refused++
		if s.status == http.StatusUnauthorized {
			out.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		}
		out.WriteHeader(s.status)
	default:
		out.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		out.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		out.Header().Set("Content-Length", "2")
	}
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		always bool
		renew  bool
		want   shuin.Code
		asked  int // credentials
	}{
		{"403 for a token that is over", http.StatusForbidden, false, true, "", 2},
		{"401 for a token that is over", http.StatusUnauthorized, false, true, "", 3}, // asked again by itself too
		{"a refusal that a new token does not change", http.StatusForbidden, true, true, shuin.CodeForbidden, 2},
		{"nobody knows another token", http.StatusForbidden, false, false, shuin.CodeForbidden, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &tokenRegistry{status: tc.status, good: "1", always: false}
			srv := httptest.NewServer(s)
			defer srv.Close()
			n, asked, renewals := 1, 0, 0
			c := plainClient()
			c.Credential = func(context.Context, string) (Credential, error) {
				asked++
				return Credential{Username: "AWS", Password: fmt.Sprint(n)}, nil
			}
			if tc.renew {
				c.Renew = func(context.Context, string) bool {
					renewals++
					if renewals > 1 {
						return false
					}
					n++
					return true
				}
			}
			host := strings.TrimPrefix(srv.URL, "http://")
			repo := repository(t, c, host, "app")
			ref := shuin.Reference{Registry: host, Repository: "app", Tag: "v1"}
			if _, err := repo.Resolve(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			asked = 0
			s.mu.Lock()
			s.good, s.always = "2", tc.always // the first one is over now
			s.mu.Unlock()
			_, err := repo.Resolve(t.Context(), ref)
			if shuin.CodeOf(err) != tc.want {
				t.Errorf("%v", err)
			}
			if asked > tc.asked {
				t.Errorf("%d credentials were asked for, at most %d", asked, tc.asked)
			}
		})
	}
}

func TestACredentialIsAskedForAgainWhenItsTimeIsOver(t *testing.T) {
	s := &tokenRegistry{status: http.StatusForbidden, good: "x"}
	srv := httptest.NewServer(s)
	defer srv.Close()
	asked := 0
	until := time.Time{}
	c := plainClient()
	c.Credential = func(context.Context, string) (Credential, error) {
		asked++
		return Credential{Username: "AWS", Password: "x", Until: until}, nil
	}
	host := strings.TrimPrefix(srv.URL, "http://")
	repo := repository(t, c, host, "app")
	resolve := func() {
		t.Helper()
		if _, err := repo.Resolve(t.Context(), shuin.Reference{Registry: host, Repository: "app", Tag: "v1"}); err != nil {
			t.Fatal(err)
		}
	}
	until = time.Now().Add(time.Hour)
	resolve()
	resolve()
	if asked != 1 {
		t.Errorf("%d credentials for two requests within their time", asked)
	}
	c.held.forget()
	until = time.Now().Add(-time.Second)
	resolve()
	resolve()
	if asked != 3 {
		t.Errorf("%d credentials in all, want one for each request after their time", asked)
	}
}

// Requests go out in waves: a token that is over refuses all of them.
func TestManyRequestsShareOneRenewal(t *testing.T) {
	s := &tokenRegistry{status: http.StatusForbidden, good: "1"}
	srv := httptest.NewServer(s)
	defer srv.Close()
	var mu sync.Mutex
	n, renewals := 1, 0
	c := plainClient()
	c.Credential = func(context.Context, string) (Credential, error) {
		mu.Lock()
		defer mu.Unlock()
		return Credential{Username: "AWS", Password: fmt.Sprint(n)}, nil
	}
	c.Renew = func(context.Context, string) bool {
		mu.Lock()
		defer mu.Unlock()
		n++
		renewals++
		return renewals == 1
	}
	host := strings.TrimPrefix(srv.URL, "http://")
	repo := repository(t, c, host, "app")
	ref := shuin.Reference{Registry: host, Repository: "app", Tag: "v1"}
	if _, err := repo.Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.good = "2"
	s.mu.Unlock()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := repo.Resolve(t.Context(), ref); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if renewals != 1 {
		t.Errorf("%d renewals", renewals)
	}
}
