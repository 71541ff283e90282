package signing

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// credentialCache keeps opened access keys, so that not every request
// decrypts. An entry is looked up again after limits.CredentialFresh: another
// process may have disabled the key.
type credentialCache struct {
	mu   sync.Mutex
	keys map[string]openCredential
}

type openCredential struct {
	row    Credential
	secret string
	read   time.Time
}

func (k *credentialCache) find(id string) (openCredential, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	o, ok := k.keys[id]
	return o, ok
}

func (k *credentialCache) keep(id string, o openCredential) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]openCredential{}
	}
	if _, known := k.keys[id]; !known && len(k.keys) >= limits.CredentialCache {
		for other := range k.keys { // any one
			delete(k.keys, other)
			break
		}
	}
	k.keys[id] = o
}

func (k *credentialCache) drop(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.keys, id)
}

// errCredential is the same for every reason: a stranger learns nothing.
func errCredential() *Error {
	return fault(FaultAccessDenied, "The security token included in the request is invalid.")
}

// Authenticate finds the credential of an access key and opens its secret;
// a disabled or expired one is refused like an unknown one.
func (s *Service) Authenticate(ctx context.Context, accessKeyID string) (c Caller, secret string, err error) {
	if !ValidAccessKeyID(accessKeyID) {
		return Caller{}, "", errCredential()
	}
	now := s.Now()
	cache := &s.state.credentials
	o, ok := cache.find(accessKeyID)
	if age := now.Sub(o.read); !ok || age < 0 || age >= limits.CredentialFresh {
		if o, err = s.lookUp(ctx, accessKeyID, o, now); err != nil {
			cache.drop(accessKeyID)
			return Caller{}, "", err
		}
		cache.keep(accessKeyID, o)
	}
	if o.row.Disabled || !o.row.Expires.IsZero() && !now.Before(o.row.Expires) {
		return Caller{}, "", errCredential()
	}
	return Caller{
		Account: o.row.Account, Principal: o.row.Principal,
		Actions: o.row.Actions, Profiles: o.row.Profiles,
	}, o.secret, nil
}

// lookUp reads the row, and decrypts only a secret that old has not open.
func (s *Service) lookUp(ctx context.Context, id string, old openCredential, now time.Time) (openCredential, error) {
	o := openCredential{read: now}
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		o.row, err = tx.Credential(id)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return o, errCredential()
	}
	if err != nil {
		return o, asError(err)
	}
	if old.secret != "" && bytes.Equal(old.row.SealedSecret, o.row.SealedSecret) {
		o.secret = old.secret
		return o, nil
	}
	plain, err := s.Sealer.Open(o.row.SealedSecret)
	if err != nil {
		return o, internal("open a stored secret", err)
	}
	secret, ours := strings.CutPrefix(string(plain), sealedPrefix(id))
	clear(plain)
	if !ours {
		return o, internal("open a stored secret", errors.New("it belongs to another access key"))
	}
	o.secret = secret
	return o, nil
}

// sealedPrefix binds a sealed secret to its access key: rows cannot be swapped.
func sealedPrefix(id string) string { return "shuin access key " + id + "\n" }

const keyAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// ValidAccessKeyID says whether id has the form of an access key id that
// NewCredential makes.
func ValidAccessKeyID(id string) bool {
	rest, ok := strings.CutPrefix(id, "AKIA")
	return ok && len(rest) == 16 && strings.Trim(rest, keyAlphabet) == ""
}

// NewCredential makes an access key for the principal, account, actions,
// profiles and expiry that c says; the secret is shown this once. by names
// the operator in the log.
func (s *Service) NewCredential(ctx context.Context, by string, c Credential) (made Credential, secret string, err error) {
	if err := s.checkCredential(c); err != nil {
		return Credential{}, "", err
	}
	id, err := randomText(16, keyAlphabet)
	if err != nil {
		return Credential{}, "", internal("make an access key", err)
	}
	var b [30]byte
	if _, err := rand.Read(b[:]); err != nil {
		return Credential{}, "", internal("make an access key", err)
	}
	c.AccessKeyID, secret = "AKIA"+id, base64.StdEncoding.EncodeToString(b[:])
	if c.SealedSecret, err = s.Sealer.Seal([]byte(sealedPrefix(c.AccessKeyID) + secret)); err != nil {
		return Credential{}, "", internal("seal a secret", err)
	}
	c.Created, c.Disabled = s.Now().UTC(), false
	c.Actions, c.Profiles = slices.Clone(c.Actions), slices.Clone(c.Profiles)
	err = s.update(ctx, func(tx Tx) error {
		if err := tx.AddCredential(c); err != nil {
			return err
		}
		detail := "create " + c.AccessKeyID + " for " + c.Principal + "; actions " + strings.Join(c.Actions, " ") + "; profiles " + strings.Join(c.Profiles, " ")
		return s.note(tx, &Caller{Principal: by}, audit.CredentialChange, actionCredential, audit.Entry{Detail: bounded(detail)})
	})
	if err != nil {
		return Credential{}, "", err
	}
	return c, secret, nil
}

// bounded keeps the detail of an entry within what a log entry holds.
func bounded(detail string) string {
	const most = 8 << 10
	if len(detail) > most {
		return strings.ToValidUTF8(detail[:most], "") + "…"
	}
	return detail
}

func (s *Service) checkCredential(c Credential) error {
	now := s.Now()
	switch {
	case !awsprofile.ValidAccount(c.Account):
		return invalid("account %.40q is not twelve digits", c.Account)
	case s.principalAccount(c.Principal) != c.Account:
		return invalid("principal %.200q is not the ARN of a principal of account %s (arn:%s:iam::%s:user/NAME)", c.Principal, c.Account, s.Partition, c.Account)
	case len(c.Actions) == 0 || len(c.Actions) > limits.CredentialRules:
		return invalid("%d actions; at least 1 and at most %d are needed", len(c.Actions), limits.CredentialRules)
	case len(c.Profiles) == 0 || len(c.Profiles) > limits.CredentialRules:
		return invalid("%d profiles; at least 1 and at most %d are needed (\"*\": all)", len(c.Profiles), limits.CredentialRules)
	case !c.Expires.IsZero() && !c.Expires.After(now):
		return invalid("the expiry %s has passed", c.Expires.UTC().Format(time.RFC3339))
	}
	for _, a := range c.Actions {
		if err := checkAction(a); err != nil {
			return err
		}
	}
	for _, p := range c.Profiles {
		if _, err := awsprofile.ParseProfile(p); err != nil && p != "*" && !awsprofile.ValidName(p) {
			return invalid("profile %.200q is neither a name, nor an ARN, nor \"*\"", p)
		}
	}
	return nil
}

// checkAction: an action there is, or a pattern that matches one.
func checkAction(a string) error {
	if strings.Count(a, "*") > 1 || !strings.HasPrefix(a, "signer:") {
		return invalid("action %.80q is not signer:OPERATION or signer:*", a)
	}
	if !slices.ContainsFunc(actions, func(known string) bool { return allowsAction([]string{a}, known) }) {
		return invalid("there is no action %.80q", a)
	}
	return nil
}

// DisableCredential ends an access key. A second time changes nothing.
func (s *Service) DisableCredential(ctx context.Context, by, accessKeyID string) error {
	defer s.state.credentials.drop(accessKeyID)
	return s.update(ctx, func(tx Tx) error {
		c, err := tx.Credential(accessKeyID)
		switch {
		case errors.Is(err, ErrNotFound):
			return notFound("There is no access key %.40q.", accessKeyID)
		case err != nil || c.Disabled:
			return err
		}
		c.Disabled = true
		if err := tx.SetCredential(c); err != nil {
			return err
		}
		return s.note(tx, &Caller{Principal: by}, audit.CredentialChange, actionCredential, audit.Entry{Detail: "disable " + accessKeyID + " of " + c.Principal})
	})
}

// Credentials lists the access keys, without their secrets.
func (s *Service) Credentials(ctx context.Context) ([]Credential, error) {
	var list []Credential
	err := s.view(ctx, func(tx Tx) (err error) {
		list, err = tx.Credentials()
		return err
	})
	for i := range list {
		list[i].SealedSecret = nil
	}
	return list, err
}
