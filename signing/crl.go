package signing

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/issue"
)

// CRL is the newest CRL of an authority (issuing CA or intermediate), for
// serving, and its next update.
func (s *Service) CRL(ctx context.Context, id string) (der []byte, next time.Time, err error) {
	var a Authority
	err = s.view(ctx, func(tx Tx) (err error) {
		a, err = tx.Authority(id)
		if errors.Is(err, ErrNotFound) || err == nil && len(a.CRL) == 0 {
			return notFound("There is no CRL %.80q.", id)
		}
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	if a.CRLNext.IsZero() { // due at once: the old one is good until it says so
		list, err := x509.ParseRevocationList(a.CRL)
		if err != nil {
			return nil, time.Time{}, internal("read a CRL", err)
		}
		a.CRLNext = list.NextUpdate
	}
	return a.CRL, a.CRLNext, nil
}

// RefreshCRLs reissues the CRLs that are due, of retired authorities too, and
// returns all that were made since it was called last, by id. Call it every
// minute or so: it is what has an idle service watch its clock, and forget keys
// that another process deleted or revoked, for which it waits for no revocation
// under way. It goes on after a failure and tells of all of them; by a clock
// that is refused (ErrClock) it makes nothing.
func (s *Service) RefreshCRLs(ctx context.Context) (changed map[string][]byte, err error) {
	unforgotten := s.forgetWithdrawn(ctx)
	release, err := s.state.revoking.take(ctx)
	if err != nil {
		return nil, withUnforgotten(unforgotten, err)
	}
	defer release()
	err = s.view(ctx, func(tx Tx) error { _, err := s.dateCRL(tx); return err })
	if err == nil {
		err = unrefreshed(s.refresh(ctx))
	}
	s.state.changes.Lock()
	defer s.state.changes.Unlock()
	changed, s.state.changed = s.state.changed, nil
	return changed, withUnforgotten(unforgotten, err)
}

// withUnforgotten joins the failure to forget keys, which holds up no CRL, to
// err. The first one's cause is left to whoever tells of it.
func withUnforgotten(unforgotten, err error) error {
	if unforgotten == nil {
		return err
	}
	return errors.Join(&Error{
		Fault: FaultUnavailable, Message: "not every imported key could be looked up that may have been withdrawn; it will be tried again", Err: detailed(unforgotten),
	}, detailed(err))
}

// unrefreshed words the failures of a refresh; asError would tell of one alone.
func unrefreshed(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Fault: FaultUnavailable, Message: "not every CRL that is due could be made anew; it will be tried again", Err: err}
}

func (s *Service) refresh(ctx context.Context) error {
	if err := s.ensureIntermediate(ctx); err != nil {
		return detailed(err)
	}
	due, failed, err := s.dueCRLs(ctx)
	if err != nil {
		return detailed(err)
	}
	return errors.Join(failed, s.publish(ctx, due))
}

// dueCRLs are the authorities whose CRL is due. One whose profile version
// cannot be read holds up no other: failed tells of it. Whether certificates
// name its CRL is known all the same, as only those of KindStandard have one.
func (s *Service) dueCRLs(ctx context.Context) (due []string, failed, err error) {
	err = s.view(ctx, func(tx Tx) error {
		due, failed = nil, nil
		all, err := tx.Authorities()
		for _, a := range all {
			if !s.due(a) {
				continue
			}
			kind, err := s.kindOfVersion(tx, a.Profile)
			named := kind != KindAWS
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("issuing CA %s: %w", a.ID, detailed(err)))
				named = len(a.CRL) > 0
			}
			if named {
				due = append(due, a.ID)
			}
		}
		return err
	})
	return due, failed, err
}

// kindOfVersion is the kind of the profile version of an issuing CA; empty for
// the intermediate's.
func (s *Service) kindOfVersion(tx Tx, p awsprofile.Profile) (Kind, error) {
	if p.Name == "" {
		return "", nil
	}
	if kind, ok := s.state.versions.Load(p); ok {
		return kind.(Kind), nil
	}
	v, err := tx.ProfileVersion(p.Account, p.Name, p.Version)
	if err != nil {
		return "", fmt.Errorf("read its profile version %s: %w", p, err)
	}
	s.state.versions.Store(p, v.Kind)
	return v.Kind, nil
}

// publish makes the CRLs of ids anew. An issuing CA that is revoked and due may
// have leaves that are not on its list yet, because whoever was listing them
// did not come to an end: see publishRevoked.
func (s *Service) publish(ctx context.Context, ids []string) error {
	unlisted := map[awsprofile.Profile][]string{}
	var failed error
	for _, id := range ids {
		var row Authority
		if err := s.view(ctx, func(tx Tx) (err error) { row, err = tx.Authority(id); return err }); err != nil {
			failed = errors.Join(failed, fmt.Errorf("CRL %s: %w", id, detailed(err)))
		} else if row.Profile.Name != "" && row.Revoked != nil && row.CRLNext.IsZero() {
			unlisted[row.Profile] = append(unlisted[row.Profile], id)
		} else {
			failed = errors.Join(failed, s.reissue(ctx, id, wholeList))
		}
	}
	for p, ids := range unlisted {
		failed = errors.Join(failed, s.publishRevoked(ctx, p, ids))
	}
	return failed
}

// publishRevoked makes the CRLs of the issuing CAs of a revoked version, when
// all leaves that it takes back are on their lists. There may be very many: what
// is listed already is published before them, and should the rest fail then what
// of it was listed, too. The CAs stay due until all of it is.
func (s *Service) publishRevoked(ctx context.Context, p awsprofile.Profile, ids []string) error {
	var failed error
	reissue := func(part listPart) {
		for _, id := range ids {
			failed = errors.Join(failed, s.reissue(ctx, id, part))
		}
	}
	reissue(listedSoFar)
	if err := s.revokeLeaves(ctx, p); err != nil {
		failed = errors.Join(failed, fmt.Errorf("list the leaves of profile version %s: %w", p, detailed(err)))
		reissue(listedSoFar)
		return failed
	}
	reissue(wholeList)
	return failed
}

// due: never made, marked, or made before the authority's last turn (turnOf).
// One whose authority has ended is not made again, nor one of an intermediate
// whose key is not here any more. One that a clock made which was ahead is due.
func (s *Service) due(a Authority) bool {
	now := s.Now()
	switch {
	case !now.Before(a.NotAfter) || s.foreign(a):
		return false
	case a.CRLNext.IsZero():
		return true
	}
	made, every := s.madeAt(a), s.crlEvery()
	return made.After(now.Add(limits.ClockBack)) || turnOf(a.ID, made, every).Before(turnOf(a.ID, now, every))
}

// madeAt is when a's CRL was made, as it would be now: it may have been made
// with another life. That of an intermediate which was replaced, and was put
// back, is good until its end, and says itself when it was made.
func (s *Service) madeAt(a Authority) time.Time {
	if a.Profile.Name == "" && !a.CRLNext.Before(a.NotAfter) {
		list, err := x509.ParseRevocationList(a.CRL)
		if err != nil {
			return time.Time{}
		}
		return list.ThisUpdate
	}
	return a.CRLNext.Add(-s.crlLife())
}

// turnOf is the last turn of an authority up to at. It has one each time every
// has gone by, so that no CRL gets older than that; at which second lies in its
// id: CRLs that were made together, as a start does, do not fall due together
// from then on. Turns are whole seconds, as the times of CRLs are.
func turnOf(id string, at time.Time, every time.Duration) time.Time {
	every = every.Truncate(time.Second)
	sum := sha256.Sum256([]byte(id))
	offset := time.Duration(binary.BigEndian.Uint64(sum[:])%uint64(every/time.Second)) * time.Second
	return at.Add(-offset).Truncate(every).Add(offset)
}

func (s *Service) foreign(a Authority) bool {
	return a.Profile.Name == "" && a.ID != s.intermediate()
}

// ensureIntermediate keeps a row for the intermediate's own CRL.
func (s *Service) ensureIntermediate(ctx context.Context) error {
	id := s.intermediate()
	err := s.Store.View(ctx, func(tx Tx) error {
		_, err := tx.Authority(id)
		return err
	})
	if !errors.Is(err, ErrNotFound) {
		return asError(err)
	}
	cert := s.Intermediate.Chain()[0]
	row := Authority{ID: id, NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
	for _, c := range s.Intermediate.Chain() {
		row.Chain = append(row.Chain, c.Raw)
	}
	err = s.Store.Update(ctx, func(tx Tx) error { return tx.AddAuthority(row) })
	if errors.Is(err, ErrExists) {
		return nil
	}
	return asError(err)
}

var errCRLRace = errors.New("the CRL was made by somebody else meanwhile")

// listPart says what the list of an authority has when its CRL is made.
type listPart bool

const (
	// wholeList: all that is revoked. The CRL is not due again until it ages.
	wholeList listPart = true
	// listedSoFar: more is to come. The authority stays due, and a CRL that has
	// all of it and is not old is left as it is.
	listedSoFar listPart = false
)

// reissue makes the next CRL of an authority. The caller holds state.revoking,
// so that no revocation falls between reading the list and storing the CRL.
func (s *Service) reissue(ctx context.Context, id string, part listPart) error {
	err := errCRLRace
	for try := 0; try < 3 && errors.Is(err, errCRLRace); try++ {
		err = s.reissueOnce(ctx, id, part)
	}
	if err != nil {
		return fmt.Errorf("CRL %s: %w", id, detailed(err))
	}
	return nil
}

func (s *Service) reissueOnce(ctx context.Context, id string, part listPart) error {
	var row Authority
	var list []issue.Revoked
	var now time.Time
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if now, err = s.dateCRL(tx); err != nil {
			return err
		}
		if row, err = tx.Authority(id); err != nil {
			return err
		}
		if row.Profile.Name == "" {
			list, err = revokedAuthorities(tx, row)
		} else {
			list, err = revokedLeaves(tx, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	if part == listedSoFar {
		if s.listsAll(row, list, now) {
			return nil
		}
	}
	issuer, err := s.crlIssuer(row)
	if err != nil {
		return err
	}
	number, next := row.CRLNumber+1, latest(now.Add(s.crlLife()), lastUpdate(row))
	der, err := issuer.CRL(ctx, list, big.NewInt(number), now, next)
	if err != nil {
		return err
	}
	return s.storeCRL(ctx, id, der, func(tx Tx) error {
		a, err := tx.Authority(id)
		if err != nil {
			return err
		}
		if a.CRLNumber != row.CRLNumber || !a.CRLNext.Equal(row.CRLNext) { // another CRL, or another revocation
			return errCRLRace
		}
		a.CRLNumber, a.CRL, a.CRLNext = number, der, next
		if part == listedSoFar {
			a.CRLNext = time.Time{}
		}
		return tx.SetAuthority(a)
	})
}

// listsAll: the CRL there is has as many lines as the list, which only grows,
// is younger than CRLs get, and is not dated ahead. One that cannot be read has
// to be made anew.
func (s *Service) listsAll(row Authority, list []issue.Revoked, now time.Time) bool {
	made, err := x509.ParseRevocationList(row.CRL)
	return err == nil && len(made.RevokedCertificateEntries) == len(list) &&
		!made.ThisUpdate.After(now.Add(limits.ClockBack)) && now.Before(made.ThisUpdate.Add(s.crlEvery()))
}

// lastUpdate is the next update of an intermediate's last CRL, which the next
// one must not shorten: there may be nobody to make another. Zero: it is not
// the last, or cannot be read.
func lastUpdate(row Authority) time.Time {
	if row.Profile.Name != "" {
		return time.Time{}
	}
	list, err := x509.ParseRevocationList(row.CRL)
	if err != nil || list.NextUpdate.Before(row.NotAfter) {
		return time.Time{}
	}
	return list.NextUpdate
}

func (s *Service) crlIssuer(row Authority) (*issue.Authority, error) {
	if row.ID == s.intermediate() {
		return s.Intermediate, nil
	}
	if row.Profile.Name == "" {
		return nil, errors.New("the key of this intermediate is not here")
	}
	s.state.keys.Lock()
	a := s.state.authorities[row.Profile]
	s.state.keys.Unlock()
	if a != nil && a.id == row.ID {
		return a.issuer, nil
	}
	a, err := s.open(row)
	if err != nil {
		return nil, err
	}
	return a.issuer, nil
}

func revokedLeaves(tx Tx, id string) ([]issue.Revoked, error) {
	rows, err := tx.RevokedCertificates(id)
	if err != nil {
		return nil, err
	}
	out := make([]issue.Revoked, len(rows))
	for i, r := range rows {
		serial, err := hex.DecodeString(r.Serial)
		if err != nil {
			return nil, fmt.Errorf("stored serial number: %w", err)
		}
		out[i] = issue.Revoked{Serial: new(big.Int).SetBytes(serial), At: r.At}
	}
	return out, nil
}

// revokedAuthorities are the issuing CAs that an intermediate made and that
// are revoked. InvalidityDate keeps older signatures good.
func revokedAuthorities(tx Tx, intermediate Authority) ([]issue.Revoked, error) {
	all, err := tx.Authorities()
	if err != nil {
		return nil, err
	}
	var out []issue.Revoked
	for _, a := range all {
		if a.Revoked == nil || len(a.Chain) < 2 || string(a.Chain[1]) != string(intermediate.Chain[0]) {
			continue
		}
		cert, err := x509.ParseCertificate(a.Chain[0])
		if err != nil {
			return nil, fmt.Errorf("stored issuing CA: %w", err)
		}
		out = append(out, issue.Revoked{Serial: cert.SerialNumber, At: a.Revoked.At, InvalidityDate: a.Revoked.InvalidityDate})
	}
	return out, nil
}

// storeCRL runs the transaction that stores a CRL and tells of it, one after the
// other: NewCRL is told of no CRL after its successor. der is empty where there
// is none to tell of.
func (s *Service) storeCRL(ctx context.Context, id string, der []byte, f func(Tx) error) error {
	if len(der) == 0 {
		return s.Store.Update(ctx, f)
	}
	release, err := s.state.storing.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.Store.Update(ctx, f); err != nil {
		return err
	}
	s.published(id, der)
	return nil
}

// published tells of a CRL that was stored.
func (s *Service) published(id string, der []byte) {
	if id == s.intermediate() {
		if list, err := x509.ParseRevocationList(der); err == nil {
			s.state.leave(list.ThisUpdate)
		}
	}
	s.state.changes.Lock()
	next := maps.Clone(s.state.changed)
	if next == nil {
		next = map[string][]byte{}
	}
	next[id] = der
	s.state.changed = next
	s.state.changes.Unlock()
	if s.NewCRL != nil {
		s.NewCRL(id, der)
	}
}
