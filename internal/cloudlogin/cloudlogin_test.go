package cloudlogin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
)

// azure stands in for Entra ID and for registries: every host leads here.
type azure struct {
	asked  []url.Values
	hosts  []string
	status int
	body   string // instead of a token
}

func (a *azure) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	a.asked, a.hosts = append(a.asked, r.PostForm), append(a.hosts, r.URL.Scheme+"://"+r.URL.Host+r.URL.Path)
	w := httptest.NewRecorder()
	switch {
	case a.status != 0:
		w.WriteHeader(a.status)
		_, _ = w.WriteString(`{"error_description": "secret-in-answer"}`)
	case a.body != "":
		_, _ = w.WriteString(a.body)
	case strings.HasSuffix(r.URL.Path, "/oauth2/exchange"):
		_, _ = w.WriteString(`{"refresh_token": "refresh"}`)
	default:
		_, _ = w.WriteString(`{"access_token": "entra", "expires_in": 3600}`)
	}
	return w.Result(), nil
}

func newLogins(t *testing.T, a *azure, env map[string]string) (*Logins, *time.Time) {
	t.Helper()
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	return &Logins{
		HTTP: &http.Client{Transport: a}, Getenv: func(name string) string { return env[name] }, Now: func() time.Time { return now },
		google: func(context.Context) (string, time.Time, error) { return "", time.Time{}, errNobody },
	}, &now
}

func azureEnv(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("pod-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{envAzureTenant: "tenant", envAzureClient: "client", envAzureToken: file}
}

func TestAzureGivesATokenForItsRegistriesOnly(t *testing.T) {
	a := &azure{}
	l, now := newLogins(t, a, azureEnv(t))
	user, password, until, ok, err := l.RegistryToken(t.Context(), "shop.azurecr.io", false)
	if err != nil || !ok || user != azureUser || password != "refresh" || !until.After(*now) {
		t.Fatalf("%q %q %v %v %v", user, password, until, ok, err)
	}
	if a.hosts[0] != "https://login.microsoftonline.com/tenant/oauth2/v2.0/token" || a.asked[0].Get("client_assertion") != "pod-token" || a.asked[0].Get("client_id") != "client" ||
		a.hosts[1] != "https://shop.azurecr.io/oauth2/exchange" || a.asked[1].Get("access_token") != "entra" || a.asked[1].Get("service") != "shop.azurecr.io" {
		t.Errorf("asked %v %v", a.hosts, a.asked)
	}
	for _, host := range []string{"shop.azurecr.io.evil.example", "evilazurecr.io", "azurecr.io:443", "registry.example", "pkg.dev", "shop-docker.pkg.dev.evil.example", "evilgcr.io"} {
		if _, _, _, ok, err := l.RegistryToken(t.Context(), host, false); ok || err != nil {
			t.Errorf("%s: %v %v", host, ok, err)
		}
	}
	if _, _, _, ok, _ := l.RegistryToken(t.Context(), "shop.azurecr.io", true); ok {
		t.Error("a token for pushing")
	}
	if n := len(a.asked); n != 2 {
		t.Errorf("asked %d times", n)
	}
	*now = now.Add(59 * time.Minute)
	if _, _, _, ok, _ := l.RegistryToken(t.Context(), "shop.azurecr.io", false); !ok || len(a.asked) != 2 {
		t.Error("a token that is good was asked for again")
	}
	*now = now.Add(2 * time.Minute)
	if _, _, _, ok, _ := l.RegistryToken(t.Context(), "shop.azurecr.io", false); !ok || len(a.asked) != 4 {
		t.Error("a token that is over was given")
	}
	if !l.DropRegistryToken("shop.azurecr.io") || l.DropRegistryToken("shop.azurecr.io") {
		t.Error("a refused token is forgotten once")
	}
}

func TestWhoHasNoIdentityIsAnonymous(t *testing.T) {
	a := &azure{}
	l, now := newLogins(t, a, nil)
	for _, host := range []string{"shop.azurecr.io", "europe-docker.pkg.dev", "gcr.io"} {
		if _, _, _, ok, err := l.RegistryToken(t.Context(), host, false); ok || err != nil {
			t.Errorf("%s: %v %v", host, ok, err)
		}
		if l.DropRegistryToken(host) {
			t.Errorf("%s: there is a new token to ask for, and nobody to ask", host)
		}
	}
	if len(a.asked) > 0 {
		t.Errorf("asked %v", a.hosts)
	}
	_ = now
}

func TestGoogleGivesOneTokenForAllItsRegistries(t *testing.T) {
	l, now := newLogins(t, &azure{}, nil)
	n := 0
	l.google = func(context.Context) (string, time.Time, error) {
		n++
		return "ya29", now.Add(30 * time.Minute), nil
	}
	for _, host := range []string{"europe-docker.pkg.dev", "eu.gcr.io", "gcr.io"} {
		user, password, until, ok, err := l.RegistryToken(t.Context(), host, false)
		if err != nil || !ok || user != googleUser || password != "ya29" || !until.Equal(now.Add(29*time.Minute)) {
			t.Errorf("%s: %q %q %v %v %v", host, user, password, until, ok, err)
		}
	}
	if n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestWhatGoesWrongIsNoSecretAndNotAnonymous(t *testing.T) {
	for _, c := range []struct {
		name string
		a    azure
		env  map[string]string
		want string
	}{
		{"a refusal", azure{status: http.StatusUnauthorized}, nil, "answers 401"},
		{"a redirect", azure{status: http.StatusFound}, nil, "answers 302"},
		{"no JSON", azure{body: "<html>secret-in-answer"}, nil, "answers no token"},
		{"an answer without a token", azure{body: "{}"}, nil, "gives no token"},
		{"a huge answer", azure{body: `{"access_token": "` + strings.Repeat("x", 70_000) + `"}`}, nil, "answers no token"},
		{"no token file", azure{}, map[string]string{envAzureToken: "/nonexistent/token"}, envAzureToken},
		{"an authority without TLS", azure{}, map[string]string{envAzureAuthority: "http://login.example"}, "no https address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := azureEnv(t)
			for k, v := range c.env {
				env[k] = v
			}
			l, _ := newLogins(t, &c.a, env)
			_, _, _, ok, err := l.RegistryToken(t.Context(), "shop.azurecr.io", false)
			if ok || shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v %v", ok, err)
			}
			for _, secret := range []string{"pod-token", "entra", "secret-in-answer"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%v holds %s", err, secret)
				}
			}
		})
	}
	l, _ := newLogins(t, &azure{}, nil)
	l.google = func(context.Context) (string, time.Time, error) { return "", time.Time{}, errors.New("no") }
	if _, _, _, ok, err := l.RegistryToken(t.Context(), "gcr.io", false); ok || err == nil {
		t.Error("an identity that gives no token is taken for none")
	}
}
