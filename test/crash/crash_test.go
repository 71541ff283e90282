//go:build e2e

package crash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/signing"
)

const (
	rounds  = 200
	clients = 10
	// checkEvery is after how many rounds the test looks into the database.
	// To look is to recover it, which the server is to do itself most times.
	checkEvery = 5
)

// TestKilledAtAnyPointNothingThatWasAnsweredIsLost: kill -9, 200 times.
func TestKilledAtAnyPointNothingThatWasAnsweredIsLost(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	s, l := newServer(t), &ledger{}
	s.start(t)
	s.waitReady(t)
	stop := make(chan struct{})
	first := newClient(0, seed, s, l, stop)
	for name, kind := range map[string]string{"build": "aws", "plain": "standard"} {
		if err := first.put(&profileVersion{name: name}, kind); err != nil {
			t.Fatal(err)
		}
	}
	failed := make(chan error, clients)
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			if err := newClient(n+1, seed, s, l, stop).run(); err != nil {
				failed <- err
			}
		})
	}
	k := &checker{s: s, l: l, seen: map[string]string{}}
	for round := range rounds {
		if round > 0 {
			s.start(t)
		}
		wait := time.Duration(rng.IntN(int(60 * time.Millisecond))) // now and then before it is ready
		if rng.IntN(8) != 0 {
			s.waitReady(t)
			wait = time.Duration(rng.IntN(int(400 * time.Millisecond)))
		}
		time.Sleep(wait)
		s.kill(t)
		k.readCheckpoint(t)
		if round%checkEvery == checkEvery-1 {
			k.check(t)
		}
		select {
		case err := <-failed:
			t.Error(err)
		default:
		}
		if t.Failed() {
			t.Fatalf("after round %d\n%s", round+1, s.tail())
		}
	}
	// Once more without an end, so that all that was begun is answered.
	s.start(t)
	s.waitReady(t)
	close(stop)
	wg.Wait()
	s.stop(t)
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	k.readCheckpoint(t)
	k.check(t)
	k.whole(t)
	l.enough(t)
	if data, err := os.ReadFile(s.log.Name()); err != nil || bytes.Contains(data, []byte(s.secret)) || bytes.Contains(data, []byte("panic")) {
		t.Errorf("the server's log has a secret or a panic in it, or cannot be read: %v", err)
	}
}

// enough: a run in which little happened shows nothing.
func (l *ledger) enough(t *testing.T) {
	t.Helper()
	t.Logf("%d signatures, %d of them after a restart, %d asked for again, %d revoked, %d profile versions; %d tries, %d without an answer",
		len(l.answers), l.acrossRestarts, l.replayed, len(l.revoked), len(l.profiles), l.tries, l.lost)
	if len(l.answers) < 2000 || l.acrossRestarts < 100 || l.replayed < 100 || len(l.revoked) < 100 || len(l.profiles) < 50 {
		t.Error("that is too little to have tested anything")
	}
}

// checker holds the database against the ledger while no server runs.
type checker struct {
	s                          *server
	l                          *ledger
	answers, revoked, profiles int // of the ledger that were checked
	checkpoints                []audit.Checkpoint
	seen                       map[string]string // payload -> job
}

// readCheckpoint keeps what the file outside the database says now.
func (k *checker) readCheckpoint(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(k.s.options().Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.ParseCheckpoint(append(bytes.TrimRight(text, "\n"), '\n'))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if n := len(k.checkpoints); n > 0 && c.Size < k.checkpoints[n-1].Size {
		t.Errorf("the checkpoint file went back from %d to %d", k.checkpoints[n-1].Size, c.Size)
	}
	k.checkpoints = append(k.checkpoints, c)
}

func (k *checker) open(t *testing.T) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(context.Background(), k.s.options())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// check looks for everything that clients were told since the last check,
// and whether the log goes on from every checkpoint so far.
func (k *checker) check(t *testing.T) {
	t.Helper()
	store := k.open(t)
	defer store.Close()
	ctx := context.Background()
	for _, c := range k.checkpoints {
		if err := store.CheckConsistent(ctx, c); err != nil {
			t.Error(err)
		}
	}
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	for _, a := range k.l.answers[k.answers:] {
		if other, ok := k.seen[a.payloadSHA256]; ok {
			t.Errorf("one payload has the jobs %s and %s", other, a.job)
		}
		k.seen[a.payloadSHA256] = a.job
		if err := answered(ctx, store, a); err != nil {
			t.Errorf("job %s: %v", a.job, err)
		}
	}
	err := store.View(ctx, func(tx signing.Tx) error {
		for _, a := range k.l.revoked[k.revoked:] {
			if err := revoked(tx, a); err != nil {
				t.Errorf("revoked job %s: %v", a.job, err)
			}
		}
		for _, p := range k.l.profiles[k.profiles:] {
			if _, err := tx.ProfileVersion(account, p.name, p.version); err != nil {
				t.Errorf("profile %s: %v", p.name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	k.answers, k.revoked, k.profiles = len(k.l.answers), len(k.l.revoked), len(k.l.profiles)
}

// answered: the signature has its job, its entry and the entry of its attempt,
// and they are of this signature.
func answered(ctx context.Context, store *sqlstore.Store, a *answer) error {
	var job signing.Job
	if err := store.View(ctx, func(tx signing.Tx) (err error) { job, err = tx.Job(account, a.job); return err }); err != nil {
		return err
	}
	var jws struct {
		Payload, Protected string
		Header             struct{ X5c [][]byte }
	}
	if err := json.Unmarshal(a.signature, &jws); err != nil || len(jws.Header.X5c) != 4 {
		return fmt.Errorf("the envelope has %d certificates, %w", len(jws.Header.X5c), err)
	}
	if payload, err := base64.RawURLEncoding.DecodeString(jws.Payload); err != nil || !bytes.Equal(payload, a.asked.payload) {
		return errors.New("the envelope is of another payload")
	}
	input := sha256.Sum256([]byte(jws.Protected + "." + jws.Payload))
	leaf := sha256.Sum256(jws.Header.X5c[0])
	if job.PayloadSHA256 != a.payloadSHA256 || job.SignatureInput != hex.EncodeToString(input[:]) {
		return errors.New("the job is of another signature")
	}
	e, err := store.Entry(ctx, job.Entry)
	if err != nil {
		return err
	}
	if e.Kind != audit.SignResult || e.Outcome != "ok" || e.Job != job.ARN.String() || e.SigningInput != job.SignatureInput ||
		e.Certificate != hex.EncodeToString(leaf[:]) || e.PayloadSHA256 != a.payloadSHA256 || e.Serial != job.Serial {
		return fmt.Errorf("its entry is %+v", e)
	}
	attempt, err := store.Entry(ctx, e.Attempt)
	if err != nil {
		return err
	}
	if attempt.Kind != audit.SignAttempt || attempt.PayloadSHA256 != a.payloadSHA256 {
		return fmt.Errorf("the entry of its attempt is %+v", attempt)
	}
	return nil
}

func revoked(tx signing.Tx, a *answer) error {
	job, err := tx.Job(account, a.job)
	if err != nil {
		return err
	}
	if job.Revocation == nil {
		return errors.New("it is not revoked")
	}
	if job.Kind == signing.KindStandard {
		if listed, err := tx.CertificateRevoked(job.Authority, job.Serial); err != nil || !listed {
			return fmt.Errorf("its certificate is not listed: %w", err)
		}
	}
	return nil
}

// whole reads everything once: every hash of the log, and that jobs and
// entries of signatures belong together one to one.
func (k *checker) whole(t *testing.T) {
	t.Helper()
	store := k.open(t)
	defer store.Close()
	ctx := context.Background()
	c, err := store.VerifyLog(ctx)
	if err != nil {
		t.Fatal(err)
	}
	byJob := map[string]int64{}
	for from := int64(0); from < c.Size; from += 1000 {
		list, err := store.Entries(ctx, from, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range list {
			if e.Kind != audit.SignResult || e.SigningInput == "" {
				continue // an attempt, or an answer given again
			}
			if other, ok := byJob[e.Job]; ok {
				t.Errorf("job %s has entries %d and %d", e.Job, other, from+int64(i))
			}
			byJob[e.Job] = from + int64(i)
		}
	}
	jobs, doubled := 0, map[string]string{}
	err = store.View(ctx, func(tx signing.Tx) error {
		for after := ""; ; {
			page, err := tx.Jobs(signing.JobQuery{Account: account, After: after, Limit: 500})
			if err != nil || len(page) == 0 {
				return err
			}
			for _, j := range page {
				if other, ok := doubled[j.PayloadSHA256]; ok {
					t.Errorf("one request made the jobs %s and %s", other, j.ARN.ID)
				}
				doubled[j.PayloadSHA256] = j.ARN.ID
				if i, ok := byJob[j.ARN.String()]; !ok || i != j.Entry {
					t.Errorf("job %s has entry %d, it says %d", j.ARN.ID, i, j.Entry)
				}
			}
			jobs += len(page)
			after = page[len(page)-1].ARN.ID
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if jobs != len(byJob) || jobs != len(k.l.answers) {
		t.Errorf("%d jobs, %d entries of signatures, %d answers", jobs, len(byJob), len(k.l.answers))
	}
	t.Logf("%d log entries, %d jobs", c.Size, jobs)
	if out := k.s.must(t, "log", "verify", "--config", "shuind.yaml"); !strings.Contains(out, fmt.Sprint(c.Size)) {
		t.Errorf("shuind log verify says %q", out)
	}
}
