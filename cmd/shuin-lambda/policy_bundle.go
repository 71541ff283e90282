package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/notationdir"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/verify"
)

// signedByConfig is who may sign the policy bundle: exactly one of Identities
// and SigningProfile, as a stage of a policy names a signer.
type signedByConfig struct {
	Identities     []string `yaml:"identities"`
	SigningProfile string   `yaml:"signingProfile"`
	// TrustStores the signer's certificate has to lead to: "ca:policy".
	TrustStores []string `yaml:"trustStores"`
	// Trust is a notation configuration directory in the package with those
	// stores; empty: the configuration's trust.
	Trust string `yaml:"trust"`
	// LeastSequence: no bundle with a lower one is taken, by a fresh instance
	// of the function either.
	LeastSequence int `yaml:"leastSequence"`
	// Signature is where the signature is, if not beside the bundle: the
	// bundle's address with .jws.sig behind it.
	Signature string `yaml:"signature"`
}

func (c *signedByConfig) set() bool {
	return len(c.Identities) > 0 || c.SigningProfile != "" || len(c.TrustStores) > 0 || c.Trust != "" || c.LeastSequence != 0 || c.Signature != ""
}

func (c *signedByConfig) signer() bundle.Signer {
	return bundle.Signer{Identities: c.Identities, SigningProfile: c.SigningProfile, TrustStores: c.TrustStores}
}

// remote says whether an address is in S3.
func remote(address string) bool { return strings.HasPrefix(address, "s3://") }

// signatureType is the media type of the signature at an address; empty: its
// name does not say it.
func signatureType(address string) string {
	if remote(address) {
		address, _, _ = strings.Cut(address, "?")
	}
	return bundle.SignatureType(address)
}

// signature is the address of the bundle's signature.
func (p *policyConfig) signature() string {
	if p.SignedBy.Signature != "" {
		return p.SignedBy.Signature
	}
	return p.Bundle + bundle.JWSSuffix
}

// validateBundle looks at where the bundle is, and by what it is trusted.
func (s *settings) validateBundle(d *decoder) {
	p := &s.Policy
	if p.Bundle == "" {
		if p.SignedBy.set() {
			d.at("policy.signedBy", "it goes with policy.bundle: a policy file has no signature")
		}
		return
	}
	s.validateBundleAddress(d, "policy.bundle", p.Bundle)
	if remote(p.Bundle) && p.SHA256 == "" && !p.SignedBy.set() {
		d.at("policy.bundle", "whoever may write there would decide: say who signs it with policy.signedBy, or pin it with policy.sha256")
	}
	if !p.SignedBy.set() {
		return
	}
	if _, err := p.SignedBy.signer().Statement(); err != nil {
		d.at("policy.signedBy", "%s", oneLine(err.Error()))
	}
	switch address := p.signature(); {
	case signatureType(address) == "":
		d.at("policy.signedBy.signature", "%q does not end in %s or %s", address, bundle.JWSSuffix, bundle.COSESuffix)
	case p.SignedBy.Signature == "" && strings.Contains(p.Bundle, "?"):
		d.at("policy.signedBy.signature", "it is missing: one version of the bundle is named, and the signature's is another")
	case p.SignedBy.Signature != "" || !remote(p.Bundle):
		s.validateBundleAddress(d, "policy.signedBy.signature", address)
	}
	if p.SignedBy.LeastSequence < 0 {
		d.at("policy.signedBy.leastSequence", "a number of 0 or more is wanted")
	}
	if dir := s.path(p.SignedBy.Trust); dir != "" {
		if info, err := os.Stat(dir); err != nil {
			d.at("policy.signedBy.trust", "%v", err)
		} else if !info.IsDir() {
			d.at("policy.signedBy.trust", "%s is no directory", dir)
		}
	}
}

func (s *settings) validateBundleAddress(d *decoder, at, address string) {
	switch {
	case remote(address):
		if _, err := awsstate.ParseAddress(address); err != nil {
			d.at(at, "%v", err)
		}
	case strings.Contains(address, "://"):
		d.at(at, "a path in the package, or s3://BUCKET/KEY is wanted")
	default:
		info, err := os.Stat(s.path(address))
		switch {
		case err != nil:
			d.at(at, "%v", err)
		case info.IsDir():
			d.at(at, "%s is a directory", s.path(address))
		}
	}
}

// bundles is what a function that follows a policy bundle has beside: who may
// sign it, and how far it has come.
type bundles struct {
	statement  *policy.Statement // nil: it is pinned, or in the package, and unsigned
	verifier   verify.Verifier
	succession bundle.Succession
	signed     *bundle.Signed // of the bundle in use
}

// newBundles is nil where the configuration names no bundle.
func (s *settings) newBundles(verifier verify.Verifier, logger *slog.Logger) (*bundles, error) {
	p := &s.Policy
	if p.Bundle == "" {
		return nil, nil
	}
	b := &bundles{verifier: verifier}
	if !p.SignedBy.set() {
		return b, nil
	}
	var err error
	if b.statement, err = p.SignedBy.signer().Statement(); err != nil {
		return nil, err
	}
	dir := s.trustDir(logger)
	if p.SignedBy.Trust != "" {
		dir = notationdir.New(s.path(p.SignedBy.Trust), filepath.Join(os.TempDir(), "shuin"), "")
	}
	b.verifier.Stores = dir
	b.succession.Least = int64(p.SignedBy.LeastSequence)
	return b, nil
}

// stale says whether the signature of the bundle in use has to be looked at
// again: it may have come to its end, or have been revoked.
func (b *bundles) stale(now time.Time) bool {
	return b != nil && b.signed != nil && !b.signed.StaleUntil.IsZero() && !now.Before(b.signed.StaleUntil)
}

// unpacked are the rules of a bundle whose digest, signature and sequence are
// good; nothing in it is looked at before.
func (p *policies) unpacked(ctx context.Context, data []byte) (*gate.Rules, error) {
	if err := p.pinned(data, "bundle"); err != nil {
		return nil, err
	}
	var signed *bundle.Signed
	if p.bundles.statement != nil {
		signature, err := p.readSignature(ctx)
		if err != nil {
			return nil, err
		}
		if signed, err = bundle.Verify(ctx, p.bundles.verifier, p.bundles.statement, data, signature, p.options.Now()); err != nil {
			return nil, err
		}
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return nil, err
	}
	if err := p.bundles.succession.Take(b); err != nil {
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

// readSignature reads what lies beside the bundle.
func (p *policies) readSignature(ctx context.Context) (bundle.Signature, error) {
	address := p.config.signature()
	s := bundle.Signature{MediaType: signatureType(address)}
	if !remote(address) {
		var err error
		if s.Envelope, err = readFile(p.path(address), limits.BundleSignatureBytes, "BundleSignatureBytes"); err != nil {
			return s, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "the policy bundle is unsigned, or its signature cannot be read", Err: err}
		}
		return s, nil
	}
	at, err := awsstate.ParseAddress(address)
	if err != nil {
		return s, err
	}
	object, err := p.objects.Read(ctx, at, limits.BundleSignatureBytes, nil)
	if err != nil {
		return s, &shuin.Error{Code: shuin.CodeOf(err), Message: "the policy bundle is unsigned, or its signature cannot be read", Err: err,
			Hint: shuin.HintOf(err) + fmt.Sprintf("; the signature is looked for at %s (policy.signedBy.signature)", address)}
	}
	s.Envelope = object.Data
	return s, nil
}
