package verify

import (
	"cmp"
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/shuin/shuin"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/policy"
)

// BlobReader reads a blob and gives its digest by algorithm and its size in
// bytes. It may leave off behind most bytes: the size is then above most, and the
// digest does not count. An error is that of a blob that cannot be read.
type BlobReader func(ctx context.Context, algorithm digest.Algorithm, most int64) (d digest.Digest, size int64, err error)

// BlobOptions are what one call of [Verifier.VerifyBlob] may ask for beyond the
// policy. Scope is not used.
type BlobOptions struct {
	Options
	// Policy names the statement; empty: the global one (TP-12).
	Policy string
	// MediaType has to be the signed one; empty: any is taken (VER-02).
	MediaType string
}

// blob is what the signature is held against.
type blob struct {
	ref       shuin.Reference
	read      BlobReader
	mediaType string
}

// VerifyBlob decides about a blob by the one detached signature that is said to
// be its (trust-store-trust-policy.md, "Signature Verification details";
// signing-and-verification-workflow.md, "Verify Blobs"). ref is what the Report
// calls the blob. The blob is read once, and only where the signature holds
// together and may be somebody's whom the statement trusts: in the hash of the
// signing key (PAY-03), and no further than the signed size.
//
// The Report is as [Verifier.Verify]'s. Its Artifact is zero where the blob was
// not read, or not to its end.
func (v *Verifier) VerifyBlob(ctx context.Context, ref shuin.Reference, read BlobReader, sig shuin.Signature, doc *policy.Document, o BlobOptions) *shuin.Report {
	r := &run{v: v, ctx: ctx, o: o.Options, report: &shuin.Report{VerifiedBy: -1}, blob: &blob{ref, read, o.MediaType}}
	if err := r.selectBlobStatement(doc, o.Policy); err != nil {
		return r.fail(err)
	}
	if r.statements[0].Level.Skip() {
		r.report.Result = shuin.PolicySkip
		return r.report
	}
	more, listing, refused := r.candidates(theSignature{sig})
	switch {
	case refused != nil:
		return r.fail(refused)
	case r.report.VerifiedBy >= 0:
		return r.report
	}
	return r.conclude(more, listing)
}

// theSignature is the only one there is.
type theSignature struct{ shuin.Signature }

func (s theSignature) Signatures(context.Context, shuin.Artifact, int) ([]shuin.Signature, bool, error) {
	return []shuin.Signature{s.Signature}, false, nil
}

func (r *run) selectBlobStatement(doc *policy.Document, name string) error {
	if doc == nil {
		return &shuin.Error{Code: shuin.CodeNoPolicy, Message: "there is no trust policy for blobs", Hint: "import one"}
	}
	s, err := doc.SelectBlob(name)
	if err != nil {
		return err
	}
	r.oneStatement[0] = s
	r.statements, r.loaded = r.oneStatement[:], r.oneLoaded[:]
	r.report.Policy = &shuin.PolicyUsed{Statement: s.Name, Level: s.Level.Name}
	return nil
}

// holdsBlob: the payload names the blob: its size, its digest by the signing
// key's hash, and its media type where that was asked for (VER-02).
func (r *run) holdsBlob(e *envelope.Envelope, signed shuin.Descriptor) error {
	d, size, err := r.blob.read(r.ctx, e.Algorithm.Digest(), signed.Size)
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: "read the blob", Err: err, Hint: "check that the blob is a file that can be read"}
	}
	if size > signed.Size {
		return anotherArtifact(fmt.Errorf("it signs a size of %d bytes, the blob has more", signed.Size))
	}
	got := shuin.Descriptor{MediaType: cmp.Or(r.blob.mediaType, signed.MediaType), Digest: d, Size: size}
	a, err := shuin.NewArtifact(r.blob.ref, got)
	if err != nil {
		return &shuin.Error{Code: shuin.CodeInternal, Message: "describe the blob", Err: err}
	}
	r.artifact, r.report.Artifact = a, a
	return sameContent(signed, got)
}
