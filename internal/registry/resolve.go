package registry

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// Media types of manifests that can be signed.
const (
	mediaTypeImageManifest  = "application/vnd.oci.image.manifest.v1+json"
	mediaTypeImageIndex     = "application/vnd.oci.image.index.v1+json"
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeArtifact       = "application/vnd.oci.artifact.manifest.v1+json"
)

var acceptManifests = strings.Join([]string{
	mediaTypeImageManifest, mediaTypeImageIndex, mediaTypeDockerManifest, mediaTypeDockerList, mediaTypeArtifact, "*/*;q=0.1",
}, ", ")

// target is what a reference points to inside its repository: its digest where
// it has one, else its tag.
func target(ref shuin.Reference) (string, error) {
	switch {
	case ref.Digest != "":
		return ref.Digest.String(), ref.Digest.Validate()
	case ref.Tag != "":
		return ref.Tag, nil
	}
	return "", fmt.Errorf("%q has no tag or digest", ref.String())
}

// target refuses a reference to another repository: an artifact carries the
// name of its reference, and policies go by that name.
func (r *Repository) target(ref shuin.Reference) (string, error) {
	if ref.Layout != "" || ref.Name() != r.ref.Name() {
		return "", fmt.Errorf("%q is not in the repository %s", ref.String(), r.ref.Name())
	}
	return target(ref)
}

// Resolve asks what ref is (OCI distribution specification, "Checking if
// content exists in the registry"): one HEAD, and a GET only where the answer
// to it lacks the digest, the media type or the size.
func (r *Repository) Resolve(ctx context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	op := "resolve " + ref.String()
	name, err := r.target(ref)
	if err != nil {
		return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: op, Err: err}
	}
	q := request{op: op, method: http.MethodHead, url: r.at("manifests/" + name), accept: acceptManifests}
	a, err := r.do(ctx, q)
	if err != nil {
		return shuin.Artifact{}, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return r.resolveByGet(ctx, q, ref)
	case http.StatusForbidden, http.StatusNotFound:
		r.hearReason(ctx, q, a)
		return shuin.Artifact{}, statusError(op, a)
	default:
		return shuin.Artifact{}, statusError(op, a)
	}
	desc, whole, err := headDescriptor(op, a, ref.Digest)
	if err != nil {
		return shuin.Artifact{}, err
	}
	if !whole {
		return r.resolveByGet(ctx, q, ref)
	}
	return newArtifact(op, ref, desc)
}

// hearReason asks again by GET, for the answer to a HEAD has no body: whether
// the repository or the image is not there, or which permission is missing,
// stands nowhere else. The first answer stays what it is.
func (r *Repository) hearReason(ctx context.Context, q request, a *answer) {
	q.method = http.MethodGet
	if said, err := r.do(ctx, q); err == nil && said.status == a.status {
		a.body = said.body
	}
}

// headDescriptor reads the answer to a HEAD; whole is false where it does not
// tell everything.
func headDescriptor(op string, a *answer, asked digest.Digest) (desc shuin.Descriptor, whole bool, err error) {
	told, err := contentDigest(op, a)
	if err != nil {
		return desc, false, err
	}
	if told == "" || asked != "" && told.Algorithm() != asked.Algorithm() {
		told = asked // a registry may name the same content by another algorithm
	}
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || told == "" || a.length < 0 {
		return desc, false, nil
	}
	if a.length > limits.ManifestBytes {
		return desc, false, exceeded(op, "ManifestBytes", "the manifest has %d bytes, more than %d", a.length, limits.ManifestBytes)
	}
	return shuin.Descriptor{MediaType: mediaType, Digest: told, Size: a.length}, true, nil
}

// contentDigest is the Docker-Content-Digest header, "" where there is none.
func contentDigest(op string, a *answer) (digest.Digest, error) {
	h := a.header.Get("Docker-Content-Digest")
	if h == "" {
		return "", nil
	}
	d := digest.Digest(h)
	if err := d.Validate(); err != nil {
		return "", malformed(op, "the registry names the content by an invalid digest %q: %w", printable(h), err)
	}
	return d, nil
}

// resolveByGet reads the manifest itself.
func (r *Repository) resolveByGet(ctx context.Context, q request, ref shuin.Reference) (shuin.Artifact, error) {
	q.method, q.max, q.limit = http.MethodGet, limits.ManifestBytes, "ManifestBytes"
	a, err := r.do(ctx, q)
	if err != nil {
		return shuin.Artifact{}, err
	}
	if a.status != http.StatusOK {
		return shuin.Artifact{}, statusError(q.op, a)
	}
	told, err := contentDigest(q.op, a)
	if err != nil {
		return shuin.Artifact{}, err
	}
	want := ref.Digest
	if want == "" {
		want = told
	}
	got := digest.FromBytes(a.body)
	if want != "" {
		got = want.Algorithm().FromBytes(a.body)
		if got != want {
			return shuin.Artifact{}, malformed(q.op, "the registry answered with content of digest %s, not %s", got, want)
		}
	}
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		mediaType = bodyMediaType(a.body)
	}
	return newArtifact(q.op, ref, shuin.Descriptor{MediaType: mediaType, Digest: got, Size: int64(len(a.body))})
}

// bodyMediaType is what a manifest says of itself.
func bodyMediaType(b []byte) string {
	var m struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(b, &m) != nil {
		return ""
	}
	return m.MediaType
}

func newArtifact(op string, ref shuin.Reference, desc shuin.Descriptor) (shuin.Artifact, error) {
	a, err := shuin.NewArtifact(ref, desc)
	if err != nil {
		return a, malformed(op, "%w", err)
	}
	return a, nil
}

// Discover resolves ref and gives its signatures. For a digest the listing goes
// out together with the HEAD, so that verifying takes three sequential round
// trips whatever the number of signatures: {HEAD, referrers}, all signature
// manifests, all envelopes. For a tag the HEAD comes first: four.
//
// A failure of the listing is returned by the Signatures, not here: the
// artifact may need none (a trust policy of level skip).
func (r *Repository) Discover(ctx context.Context, ref shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	if ref.Digest == "" {
		a, err := r.Resolve(ctx, ref)
		if err != nil {
			return a, nil, err
		}
		return a, &found{repo: r, list: r.referrers(a.Digest())}, nil
	}
	if _, err := r.target(ref); err != nil {
		return shuin.Artifact{}, nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "resolve " + ref.String(), Err: err}
	}
	lctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &found{repo: r, list: r.referrers(ref.Digest)}
	var wg together
	wg.Go(func() {
		bctx, done := f.list.bounded(lctx)
		defer done()
		f.err = f.list.begin(bctx)
	})
	a, err := r.Resolve(ctx, ref)
	if err != nil {
		cancel()
	}
	wg.Wait()
	if err != nil {
		return a, nil, err
	}
	return a, f, nil
}

// found is what Discover found: a listing already begun.
type found struct {
	repo *Repository
	mu   sync.Mutex
	list *listing
	err  error // of the listing's beginning
}

// Signatures satisfies verify.Signatures.
func (f *found) Signatures(ctx context.Context, a shuin.Artifact, max int) ([]shuin.Signature, bool, error) {
	if a.Digest() != f.list.subject {
		return f.repo.Signatures(ctx, a, max)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, false, f.err
	}
	return f.repo.collect(ctx, a, f.list, max)
}

// Signatures lists the signatures of a and fetches up to max of them (0:
// limits.Signatures).
func (r *Repository) Signatures(ctx context.Context, a shuin.Artifact, max int) ([]shuin.Signature, bool, error) {
	return r.collect(ctx, a, r.referrers(a.Digest()), max)
}

func (r *Repository) collect(ctx context.Context, a shuin.Artifact, l *listing, max int) ([]shuin.Signature, bool, error) {
	if max <= 0 {
		max = limits.Signatures
	}
	bctx, done := l.bounded(ctx)
	defer done()
	descs, more, err := l.take(bctx, max)
	if err != nil {
		return nil, false, err
	}
	sigs := r.fetch(bctx, a, descs)
	if err := ctx.Err(); err != nil { // not that of bctx: what was fetched in time may be enough
		return nil, false, &shuin.Error{Code: shuin.CodeDeadline, Message: "fetch signatures of " + a.String(), Err: err}
	}
	return sigs, more, nil
}

// List lists the signature manifests of a, up to max (0: limits.Signatures), in
// the registry's order. Annotations are the registry's claims. Nothing is
// fetched.
func (r *Repository) List(ctx context.Context, a shuin.Artifact, max int) ([]shuin.Descriptor, bool, error) {
	if max <= 0 {
		max = limits.Signatures
	}
	l := r.referrers(a.Digest())
	ctx, done := l.bounded(ctx)
	defer done()
	descs, more, err := l.take(ctx, max)
	if err != nil {
		return nil, false, err
	}
	out := make([]shuin.Descriptor, len(descs))
	for i, d := range descs {
		out[i] = d.plain()
	}
	return out, more, nil
}
