package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// The referrers index is shared by all who sign an artifact, and registries
// offer no lock. Each writer reads it, adds its entry and writes it, on
// condition that nobody else did (If-Match, If-None-Match) where the registry
// honours that; then, since a registry does not say whether it does, waits until
// a writer that read before it has written, and looks again. An entry that is
// gone is merged in again. Nothing is ever removed or deleted.
//
// Without conditional writes a window remains: a writer slower than the wait
// can still drop an entry after its owner looked.

// settleMin is the shortest wait between writing the index and looking again.
const settleMin = 250 * time.Millisecond

// settleMax is the longest: a registry that made us wait (429) says little
// about how long others take.
const settleMax = 3 * time.Second

// settleFactor multiplies the time our own read and write took: others on the
// same registry are about as slow.
const settleFactor = 6

// indexFile is a referrers index being rewritten: entries of others are kept as
// they are, byte for byte, known or not.
type indexFile struct {
	SchemaVersion int            `json:"schemaVersion"`
	MediaType     string         `json:"mediaType,omitempty"`
	Manifests     rawEntries     `json:"manifests"`
	Rest          jsontext.Value `json:",embed"`
}

// storedIndex is the index as read.
type storedIndex struct {
	index  indexFile
	digest digest.Digest // "" where there is none
	etag   string
	has    bool // our entry is in it
}

var errConflict = errors.New("somebody else wrote the index meanwhile")

// addToIndex adds desc to the referrers index of subject, and returns when it
// has stayed there.
func (r *Repository) addToIndex(ctx context.Context, subject digest.Digest, desc descriptor) error {
	bounded, cancel := context.WithTimeout(ctx, limits.ReferrersIndexTime)
	defer cancel()
	err := r.settleIndex(bounded, subject, desc)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return lostError(desc.Digest, subject, shuin.CodeDeadline, err)
	case bounded.Err() != nil:
		return lostError(desc.Digest, subject, shuin.CodeUnavailable,
			fmt.Errorf("not settled within %v (limit ReferrersIndexTime): %w", limits.ReferrersIndexTime, err))
	}
	return lostError(desc.Digest, subject, shuin.CodeOf(err), err)
}

func (r *Repository) settleIndex(ctx context.Context, subject digest.Digest, desc descriptor) error {
	conflicts, conditional := 0, true
	var refused digest.Digest
	for try := 0; ; try++ {
		began := time.Now()
		old, err := r.readIndex(ctx, subject, desc.Digest)
		if err != nil {
			return err
		}
		guarded := false
		if !old.has {
			header := old.condition(conditional)
			guarded = len(header) > 0
			err = r.writeIndex(ctx, subject, desc, old, header)
		}
		if errors.Is(err, errConflict) {
			// A registry that refuses although nothing changed does not
			// understand its own ETag: then write without a condition.
			if conflicts++; conflicts > 3 && old.digest == refused {
				conditional = false
				r.facts.set(&r.facts.matches, false)
				r.facts.set(&r.facts.noneMatches, false)
			}
			refused = old.digest
			if err := pause(ctx, jitter(10*time.Millisecond<<min(conflicts, 6))); err != nil {
				return errors.Join(err, errConflict)
			}
			continue
		}
		if err != nil {
			return err
		}
		lost, err := r.watchIndex(ctx, subject, desc.Digest, time.Since(began), guarded)
		if err != nil || !lost {
			return err
		}
		if err := pause(ctx, jitter(settleMin<<min(try, 3))); err != nil {
			return errors.Join(err, errConflict)
		}
	}
}

// watchIndex waits and looks whether our entry is still there, twice: a writer
// that had read before us may be slow. took is how long our reading and writing
// took. Where our write was conditional (guarded) and the registry is known to
// honour both conditions one look is enough, as far as others write like us: with
// one of the conditions alone a writer that makes the index, or one that adds to
// it, still replaces ours.
func (r *Repository) watchIndex(ctx context.Context, subject, sig digest.Digest, took time.Duration, guarded bool) (lost bool, err error) {
	looks, wait := 2, min(max(settleMin, settleFactor*took), settleMax)/2
	if guarded && r.facts.get(&r.facts.matches) && r.facts.get(&r.facts.noneMatches) {
		looks, wait = 1, 0
	}
	for range looks {
		if err := pause(ctx, jitter(wait)); err != nil {
			return false, &unseenError{err}
		}
		now, err := r.readIndex(ctx, subject, sig)
		if err != nil {
			return false, &unseenError{err}
		}
		if !now.has {
			return true, nil
		}
	}
	return false, nil
}

// readIndex reads the referrers index and looks for sig in it. What is no
// index is an error, and so never overwritten.
func (r *Repository) readIndex(ctx context.Context, subject, sig digest.Digest) (storedIndex, error) {
	op := "read the referrers index " + fallbackTag(subject)
	none := storedIndex{index: indexFile{SchemaVersion: 2, MediaType: mediaTypeImageIndex}}
	a, err := r.do(ctx, request{
		op: op, method: http.MethodGet, url: r.at("manifests/" + fallbackTag(subject)), accept: mediaTypeImageIndex,
		max: limits.ManifestBytes, limit: "ManifestBytes", push: true,
	})
	if err != nil {
		return none, err
	}
	switch a.status {
	case http.StatusNotFound:
		return none, nil
	case http.StatusOK:
	default:
		return none, statusError(op, a)
	}
	s := storedIndex{digest: digest.FromBytes(a.body), etag: a.header.Get("ETag")}
	ix, err := parseIndex(a.body)
	if err != nil {
		return none, unreadable(op, err)
	}
	if err := decode(a.body, &s.index); err != nil {
		return none, unreadable(op, err)
	}
	for _, d := range ix.Manifests {
		s.has = s.has || d.Digest == sig
	}
	return s, nil
}

// condition is the header under which s may be replaced; empty where there is
// none or conditional says to send none.
func (s storedIndex) condition(conditional bool) map[string]string {
	switch {
	case !conditional:
	case s.digest == "":
		return map[string]string{"If-None-Match": "*"}
	case s.etag != "" && !strings.HasPrefix(s.etag, "W/"): // RFC 9110 section 13.1.1: strong comparison
		return map[string]string{"If-Match": s.etag}
	}
	return nil
}

// writeIndex writes old with desc added, under the condition in header. errConflict: somebody else was first.
func (r *Repository) writeIndex(ctx context.Context, subject digest.Digest, desc descriptor, old storedIndex, header map[string]string) error {
	op := "write the referrers index " + fallbackTag(subject)
	body, err := old.index.with(desc)
	if err != nil {
		return err
	}
	a, err := r.do(ctx, request{
		op: op, method: http.MethodPut, url: r.at("manifests/" + fallbackTag(subject)), contentType: mediaTypeImageIndex,
		header: header, body: body, push: true,
	})
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusCreated, http.StatusOK:
		return nil
	case http.StatusPreconditionFailed:
		if header["If-Match"] != "" {
			r.facts.set(&r.facts.matches, true)
		}
		if header["If-None-Match"] != "" {
			r.facts.set(&r.facts.noneMatches, true)
		}
		return errConflict
	case http.StatusConflict:
		return errConflict
	}
	return pushStatusError(op, a)
}

// with is the index with one more entry, as JSON.
func (f indexFile) with(d descriptor) ([]byte, error) {
	entry, err := json.Marshal(d, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	if f.MediaType == "" {
		f.MediaType = mediaTypeImageIndex
	}
	f.Manifests = append(f.Manifests[:len(f.Manifests):len(f.Manifests)], entry)
	b, err := json.Marshal(f, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	if len(f.Manifests) > limits.Referrers {
		return nil, exceeded("write the referrers index", "Referrers", "more than %d entries", limits.Referrers)
	}
	if len(b) > limits.ManifestBytes {
		return nil, exceeded("write the referrers index", "ManifestBytes", "more than %d bytes", limits.ManifestBytes)
	}
	return b, nil
}

// jitter is between d and 2d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d + rand.N(d)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
