package pipeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// sealing is what the candidates amount to for one stage.
type sealing struct {
	seals   []seal // good
	open    []seal // could be
	failure failure
	unknown error // why some are open
	place   int   // in Decision.Stages
}

// seal is a signature that counts for a stage, or may.
type seal struct {
	candidate *Candidate
	identity  string
	time      time.Time
	stale     time.Time // zero: never
	signers   keyset
	stranger  bool // open, and nobody knows whose it is
}

// failure is why a signature that concerns a stage is no seal.
type failure struct {
	err  error
	rank int // 0: there is none
}

// closest are the codes in the order of what is told where signatures fail for
// several reasons. What is not listed comes before stage-missing.
var closest = []shuin.Code{
	shuin.CodeRevoked, shuin.CodeExpired, shuin.CodeMetadataMismatch, shuin.CodeSealTooOld, shuin.CodeTampered,
	shuin.CodePluginFailed, shuin.CodeTooOld, shuin.CodeLimit, shuin.CodeMalformed, shuin.CodeUntrusted,
}

// telling is how much a reason tells: more is better.
func telling(err error) int {
	code := shuin.CodeOf(err)
	if code == shuin.CodeStageMissing {
		return 1
	}
	if i := slices.Index(closest, code); i >= 0 {
		return 2 + len(closest) - i
	}
	return 2
}

func (f *failure) consider(err error, authentic bool) {
	rank := telling(err)
	if authentic {
		rank += 100 // came nearer than any stranger's
	}
	if rank > f.rank {
		*f = failure{err, rank}
	}
}

// candidate adds what one signature is for one stage.
func (e *evaluation) candidate(s *sealing, index int, c *Candidate) {
	st := &e.policy.stages[index]
	if c.Err != nil {
		if shuin.CodeOf(c.Err).Undecided() {
			s.leaveOpen(seal{candidate: c, stranger: true}, c.Err)
		} else if e.policy.trustPolicy {
			s.failure.consider(c.Err, false)
		}
		return
	}
	named, claims := c.Metadata[shuin.MetadataStage], c.Claims
	if named != "" {
		claims = named
	}
	if e.policy.trustPolicy {
		named, claims = st.name, st.name
	}
	if claims != "" && claims != st.name {
		return
	}
	for _, index := range st.signers {
		if index < len(c.Answers) {
			e.answer(s, st, c, index, named != "", claims != "")
		}
	}
}

// answer adds what one signature is for one of a stage's signers.
func (e *evaluation) answer(s *sealing, st *stage, c *Candidate, signer int, named, claimed bool) {
	a := &c.Answers[signer]
	switch {
	case !claimed && !a.Authentic && a.Result != shuin.Verified && a.Result != shuin.Undecided:
		return // a stranger's, of which nothing says that it was meant for this stage
	case !named && e.ambiguous(st, c):
		s.failure.consider(&shuin.Error{
			Code:    shuin.CodeStageMissing,
			Message: fmt.Sprintf("a signature that could seal stage %s names no stage, and its signer is another stage's too", st.name),
			Hint:    "seal it again with \"shuin seal --stage " + st.name + "\", which signs the stage's name",
		}, true)
		return
	case a.Result != shuin.Verified && a.Result != shuin.Undecided:
		err := a.Err
		if err == nil {
			err = &shuin.Error{Code: shuin.CodeInternal, Message: "a signature was refused without a reason"}
		}
		s.failure.consider(err, a.Authentic)
		return
	}
	if err := e.wanting(st, c, a); err != nil {
		s.failure.consider(err, true)
		return
	}
	one := seal{candidate: c, identity: e.identity(signer, a), time: a.Time, stale: earlier(a.StaleUntil, e.maxAgeEnd(st, a)), signers: e.signersOf(c, signer, a)}
	if a.Result == shuin.Verified {
		s.seals = append(s.seals, one)
		return
	}
	if !a.Authentic {
		one.signers, one.stranger = nil, true // nobody knows yet
	}
	s.leaveOpen(one, a.Err)
}

func (s *sealing) leaveOpen(one seal, err error) {
	s.open = append(s.open, one)
	if s.unknown == nil {
		s.unknown = err
	}
}

// ambiguous says whether a signature that names no stage may be for another
// stage than st: a signer of one made it.
func (e *evaluation) ambiguous(st *stage, c *Candidate) bool {
	for i := range e.policy.stages {
		other := &e.policy.stages[i]
		if other == st {
			continue
		}
		for _, index := range other.signers {
			if index < len(c.Answers) && c.Answers[index].Authentic {
				return true
			}
		}
	}
	return false
}

// wanting says what the stage wants of a seal that a good signature has not.
func (e *evaluation) wanting(st *stage, c *Candidate, a *Answer) error {
	var keys []string
	for k, v := range st.metadata {
		if got, ok := c.Metadata[k]; !ok || got != v {
			keys = append(keys, k)
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		k := keys[0]
		got := "it has none"
		if v, ok := c.Metadata[k]; ok {
			got = fmt.Sprintf("it has %.100q", v)
		}
		return &shuin.Error{
			Code:    shuin.CodeMetadataMismatch,
			Message: fmt.Sprintf("stage %s wants signed metadata %s=%q, and %s", st.name, k, st.metadata[k], got),
			Hint:    "the step signed what it found: repair what it looked at, and run it again",
		}
	}
	switch {
	case st.maxAge == 0:
	case a.Time.IsZero():
		return &shuin.Error{
			Code:    shuin.CodeSealTooOld,
			Message: fmt.Sprintf("stage %s wants seals of the last %s, and this one has no time that can be believed", st.name, st.maxAge),
			Hint:    "have it sealed again, with a timestamp or by a signing profile",
		}
	case a.Time.After(e.now.Add(limits.ClockSkew)):
		return &shuin.Error{
			Code:    shuin.CodeExpired,
			Message: fmt.Sprintf("stage %s wants seals of the last %s, and this one is dated %s, in the future", st.name, st.maxAge, a.Time.UTC().Format(time.RFC3339)),
			Hint:    "compare the clock here with that of the timestamping or signing authority; then run the step again and seal its result",
		}
	case !e.now.Before(a.Time.Add(st.maxAge)):
		return &shuin.Error{
			Code:    shuin.CodeSealTooOld,
			Message: fmt.Sprintf("stage %s wants seals of the last %s, and this one is of %s", st.name, st.maxAge, a.Time.UTC().Format(time.RFC3339)),
			Hint:    "run the step again and seal its result",
		}
	}
	return nil
}

func (e *evaluation) maxAgeEnd(st *stage, a *Answer) time.Time {
	if st.maxAge == 0 || a.Time.IsZero() {
		return time.Time{}
	}
	return a.Time.Add(st.maxAge)
}

// identity is who sealed: a profile without its version, or what matched.
func (e *evaluation) identity(signer int, a *Answer) string {
	if p := e.policy.signers[signer].Profile; p != "" {
		return p
	}
	return a.Identity
}
