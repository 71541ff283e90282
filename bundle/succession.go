package bundle

import (
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
)

// Succession refuses to go back: whoever can put an old bundle, with its good
// signature, in the place of the new one would else undo what was changed. The
// zero value takes any bundle first. Safe for concurrent use.
type Succession struct {
	// Least is the lowest sequence that is taken, from what is configured; it
	// holds where nothing was seen yet.
	Least int64

	mu       sync.Mutex
	sequence int64
	digest   digest.Digest
}

// Take takes over a bundle whose signature or digest is good, or says why it
// may not follow on what was taken before. The error is a [*shuin.Error].
func (s *Succession) Take(b *Bundle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fail := func(message, hint string) error {
		return &shuin.Error{Code: shuin.CodeInvalidInput, Message: message, Hint: hint}
	}
	const again = "build the bundle that is wanted again, with a higher sequence, and sign it"
	switch {
	case b.sequence < s.Least:
		return fail(fmt.Sprintf("the bundle's sequence is %d, and leastSequence is %d", b.sequence, s.Least), again+"; or lower leastSequence")
	case b.sequence < s.sequence:
		return fail(fmt.Sprintf("the bundle's sequence is %d, and %d was in use already: it is an older one", b.sequence, s.sequence), again)
	case b.sequence == s.sequence && b.digest != s.digest:
		return fail(fmt.Sprintf("the bundle's sequence is %d, as that of another bundle that was in use already (%s)", b.sequence, s.digest), again)
	}
	s.sequence, s.digest = b.sequence, b.digest
	return nil
}
