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
	if why := l.Nobody("shop.azurecr.io") + l.Nobody("registry.example") + l.Nobody("gcr.io"); why != "" {
		t.Errorf("who asked with an identity, or was not asked for, asked for nobody: %s", why)
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
		if why := l.Nobody(host); !strings.Contains(why, "no identity at") {
			t.Errorf("%s: it is not said that nobody asked: %q", host, why)
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
		{"no client beside the token", azure{}, map[string]string{envAzureClient: ""}, envAzureClient},
		{"no tenant beside the token", azure{}, map[string]string{envAzureTenant: ""}, envAzureTenant},
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

func TestAFileOfGoogleThatIsNoneIsAFaultAndNotAnonymous(t *testing.T) {
	for name, text := range map[string]string{"no file": "", "no credentials": `{"type": "unheard-of", "private_key": "secret-in-file"}`, "no JSON": "secret-in-file"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "google.json")
			if text != "" {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv(envGoogle, file)
			l, _ := newLogins(t, &azure{}, nil)
			l.google = nil
			_, _, _, ok, err := l.RegistryToken(t.Context(), "gcr.io", false)
			if ok || shuin.CodeOf(err) != shuin.CodeUnavailable || !strings.Contains(err.Error(), envGoogle) || strings.Contains(err.Error(), "secret") || l.Nobody("gcr.io") != "" {
				t.Errorf("%v %v %q", ok, err, l.Nobody("gcr.io"))
			}
		})
	}
}

func TestTheMetadataServerGivesATokenOrAFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string // of the error; empty: it is given
	}{
		{"a token", http.StatusOK, `{"access_token": "ya29", "expires_in": 3599, "token_type": "Bearer"}`, ""},
		{"no identity bound", http.StatusNotFound, "secret-in-answer", "gives no token"},
		{"a refusal", http.StatusForbidden, "secret-in-answer", "gives no token"},
		{"no JSON", http.StatusOK, "secret-in-answer", "answers no token"},
		{"no token", http.StatusOK, `{"expires_in": 3599}`, "answers no token"},
		{"no end", http.StatusOK, `{"access_token": "ya29"}`, "answers no token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/token" || r.URL.Query().Get("scopes") != googleScope || r.Header.Get("Metadata-Flavor") != "Google" {
					t.Errorf("asked %s %v", r.URL, r.Header)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
			text, until, err := metadataToken(t.Context())
			if c.want == "" && (err != nil || text != "ya29" || time.Until(until) < 50*time.Minute) {
				t.Errorf("%q %v %v", text, until, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%v", err)
			}
		})
	}
}
