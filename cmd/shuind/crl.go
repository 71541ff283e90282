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
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/signing"
)

// crlPath is where the API's address serves CRLs.
const crlPath = "/crl"

// crlMaxAge is how long a cache on the way may answer in our place: short
// beside a CRL's life, so that a revocation is soon seen.
const crlMaxAge = time.Minute

var crlName = regexp.MustCompile(`^[0-9a-zA-Z-]{1,64}$`)

// crlFiles are the CRLs as static files, one ID.crl each. Safe for
// concurrent use; a file that could not be written stays pending.
type crlFiles struct {
	dir string
	log *slog.Logger

	mu      sync.Mutex
	pending map[string][]byte
	written map[string][sha256.Size]byte
	wake    chan struct{}
}

func newCRLFiles(dir string, log *slog.Logger) *crlFiles {
	return &crlFiles{dir: dir, log: log, pending: map[string][]byte{}, written: map[string][sha256.Size]byte{}, wake: make(chan struct{}, 1)}
}

// add has files written soon; see run.
func (f *crlFiles) add(crls map[string][]byte) {
	if len(crls) == 0 {
		return
	}
	f.mu.Lock()
	for id, der := range crls {
		if f.written[id] != sha256.Sum256(der) {
			f.pending[id] = der
		}
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// flush writes what is pending. It goes on after a failure and returns all.
func (f *crlFiles) flush() error {
	f.mu.Lock()
	todo := f.pending
	f.pending = map[string][]byte{}
	f.mu.Unlock()
	var failed error
	for id, der := range todo {
		err := f.write(id, der)
		f.mu.Lock()
		if err == nil {
			f.written[id] = sha256.Sum256(der)
		} else if _, newer := f.pending[id]; !newer {
			f.pending[id] = der
		}
		f.mu.Unlock()
		failed = errors.Join(failed, err)
	}
	return failed
}

func (f *crlFiles) write(id string, der []byte) error {
	if !crlName.MatchString(id) {
		return fmt.Errorf("write CRL: %q cannot be part of a file name", id)
	}
	path := filepath.Join(f.dir, id+".crl")
	if old, err := readFile(path, limits.CRLBytes, "CRLBytes"); err == nil && bytes.Equal(old, der) {
		return nil
	}
	return replaceFile(path, der, publicPerm)
}

// run writes files as they come until ctx ends, and tries failures again.
func (f *crlFiles) run(ctx context.Context, failed func(error)) {
	retry := time.NewTicker(30 * time.Second)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-retry.C:
		}
		if err := f.flush(); err != nil {
			f.log.Error("CRL files could not be written; they will be tried again", "error", err)
			failed(err)
		}
	}
}

// crlSource finds the newest CRL of an authority; signing.Service does.
type crlSource interface {
	CRL(ctx context.Context, id string) (der []byte, next time.Time, err error)
}

// crlServer serves CRLs to everybody, from the service, and what it does not
// know (the root's, an imported CA's) from the directory of static files.
type crlServer struct {
	source crlSource
	dir    string
	log    *slog.Logger
}

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
	der, err := s.find(r.Context(), name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "no such CRL", http.StatusNotFound)
		return
	case err != nil:
		s.log.Error("a CRL could not be read", "crl", name, "error", err)
		http.Error(w, "the CRL could not be read", http.StatusServiceUnavailable)
		return
	}
	sum := sha256.Sum256(der)
	h := w.Header()
	h.Set("Content-Type", "application/pkix-crl")
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(crlMaxAge.Seconds())))
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	var modified time.Time
	if list, err := x509.ParseRevocationList(der); err == nil {
		modified = list.ThisUpdate
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(der))
}

// find is the newest CRL; fs.ErrNotExist in the tree of the error for none.
func (s *crlServer) find(ctx context.Context, id string) ([]byte, error) {
	der, _, err := s.source.CRL(ctx, id)
	if err == nil {
		return der, nil
	}
	if !notFound(err) {
		return nil, err
	}
	return readFile(filepath.Join(s.dir, id+".crl"), limits.CRLBytes, "CRLBytes")
}

// notFound says whether the service or store has no such thing.
func notFound(err error) bool {
	if e, ok := errors.AsType[*signing.Error](err); ok && e.Fault == signing.FaultNotFound {
		return true
	}
	return errors.Is(err, signing.ErrNotFound)
}
