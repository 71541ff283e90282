// Package cloudlogin is the door to what Google Cloud and Azure give a workload
// in place of a registry's password: a token for Artifact Registry by
// Application Default Credentials (GKE's workload identity among them), and one
// for Azure Container Registry by a federated token (Azure workload identity).
//
// A token is given for the clouds' own registry hosts and for no other name. It
// logs nobody in for pushing, keeps nothing on disk, and knows no managed
// identity of a machine: the identity is the workload's.
package cloudlogin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2/google"
	"golang.org/x/sync/singleflight"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Logins gives tokens for registries. It satisfies internal/registry's Tokens.
// Safe for concurrent use. Its fields are set before first use.
type Logins struct {
	HTTP   *http.Client
	Getenv func(string) string
	Now    func() time.Time

	// google gives an access token and its end, in place of Application Default
	// Credentials, in tests.
	google func(ctx context.Context) (string, time.Time, error)

	flights singleflight.Group
	mu      sync.Mutex
	kept    map[string]token // by registry host; of Google one for all
}

type token struct {
	username, password string
	until              time.Time
	none               bool // there is no identity to log in with
}

// The user names that go with the tokens.
const (
	googleUser = "oauth2accesstoken"
	azureUser  = "00000000-0000-0000-0000-000000000000"
)

// cloud says whose registry a host is: "google", "azure", or nobody's.
func cloud(host string) string {
	switch {
	case strings.HasSuffix(host, "-docker.pkg.dev"), host == "gcr.io", strings.HasSuffix(host, ".gcr.io"):
		return "google"
	case strings.HasSuffix(host, ".azurecr.io"), strings.HasSuffix(host, ".azurecr.us"), strings.HasSuffix(host, ".azurecr.cn"):
		return "azure"
	}
	return ""
}

// RegistryToken is a user name and password for the registry at host, to be
// asked for again after until. ok is false where host is no registry of these
// clouds, or the workload has no identity there: it is read by everybody then,
// or not at all.
func (l *Logins) RegistryToken(ctx context.Context, host string, pushes bool) (username, password string, until time.Time, ok bool, err error) {
	of := cloud(host)
	if of == "" || pushes {
		return "", "", time.Time{}, false, nil
	}
	key := host
	if of == "google" {
		key = of
	}
	l.mu.Lock()
	t, have := l.kept[key]
	l.mu.Unlock()
	if !have || !l.Now().Before(t.until) {
		if t, err = l.fetch(ctx, of, key, host); err != nil {
			return "", "", time.Time{}, false, err
		}
	}
	return t.username, t.password, t.until, !t.none, nil
}

// Nobody says of the registry at host that it was asked for nobody, for want of an
// identity at its cloud: what it refuses, and what it says is not there, it may
// refuse the anonymous alone. Empty: it is no such registry, or there was one.
func (l *Logins) Nobody(host string) string {
	of := cloud(host)
	key, name, how := host, "Azure", envAzureToken+" is not set"
	if of == "google" {
		key, name, how = of, "Google Cloud", "neither "+envGoogle+" nor a metadata server gives it one"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if of == "" || !l.kept[key].none {
		return ""
	}
	return "it was asked without a credential, for the gate has no identity at " + name + " (" + how + ")"
}

// DropRegistryToken forgets a token that was refused, and says whether a new one
// may be asked for.
func (l *Logins) DropRegistryToken(host string) bool {
	of := cloud(host)
	if of == "google" {
		host = of
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, had := l.kept[host]
	delete(l.kept, host)
	return had && !t.none
}

// fetch asks for a token. All who want the same share the request, which belongs
// to none of them.
func (l *Logins) fetch(ctx context.Context, of, key, host string) (token, error) {
	done := l.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.CloudLoginTime)
		defer cancel()
		ask := l.azureToken
		if of == "google" {
			ask = l.googleToken
		}
		t, err := ask(ctx, host)
		if err != nil {
			return token{}, &shuin.Error{Code: shuin.CodeUnavailable, Message: "log in to " + host + " with the workload's identity", Err: err,
				Hint: "see to the workload identity of the gate's service account, or give it a password for that registry"}
		}
		if most := l.Now().Add(limits.CloudLoginLife); t.until.After(most) {
			t.until = most
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.kept == nil || len(l.kept) >= limits.CloudLogins {
			l.kept = map[string]token{}
		}
		l.kept[key] = t
		return t, nil
	})
	select {
	case got := <-done:
		t, _ := got.Val.(token)
		return t, got.Err
	case <-ctx.Done():
		return token{}, &shuin.Error{Code: shuin.CodeDeadline, Message: "log in to " + host, Err: ctx.Err(), Hint: "try again"}
	}
}

// nobody: there is no identity. It is looked for again after a while.
func (l *Logins) nobody() token { return token{none: true, until: l.Now().Add(limits.CloudLoginAgain)} }

// googleToken is an access token by Application Default Credentials, for reading.
func (l *Logins) googleToken(ctx context.Context, _ string) (token, error) {
	ask := l.google
	if ask == nil {
		ask = defaultCredentials
	}
	text, until, err := ask(ctx)
	switch {
	case errors.Is(err, errNobody):
		return l.nobody(), nil
	case err != nil:
		return token{}, err
	}
	if until.IsZero() {
		until = l.Now().Add(limits.CloudLoginAgain)
	}
	return token{username: googleUser, password: text, until: until.Add(-limits.CloudLoginMargin)}, nil
}

// errNobody: the process has no identity at this cloud.
var errNobody = errors.New("there are no credentials")

// envGoogle names a file with credentials.
const envGoogle = "GOOGLE_APPLICATION_CREDENTIALS"

// googleScope is what the token may do.
const googleScope = "https://www.googleapis.com/auth/cloud-platform.read-only"

// defaultCredentials are Google's, as its own programs find them.
func defaultCredentials(ctx context.Context) (string, time.Time, error) {
	c, err := google.FindDefaultCredentials(ctx, googleScope)
	switch {
	case err != nil && os.Getenv(envGoogle) != "":
		return "", time.Time{}, errors.New(envGoogle + " names a file that holds no credentials of Google Cloud, or cannot be read")
	case err != nil:
		return metadataToken(ctx)
	}
	t, err := c.TokenSource.Token()
	if err != nil {
		return "", time.Time{}, errors.New("no token was given: see to the identity of the service account at Google Cloud")
	}
	return t.AccessToken, t.Expiry, nil
}

// metadataToken asks the metadata server, which on a node that just started may
// not answer yet: the library takes that for the rest of the process's life.
func metadataToken(ctx context.Context) (string, time.Time, error) {
	server := metadata.NewClient(nil)
	if !server.OnGCEWithContext(ctx) {
		return "", time.Time{}, errNobody
	}
	text, err := server.GetWithContext(ctx, "instance/service-accounts/default/token?"+url.Values{"scopes": {googleScope}}.Encode())
	var t struct {
		Token string `json:"access_token"`
		Life  int64  `json:"expires_in"`
	}
	switch {
	case err != nil:
		return "", time.Time{}, errors.New("the metadata server gives no token: see to the identity of the service account at Google Cloud")
	case len(text) > limits.CloudLoginBytes || json.Unmarshal([]byte(text), &t) != nil || t.Token == "" || t.Life <= 0 || t.Life > int64(limits.CloudLoginLife/time.Second)*24:
		return "", time.Time{}, errors.New("the metadata server answers no token")
	}
	return t.Token, time.Now().Add(time.Duration(t.Life) * time.Second), nil
}

// The variables that Azure's workload identity webhook sets.
const (
	envAzureTenant    = "AZURE_TENANT_ID"
	envAzureClient    = "AZURE_CLIENT_ID"
	envAzureToken     = "AZURE_FEDERATED_TOKEN_FILE"
	envAzureAuthority = "AZURE_AUTHORITY_HOST"
)

// azureToken changes the Pod's federated token into one of Microsoft Entra ID
// (OAuth 2.0 client credentials with an assertion, RFC 7523), and that into a
// refresh token of the registry (POST /oauth2/exchange).
func (l *Logins) azureToken(ctx context.Context, host string) (token, error) {
	tenant, client, file := l.Getenv(envAzureTenant), l.Getenv(envAzureClient), l.Getenv(envAzureToken)
	switch {
	case file == "": // the webhook did not see the Pod, which is to have no identity
		return l.nobody(), nil
	case tenant == "" || client == "":
		return token{}, fmt.Errorf("%s is set, and %s or %s is not: see to the annotation azure.workload.identity/client-id of the service account", envAzureToken, envAzureClient, envAzureTenant)
	}
	authority, err := authorityOf(l.Getenv(envAzureAuthority))
	if err != nil {
		return token{}, err
	}
	assertion, err := readToken(file)
	if err != nil {
		return token{}, err
	}
	var entra struct {
		AccessToken string `json:"access_token"`
	}
	err = l.post(ctx, authority.JoinPath(tenant, "oauth2/v2.0/token"), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "scope": {"https://containerregistry.azure.net/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
	}, &entra)
	if err != nil || entra.AccessToken == "" {
		return token{}, cmpErr(err, "Microsoft Entra ID gives no token")
	}
	var registry struct {
		RefreshToken string `json:"refresh_token"`
	}
	err = l.post(ctx, &url.URL{Scheme: "https", Host: host, Path: "/oauth2/exchange"}, url.Values{
		"grant_type": {"access_token"}, "service": {host}, "tenant": {tenant}, "access_token": {entra.AccessToken},
	}, &registry)
	if err != nil || registry.RefreshToken == "" {
		return token{}, cmpErr(err, "the registry gives no token")
	}
	return token{username: azureUser, password: registry.RefreshToken, until: l.Now().Add(limits.CloudLoginLife)}, nil
}

func cmpErr(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}

// authorityOf is where Entra ID is; secrets go there, so that it has to be https.
func authorityOf(text string) (*url.URL, error) {
	if text == "" {
		text = "https://login.microsoftonline.com/"
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("%s is no https address", envAzureAuthority)
	}
	return u, nil
}

// readToken reads the Pod's own token, which the kubelet renews.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", envAzureToken, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limits.CloudLoginBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", envAzureToken, err)
	case len(data) == 0 || len(data) > limits.CloudLoginBytes:
		return "", fmt.Errorf("%s holds no token", envAzureToken)
	}
	return strings.TrimSpace(string(data)), nil
}

// post sends a form and reads the JSON that comes back. No error has a word of
// what was sent or answered: tokens are in both.
func (l *Logins) post(ctx context.Context, to *url.URL, form url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("ask %s: its address cannot be used", to.Host)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := *l.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // secrets go nowhere else
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("ask %s: %w", to.Host, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, limits.CloudLoginBytes+1))
	switch {
	case err != nil:
		return fmt.Errorf("ask %s: %w", to.Host, err)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %d", to.Host, res.StatusCode)
	case len(body) > limits.CloudLoginBytes || json.Unmarshal(body, into) != nil:
		return fmt.Errorf("%s answers no token", to.Host)
	}
	return nil
}
