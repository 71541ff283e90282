package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// PushSignature attaches an envelope to a: config and envelope are uploaded
// together, then the signature manifest, then, where the registry has no
// referrers API, its entry in the referrers index. The order makes an
// interrupted push leave no signature at all or a whole one. It returns what
// names the signature: the manifest's descriptor.
//
// An error after the manifest was pushed says so: then the signature exists,
// and is not or may not stay listed.
func (r *Repository) PushSignature(ctx context.Context, a shuin.Artifact, mediaType string, envelope []byte, annotations map[string]string) (shuin.Descriptor, error) {
	op := "push the signature of " + a.String()
	body, desc, err := newManifest(formArtifactType, a.Descriptor(), mediaType, envelope, annotations)
	if err != nil {
		return shuin.Descriptor{}, &shuin.Error{Code: shuin.CodeInvalidInput, Message: op, Err: err}
	}
	var wg together
	var configErr, envelopeErr error
	wg.Go(func() { configErr = r.upload(ctx, op, []byte(emptyJSON)) })
	wg.Go(func() { envelopeErr = r.upload(ctx, op, envelope) })
	wg.Wait()
	for _, err := range []error{envelopeErr, configErr} {
		if err != nil {
			return shuin.Descriptor{}, err
		}
	}
	listed, err := r.putManifest(ctx, op, body, desc, a.Digest())
	var refused *refusedManifest
	if errors.As(err, &refused) {
		// A registry of OCI image specification 1.0 may refuse artifactType;
		// the legacy form is for it (OCI-03).
		if body, desc, err = newManifest(formConfig, a.Descriptor(), mediaType, envelope, annotations); err == nil {
			listed, err = r.putManifest(ctx, op, body, desc, a.Digest())
		}
	}
	if err != nil {
		return shuin.Descriptor{}, err
	}
	if !listed || r.client.ForceReferrersTag {
		if err := r.addToIndex(ctx, a.Digest(), desc); err != nil {
			return shuin.Descriptor{}, err
		}
	}
	return desc.plain(), nil
}

// refusedManifest marks the error of a manifest that the registry read and did
// not want.
type refusedManifest struct{ error }

func (e *refusedManifest) Unwrap() error { return e.error }

// putManifest pushes a manifest by its digest. listed says that the registry
// took note of its subject (OCI-Subject: OCI distribution specification,
// "Pushing Manifests with Subject").
func (r *Repository) putManifest(ctx context.Context, op string, body []byte, desc descriptor, subject digest.Digest) (listed bool, err error) {
	a, err := r.do(ctx, request{
		op: op, method: http.MethodPut, url: r.at("manifests/" + desc.Digest.String()), contentType: desc.MediaType,
		body: body, push: true, again: true,
	})
	if err != nil {
		return false, err
	}
	switch a.status {
	case http.StatusCreated, http.StatusOK:
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return false, &refusedManifest{pushStatusError(op, a)}
	default:
		return false, pushStatusError(op, a)
	}
	told, err := contentDigest(op, a)
	if err != nil {
		return false, err
	}
	if told != "" && told.Algorithm() == desc.Digest.Algorithm() && told != desc.Digest {
		return false, malformed(op, "the registry stored the manifest as %s, not %s", told, desc.Digest)
	}
	switch got := a.header.Get("OCI-Subject"); got {
	case subject.String():
		return true, nil
	case "":
	default:
		r.client.warn("%s took the signature of %s for one of %s; listing it under the referrers tag", r.base.Host, subject, printable(got))
	}
	return false, nil
}

// pushStatusError is a failed push: 404 there means that the repository does
// not exist, and a refused manifest is told as what the registry said.
func pushStatusError(op string, a *answer) error {
	err := statusError(op, a)
	if a.status == http.StatusNotFound {
		if e, ok := err.(*shuin.Error); ok {
			e.Hint = "the repository may have to be created first"
		}
	}
	return err
}

// upload pushes a blob: with a single POST, or where the registry does not take
// that, with a POST and a PUT (OCI distribution specification, "Pushing a blob
// monolithically").
func (r *Repository) upload(ctx context.Context, op string, b []byte) error {
	d := digest.FromBytes(b)
	start := r.at("blobs/uploads/")
	single := !r.facts.get(&r.facts.noSinglePost)
	q := request{op: op, method: http.MethodPost, url: start, push: true, body: []byte{}}
	if single {
		withDigest := *start
		withDigest.RawQuery = url.Values{"digest": {d.String()}}.Encode()
		q.url, q.body, q.contentType, q.again = &withDigest, b, "application/octet-stream", true
	}
	a, err := r.do(ctx, q)
	if err != nil {
		return err
	}
	if single && refusesSinglePost(a.status) {
		r.facts.set(&r.facts.noSinglePost, true)
		return r.upload(ctx, op, b)
	}
	switch a.status {
	case http.StatusCreated:
		return nil
	case http.StatusAccepted:
		if single {
			r.facts.set(&r.facts.noSinglePost, true)
		}
	default:
		return pushStatusError(op, a)
	}
	return r.finishUpload(ctx, op, a, b, d)
}

// refusesSinglePost: a registry that does not know the form answers 202 as if
// the body had not been there, or refuses the request for a reason of its own;
// what it would also say to the other form is left out.
func refusesSinglePost(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500 || status == http.StatusNotImplemented
}

// finishUpload puts the blob where the registry says. That may be another host,
// which then gets no credential, but never a step from https to http.
func (r *Repository) finishUpload(ctx context.Context, op string, started *answer, b []byte, d digest.Digest) error {
	loc, err := url.Parse(started.header.Get("Location"))
	if err != nil || started.header.Get("Location") == "" {
		return malformed(op, "the registry accepts an upload and names no place for it")
	}
	loc = started.url.ResolveReference(loc)
	if loc.Scheme != r.base.Scheme && loc.Scheme != "https" {
		return malformed(op, "the registry names an upload place with scheme %q", printable(loc.Scheme))
	}
	loc.User = nil
	q := loc.Query()
	q.Set("digest", d.String())
	loc.RawQuery = q.Encode()
	a, err := r.do(ctx, request{
		op: op, method: http.MethodPut, url: loc, contentType: "application/octet-stream", body: b, push: true,
	})
	if err != nil {
		return err
	}
	if a.status != http.StatusCreated && a.status != http.StatusOK && a.status != http.StatusNoContent {
		return pushStatusError(op, a)
	}
	return nil
}

// SignatureOf reports whether a is itself a signature manifest, and of what. What
// calls itself one (artifactType) and has not the form, with the config and the
// layers of an image, is none. It is one request, for the caller to make only
// when nothing else was found.
func (r *Repository) SignatureOf(ctx context.Context, a shuin.Artifact) (subject shuin.Descriptor, ok bool, err error) {
	d := a.Descriptor()
	if d.MediaType != mediaTypeImageManifest || d.Size > limits.ManifestBytes {
		return subject, false, nil
	}
	b, err := r.content(ctx, "read "+a.String(), "manifests/", d, "ManifestBytes")
	if err != nil {
		return subject, false, err
	}
	return signatureSubject(b)
}

func signatureSubject(b []byte) (shuin.Descriptor, bool, error) {
	m, signature, err := parseManifest(b)
	if err != nil || !signature || m.Subject == nil {
		return shuin.Descriptor{}, false, nil // not a signature, whatever else it is
	}
	subject := m.Subject.plain()
	if err := subject.Validate(); err != nil {
		return shuin.Descriptor{}, false, malformed("read the signature manifest", "subject: %w", err)
	}
	if m.check(subject) != nil {
		return shuin.Descriptor{}, false, nil // it calls itself one, and a runtime might start it
	}
	return subject, true, nil
}

// lostError says that the signature was pushed and is not listed, or, where its
// entry was written, that nobody looked whether it stayed.
func lostError(sig, subject digest.Digest, code shuin.Code, err error) error {
	is, hint := "is not", "sign again: nobody finds this signature; others may be writing the same referrers index"
	var unseen *unseenError
	if errors.As(err, &unseen) {
		is, hint = "may not be", "list the signatures, and sign again only if this one is not there"
	}
	return &shuin.Error{
		Code:    code,
		Message: fmt.Sprintf("the signature %s was pushed, but it %s listed under the referrers tag %s", sig, is, fallbackTag(subject)),
		Hint:    hint,
		Err:     err,
	}
}

// unseenError is an entry that was written, and then could not be looked for.
type unseenError struct{ err error }

func (e *unseenError) Error() string { return "could not look whether it stayed: " + e.err.Error() }
func (e *unseenError) Unwrap() error { return e.err }
