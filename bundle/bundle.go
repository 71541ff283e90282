// Package bundle holds policy bundles: one JSON document with a policy, the
// trust stores that it names and a number that rises, so that the policy of
// something that runs can be changed from afar. It builds and reads bundles,
// says whether the signature beside one is good, and refuses to go back to an
// older one.
//
// It fetches nothing, reads no disk or clock and signs nothing: a bundle is
// signed like any blob, by package sign. What is in a bundle is worth nothing
// before its bytes are those of a pinned digest, or [Verify] said that somebody
// signed them who may.
package bundle

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/trust"
)

// MediaType is that of a bundle, in the bundle itself and in what is signed.
const MediaType = "application/vnd.shuin.policy-bundle.v1+json"

// Content is what a bundle is made of.
type Content struct {
	// Sequence is 1 to limits.BundleSequence. It rises from bundle to bundle:
	// who uses bundles takes none that is older than one it has seen.
	Sequence int64
	// Policy is a policy file's text: a pipeline policy, or a Notary trust
	// policy in its place. Its digest names decisions, so that it is kept to
	// the byte.
	Policy []byte
	// TrustStores are certificates by store. The stores that the policy names
	// have to be there, but for those of AWS Signer, which are built in; a store
	// here goes before a built-in one.
	TrustStores map[trust.StoreName][]*x509.Certificate
}

// Bundle is a bundle that was read. It is not changed after that, and safe for
// concurrent use. It satisfies verify.Stores, for its own policy.
type Bundle struct {
	digest   digest.Digest
	sequence int64
	text     []byte
	policy   *pipeline.Policy
	stores   map[trust.StoreName]*trust.Store
}

// form is a bundle as it is written. Pointers tell what is missing.
type form struct {
	MediaType   string                                   `json:"mediaType"`
	Sequence    *int64                                   `json:"sequence"`
	Policy      *string                                  `json:"policy"`
	TrustStores *map[trust.StoreType]map[string][]string `json:"trustStores"`
}

// Build makes a bundle: the same content makes the same bytes, in whatever
// order certificates stand. It refuses what [Parse] would not read. The error
// is a [*shuin.Error].
func Build(c Content) ([]byte, error) {
	text := string(c.Policy)
	stores := map[trust.StoreType]map[string][]string{}
	for name, certs := range c.TrustStores {
		if stores[name.Type] == nil {
			stores[name.Type] = map[string][]string{}
		}
		sorted := slices.Clone(certs)
		slices.SortFunc(sorted, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
		list := []string{}
		for _, cert := range slices.CompactFunc(sorted, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }) {
			list = append(list, string(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: cert.Raw})))
		}
		stores[name.Type][name.Name] = list
	}
	data, err := json.Marshal(form{MediaType, &c.Sequence, &text, &stores}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, invalid("the policy is no text in UTF-8", err)
	}
	data = append(data, '\n')
	if _, err := Parse(data); err != nil {
		return nil, err
	}
	return data, nil
}

// Digest is the SHA-256 of the bundle's bytes.
func (b *Bundle) Digest() digest.Digest { return b.digest }

// Sequence is the bundle's number.
func (b *Bundle) Sequence() int64 { return b.sequence }

// Policy is the policy in it.
func (b *Bundle) Policy() *pipeline.Policy { return b.policy }

// PolicyText is the policy file's text, not to be changed.
func (b *Bundle) PolicyText() []byte { return b.text }

// Stores are the names of the trust stores in it, in order.
func (b *Bundle) Stores() []trust.StoreName {
	var names []trust.StoreName
	for name := range b.stores {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y trust.StoreName) int { return bytes.Compare([]byte(x.String()), []byte(y.String())) })
	return names
}

// Store is a trust store of the bundle, or one that is built in.
func (b *Bundle) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	if s := b.stores[name]; s != nil {
		return s, nil
	}
	if s, ok := trust.BuiltIn(name); ok {
		return s, nil
	}
	return nil, &shuin.Error{Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("the bundle has no trust store %s", name),
		Hint: "build it again, with the directory that has the store"}
}

// invalid is what is wrong with a bundle. A limit that was hit stays one.
func invalid(message string, err error) error {
	code := shuin.CodeInvalidInput
	if known, ok := errors.AsType[*shuin.Error](err); ok && known.Code == shuin.CodeLimit {
		code = known.Code
	}
	return &shuin.Error{Code: code, Message: message, Err: err, Hint: shuin.HintOf(err)}
}
