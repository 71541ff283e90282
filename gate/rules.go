package gate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
	"github.com/shuin/shuin/verify"
)

// Rules are a policy with the trust it names, loaded: what a decision is made
// by, from beginning to end. Not changed once made.
type Rules struct {
	policy     *pipeline.Policy
	statements []*policy.Statement // of policy.Signers, in their order
	stores     loadedStores
	trust      digest.Digest
	apart      *clusterMemory
}

// NewRules loads every trust store that the policy names. The error says which
// cannot be used: then the rules are not fit for use.
func NewRules(ctx context.Context, p *pipeline.Policy, stores verify.Stores) (*Rules, error) {
	r := &Rules{policy: p, stores: loadedStores{}, apart: &clusterMemory{}}
	var faults []error
	failed := map[trust.StoreName]bool{}
	for _, s := range p.Signers() {
		r.statements = append(r.statements, s.Statement)
		for _, name := range s.Statement.TrustStores {
			if r.stores[name] != nil || failed[name] {
				continue
			}
			store, err := stores.Store(ctx, name)
			if err == nil && store == nil {
				err = errors.New("no such store")
			}
			if err != nil {
				failed[name] = true
				faults = append(faults, &shuin.Error{
					Code: shuin.CodeInvalidInput, Message: fmt.Sprintf("load trust store %s, which the policy names", name),
					Hint: "add its certificates, or repair it", Err: err,
				})
				continue
			}
			r.stores[name] = store
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	r.trust = r.stores.hash()
	return r, nil
}

// WithExceptions is r with these exceptions from outside of its policy, in place
// of those that it had from there (pipeline.Policy.WithExceptions).
func (r *Rules) WithExceptions(additions []*pipeline.Addition) (*Rules, error) {
	p, err := r.policy.WithExceptions(additions)
	if err != nil {
		return nil, err
	}
	out := *r
	out.policy, out.apart = p, &clusterMemory{}
	return &out, nil
}

// WithExceptionsOf is r with the exceptions that other has from outside of its
// policy (pipeline.Policy.WithExceptionsOf).
func (r *Rules) WithExceptionsOf(other *Rules) *Rules {
	out := *r
	out.policy, out.apart = r.policy.WithExceptionsOf(other.policy), &clusterMemory{}
	return &out
}

// Policy is the policy the rules were made of.
func (r *Rules) Policy() *pipeline.Policy { return r.policy }

// TrustHash covers the certificates of every trust store that the policy names.
func (r *Rules) TrustHash() digest.Digest { return r.trust }

// loadedStores are the trust stores of one policy; they never change.
type loadedStores map[trust.StoreName]*trust.Store

// Store satisfies verify.Stores.
func (l loadedStores) Store(_ context.Context, name trust.StoreName) (*trust.Store, error) {
	if s := l[name]; s != nil {
		return s, nil
	}
	return nil, errors.New("the policy does not name this store")
}

// hash covers names and certificates, the stores in the order of their names.
func (l loadedStores) hash() digest.Digest {
	names := make([]trust.StoreName, 0, len(l))
	for n := range l {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b trust.StoreName) int { return strings.Compare(a.String(), b.String()) })
	h := sha256.New()
	var size [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:])
		h.Write(b)
	}
	for _, n := range names {
		sum := l[n].Hash()
		write([]byte(n.String()))
		write(sum[:])
	}
	return digest.NewDigestFromBytes(digest.SHA256, h.Sum(nil))
}
