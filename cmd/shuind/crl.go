package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/limits"
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

	flushing sync.Mutex

	mu      sync.Mutex
	pending map[string][]byte
	written map[string][sha256.Size]byte
	newest  map[string]*big.Int // numbers of those that were added
	wake    chan struct{}
}

func newCRLFiles(dir string, log *slog.Logger) *crlFiles {
	return &crlFiles{dir: dir, log: log, pending: map[string][]byte{}, written: map[string][sha256.Size]byte{}, newest: map[string]*big.Int{}, wake: make(chan struct{}, 1)}
}

// add has a file written soon (see run), unless a CRL with a higher number was
// added before. number is nil where it cannot be read.
func (f *crlFiles) add(id string, der []byte, number *big.Int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if newest := f.newest[id]; newest != nil && (number == nil || number.Cmp(newest) < 0) {
		return
	}
	f.newest[id] = number
	if f.written[id] != sha256.Sum256(der) {
		f.pending[id] = der
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// flush writes what is pending, one caller at a time. It goes on after a
// failure and returns all.
func (f *crlFiles) flush() error {
	f.flushing.Lock()
	defer f.flushing.Unlock()
	f.mu.Lock()
	todo := f.pending
	f.pending = map[string][]byte{}
	f.mu.Unlock()
	var failed error
	for id, der := range todo {
		err := f.write(id, der)
		f.tried(id, der, err)
		failed = errors.Join(failed, err)
	}
	return failed
}

// tried notes what came of writing der; a failure is tried again unless a
// newer one came meanwhile.
func (f *crlFiles) tried(id string, der []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.written[id] = sha256.Sum256(der)
	} else if _, newer := f.pending[id]; !newer {
		f.pending[id] = der
	}
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
