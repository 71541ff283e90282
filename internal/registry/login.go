package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// HowToAuthenticate is where notation's messages point to.
const HowToAuthenticate = "https://notaryproject.dev/docs/how-to/registry-authentication/"

// Ping asks the registry whether it takes the client's credential (OCI
// distribution specification, "Determining Support").
func (c *Client) Ping(ctx context.Context, registry string) error {
	r, err := c.Repository(shuin.Reference{Registry: registry, Repository: "ping"})
	if err != nil {
		return err
	}
	r.ref.Repository = "" // no scope: only the credential is asked for
	u := &url.URL{Scheme: r.base.Scheme, Host: r.base.Host, Path: "/v2/"}
	a, err := r.do(ctx, request{op: "ping " + registry, method: http.MethodGet, url: u, max: limits.ErrorBodyBytes})
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return statusError("ping "+registry, a)
	}
	return nil
}

// Login checks cred with the registry and saves it in the credential helper
// that store names. c.Credential is not used. existing reports that it could
// not be saved, for want of a helper, but that just this credential is already
// in the configuration file in plain text (notation's login then succeeds with
// a warning).
func (c *Client) Login(ctx context.Context, store *Store, registry string, cred Credential) (existing bool, err error) {
	fail := func(code shuin.Code, err error) error {
		return &shuin.Error{Code: code, Message: "failed to log in to " + registry, Err: err}
	}
	asker := &Client{Credential: StaticCredential(registry, cred), PlainHTTP: c.PlainHTTP, HTTP: c.HTTP, UserAgent: c.UserAgent, Trace: c.Trace}
	if err := asker.Ping(ctx, registry); err != nil {
		return false, fail(shuin.CodeOf(err), fmt.Errorf("failed to validate the credentials for %s: %w", registry, err))
	}
	err = store.save(ctx, registry, cred)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, ErrPlaintext) {
		return false, fail(shuin.CodeInvalidInput, fmt.Errorf("failed to store the credentials for %s: %w", registry, err))
	}
	if saved, err := store.Credential(ctx, registry); err == nil && saved == cred {
		return true, nil
	}
	return false, &shuin.Error{
		Code:    shuin.CodeInvalidInput,
		Message: "failed to log in to " + registry + ": the credential could not be saved because a credentials store is required to securely store the password. See " + HowToAuthenticate,
		Hint:    "configure credsStore in config.json, or give the credential with each command",
	}
}
