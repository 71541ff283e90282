package awssigner

import (
	"context"
	"crypto"
	"log/slog"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/keys/age"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// world is the real service on the real store behind the door, with a clock
// that the test sets.
type world struct {
	service *signing.Service
	store   *sqlstore.Store
	server  *Server
	log     *syncBuffer
	keys    map[string]accessKey // by the last part of the principal's name
	mu      sync.Mutex
	now     time.Time // zero: the machine's
}

type accessKey struct{ id, secret string }

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now.IsZero() {
		return time.Now()
	}
	return w.now
}

func (w *world) pass(d time.Duration) { w.mu.Lock(); w.now = w.now.Add(d); w.mu.Unlock() }

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newWorld begins at now, where its clock stays; zero: the machine's.
func newWorld(t testing.TB, now time.Time) *world {
	ctx := context.Background()
	w := &world{log: &syncBuffer{}, now: now, keys: map[string]accessKey{}}
	subject := issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example", CommonName: "Root"}
	from := w.clock().Add(-time.Hour).Truncate(time.Second)
	root := must[*issue.Authority](t)(issue.NewRoot(subject, must[crypto.Signer](t)(issue.NewKey(issue.P256)), must[*big.Int](t)(issue.NewSerial()), from, from.AddDate(20, 0, 0)))
	subject.CommonName = "Intermediate"
	intermediate := must[*issue.Authority](t)(root.NewCA(ctx, issue.Request{MaxPathLen: 1, Subject: subject, Serial: must[*big.Int](t)(issue.NewSerial()), NotBefore: from, NotAfter: from.AddDate(15, 0, 0)}, must[crypto.Signer](t)(issue.NewKey(issue.P256))))
	dir := t.TempDir()
	store := must[*sqlstore.Store](t)(sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(dir, "shuin.db")}))
	t.Cleanup(func() { store.Close() })
	w.store = store
	w.service = &signing.Service{
		Partition: "aws", Region: testRegion, Store: store, Sealer: must[*age.Identity](t)(age.NewIdentity(filepath.Join(dir, "identity"))),
		Intermediate: intermediate, Subject: issue.Subject{Country: "JP", Province: "Tokyo", Organization: "Example"},
		CRLBase: &url.URL{Scheme: "http", Host: "signer.example:18080", Path: "/crl"}, Now: w.clock,
	}
	w.server = &Server{
		Service: w.service, Region: testRegion, Host: testHost, Now: w.clock, Rate: 1e6, Burst: 1e6,
		Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	for _, c := range []struct{ name, account, actions, profiles string }{
		{"admin", testAccount, "signer:*", "*"},
		{"ci", testAccount, "signer:SignPayload", "build"},
		{"other", "444455556666", "signer:*", "*"},
	} {
		made, secret, err := w.service.NewCredential(ctx, "test", signing.Credential{
			Account: c.account, Principal: "arn:aws:iam::" + c.account + ":user/" + c.name,
			Actions: strings.Split(c.actions, ","), Profiles: strings.Split(c.profiles, ","),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.keys[c.name] = accessKey{made.AccessKeyID, secret}
	}
	return w
}
