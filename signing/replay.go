package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/limits"
)

// replay is what the envelope of an earlier try is made of again.
type replay struct {
	job       Job
	signature []byte
	chain     [][]byte
}

func (s *Service) findReply(tx Tx, r *request) error {
	if r.c.InvocationID == "" || r.c.BodySHA256 == "" {
		return nil
	}
	reply, err := tx.Reply(r.c.Principal, r.c.InvocationID, r.c.BodySHA256, r.now.Add(-limits.ReplyLife))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.reply = &reply
	return nil
}

// logReplay gives the answer of an earlier try again, unless its signature
// was revoked since. The permission was checked like a new one's; the answer
// may be of an older version of the profile.
func (s *Service) logReplay(tx Tx, r *request) error {
	e := r.resultEntry()
	e.Job = r.reply.Job.String()
	e.Reason = "answer of an earlier try given again"
	job, err := tx.Job(r.reply.Job.Account, r.reply.Job.ID)
	if err != nil {
		return err
	}
	r.refused, err = s.checkReplay(tx, r, job)
	if err != nil {
		return err
	}
	if refused := refusal(r.refused); refused != nil {
		e.Outcome, e.Reason = refused.Fault.String(), refused.Message
	} else if err := r.keepReplay(tx, job); err != nil {
		return err
	}
	_, err = tx.AppendEntry(e)
	return err
}

// signatureBytes is the length of an ES384 signature.
const signatureBytes = 96

func (r *request) keepReplay(tx Tx, job Job) error {
	kept := r.reply.Envelope
	if len(kept) <= signatureBytes {
		return internal("read a kept answer", fmt.Errorf("it has %d bytes", len(kept)))
	}
	above, err := chainAbove(tx, job)
	if err != nil {
		return err
	}
	chain := append([][]byte{bytes.Clone(kept[signatureBytes:])}, above...)
	r.replay = &replay{job, bytes.Clone(kept[:signatureBytes]), chain}
	return nil
}

// chainAbove is the chain of a job's leaf, without it.
func chainAbove(tx Tx, job Job) ([][]byte, error) {
	if job.Certificate == (awsprofile.Certificate{}) {
		a, err := tx.Authority(job.Authority)
		return a.Chain, err
	}
	c, err := tx.Certificate(job.Certificate)
	if err == nil && len(c.Chain) == 0 {
		err = internal("read a kept answer", fmt.Errorf("certificate %s has no chain", job.Certificate))
	}
	if err != nil {
		return nil, err
	}
	return c.Chain[1:], nil
}

// again is the answer of an earlier try, byte for byte.
func (r *request) again() (*SignPayloadOutput, error) {
	job := r.replay.job
	unsigned, err := draftOf(job, r.in.Payload).Prepare()
	if err != nil {
		return nil, internal("make an envelope again", err)
	}
	if hexSHA256(unsigned.SignedBytes()) != job.SignatureInput {
		return nil, internal("make an envelope again", errors.New("its content came out different"))
	}
	data, err := unsigned.Seal(r.replay.signature, r.replay.chain, nil)
	if err != nil {
		return nil, internal("make an envelope again", err)
	}
	return output(job, data), nil
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *Service) checkReplay(tx Tx, r *request, job Job) (refused, err error) {
	if job.Revocation != nil {
		return invalid("Signing job %s, which answered this request before, is revoked.", job.ARN.ID), nil
	}
	if job.Profile == r.profile.ARN {
		return nil, nil
	}
	p, err := tx.ProfileVersion(job.Profile.Account, job.Profile.Name, job.Profile.Version)
	if err != nil {
		return nil, err
	}
	if refused := signs(p); refused != nil {
		return refused, nil
	}
	err = s.signsWith(tx, p)
	if refused := refusal(err); refused != nil {
		return refused, nil
	}
	return nil, err
}

// addReply keeps the answer for a retry, and now and then drops old ones.
func (s *Service) addReply(tx Tx, r *request, m *made, now time.Time) error {
	if r.c.InvocationID == "" || r.c.BodySHA256 == "" {
		return nil
	}
	since := now.Add(-limits.ReplyLife)
	// A purge is small, and takes more than came since the last one.
	if s.state.replies.Add(1)%(limits.ReplyPurge/2) == 0 {
		if err := tx.PurgeReplies(since); err != nil {
			return err
		}
	}
	reply := Reply{
		Principal: r.c.Principal, InvocationID: r.c.InvocationID, BodySHA256: r.c.BodySHA256, Job: m.job.ARN, Created: now,
		Envelope: append(bytes.Clone(m.signature), m.leaf.cert.Raw...),
	}
	err := tx.AddReply(reply)
	if !errors.Is(err, ErrExists) {
		return err
	}
	if _, err := tx.Reply(reply.Principal, reply.InvocationID, reply.BodySHA256, since); err == nil {
		return errReplied
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := tx.DropReply(reply.Principal, reply.InvocationID, reply.BodySHA256); err != nil { // an old one that nobody may have any more
		return err
	}
	return tx.AddReply(reply)
}

// repeated answers a request whose other try was faster: with that one's job.
func (s *Service) repeated(ctx context.Context, r *request) (*SignPayloadOutput, error) {
	err := s.Store.Update(ctx, func(tx Tx) error {
		r.reply, r.replay, r.refused = nil, nil, nil
		if refused := s.recheck(tx, r, s.Now().UTC()); refused != nil {
			if refusal(refused) == nil {
				return refused
			}
			r.refused = refused
			return appendRefusal(tx, r, refusal(refused))
		}
		if err := s.findReply(tx, r); err != nil {
			return err
		}
		if r.reply == nil {
			return errReplied
		}
		return s.logReplay(tx, r)
	})
	if err != nil {
		return nil, s.unfinished(ctx, r, err)
	}
	if r.refused != nil {
		return nil, r.refused
	}
	return r.again()
}
