package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/signing"
	"github.com/shuin/shuin/verify"
)

// ownStatus asks the signer in this process what it revoked of its own
// signatures, those below an intermediate it has or had and those of profile
// versions that it made, which may sign with an imported certificate; and
// somebody else of others.
type ownStatus struct {
	service *signing.Service
	ids     map[string]bool // the certificate ids of the signer's intermediates
	others  verify.SignerStatus
}

// newOwnStatus is for the signer of n.
func newOwnStatus(ctx context.Context, n *node, others verify.SignerStatus) (*ownStatus, error) {
	s := &ownStatus{service: n.service, ids: map[string]bool{}, others: others}
	// Not the CAs above, which may be a company's with other signers below them.
	add := func(chain []*x509.Certificate, at int) {
		if ids := awsprofile.CertificateIDs(chain); at < len(ids) {
			s.ids[ids[at]] = true
		}
	}
	add(n.service.Intermediate.Chain(), 0)
	err := n.service.Store.View(ctx, func(tx signing.Tx) error {
		all, err := tx.Authorities()
		for _, a := range all {
			chain, perr := envelope.ParseChain(a.Chain)
			if perr != nil {
				return fmt.Errorf("chain of authority %s: %w", a.ID, perr)
			}
			at := 1 // above an issuing CA
			if a.Profile.Name == "" {
				at = 0
			}
			add(chain, at)
		}
		return err
	})
	return s, err
}

// RevocationStatus satisfies verify.SignerStatus.
func (s *ownStatus) RevocationStatus(ctx context.Context, q awsprofile.StatusQuery, config map[string]string) ([]string, error) {
	own, err := s.own(ctx, q)
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeRevocationUnavailable, Message: "look for the signing profile version in this server's signer", Err: cause(err)}
	}
	if !own {
		return s.others.RevocationStatus(ctx, q, config)
	}
	caller := signing.Caller{Account: q.Profile.Account, Principal: "shuind:gate", Actions: []string{"signer:GetRevocationStatus"}, Profiles: []string{"*"}}
	out, err := s.service.GetRevocationStatus(ctx, caller, signing.GetRevocationStatusInput{
		SignatureTimestamp: q.SignedAt, PlatformID: awsprofile.PlatformID, ProfileVersionARN: q.Profile.String(), JobARN: q.Job.String(), CertificateHashes: q.CertificateIDs,
	})
	if err != nil {
		return nil, &shuin.Error{Code: shuin.CodeRevocationUnavailable, Message: "ask this server's signer what was revoked", Err: cause(err)}
	}
	return out.RevokedEntities, nil
}

// own says whether the signer here answers for a signature. The store is asked
// each time, as profiles come while the gate runs. The certificates do not
// decide it alone: a signature that names a version of ours under any other is
// what the signer has to judge.
func (s *ownStatus) own(ctx context.Context, q awsprofile.StatusQuery) (known bool, err error) {
	if slices.ContainsFunc(q.CertificateIDs, func(id string) bool { return s.ids[id] }) {
		return true, nil
	}
	err = s.service.Store.View(ctx, func(tx signing.Tx) error {
		p, err := tx.ProfileVersion(q.Profile.Account, q.Profile.Name, q.Profile.Version)
		known = err == nil && p.ARN == q.Profile
		if errors.Is(err, signing.ErrNotFound) {
			return nil
		}
		return err
	})
	return known, err
}
