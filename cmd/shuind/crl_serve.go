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
	"time"

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

// olderThan says whether other is a later CRL of the same authority.
func (k *keptCRL) olderThan(other *keptCRL) bool {
	return k.number != nil && other.number != nil && k.number.Cmp(other.number) < 0
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

	reading sync.Mutex // one at a time is read and parsed, whoever asks

	mu   sync.Mutex
	kept map[string]*keptCRL
	size int64 // of what is kept
}

// renew takes a CRL that was made.
func (s *crlServer) renew(id string, der []byte) { s.keep(id, newKeptCRL(der)) }

// keep keeps k, unless a later one came meanwhile, and returns which is kept.
func (s *crlServer) keep(id string, k *keptCRL) *keptCRL {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.kept[id]; there != nil {
		if there.file == nil && k.olderThan(there) {
			return there
		}
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

// find is the newest CRL; fs.ErrNotExist in the tree of the error for none.
func (s *crlServer) find(ctx context.Context, id string) (*keptCRL, error) {
	if k := s.known(id); k != nil {
		return k, nil
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if k := s.known(id); k != nil { // read while this one waited
		return k, nil
	}
	der, _, err := s.source.CRL(ctx, id)
	if err == nil {
		return s.keep(id, newKeptCRL(der)), nil
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
	k := newKeptCRL(der)
	k.file = info
	return s.keep(id, k), nil
}

// notFound says whether the service or store has no such thing.
func notFound(err error) bool {
	if e, ok := errors.AsType[*signing.Error](err); ok && e.Fault == signing.FaultNotFound {
		return true
	}
	return errors.Is(err, signing.ErrNotFound)
}
