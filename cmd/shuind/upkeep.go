package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// upkeepInterval is how often the work is looked for that time brings.
const upkeepInterval = 30 * time.Second

// begin does what has to be done before the first request: every CRL is fresh
// and written. One that cannot be made stops nobody else's signatures: the
// server starts, says so in its log and is not ready.
func (n *node) begin(ctx context.Context) error {
	n.refresh(ctx)
	err := n.service.Store.View(ctx, func(tx signing.Tx) error {
		authorities, err := tx.Authorities()
		for _, a := range authorities {
			if len(a.CRL) > 0 {
				n.crls.add(a.ID, a.CRL, big.NewInt(a.CRLNumber))
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the CRLs: %w", err)
	}
	if err := n.crls.flush(); err != nil {
		return fmt.Errorf("write the CRL files: %w", err)
	}
	checkpoint, err := n.store.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("read the log's size: %w", err)
	}
	n.metrics.entries.Set(float64(checkpoint.Size))
	n.measure(ctx)
	return nil
}

// cause is what a refusal of the service came from, for the operator; callers
// of the API are shown the refusal only.
func cause(err error) error {
	if e, ok := errors.AsType[*signing.Error](err); ok && e.Err != nil {
		return fmt.Errorf("%w: %w", err, e.Err)
	}
	return err
}

// upkeep works until ctx ends: CRLs that are due, replies nobody will ask for
// any more, the certificate of the server.
func (n *node) upkeep(ctx context.Context, reload <-chan os.Signal) {
	tick := time.NewTicker(upkeepInterval)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-reload:
			asked = true
		case <-tick.C:
		}
		n.reloadTLS(asked)
		n.tend(ctx)
	}
}

// refresh makes the CRLs that are due. What RefreshCRLs returns is not
// written: NewCRL told of it already, and a newer one may have come.
func (n *node) refresh(ctx context.Context) {
	n.watchClock(ctx)
	_, err := n.service.RefreshCRLs(ctx)
	if err != nil && !errors.Is(err, signing.ErrClock) {
		n.log.Error("CRLs could not be made anew", "error", cause(err))
	}
	n.refused.Store(err != nil)
}

// tend is one round of the upkeep of what is stored.
func (n *node) tend(ctx context.Context) {
	n.refresh(ctx)
	if !n.clockRefused.Load() { // one that is ahead would drop the answers to retries too early
		before := n.now().Add(-limits.ReplyLife)
		if err := n.service.Store.Update(ctx, func(tx signing.Tx) error { return tx.PurgeReplies(before) }); err != nil {
			n.log.Error("old replies could not be removed", "error", err)
		}
	}
	n.measure(ctx)
}

func (n *node) reloadTLS(asked bool) {
	if n.pair == nil {
		return
	}
	switch changed, err := n.pair.reload(asked); {
	case err != nil:
		n.log.Error("the TLS certificate could not be read; the old one stays in use", "error", err)
	case changed:
		n.log.Info("the TLS certificate was read again", "ends", n.pair.leaf().NotAfter)
	}
}

// measure sets the gauges that time moves.
func (n *node) measure(ctx context.Context) {
	now := n.now()
	n.measureCertificates(ctx, now)
	state, err := n.crlState(ctx)
	if err != nil {
		return // the store's failure is counted and logged
	}
	n.metrics.crlAge.Set(now.Sub(state.oldest).Seconds())
	n.metrics.crlLeft.Set(state.next.Sub(now).Seconds())
	_, end := n.service.Intermediate.Validity()
	n.metrics.caLeft.Set(end.Sub(now).Seconds())
}

// measureCertificates sets how long the imported certificates in use are good
// for: nobody renews them here.
func (n *node) measureCertificates(ctx context.Context, now time.Time) {
	left := map[string]time.Duration{}
	err := n.service.Store.View(ctx, func(tx signing.Tx) error {
		clear(left)
		used, err := tx.CertificatesInUse()
		if err != nil {
			return err
		}
		for _, arn := range used {
			c, err := tx.Certificate(arn)
			if err != nil {
				return err
			}
			if c.Deleted.IsZero() {
				left[arn.String()] = c.NotAfter.Sub(now)
			}
		}
		return nil
	})
	if err != nil {
		return // the store's failure is counted and logged
	}
	n.metrics.setOwnLeft(left)
}

// crlGrace is how long a CRL may be due before readiness tells: the next round
// of the upkeep makes it, if it can be made.
const crlGrace = 5 * time.Minute

// crlState is about the CRLs that verifiers need: the root's, those of issuing
// CAs and of intermediates, until they end; of a replaced intermediate while a
// certificate below it names its CRL.
type crlState struct {
	oldest, next time.Time // the earliest thisUpdate and nextUpdate
	which        string    // whose nextUpdate is the earliest
	replaced     bool      // it is a replaced intermediate's
	due          []string  // whose CRL is due, of those that are made here
	orphan       string    // a replaced intermediate whose CRL is due, or was never made: nobody here can; empty: none
	late         string    // whose CRL has been due for longer than crlGrace; empty: none
	since        time.Time // it was first seen to be due
}

func (s *crlState) add(which string, replaced bool, this, next time.Time) {
	if s.oldest.IsZero() || this.Before(s.oldest) {
		s.oldest = this
	}
	if s.next.IsZero() || next.Before(s.next) {
		s.next, s.which, s.replaced = next, which, replaced
	}
}

// dueCRLs are the authorities whose CRL is due, and since when this process
// knows it. Safe for concurrent use.
type dueCRLs struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// seen notes those that are due now and returns the one that is so longest.
func (d *dueCRLs) seen(due []string, now time.Time) (first string, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := map[string]time.Time{}
	for _, id := range due {
		at, known := d.since[id]
		if !known {
			at = now
		}
		next[id] = at
		if first == "" || at.Before(since) {
			first, since = id, at
		}
	}
	d.since = next
	return first, since
}

// unnamed says whether no certificate names the CRL of an authority: one of the
// kind aws. Nobody waits for it.
func (n *node) unnamed(tx signing.Tx, a signing.Authority) bool {
	if a.Profile.Name == "" {
		return false
	}
	if kind, known := n.kinds.Load(a.ID); known {
		return kind == signing.KindAWS
	}
	p, err := tx.ProfileVersion(a.Profile.Account, a.Profile.Name, a.Profile.Version)
	if err != nil {
		return false // rather one too many is watched
	}
	n.kinds.Store(a.ID, p.Kind) // it never changes
	return p.Kind == signing.KindAWS
}

func (n *node) crlState(ctx context.Context) (crlState, error) {
	var state crlState
	now := n.now()
	err := n.service.Store.View(ctx, func(tx signing.Tx) error {
		state = crlState{}
		authorities, err := tx.Authorities()
		if err != nil {
			return err
		}
		watched := n.watched(tx, authorities, now)
		named := map[string]bool{}
		for _, a := range watched {
			if a.Profile.Name != "" && len(a.Chain) > 1 {
				named[string(a.Chain[1])] = true
			}
		}
		for _, a := range watched {
			replaced := n.replaced(a)
			if replaced && !named[string(a.Chain[0])] {
				continue
			}
			if err := state.look(a, replaced, n.c.CRL.Life, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return state, err
	}
	if id, since := n.due.seen(state.due, now); id != "" && now.Sub(since) > crlGrace {
		state.late, state.since = id, since
	}
	if list, err := n.rootCRL(); err != nil {
		return state, err
	} else if list != nil {
		state.add("the root", false, list.ThisUpdate, list.NextUpdate)
	}
	return state, nil
}

// watched are the authorities that have not ended and whose CRL somebody may
// wait for.
func (n *node) watched(tx signing.Tx, all []signing.Authority, now time.Time) []signing.Authority {
	var watched []signing.Authority
	for _, a := range all {
		if now.Before(a.NotAfter) && !n.unnamed(tx, a) {
			watched = append(watched, a)
		}
	}
	return watched
}

// replaced says whether a is an intermediate that is not the one in use.
func (n *node) replaced(a signing.Authority) bool {
	return a.Profile.Name == "" && string(a.Chain[0]) != string(n.service.Intermediate.Chain()[0].Raw)
}

// look adds the CRL of an authority.
func (s *crlState) look(a signing.Authority, replaced bool, life time.Duration, now time.Time) error {
	switch {
	case replaced && (a.CRLNext.IsZero() || len(a.CRL) == 0):
		s.orphan = a.ID
	case a.CRLNext.IsZero():
		s.due = append(s.due, a.ID)
	}
	if len(a.CRL) == 0 {
		return nil
	}
	this, next := a.CRLNext.Add(-life), a.CRLNext
	// Read from the CRL itself where it has another life than usual.
	if next.IsZero() || replaced {
		list, err := x509.ParseRevocationList(a.CRL)
		if err != nil {
			return fmt.Errorf("the CRL of %s: %w", a.ID, err)
		}
		this, next = list.ThisUpdate, list.NextUpdate
	}
	if replaced { // its age says nothing: it is the last one
		this = now
	}
	s.add(a.ID, replaced, this, next)
	return nil
}

// rootCRL is the root's CRL; nil where the root is somebody else's, who
// publishes it.
func (n *node) rootCRL() (*x509.RevocationList, error) {
	chain := n.service.Intermediate.Chain()
	root := chain[len(chain)-1]
	ours := len(chain) == 2 && len(chain[0].CRLDistributionPoints) == 1 && chain[0].CRLDistributionPoints[0] == n.c.crlAddress(crlID(root))
	if !ours {
		return nil, nil
	}
	return n.c.readRootCRL(root)
}

// probes are what readiness depends on.
func (n *node) probes(store signing.Store, authority *issue.Authority) []probe {
	return []probe{
		{"store", func(ctx context.Context) error { return storeWritable(ctx, store) }},
		{"clock", n.service.CheckClock},
		{"ca", func(ctx context.Context) error {
			return errors.Join(caValid(authority, n.now()), n.service.CheckIssue(ctx))
		}},
		{"crls", n.crlsFresh},
	}
}

// storeWritable makes a commit that changes nothing.
func storeWritable(ctx context.Context, store signing.Store) error {
	return store.Update(ctx, func(tx signing.Tx) error {
		at, err := tx.Clock()
		switch {
		case err != nil:
			return err
		case at.IsZero(): // no signature yet: a time of no signature is not to be stored
			return tx.DropReply("", "", "")
		}
		return tx.SetClock(at)
	})
}

func caValid(authority *issue.Authority, now time.Time) error {
	begin, end := authority.Validity()
	switch {
	case now.Before(begin):
		return fmt.Errorf("the intermediate's chain is valid from %s only", begin.Format(time.RFC3339))
	case !now.Before(end):
		return fmt.Errorf("the intermediate's chain ended on %s: stop the server and replace it, by shuind ca intermediate new with the root's key, or by shuind ca import --replace if it is another CA's", end.Format(time.RFC3339))
	}
	return nil
}

func (n *node) crlsFresh(ctx context.Context) error {
	state, err := n.crlState(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the root's CRL is missing: shuind ca root crl: %w", err)
	case err != nil:
		return err
	case state.late != "":
		return fmt.Errorf("the CRL of %s is due since %s and %s: a revocation may be missing from it", state.late, state.since.Format(time.RFC3339), n.whyLate())
	case state.orphan != "":
		return fmt.Errorf("the CRL of the replaced intermediate %s is due, and its key is not here: a revocation may be missing from it: %s", state.orphan, putBack)
	case !state.next.IsZero() && !n.now().Before(state.next) && state.replaced:
		return fmt.Errorf("the CRL of the replaced intermediate %s ended on %s: %s", state.which, state.next.Format(time.RFC3339), putBack)
	case !state.next.IsZero() && !n.now().Before(state.next):
		return fmt.Errorf("the CRL of %s ended on %s", state.which, state.next.Format(time.RFC3339))
	}
	return nil
}

const putBack = "stop the server, put that intermediate's files back, and replace it anew by shuind ca intermediate new or shuind ca import --replace, which make its last CRL"

// whyLate is said of a CRL that is due for long: the log knows why only if the
// last round of the upkeep failed, and wrote so.
func (n *node) whyLate() string {
	if n.refused.Load() {
		return "could not be made (the log says why)"
	}
	return "was not made yet: the upkeep has not come to it"
}
