package signing

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/limits"
)

func credential() Credential {
	return Credential{Account: ours, Principal: "arn:aws:iam::" + ours + ":user/ci", Actions: []string{"signer:SignPayload"}, Profiles: []string{"build"}}
}

func TestAnAccessKeyIsShownOnceAndAuthenticates(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	made, secret, err := w.NewCredential(ctx, "operator", credential())
	if err != nil {
		t.Fatal(err)
	}
	if !ValidAccessKeyID(made.AccessKeyID) || len(secret) != 40 {
		t.Errorf("access key %s, secret of %d", made.AccessKeyID, len(secret))
	}
	c, got, err := w.Authenticate(ctx, made.AccessKeyID)
	if err != nil || got != secret {
		t.Fatalf("%v, same secret %v", err, got == secret)
	}
	want := Caller{Account: ours, Principal: credential().Principal, Actions: []string{"signer:SignPayload"}, Profiles: []string{"build"}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if e := w.last(); e.Kind != audit.CredentialChange || e.Principal != "operator" || !strings.Contains(e.Detail, made.AccessKeyID) {
		t.Errorf("logged %+v", e)
	}
	// Nowhere in the clear.
	if everything := fmt.Sprintf("%+v %s", w.store.state.entries, w.store.state.credentials[made.AccessKeyID].SealedSecret); strings.Contains(everything, secret) {
		t.Error("the secret is in the store")
	}
	list, err := w.Credentials(ctx)
	if err != nil || len(list) != 1 || list[0].SealedSecret != nil || list[0].Principal != credential().Principal {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAKeyThatIsDisabledElsewhereIsNoticedWithinSeconds(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	made, _, err := w.NewCredential(ctx, "operator", credential())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Authenticate(ctx, made.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	other := w.service()
	if err := other.DisableCredential(ctx, "operator", made.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	if e := w.last(); e.Kind != audit.CredentialChange || !strings.Contains(e.Detail, "disable") {
		t.Errorf("logged %+v", e)
	}
	_, _, err = other.Authenticate(ctx, made.AccessKeyID)
	wantFault(t, err, FaultAccessDenied, "invalid")
	w.sleep(limits.CredentialFresh)
	_, _, err = w.Authenticate(ctx, made.AccessKeyID)
	wantFault(t, err, FaultAccessDenied, "invalid")
	if err := other.DisableCredential(ctx, "operator", made.AccessKeyID); err != nil {
		t.Error("a second time:", err)
	}
	wantFault(t, w.DisableCredential(ctx, "operator", "AKIAAAAAAAAAAAAAAAAA"), FaultNotFound)
}

func TestAuthenticateRefusesAllAlike(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	short := credential()
	short.Expires = w.now().Add(time.Second)
	expiring, _, err := w.NewCredential(ctx, "operator", short)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Authenticate(ctx, expiring.AccessKeyID); err != nil {
		t.Fatal(err)
	}
	w.sleep(time.Second) // the cache does not keep it longer than its end
	text := ""
	for _, id := range []string{expiring.AccessKeyID, "AKIAAAAAAAAAAAAAAAAA", "", "AKIA'; drop table", strings.Repeat("A", 1000)} {
		c, secret, err := w.Authenticate(ctx, id)
		wantFault(t, err, FaultAccessDenied)
		if secret != "" || c.Account != "" || text != "" && err.Error() != text {
			t.Errorf("%q: %v", id, err)
		}
		text = err.Error()
	}
}

func TestSealedSecretsCannotBeSwapped(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	a, _, _ := w.NewCredential(ctx, "operator", credential())
	strong := credential()
	strong.Actions = []string{"signer:*"}
	b, _, _ := w.NewCredential(ctx, "operator", strong)
	row := w.store.state.credentials[b.AccessKeyID]
	row.SealedSecret = a.SealedSecret
	w.store.state.credentials[b.AccessKeyID] = row
	_, _, err := w.Authenticate(ctx, b.AccessKeyID)
	wantFault(t, err, FaultInternal)
}

func TestAStoreThatIsAwayIsNotAWrongKey(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := newWorld(t)
	made, _, err := w.NewCredential(ctx, "operator", credential())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, _, err = w.Authenticate(ctx, made.AccessKeyID)
	wantFault(t, err, FaultUnavailable)
}

func TestTheCacheOfKeysIsBounded(t *testing.T) {
	var k credentialCache
	for i := range limits.CredentialCache + 10 {
		k.keep(fmt.Sprint(i), openCredential{})
	}
	if len(k.keys) != limits.CredentialCache {
		t.Errorf("%d kept", len(k.keys))
	}
}

func TestNewCredentialRefuses(t *testing.T) {
	for name, alter := range map[string]func(c *Credential){
		"no account":                   func(c *Credential) { c.Account = "" },
		"a principal of another":       func(c *Credential) { c.Principal = strings.Replace(c.Principal, ours, theirs, 1) },
		"a principal that is no ARN":   func(c *Credential) { c.Principal = "ci" },
		"no actions":                   func(c *Credential) { c.Actions = nil },
		"an action there is not":       func(c *Credential) { c.Actions = []string{"signer:Sign"} },
		"an action of another service": func(c *Credential) { c.Actions = []string{"ecr:*"} },
		"every action of everything":   func(c *Credential) { c.Actions = []string{"*"} },
		"no profiles":                  func(c *Credential) { c.Profiles = nil },
		"a profile pattern":            func(c *Credential) { c.Profiles = []string{"build*"} },
		"an end that has passed":       func(c *Credential) { c.Expires = worldStart },
		"too many profiles":            func(c *Credential) { c.Profiles = make([]string, limits.CredentialRules+1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := credential()
			alter(&c)
			_, secret, err := w.NewCredential(context.Background(), "operator", c)
			wantFault(t, err, FaultValidation)
			if secret != "" || len(w.store.state.credentials) != 0 {
				t.Error("a key was made")
			}
		})
	}
}
