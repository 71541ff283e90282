package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// keptCRLBytes bounds the CRLs that are kept to be served; what is beyond is
// read again when it is asked for.
const keptCRLBytes = 2 * limits.CRLBytes

// keptCRL is a CRL with what its answers need: strangers may ask as often as
// they like, and it is read and parsed once.
type keptCRL struct {
	der      []byte
	etag     string
	number   *big.Int // nil: what was read is no CRL
	modified time.Time
	file     fs.FileInfo // of a static file; nil: the service's
}

func newKeptCRL(der []byte) *keptCRL {
	sum := sha256.Sum256(der)
	k := &keptCRL{der: der, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}
	if list, err := x509.ParseRevocationList(der); err == nil {
		k.number, k.modified = list.Number, list.ThisUpdate
	}
	return k
}

// crlSource finds the newest CRL of an authority; signing.Service does.
type crlSource interface {
	CRL(ctx context.Context, id string) (der []byte, next time.Time, err error)
}

// crlServer serves CRLs to everybody, from the service, and what it does not
// know (the root's, an imported CA's) from the directory of static files. All
// answers share one copy of a CRL. Safe for concurrent use; whoever makes a
// CRL calls renew.
type crlServer struct {
	source crlSource
	dir    string
	log    *slog.Logger

	flights singleflight.Group // reading what is not kept, by id: whoever asks meanwhile waits for the same
	flying  atomic.Int64
	large   sync.Mutex // held while a CRL above limits.CRLAlone is parsed

	mu   sync.Mutex
	kept map[string]*keptCRL
	size int64 // of what is kept
	// newest are the numbers of the service's CRLs, of those too that are not
	// kept any more: what is read for long may have a successor by then.
	newest map[string]*big.Int
	slots  chan struct{}
}

// renew takes a CRL that was made, and gives its number.
func (s *crlServer) renew(id string, der []byte) *big.Int {
	k := newKeptCRL(der)
	s.keep(id, k)
	return k.number
}

// keep keeps k, unless a later one came meanwhile, and returns which is kept;
// nil if that is the later one and it had to give way already.
func (s *crlServer) keep(id string, k *keptCRL) *keptCRL {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := s.kept[id]
	if !s.advance(id, k) {
		if there != nil && there.file != nil {
			return nil
		}
		return there
	}
	if there != nil {
		s.size -= int64(len(there.der))
		delete(s.kept, id)
	}
	for other, old := range s.kept { // any will do: what is asked for often comes back
		if s.size+int64(len(k.der)) <= keptCRLBytes {
			break
		}
		s.size -= int64(len(old.der))
		delete(s.kept, other)
	}
	if s.kept == nil {
		s.kept = map[string]*keptCRL{}
	}
	s.kept[id] = k
	s.size += int64(len(k.der))
	return k
}

// advance notes k's number and says whether no later one was there before. What
// is no CRL has no number. Static files are as others put them, where the
// service has no CRL of that name.
func (s *crlServer) advance(id string, k *keptCRL) bool {
	newest, known := s.newest[id]
	if known && (k.number == nil || k.number.Cmp(newest) < 0) {
		return false
	}
	if k.file != nil || k.number == nil {
		return true
	}
	if !known && len(s.newest) >= limits.CRLNumbers {
		for any := range s.newest {
			delete(s.newest, any)
			break
		}
	}
	if s.newest == nil {
		s.newest = map[string]*big.Int{}
	}
	s.newest[id] = k.number
	return true
}

func (s *crlServer) known(id string) *keptCRL {
	s.mu.Lock()
	k := s.kept[id]
	s.mu.Unlock()
	if k == nil || k.file == nil {
		return k
	}
	// Others write the static files: ca root crl, beside the server.
	if now, err := os.Stat(s.path(id)); err == nil && os.SameFile(now, k.file) && now.Size() == k.file.Size() && now.ModTime().Equal(k.file.ModTime()) {
		return k
	}
	return nil
}

func (s *crlServer) path(id string) string { return filepath.Join(s.dir, id+".crl") }

func (s *crlServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "CRLs can be read only", http.StatusMethodNotAllowed)
		return
	}
	name, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, crlPath+"/"), ".crl")
	if !ok || !crlName.MatchString(name) {
		http.Error(w, "no such CRL", http.StatusNotFound)
		return
	}
	crl, err := s.find(r.Context(), name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "no such CRL", http.StatusNotFound)
		return
	case r.Context().Err() != nil: // whoever asked is gone
		http.Error(w, "the CRL was not read in time", http.StatusServiceUnavailable)
		return
	case err != nil:
		s.log.Error("a CRL could not be read", "crl", name, "error", err)
		http.Error(w, "the CRL could not be read", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/pkix-crl")
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(crlMaxAge.Seconds())))
	h.Set("ETag", crl.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", crl.modified, bytes.NewReader(crl.der))
}

// find is the newest CRL; fs.ErrNotExist in the tree of the error for none. It
// waits no longer than ctx; what it waits for goes on for the others.
func (s *crlServer) find(ctx context.Context, id string) (*keptCRL, error) {
	if k := s.known(id); k != nil {
		return k, nil
	}
	flight := s.flights.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.CRLReadTime)
		defer cancel()
		return s.read(ctx, id)
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*keptCRL), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for CRL %s to be read: %w", id, ctx.Err())
	}
}

var (
	errCRLsAsked = errors.New("too many CRLs are asked for at a time that have to be read")
	errCRLOlder  = errors.New("the database has an older CRL than was served")
)

// read reads a CRL and keeps it. Few are read at a time, since strangers may
// ask and the database has others to serve.
func (s *crlServer) read(ctx context.Context, id string) (*keptCRL, error) {
	defer s.flying.Add(-1)
	if s.flying.Add(1) > limits.CRLFlights {
		return nil, errCRLsAsked
	}
	slots := s.slot()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to read CRL %s: %w", id, ctx.Err())
	}
	if k := s.known(id); k != nil { // made while this one waited
		return k, nil
	}
	for range 3 { // a newer one may be made meanwhile, and give way to others: read again
		k, err := s.readOnce(ctx, id)
		if err != nil {
			return nil, err
		}
		if k = s.keep(id, k); k != nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("CRL %s: %w", id, errCRLOlder)
}

// slot are the places of those that read, so that the zero value serves.
func (s *crlServer) slot() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slots == nil {
		s.slots = make(chan struct{}, limits.CRLReads)
	}
	return s.slots
}

func (s *crlServer) readOnce(ctx context.Context, id string) (*keptCRL, error) {
	der, _, err := s.source.CRL(ctx, id)
	if err == nil {
		return s.parse(der), nil
	}
	if !notFound(err) {
		return nil, err
	}
	info, err := os.Stat(s.path(id)) // before it is read: a file put in its place meanwhile is seen next time
	if err != nil {
		return nil, err
	}
	if der, err = readFile(s.path(id), limits.CRLBytes, "CRLBytes"); err != nil {
		return nil, err
	}
	k := s.parse(der)
	k.file = info
	return k, nil
}

// parse parses a large CRL alone: in memory it takes many times its size.
func (s *crlServer) parse(der []byte) *keptCRL {
	if len(der) > limits.CRLAlone {
		s.large.Lock()
		defer s.large.Unlock()
	}
	return newKeptCRL(der)
}

// notFound says whether the service or store has no such thing.
func notFound(err error) bool {
	if e, ok := errors.AsType[*signing.Error](err); ok && e.Fault == signing.FaultNotFound {
		return true
	}
	return errors.Is(err, signing.ErrNotFound)
}
