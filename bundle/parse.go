package bundle

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

const certificateBlock = "CERTIFICATE"

// Parse reads a bundle of at most limits.BundleBytes: strictly, with the policy
// and the certificates in it. A name twice, in other letters or that is not
// known, a member that is missing, a certificate that no trust store may hold
// and a store that the policy names and that is not there are refused. It says
// nothing of who made the bundle. The error is a [*shuin.Error].
func Parse(data []byte) (*Bundle, error) {
	if len(data) > limits.BundleBytes {
		return nil, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the bundle has %d bytes, more than %d (limit BundleBytes)", len(data), limits.BundleBytes)}
	}
	var f form
	if err := json.Unmarshal(data, &f, json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false)); err != nil {
		return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: "this is no policy bundle", Err: err,
			Hint: "\"shuin policy bundle\" makes one of a policy and its trust stores"}
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	b := &Bundle{digest: digest.FromBytes(data), sequence: *f.Sequence, text: []byte(*f.Policy), stores: map[trust.StoreName]*trust.Store{}}
	var err error
	if b.policy, err = pipeline.ParseEither(b.text); err != nil {
		return nil, invalid("the policy in the bundle cannot be used", err)
	}
	if err := b.readStores(*f.TrustStores); err != nil {
		return nil, err
	}
	if err := b.complete(); err != nil {
		return nil, err
	}
	return b, nil
}

// check says what is missing, or out of bounds.
func (f *form) check() error {
	switch {
	case f.MediaType != MediaType:
		return invalid("this is no policy bundle", fmt.Errorf("its mediaType is %.200q, not %s", f.MediaType, MediaType))
	case f.Sequence == nil:
		return invalid("the bundle has no sequence", nil)
	case *f.Sequence < 1 || *f.Sequence > limits.BundleSequence:
		return invalid(fmt.Sprintf("the bundle's sequence is %d; it is 1 to %d", *f.Sequence, int64(limits.BundleSequence)), nil)
	case f.Policy == nil:
		return invalid("the bundle has no policy", nil)
	case f.TrustStores == nil:
		return invalid("the bundle has no trustStores", errors.New("where the policy names none but the built-in ones, they are {}"))
	}
	return nil
}

func (b *Bundle) readStores(types map[trust.StoreType]map[string][]string) error {
	certificates := 0
	for _, kind := range slices.Sorted(maps.Keys(types)) {
		switch {
		case !kind.Valid():
			return invalid(fmt.Sprintf("trust stores are of type ca, signingAuthority or tsa, not %.200q", string(kind)), nil)
		case len(types[kind]) == 0:
			return invalid(fmt.Sprintf("there is no trust store of type %s: leave the type out", kind), nil)
		}
		for _, name := range slices.Sorted(maps.Keys(types[kind])) {
			list := types[kind][name]
			certificates += len(list)
			switch {
			case len(b.stores) == limits.BundleStores:
				return tooMany("trust stores", limits.BundleStores, "BundleStores")
			case certificates > limits.BundleCertificates:
				return tooMany("certificates", limits.BundleCertificates, "BundleCertificates")
			case !trust.ValidName(name):
				return invalid(fmt.Sprintf("%.200q is no name of a trust store", name), nil)
			}
			store, err := newStore(trust.StoreName{Type: kind, Name: name}, list)
			if err != nil {
				return err
			}
			b.stores[store.Name()] = store
		}
	}
	return nil
}

func tooMany(what string, most int, name string) error {
	return &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("the bundle has more than %d %s (limit %s)", most, what, name)}
}

// newStore is one trust store: each text is one certificate in PEM, written as
// Go and OpenSSL write it, and no certificate stands there twice.
func newStore(name trust.StoreName, list []string) (*trust.Store, error) {
	fail := func(i int, err error) (*trust.Store, error) {
		return nil, invalid(fmt.Sprintf("certificate %d of trust store %s cannot be used", i+1, name), err)
	}
	certs := make([]*x509.Certificate, 0, len(list))
	for i, text := range list {
		block, rest := pem.Decode([]byte(text))
		switch {
		case block == nil, block.Type != certificateBlock, len(block.Headers) > 0, len(rest) > 0,
			string(pem.EncodeToMemory(block)) != text:
			return fail(i, errors.New("it is not one certificate in PEM and nothing else"))
		case len(block.Bytes) > limits.CertificateBytes:
			return fail(i, &shuin.Error{Code: shuin.CodeLimit, Message: fmt.Sprintf("it has more than %d bytes (limit CertificateBytes)", limits.CertificateBytes)})
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return fail(i, err)
		case slices.ContainsFunc(certs, cert.Equal):
			return fail(i, errors.New("it stands there twice"))
		}
		certs = append(certs, cert)
	}
	store, err := trust.NewStore(name, certs, nil)
	if err != nil {
		return nil, invalid(fmt.Sprintf("trust store %s in the bundle cannot be used", name), err)
	}
	return store, nil
}

// complete says whether every trust store is there that the policy names.
func (b *Bundle) complete() error {
	for _, s := range b.policy.Signers() {
		for _, name := range s.Statement.TrustStores {
			if _, err := b.Store(context.Background(), name); err != nil {
				return invalid("the policy names a trust store", err)
			}
		}
	}
	return nil
}
