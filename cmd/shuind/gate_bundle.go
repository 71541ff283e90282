package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/bundle"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/awsclient"
	"github.com/shuin/shuin/internal/fetch"
	"github.com/shuin/shuin/internal/gateapi"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/internal/revocation"
	"github.com/shuin/shuin/verify"
)

// signedByConfig is who may sign the policy bundle: exactly one of Identities
// and SigningProfile, as a stage of a policy names a signer.
type signedByConfig struct {
	Identities     []string `yaml:"identities"`
	SigningProfile string   `yaml:"signingProfile"`
	// TrustStores the signer's certificate has to lead to, "ca:policy"; they
	// are in the directory gate.trust.
	TrustStores []string `yaml:"trustStores"`
	// LeastSequence: no bundle with a lower one is taken.
	LeastSequence int `yaml:"leastSequence"`
	// Signature is the signature's file; empty: the bundle's with its digest, and
	// .jws.sig, then without.
	Signature string `yaml:"signature"`
}

func (c *signedByConfig) set() bool {
	return len(c.Identities) > 0 || c.SigningProfile != "" || len(c.TrustStores) > 0 || c.LeastSequence != 0 || c.Signature != ""
}

func (c *signedByConfig) signer() bundle.Signer {
	return bundle.Signer{Identities: c.Identities, SigningProfile: c.SigningProfile, TrustStores: c.TrustStores}
}

// signature is the file of the bundle's signature.
func (g *gateConfig) signature() string {
	if g.SignedBy.Signature != "" {
		return g.SignedBy.Signature
	}
	return g.Bundle + bundle.JWSSuffix
}

// signatures are the files in which the signature of a bundle is looked for, one
// after another. One that is named by the bundle's digest goes before: while two
// files are copied, the other's name has the signature of the next bundle, or
// that of the one before.
func (g *gateConfig) signatures(data []byte) []string {
	if g.SignedBy.Signature != "" {
		return []string{g.SignedBy.Signature}
	}
	return []string{bundle.SignatureName(g.Bundle, data, bundle.JWSSuffix), g.signature()}
}

// validateBundle looks at gate.bundle and who signs it.
func (g *gateConfig) validateBundle(f *faults) {
	if g.Bundle == "" {
		if g.SignedBy.set() {
			f.at("gate.signedBy", "it goes with gate.bundle: a policy file has no signature")
		}
		return
	}
	if g.Policy != "" {
		f.at("gate.bundle", "either policy or bundle, not both: the bundle has the policy in it")
	}
	if !g.SignedBy.set() {
		return
	}
	if _, err := g.SignedBy.signer().Statement(); err != nil {
		f.at("gate.signedBy", "%s", oneLine(err.Error()))
	}
	if bundle.SignatureType(g.signature()) == "" {
		f.at("gate.signedBy.signature", "%q does not end in %s or %s", g.signature(), bundle.JWSSuffix, bundle.COSESuffix)
	}
	if info, err := os.Stat(g.signature()); err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		f.at("gate.signedBy.signature", "%s cannot be read", g.signature())
	}
	if g.SignedBy.LeastSequence < 0 {
		f.at("gate.signedBy.leastSequence", "a number of 0 or more is wanted")
	}
}

// bundleFile is the policy bundle as its file says now, with the signature
// beside it. One goroutine uses it at a time.
type bundleFile struct {
	path       string
	signatures func(data []byte) []string // files
	guard      bundle.Guard               // without a signer: the file is trusted as a policy file is
	now        func() time.Time

	last *loadedBundle
	// What was refused last and until when it stays so, so that the same is not
	// verified every few seconds: trust stores, revocation lists and the time
	// decide with it. What could not be checked is tried again.
	refused string
	until   time.Time
	err     error
}

// loadedBundle is a bundle that was good when it was loaded.
type loadedBundle struct {
	key    string // names the bytes of bundle and signatures
	data   []byte
	sig    bundle.Signature // that is good
	bundle *bundle.Bundle
	rules  *gate.Rules
	signed *bundle.Signed // nil: unsigned
}

// newBundleFile is nil where the gate decides by a policy file.
func (c *config) newBundleFile(v verify.Verifier, now func() time.Time, logger *slog.Logger) (*bundleFile, error) {
	g := &c.Gate
	if g.Bundle == "" {
		return nil, nil
	}
	b := &bundleFile{path: g.Bundle, guard: bundle.Guard{Verifier: v}, now: now}
	if !g.SignedBy.set() {
		return b, nil
	}
	var err error
	if b.guard.Statement, err = g.SignedBy.signer().Statement(); err != nil {
		return nil, err
	}
	b.signatures, b.guard.Succession.Least = g.signatures, int64(g.SignedBy.LeastSequence)
	b.guard.Verifier.Stores, b.guard.Verifier.Plugins = c.gateDir(logger), nil
	return b, nil
}

// again has what was refused looked at again.
func (f *bundleFile) again() {
	if f != nil {
		f.refused = ""
	}
}

// load is the bundle as it is now, or why it may not be used.
func (f *bundleFile) load(ctx context.Context) (*gate.Rules, error) {
	data, err := readFile(f.path, limits.BundleBytes, "BundleBytes")
	if err != nil {
		return nil, invalid("", "gate.bundle: %w", err)
	}
	var sigs []bundle.Signature
	if f.guard.Statement != nil {
		if sigs, err = f.readSignatures(data); err != nil {
			return nil, invalid("sign it with \"shuin policy bundle --sign\", and put the signature there", "gate.bundle is unsigned, or its signature cannot be read: %w", err)
		}
	}
	key := digest.FromBytes(data).String()
	for i := range sigs {
		key += " " + digest.FromBytes(sigs[i].Envelope).String()
	}
	switch {
	case f.last != nil && f.last.key == key && !f.last.signed.Stale(f.now()):
		return f.last.rules, nil
	case f.err != nil && f.refused == key && f.now().Before(f.until):
		return nil, f.err
	}
	loaded, err := f.unpack(ctx, key, data, sigs)
	if err != nil {
		f.refused, f.until = key, f.now().Add(limits.GateRefusedBundle)
		f.err = &shuin.Error{Code: shuin.CodeOf(err), Message: "gate.bundle " + f.path + " cannot be used", Err: err, Hint: shuin.HintOf(err)}
		if shuin.CodeOf(err).Undecided() {
			f.refused = ""
		}
		return nil, f.err
	}
	f.last, f.refused, f.err = loaded, "", nil
	return loaded.rules, nil
}

// readSignatures reads those files that are there, at least one. What cannot be
// read is one that is not good, where another can be: the first that is good is
// the bundle's.
func (f *bundleFile) readSignatures(data []byte) (all []bundle.Signature, err error) {
	for _, name := range f.signatures(data) {
		envelope, fault := readFile(name, limits.BundleSignatureBytes, "BundleSignatureBytes")
		switch {
		case fault == nil:
			all = append(all, bundle.Signature{MediaType: bundle.SignatureType(name), Envelope: envelope})
		case err == nil || errors.Is(err, fs.ErrNotExist):
			err = fault // one that is there and cannot be read says more than one that is not
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, err
}

// unpack looks into a bundle once one of its signatures is good.
func (f *bundleFile) unpack(ctx context.Context, key string, data []byte, sigs []bundle.Signature) (l *loadedBundle, err error) {
	if len(sigs) == 0 {
		sigs = []bundle.Signature{{}} // nobody has to sign it
	}
	var before error
	for i := range sigs {
		l = &loadedBundle{key: key, data: data, sig: sigs[i]}
		l.bundle, l.signed, err = f.guard.Open(ctx, data, func(context.Context) (bundle.Signature, error) { return sigs[i], nil }, f.now())
		if err == nil {
			l.rules, err = gate.NewRules(ctx, l.bundle.Policy(), l.bundle)
			return l, err
		}
		if before != nil {
			code := shuin.CodeOf(err)
			if was := shuin.CodeOf(before); was.Undecided() {
				code = was // it may be good: it is tried again
			}
			err = &shuin.Error{Code: code, Err: fmt.Errorf("%w; by the signature named by the bundle's digest: %w", err, before), Hint: shuin.HintOf(err)}
		}
		before = err
	}
	return nil, err
}

// publish has the API hand out the bundle that was taken over, with its
// signature; a policy file is nobody's but this server's.
func (g *gatePart) publish() {
	f := g.files.bundle
	if f == nil || f.last == nil {
		return
	}
	p := &gateapi.PolicyBundle{MediaType: bundle.MediaType, Data: f.last.data}
	if f.last.signed != nil {
		p.Signature, p.SignatureType = f.last.sig.Envelope, f.last.sig.MediaType
	}
	g.published.Store(p)
}

// attrs is what a log says of the bundle; nothing where there is none.
func (f *bundleFile) attrs() []any {
	if f == nil || f.last == nil {
		return nil
	}
	attrs := []any{"bundle", f.last.bundle.Digest(), "sequence", f.last.bundle.Sequence()}
	if s := f.last.signed; s != nil {
		attrs = append(attrs, "signedBy", oneLine(s.Identity), "until", s.Ends)
	}
	return attrs
}

// checkingVerifier is for who loads a bundle and serves nothing.
func (c *config) checkingVerifier(now func() time.Time) verify.Verifier {
	return verify.Verifier{
		Revocation:   &revocation.Checker{HTTP: &fetch.Client{AllowPrivateAddresses: c.Gate.Revocation.AllowPrivateAddresses, Proxy: http.ProxyFromEnvironment, UserAgent: "shuind"}},
		SignerStatus: &awsclient.Status{Client: &awsclient.Client{Caller: &awscall.Caller{UserAgent: "shuind", Now: now}}},
	}
}

// decidesBy says in words by what the gate decides.
func (g *gateConfig) decidesBy() string {
	if g.Bundle == "" {
		return g.Policy
	}
	who := "unsigned"
	if s := &g.SignedBy; s.SigningProfile != "" {
		who = "signed by " + s.SigningProfile
	} else if len(s.Identities) > 0 {
		who = "signed by " + strings.Join(s.Identities, " or ")
	}
	return "the bundle " + g.Bundle + ", " + who
}
