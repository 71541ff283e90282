package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/internal/webfile"
	"github.com/shuin/shuin/verify"
)

// bundles is what a function that follows a policy bundle has beside: who may
// sign it, and how far it has come.
type bundles struct {
	guard  bundle.Guard   // without a signer: it is pinned, or in the package
	signed *bundle.Signed // of the bundle in use
}

// newBundles is nil where the configuration names no bundle.
func (s *settings) newBundles(verifier verify.Verifier, logger *slog.Logger) (*bundles, error) {
	p := &s.Policy
	if p.Bundle == "" {
		return nil, nil
	}
	b := &bundles{guard: bundle.Guard{Verifier: verifier}}
	if !p.SignedBy.set() {
		return b, nil
	}
	var err error
	if b.guard.Statement, err = p.SignedBy.signer().Statement(); err != nil {
		return nil, err
	}
	dir := s.trustDir(logger)
	if p.SignedBy.Trust != "" {
		dir = notationdir.New(s.path(p.SignedBy.Trust), filepath.Join(os.TempDir(), "shuin"), "")
	}
	b.guard.Verifier.Stores = dir
	b.guard.Succession.Least = int64(p.SignedBy.LeastSequence)
	return b, nil
}

// stale says whether the signature of the bundle in use has to be looked at
// again: it may have come to its end, or have been revoked.
func (b *bundles) stale(now time.Time) bool {
	return b != nil && b.signed.Stale(now)
}

// unpacked are the rules of a bundle whose digest, signature and sequence are
// good; nothing in it is looked at before.
func (p *policies) unpacked(ctx context.Context, data []byte) (*gate.Rules, error) {
	if err := p.pinned(data, "bundle"); err != nil {
		return nil, err
	}
	b, signed, err := p.open(ctx, data)
	if err != nil {
		return nil, err
	}
	rules, err := gate.NewRules(ctx, b.Policy(), b)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the policy bundle cannot be used", Err: err}
	}
	p.bundles.signed = signed
	attrs := []any{"bundle", b.Digest(), "sequence", b.Sequence(), "policy", b.Policy().Digest()}
	if signed != nil {
		attrs = append(attrs, "signedBy", oneLine(signed.Identity), "until", signed.Ends)
	}
	loggerOf(ctx).Info("a policy bundle is good", attrs...)
	return rules, nil
}

// open has the guard open a bundle by the first of its signatures that is good.
// One that is named by the bundle's digest goes before: the other's name has
// the signature of the next bundle while that is on its way, and a fresh
// instance would have no policy until it is there.
func (p *policies) open(ctx context.Context, data []byte) (*bundle.Bundle, *bundle.Signed, error) {
	var before error
	for _, address := range p.config.signatures(data) {
		b, signed, err := p.bundles.guard.Open(ctx, data, func(ctx context.Context) (bundle.Signature, error) { return p.readSignature(ctx, address) }, p.options.Now())
		if err == nil {
			return b, signed, nil
		}
		if code := shuin.CodeOf(before); before != nil && code != shuin.CodeNotFound && code != shuin.CodeForbidden { // as S3 says of what is not there
			err = &shuin.Error{Code: shuin.CodeOf(err), Err: fmt.Errorf("%w; by the signature named by the bundle's digest: %w", err, before), Hint: shuin.HintOf(err)}
		}
		before = err
	}
	return nil, nil, before
}

// readRemote reads an object of S3, or a file of a server. have is what was
// read of the same address before; it is the answer where it is still that.
func (p *policies) readRemote(ctx context.Context, address string, most int, have *awsstate.Object) (*awsstate.Object, error) {
	if !webfile.IsAddress(address) {
		at, err := awsstate.ParseAddress(address)
		if err != nil {
			return nil, err
		}
		return p.objects.Read(ctx, at, most, have)
	}
	var before *webfile.File
	if have != nil {
		before = &webfile.File{Data: have.Data, ETag: have.ETag}
	}
	f, err := p.web.Read(ctx, address, most, before)
	switch {
	case err != nil:
		return nil, err
	case f == before:
		return have, nil
	}
	return &awsstate.Object{Data: f.Data, ETag: f.ETag}, nil
}

// newWeb reads from the server that the bundle is on, with the token of the
// configuration.
func (s *settings) newWeb(caller *awscall.Caller, env func(string) string) *webfile.Client {
	c := &webfile.Client{UserAgent: caller.UserAgent}
	if s.Policy.Token != (secretConfig{}) {
		t := newTeller(s, caller, env, io.Discard)
		where := t.secret(s.Policy.Token)
		c.Token = func(ctx context.Context) (string, error) { return t.secrets.Read(ctx, where) }
		c.Refused = func() { t.secrets.Forget(where) }
	}
	return c
}

// readSignature reads what lies beside the bundle.
func (p *policies) readSignature(ctx context.Context, address string) (bundle.Signature, error) {
	s := bundle.Signature{MediaType: signatureType(address)}
	if !remote(address) {
		var err error
		if s.Envelope, err = readFile(p.path(address), limits.BundleSignatureBytes, "BundleSignatureBytes"); err != nil {
			return s, &shuin.Error{Code: shuin.CodeInvalidInput, Err: err}
		}
		return s, nil
	}
	object, err := p.readRemote(ctx, address, limits.BundleSignatureBytes, nil)
	if err != nil {
		return s, &shuin.Error{Code: shuin.CodeOf(err), Err: err,
			Hint: shuin.HintOf(err) + fmt.Sprintf("; the signature is looked for at %s (policy.signedBy.signature)", address)}
	}
	s.Envelope = object.Data
	return s, nil
}
