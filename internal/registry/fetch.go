package registry

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

var (
	_ verify.Signatures = (*Repository)(nil)
	_ verify.Signatures = (*Layout)(nil)
)

// fetch gets the candidates in two waves, all manifests and then all
// envelopes, limits.FetchesInFlight at a time. A candidate that cannot be had
// stays in the result with its reason, the end of ctx too.
func (r *Repository) fetch(ctx context.Context, a shuin.Artifact, descs []descriptor) []shuin.Signature {
	sigs := make([]shuin.Signature, len(descs))
	layers := make([]descriptor, len(descs))
	boundManifests(sigs, descs)
	each(len(descs), func(i int) {
		sigs[i].Manifest, sigs[i].Thumbprints = descs[i].plain(), thumbprints(descs[i].Annotations)
		if sigs[i].Err != nil {
			return
		}
		layers[i] = r.fetchManifest(ctx, a.Descriptor(), descs[i], &sigs[i])
	})
	boundTotal(sigs, layers)
	var waiting []int
	for i := range sigs {
		if sigs[i].Err == nil && sigs[i].Envelope == nil {
			waiting = append(waiting, i)
		}
	}
	each(len(waiting), func(n int) {
		i := waiting[n]
		d := layers[i].plain()
		sigs[i].Envelope, sigs[i].Err = r.kept(ctx, "fetch signature envelope "+d.Digest.String(), "blobs/", d, "EnvelopeBytes")
	})
	return sigs
}

// fetchManifest reads one signature manifest into sig and gives its layer.
func (r *Repository) fetchManifest(ctx context.Context, a shuin.Descriptor, d descriptor, sig *shuin.Signature) descriptor {
	op := "fetch signature manifest " + d.Digest.String()
	if d.MediaType != mediaTypeImageManifest { // OCI-01
		sig.Err = malformed(op, "its media type is %q, not %q", printable(d.MediaType), mediaTypeImageManifest)
		return descriptor{}
	}
	if d.Size > limits.SignatureManifestBytes {
		sig.Err = exceeded(op, "SignatureManifestBytes", "it has %d bytes, more than %d", d.Size, limits.SignatureManifestBytes)
		return descriptor{}
	}
	b, err := r.kept(ctx, op, "manifests/", d.plain(), "SignatureManifestBytes")
	if err != nil {
		sig.Err = err
		return descriptor{}
	}
	return readManifest(op, b, a, sig)
}

// readManifest takes what a candidate needs of a signature manifest whose bytes
// are already checked.
func readManifest(op string, b []byte, a shuin.Descriptor, sig *shuin.Signature) descriptor {
	m, _, err := parseManifest(b)
	if err == nil {
		sig.Manifest.Annotations = m.Annotations
		sig.Thumbprints = thumbprints(m.Annotations)
		err = m.check(a)
	}
	if len(m.Layers) == 1 {
		sig.EnvelopeMediaType = printable(m.Layers[0].MediaType)
	}
	if err != nil {
		code := shuin.CodeMalformed
		if shuin.CodeOf(err) == shuin.CodeLimit {
			code = shuin.CodeLimit
		}
		sig.Err = &shuin.Error{Code: code, Message: "malformed signature manifest " + sig.Manifest.Digest.String(), Err: err}
		return descriptor{}
	}
	layer := m.Layers[0]
	if content, ok := layer.inline(); ok {
		sig.Envelope = content
	}
	return layer
}

// boundManifests refuses what would exceed limits.SignatureManifestsBytes. One
// that is too large by itself is not fetched and does not count.
func boundManifests(sigs []shuin.Signature, descs []descriptor) {
	var total int64
	for i, d := range descs {
		if d.Size > limits.SignatureManifestBytes {
			continue
		}
		if total += d.Size; total > limits.SignatureManifestsBytes {
			sigs[i].Err = exceeded("fetch signature manifest "+d.Digest.String(), "SignatureManifestsBytes",
				"the signature manifests of this artifact have more than %d bytes together", limits.SignatureManifestsBytes)
		}
	}
}

// boundTotal refuses what would exceed limits.SignaturesBytes, so that many
// large envelopes do not fill the memory.
func boundTotal(sigs []shuin.Signature, layers []descriptor) {
	var total int64
	for i := range sigs {
		if sigs[i].Err != nil {
			continue
		}
		if total += layers[i].Size; total > limits.SignaturesBytes {
			sigs[i].Envelope = nil
			sigs[i].Err = exceeded("fetch signature envelope "+layers[i].Digest.String(), "SignaturesBytes",
				"the envelopes of this artifact have more than %d bytes together", limits.SignaturesBytes)
		}
	}
}

// Blobs keeps content by its digest. It may give back anything: what it gives
// is checked. It is called by many goroutines.
type Blobs interface {
	// Get is the content of that digest and size, if it is there.
	Get(d digest.Digest, size int64) ([]byte, bool)
	// Put keeps content whose digest is d. It need not.
	Put(d digest.Digest, content []byte)
}

// kept is content, from Client.Blobs where it is there. For signature manifests
// and envelopes only: they are small, and a listing of the registry named them.
func (r *Repository) kept(ctx context.Context, op, path string, d shuin.Descriptor, limit string) ([]byte, error) {
	blobs := r.client.Blobs
	if blobs == nil {
		return r.content(ctx, op, path, d, limit)
	}
	if b, ok := blobs.Get(d.Digest, d.Size); ok && checkContent(op, b, d) == nil {
		return b, nil
	}
	b, err := r.content(ctx, op, path, d, limit)
	if err == nil {
		blobs.Put(d.Digest, b)
	}
	return b, err
}

// content gets what d names and checks that it is that, byte for byte.
func (r *Repository) content(ctx context.Context, op, path string, d shuin.Descriptor, limit string) ([]byte, error) {
	accept := ""
	if path == "manifests/" {
		accept = d.MediaType
	}
	a, err := r.do(ctx, request{
		op: op, method: http.MethodGet, url: r.at(path + d.Digest.String()), accept: accept,
		max: max(d.Size, 1), limit: limit,
	})
	switch {
	case errors.Is(err, errTooLong):
		return nil, malformed(op, "the registry sends more than the %d bytes it has", d.Size)
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound:
		// Not "could not check": anybody who may push can list what is not there.
		return nil, malformed(op, "the registry lists it and does not have it")
	case a.status != http.StatusOK:
		return nil, statusError(op, a)
	}
	if err := checkContent(op, a.body, d); err != nil {
		return nil, err
	}
	return a.body, nil
}

// checkContent checks size and digest.
func checkContent(op string, b []byte, d shuin.Descriptor) error {
	if int64(len(b)) != d.Size {
		return malformed(op, "it has %d bytes, not %d", len(b), d.Size)
	}
	if got := d.Digest.Algorithm().FromBytes(b); got != d.Digest {
		return malformed(op, "the content's digest is %s, not %s", got, d.Digest)
	}
	return nil
}

// together is a group of goroutines. A panic in one of them is a panic of who
// waits for it, where the caller can catch it.
type together struct {
	wg       sync.WaitGroup
	once     sync.Once
	panicked any
}

func (g *together) Go(f func()) {
	g.wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				g.once.Do(func() { g.panicked = p })
			}
		}()
		f()
	})
}

func (g *together) Wait() {
	g.wg.Wait()
	if g.panicked != nil {
		panic(g.panicked)
	}
}

// each calls f for 0 to n-1, limits.FetchesInFlight at a time, and waits.
func each(n int, f func(int)) { eachOf(n, limits.FetchesInFlight, f) }

// eachOf is each, most at a time.
func eachOf(n, most int, f func(int)) {
	slots := make(chan struct{}, most)
	var wg together
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}
