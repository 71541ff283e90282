package signing

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/audit"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/envelope"
	"github.com/shuin/shuin/internal/limits"
)

// SignPayload signs one payload into a JWS envelope, byte for byte as it came.
//
//	admit    one transaction: who may, which profile version, the signing time,
//	         the answer of an earlier try, the entry of the attempt
//	sign     leaf, signature, self-check: nothing is held meanwhile
//	finish   one transaction: profile and permission again, the signing time,
//	         job, entry, reply
//
// No signature leaves before finish is durable.
func (s *Service) SignPayload(ctx context.Context, c Caller, in SignPayloadInput) (*SignPayloadOutput, error) {
	r := &request{c: &c, in: in, owner: in.ProfileOwner}
	if r.owner == "" {
		r.owner = c.Account
	}
	r.payloadSHA256 = hexSHA256(in.Payload)
	if err := s.admit(ctx, r); err != nil {
		return nil, err
	}
	if r.replay != nil {
		return r.again()
	}
	made, err := s.make(ctx, r)
	if err != nil {
		return nil, s.failed(ctx, r, err)
	}
	return s.finish(ctx, r, made)
}

// request is one SignPayload under way. What admit found is only read when
// its transaction was committed.
type request struct {
	c             *Caller
	in            SignPayloadInput
	owner         string
	payloadSHA256 string
	now           time.Time
	// A key of KindStandard, made before the transaction that names it.
	key       crypto.Signer
	serial    *big.Int
	publicKey string

	profile Profile
	at      time.Time // the authentic signing time
	attempt int64     // index of its entry
	reply   *Reply    // of an earlier try
	replay  *replay   // what it is answered with again
	refused error
}

// made is a finished signature that nobody has yet.
type made struct {
	envelope  []byte
	signature []byte
	job       Job
	leaf      *signer
}

var errNeedsKey = errors.New("the profile's kind needs a key of its own")

// admit decides whether the request may be signed, and logs the attempt
// whatever the answer is.
func (s *Service) admit(ctx context.Context, r *request) error {
	var early error
	if r.now, early = s.observe(); early == nil {
		early = s.checkSign(r)
	}
	if kind, ok := s.state.kinds.Load(nameKey{r.owner, r.in.ProfileName}); ok && kind == KindStandard && early == nil {
		if err := r.makeKey(s); err != nil {
			return err
		}
	}
	err := s.Store.Update(ctx, func(tx Tx) error { return s.admitIn(tx, r, early) })
	if errors.Is(err, errNeedsKey) {
		if err := r.makeKey(s); err != nil {
			return err
		}
		err = s.Store.Update(ctx, func(tx Tx) error { return s.admitIn(tx, r, early) })
	}
	if err != nil {
		return asError(err)
	}
	return r.refused
}

func (r *request) makeKey(s *Service) (err error) {
	if r.key, r.serial, err = s.leafKey(); err != nil {
		return err
	}
	if r.publicKey, err = publicKeyHash(r.key.Public()); err != nil {
		return internal("encode a public key", err)
	}
	return nil
}

// checkSign is what can be said without the store.
func (s *Service) checkSign(r *request) error {
	if r.in.PayloadFormat != shuin.MediaTypePayload {
		return invalid("Payload format %.80q is not supported: it has to be %s.", r.in.PayloadFormat, shuin.MediaTypePayload)
	}
	if e := checkPayload(r.in.Payload); e != nil {
		return e
	}
	return nil
}

// admitIn runs in the transaction; it may run more than once.
func (s *Service) admitIn(tx Tx, r *request, early error) error {
	r.profile, r.reply, r.replay, r.refused, r.at = Profile{}, nil, nil, nil, time.Time{}
	err := early
	if err == nil {
		err = s.permit(tx, r)
	}
	if err == nil {
		r.at, err = s.signingTime(tx, r.now)
	}
	if err != nil {
		if refusal(err) == nil {
			return err
		}
		r.refused = err
		return s.logRefused(tx, r)
	}
	if err := s.findReply(tx, r); err != nil {
		return err
	}
	if r.profile.Kind == KindStandard && r.key == nil && r.reply == nil {
		return errNeedsKey
	}
	if r.attempt, err = tx.AppendEntry(r.attemptEntry()); err != nil {
		return err
	}
	if r.reply != nil {
		return s.logReplay(tx, r)
	}
	return nil
}

// permit: the caller may sign with the profile, and the profile signs.
func (s *Service) permit(tx Tx, r *request) error {
	owner, err := s.ownerOf(r.c, actionSign, r.in.ProfileName, r.owner)
	if err != nil {
		return err
	}
	if r.profile, err = s.sharedProfile(tx, r.c, actionSign, owner, r.in.ProfileName); err != nil {
		return err
	}
	if err := signs(r.profile); err != nil {
		return err
	}
	return s.signsWith(tx, r.profile)
}

func signs(p Profile) error {
	if p.Status == ProfileActive {
		return nil
	}
	return invalid("Signing profile %s is %s, and makes no new signatures.", p.ARN.Name, p.Status)
}

func (r *request) attemptEntry() audit.Entry {
	e := audit.Entry{
		Kind: audit.SignAttempt, Time: r.at, Principal: r.c.Principal, RequestID: r.c.RequestID, Action: actionSign,
		ProfileVersion: r.profile.ARN.String(), PayloadSHA256: r.payloadSHA256,
	}
	if r.key != nil && r.reply == nil {
		e.Serial, e.PublicKey = hex.EncodeToString(r.serial.Bytes()), r.publicKey
	}
	return e
}

func (r *request) resultEntry() audit.Entry {
	return audit.Entry{
		Kind: audit.SignResult, Time: r.at, Principal: r.c.Principal, RequestID: r.c.RequestID, Action: actionSign,
		Outcome: outcomeOK, Attempt: r.attempt, ProfileVersion: r.profile.ARN.String(), PayloadSHA256: r.payloadSHA256,
	}
}

// logRefused is attempt and result of a request that is refused at once.
func (s *Service) logRefused(tx Tx, r *request) error {
	if r.profile.ARN.Name == "" { // not found, or not looked for
		r.profile.ARN = s.profileARN(r.owner, printable(r.in.ProfileName))
	}
	r.at = r.now.UTC()
	var err error
	if r.attempt, err = tx.AppendEntry(r.attemptEntry()); err != nil {
		return err
	}
	return appendRefusal(tx, r, refusal(r.refused))
}

// printable bounds what a caller wrote before it goes into the log.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(s, "?")
}

func appendRefusal(tx Tx, r *request, e *Error) error {
	entry := r.resultEntry()
	entry.Outcome, entry.Reason = e.Fault.String(), strings.ToValidUTF8(e.Message, "?")
	_, err := tx.AppendEntry(entry)
	return err
}

// failed logs why an admitted request made no signature, and gives the error.
func (s *Service) failed(ctx context.Context, r *request, cause error) error {
	e := refusal(cause)
	if e == nil {
		e = internal("sign", cause)
	}
	if err := s.update(context.WithoutCancel(ctx), func(tx Tx) error { return appendRefusal(tx, r, e) }); err != nil {
		return err
	}
	return e
}

// make makes the signature: nothing of it leaves before finish.
func (s *Service) make(ctx context.Context, r *request) (*made, error) {
	leaf, err := s.leafFor(ctx, r)
	if err != nil {
		return nil, err
	}
	id, err := newJobID(r.now)
	if err != nil {
		return nil, internal("make a job id", err)
	}
	m := &made{leaf: leaf, job: Job{
		ARN: s.jobARN(r.owner, id), Profile: r.profile.ARN, Kind: r.profile.Kind, RequestedBy: r.c.Principal, Invoker: r.c.Account,
		Created: r.now.UTC(), SignedAt: r.at, Expires: expiry(r.profile, leaf, r.at), Status: JobSucceeded,
		PayloadSHA256: r.payloadSHA256, Certificate: leaf.imported, Serial: leaf.serial, CertificateIDs: leaf.ids[:1],
	}}
	if leaf.authority != nil {
		m.job.Authority = leaf.authority.id
	}
	if err := s.envelope(r, m); err != nil {
		s.forget(r.profile)
		return nil, err
	}
	return m, nil
}

// expiry is the end of a signature made at at. One of KindStandard ends with
// its issuing CA's chain, after which no CRL could take it back.
func expiry(p Profile, leaf *signer, at time.Time) time.Time {
	end := p.Validity.From(at)
	if p.Kind == KindStandard {
		_, until := leaf.authority.issuer.Validity()
		end = earliest(end, until.UTC())
	}
	return end
}

func (s *Service) leafFor(ctx context.Context, r *request) (*signer, error) {
	p := r.profile.ARN
	var leaf *signer
	var err error
	switch {
	case r.profile.Certificate != (awsprofile.Certificate{}):
		leaf, err = s.importedLeaf(ctx, r.profile.Certificate)
	case r.profile.Kind == KindStandard:
		var a *authority
		if a, err = s.authorityOf(ctx, p, KindStandard, r.at); err != nil {
			return nil, err
		}
		leaf, err = s.certify(ctx, a, p, r.key, r.serial, r.at, a.crl)
	default:
		leaf, err = s.sharedLeaf(ctx, p, r.at)
	}
	if err != nil {
		return nil, err
	}
	return leaf, leaf.check(r.at)
}

// draftOf is what is signed of a payload: the job says the rest. An envelope
// of KindAWS has exactly the six critical attributes of AWS Signer's.
func draftOf(job Job, payload []byte) envelope.Draft {
	draft := envelope.Draft{
		MediaType: shuin.MediaTypeJWS, Algorithm: envelope.ES384, Payload: payload,
		Scheme: envelope.SchemeSigningAuthority, AuthenticSigningTime: job.SignedAt.UTC(), Expiry: job.Expires.UTC(),
	}
	if job.Kind == KindAWS {
		draft.Extended = []envelope.Attribute{
			{Key: awsprofile.AttributeJob, Value: job.ARN.String(), Critical: true},
			{Key: awsprofile.AttributeProfileVersion, Value: job.Profile.String(), Critical: true},
			{Key: attributePlugin, Value: awsprofile.PluginName, Critical: true},
		}
	}
	return draft
}

// envelope signs, puts the envelope together, and checks it.
func (s *Service) envelope(r *request, m *made) error {
	draft := draftOf(m.job, r.in.Payload)
	unsigned, err := draft.Prepare()
	if err != nil {
		return internal("prepare the envelope", err)
	}
	signed := unsigned.SignedBytes()
	if m.signature, err = envelope.ES384.Sign(m.leaf.key, signed); err != nil {
		return internal("sign", err)
	}
	if m.envelope, err = unsigned.Seal(m.signature, m.leaf.der, nil); err != nil {
		return internal("write the envelope", err)
	}
	m.job.SignatureInput = hexSHA256(signed)
	if err := s.checkSigned(draft, m, signed); err != nil {
		return internal("the check of the own signature", err)
	}
	return nil
}

// attributePlugin names the verification plugin (signature-specification.md,
// "Extended attributes for Notation Plugins").
const attributePlugin = "io.cncf.notary.verificationPlugin"

var errReplied = errors.New("another try of the same request was answered meanwhile")

// finishTries is how often a signature is made anew because one with a later
// signing time was faster: that is once in a second at most.
const finishTries = 5

// finish makes the signature known and durable, then lets it out. A caller who
// has gone does not stop it: each attempt in the log has a result, and a retry
// is answered with this signature.
func (s *Service) finish(ctx context.Context, r *request, m *made) (*SignPayloadOutput, error) {
	ctx = context.WithoutCancel(ctx)
	var out *SignPayloadOutput
	var err error
	for range finishTries {
		var late overtaken
		if out, err = s.finishOnce(ctx, r, m); !errors.As(err, &late) {
			return out, err
		}
		if err = s.redate(r, m, late.last); err != nil {
			return nil, s.failed(ctx, r, err)
		}
	}
	return nil, s.failed(ctx, r, fault(FaultUnavailable, "the signature was overtaken %d times by those with later signing times", finishTries))
}

func (s *Service) finishOnce(ctx context.Context, r *request, m *made) (*SignPayloadOutput, error) {
	var refused error
	err := s.Store.Update(ctx, func(tx Tx) error {
		completed := s.Now().UTC() // here, as others may have been given out while it waited
		if refused = s.recheck(tx, r, completed); refused == nil {
			refused = moveClock(tx, r.at, completed)
		}
		if refused != nil {
			if e := refusal(refused); e != nil {
				return appendRefusal(tx, r, e)
			}
			return refused
		}
		return s.record(tx, r, m, completed)
	})
	switch {
	case errors.As(err, new(overtaken)):
		return nil, err
	case errors.Is(err, errReplied):
		return s.repeated(ctx, r)
	case err != nil:
		return nil, s.unfinished(ctx, r, err)
	case refused != nil:
		return nil, refused
	}
	s.state.clock.used.Store(true)
	s.state.kinds.Store(nameKey{r.owner, r.in.ProfileName}, r.profile.Kind)
	return output(m.job, m.envelope), nil
}

// redate signs anew at a later signing time, with the same certificate.
func (s *Service) redate(r *request, m *made, at time.Time) error {
	r.at = at
	if err := m.leaf.check(at); err != nil {
		return err
	}
	m.job.SignedAt, m.job.Expires = at, expiry(r.profile, m.leaf, at)
	if err := s.envelope(r, m); err != nil {
		s.forget(r.profile)
		return err
	}
	return nil
}

// unfinished gives the store's failure, and logs it as the attempt's result if
// the store can do that much.
func (s *Service) unfinished(ctx context.Context, r *request, cause error) error {
	err := asError(cause)
	_ = s.failed(ctx, r, err) // its own failure is the same one again
	return err
}

// recheck: nothing has changed since the request was admitted that forbids
// the signature now.
func (s *Service) recheck(tx Tx, r *request, now time.Time) error {
	// revokeLeaves counts on the last: a job is no older than its signing time by more.
	if now.Sub(r.at) > limits.SignTime+limits.ClockBack || r.at.Sub(now) > limits.SignTime || r.at.Sub(r.now) > limits.SignTime+limits.ClockBack {
		return fault(FaultUnavailable, "the signature took from %s to %s, longer than it may", r.at.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	p, err := tx.ProfileVersion(r.owner, r.profile.ARN.Name, r.profile.ARN.Version)
	if err != nil {
		return err
	}
	if err := signs(p); err != nil {
		return err
	}
	if err := s.signsWith(tx, p); err != nil {
		return err
	}
	if !p.Current { // canceled or revoked under a version that came meanwhile
		current, err := tx.Profile(r.owner, r.profile.ARN.Name)
		if err != nil {
			return err
		}
		if err := signs(current); err != nil {
			return err
		}
	}
	return s.mayCross(tx, r.c, actionSign, p.ARN)
}

// record writes reply, entry and job.
func (s *Service) record(tx Tx, r *request, m *made, completed time.Time) error {
	if err := s.addReply(tx, r, m, completed); err != nil {
		return err
	}
	e := r.resultEntry()
	e.Job, e.SigningInput, e.Certificate, e.Serial = m.job.ARN.String(), m.job.SignatureInput, m.leaf.sha256, m.leaf.serial
	if r.key != nil {
		e.PublicKey = r.publicKey
	}
	job := m.job
	var err error
	if job.Entry, err = tx.AppendEntry(e); err != nil {
		return err
	}
	job.Completed = completed
	return tx.AddJob(job)
}

func output(job Job, signature []byte) *SignPayloadOutput {
	return &SignPayloadOutput{
		JobID: job.ARN.ID, JobOwner: job.ARN.Account, Signature: signature,
		Metadata: map[string]string{
			awsprofile.AttributeJob:            job.ARN.String(),
			awsprofile.AttributeProfileVersion: job.Profile.String(),
		},
	}
}
