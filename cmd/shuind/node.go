package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/internal/awssigner"
	"github.com/shuin/shuin/internal/sqlstore"
	"github.com/shuin/shuin/issue"
	"github.com/shuin/shuin/signing"
)

// node is a signer with everything around it, ready to serve.
type node struct {
	c            *config
	now          func() time.Time
	log          *slog.Logger
	store        *sqlstore.Store
	service      *signing.Service
	metrics      *metrics
	crls         *crlFiles
	served       *crlServer
	due          dueCRLs
	kinds        sync.Map     // signing.Kind of the profile version of an issuing CA, by its id
	refused      atomic.Bool  // the last round of the upkeep could not make all CRLs, and logged why
	clockRefused atomic.Bool  // as it was logged; see watchClock
	release      func() error // gives the data directory back
	ready        *readiness
	pair         *keyPair     // nil: plain HTTP
	instance     string       // what /healthz says who answers
	listener     net.Listener // of the API, if it is open already; nil: opened as configured
	gate         *gatePart    // nil: none
	both         *readiness   // signer and gate; nil: there is no gate
}

// storeOptions are how the database of a configuration is opened.
func (c *config) storeOptions() sqlstore.Options {
	return sqlstore.Options{Path: filepath.Join(c.Data, "shuin.db"), Checkpoint: c.checkpointPath(), Origin: c.origin()}
}

// openStore opens the database with a hint for each way to fail.
func openStore(ctx context.Context, o sqlstore.Options) (*sqlstore.Store, error) {
	store, err := sqlstore.Open(ctx, o)
	switch {
	case err == nil:
		return store, nil
	case errors.Is(err, sqlstore.ErrRolledBack), errors.Is(err, sqlstore.ErrInconsistent):
		return nil, invalid("signatures may have been made that this database does not know; find the newest copy of it, and see docs/shuind.md, Restoring", "%w", err)
	case errors.Is(err, sqlstore.ErrCheckpointMissing):
		return nil, invalid("put it back; or, if it is lost, start once with --accept-missing-checkpoint", "%w", err)
	}
	if code, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok && damaged(code.Code()) {
		return nil, invalid("if it was put back from a backup: shuin.db-wal and shuin.db-shm of the old database beside it have to go first; see docs/shuind.md, Restoring", "%w", err)
	}
	return nil, err
}

// damaged says whether SQLite's result code is SQLITE_CORRUPT or SQLITE_NOTADB.
func damaged(code int) bool { return code&0xff == 11 || code&0xff == 26 }

// newNode opens everything that a configuration names. Close it.
func (a *app) newNode(ctx context.Context, c *config, store sqlstore.Options, logger *slog.Logger) (_ *node, err error) {
	identity, err := a.identity(c.Identity)
	if err != nil {
		return nil, err
	}
	release, err := c.lockData()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	authority, err := c.caFiles().authority(identity)
	if err != nil {
		return nil, err
	}
	n := &node{c: c, release: release, now: a.now, log: logger, metrics: newMetrics(), crls: newCRLFiles(c.CRL.Directory, logger), instance: newInstance()}
	if c.TLS.Certificate != "" {
		if n.pair, err = newKeyPair(c.TLS); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(c.CRL.Directory, 0o755); err != nil {
		return nil, fmt.Errorf("directory of CRL files: %w", err)
	}
	if err := c.checkOrigin(); err != nil {
		return nil, err
	}
	if n.store, err = openServedStore(ctx, store, a.now(), logger); err != nil {
		return nil, err
	}
	watched := &watchedStore{Store: n.store, committed: n.metrics.committed, failed: n.storeFailed}
	n.service = c.newService(watched, authority)
	n.service.Sealer = identity
	n.service.Now = a.now
	n.service.Notice = func(ctx context.Context, message string, facts ...any) { n.log.WarnContext(ctx, message, facts...) }
	n.served = &crlServer{source: n.service, dir: c.CRL.Directory, log: logger}
	// In their order: a CRL and its successor never change places.
	n.service.NewCRL = func(id string, der []byte) {
		n.crls.add(id, der, n.served.renew(id, der))
	}
	n.ready = &readiness{now: a.now, probes: n.probes(watched, authority)}
	return n, nil
}

// openServedStore opens the database for a server; that the log was accepted
// without its checkpoint is written into it.
func openServedStore(ctx context.Context, o sqlstore.Options, now time.Time, logger *slog.Logger) (*sqlstore.Store, error) {
	_, missing := os.Stat(o.Checkpoint)
	store, err := openStore(ctx, o)
	if err != nil || !o.AcceptMissingCheckpoint || !errors.Is(missing, fs.ErrNotExist) {
		return store, err
	}
	checkpoint, err := store.Checkpoint(ctx)
	if err == nil && checkpoint.Size > 0 {
		logger.Warn("the log was accepted without its checkpoint: entries after these may have been lost", "entries", checkpoint.Size, "root", checkpoint.Root)
		err = store.Update(ctx, func(tx signing.Tx) error {
			_, err := tx.AppendEntry(audit.Entry{
				Kind: audit.CheckpointAcceptance, Time: now.UTC(), Principal: operator(), Action: "shuind:AcceptMissingCheckpoint", Attempt: -1,
				Detail: fmt.Sprintf("the log was accepted without its checkpoint, with %d entries and the root %s; it is named %s now", checkpoint.Size, checkpoint.Root, checkpoint.Origin),
			})
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("note that the checkpoint was missing: %w", err), store.Close())
	}
	return store, nil
}

// newService is the signing service of a configuration.
func (c *config) newService(store signing.Store, authority *issue.Authority) *signing.Service {
	check := signing.SelfCheckSampled
	if c.Signing.SelfCheck == selfCheckAlways {
		check = signing.SelfCheckAlways
	}
	return &signing.Service{
		Partition:    c.Partition,
		Region:       c.Region,
		Store:        store,
		Intermediate: authority,
		Subject:      issue.Subject{Country: c.CA.Subject.Country, Province: c.CA.Subject.Province, Organization: c.CA.Subject.Organization},
		CRLBase:      c.crlBase(),
		DefaultKind:  signing.Kind(c.Signing.DefaultKind),
		IssuingKey:   issue.KeyType(c.CA.IssuingKey),
		SelfCheck:    check,
		MaxClockStep: c.Signing.MaxClockStep,
		LeafLife:     c.Signing.LeafLife,
		CRLLife:      c.CRL.Life,
		CRLEvery:     c.CRL.Refresh,
	}
}

func newInstance() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (n *node) storeFailed(err error) {
	n.metrics.store.Inc()
	n.log.Error("the store failed", "error", err)
}

// Close ends after the commits under way.
func (n *node) Close() error {
	if n.gate != nil {
		if err := n.gate.Close(); err != nil {
			n.log.Error("the gate's files could not be closed", "error", err)
		}
	}
	err := n.store.Close()
	if err != nil {
		err = fmt.Errorf("close the store: %w", err)
	}
	return errors.Join(err, n.release())
}

// api is the door that speaks AWS Signer's protocol.
func (n *node) api() *awssigner.Server {
	return &awssigner.Server{
		Service:     n.service,
		Region:      n.c.Region,
		EmptyRegion: n.c.Requests.EmptyRegion,
		Host:        n.c.Name,
		Now:         n.now,
		Log:         n.log,
		Rate:        float64(n.c.Requests.PerSecond),
		Burst:       n.c.Requests.Burst,
		Observe:     n.metrics.observe,
	}
}

// entrances opens the addresses. On an error none is left open.
func (n *node) entrances(ctx context.Context) (_ []entrance, err error) {
	var all []entrance
	defer func() {
		if err != nil {
			for _, e := range all {
				e.ln.Close()
			}
		}
	}()
	crls := n.served
	healthy := alive(n.instance)
	open := func(what, address string, handler http.Handler) error {
		ln, err := listen(ctx, what, address, n.c.Requests.Connections)
		if err == nil {
			all = append(all, entrance{what: what, ln: ln, handler: handler})
			n.log.Info("listening", "what", what, "address", ln.Addr().String())
		}
		return err
	}
	api := n.besideGate(front(n.api().Handler(), crls, healthy, n.apiReady().handler(false)))
	if n.listener != nil {
		all = append(all, entrance{what: "API", ln: n.listener, handler: api})
	} else if err := open("API", n.c.Listen, api); err != nil {
		return nil, err
	}
	if n.pair != nil {
		all[0].tls = n.c.sharedTLS(n.pair.config())
	}
	if n.gate != nil && n.gate.api != nil && n.c.Gate.Listen != "" {
		own, err := n.gate.entrance(ctx, healthy)
		if err != nil {
			return all, err
		}
		all = append(all, own)
	}
	if n.gate != nil && n.gate.kube != nil {
		own, err := n.gate.kube.entrance(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, own)
	}
	if n.c.CRL.Listen != "" {
		if err := open("CRLs", n.c.CRL.Listen, crls); err != nil {
			return all, err
		}
	}
	if n.c.Operations.Listen != "" {
		if err := open("operations", n.c.Operations.Listen, operationsFront(n.metrics, healthy, n.allReady().handler(true))); err != nil {
			return all, err
		}
	}
	return all, nil
}

// serve answers until ctx ends; begin comes before it. It closes the
// listeners, not the node.
func (n *node) serve(ctx context.Context, entrances []entrance, reload <-chan os.Signal) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { n.crls.run(background, func(error) { n.metrics.crlWrites.Inc() }) })
	wg.Go(func() { n.upkeep(background, reload) })
	if n.gate != nil {
		wg.Go(func() { n.gate.run(background) })
	}
	err := serveAll(ctx, n.log, n.ending, entrances)
	stop()
	wg.Wait()
	if flushed := n.crls.flush(); flushed != nil {
		n.log.Error("CRL files could not be written", "error", flushed)
		err = errors.Join(err, flushed)
	}
	return err
}
