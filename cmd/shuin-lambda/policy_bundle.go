package main

import (
	"os"
	"strings"

	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/internal/awsstate"
	"github.com/shuin/shuin/internal/webfile"
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
	// bundle's address with .sha256-HEX.jws.sig behind it, or .jws.sig.
	Signature string `yaml:"signature"`
}

func (c *signedByConfig) set() bool {
	return len(c.Identities) > 0 || c.SigningProfile != "" || len(c.TrustStores) > 0 || c.Trust != "" || c.LeastSequence != 0 || c.Signature != ""
}

func (c *signedByConfig) signer() bundle.Signer {
	return bundle.Signer{Identities: c.Identities, SigningProfile: c.SigningProfile, TrustStores: c.TrustStores}
}

// remote says whether an address is in S3 or on a server.
func remote(address string) bool {
	return strings.HasPrefix(address, "s3://") || webfile.IsAddress(address)
}

// signatureType is the media type of the signature at an address; empty: its
// name does not say it.
func signatureType(address string) string {
	if remote(address) && !webfile.IsAddress(address) {
		address, _, _ = strings.Cut(address, "?")
	}
	return bundle.SignatureType(address)
}

// signatures are the addresses at which a bundle's signature is looked for, one
// after another. What is in the package came with its bundle.
func (p *policyConfig) signatures(data []byte) []string {
	if p.SignedBy.Signature != "" || !remote(p.Bundle) {
		return []string{p.signature()}
	}
	return []string{bundle.SignatureName(p.Bundle, data, bundle.JWSSuffix), p.signature()}
}

// signature is the address of the bundle's signature that its name does not
// tie to one bundle.
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
		if p.Token != (secretConfig{}) {
			d.at("policy.token", "it goes with policy.bundle on a server")
		}
		return
	}
	s.validateBundleAddress(d, "policy.bundle", p.Bundle)
	switch {
	case p.Token == (secretConfig{}):
	case !webfile.IsAddress(p.Bundle):
		d.at("policy.token", "it goes with policy.bundle on a server")
	default:
		p.Token.validate(d, "policy.token")
	}
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
	case webfile.IsAddress(address):
		if err := webfile.Check(address); err != nil {
			d.at(at, "%v", err)
		}
	case remote(address):
		if _, err := awsstate.ParseAddress(address); err != nil {
			d.at(at, "%v", err)
		}
	case strings.Contains(address, "://"):
		d.at(at, "a path in the package, s3://BUCKET/KEY or https://HOST/v1/policy is wanted")
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
