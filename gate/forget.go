package gate

import (
	"slices"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

// Forget has every digest judged anew that is asked about from now on: something
// that answers were made of is another now, as when a certificate was revoked.
// Checks under way go on; what they find to be good is not remembered.
//
// The last good answers of those images stay that have no seal of which over
// says that it counts no more; an answer whose seals are not all known goes too.
// over is given each seal's report, as far as the policy took it for good. It
// returns how many went.
func (g *Gate) Forget(over func(*shuin.SignatureReport) bool) (gone int) {
	m := g.memory
	if m == nil {
		return 0
	}
	m.turn.Add(1)
	for k, e := range m.lastGood.c.All() {
		if e.value.restsOn(over) {
			m.lastGood.drop(k)
			gone++
		}
	}
	return gone
}

// restsOn says whether one of the seals that made the answer good may be such.
func (a *answer) restsOn(over func(*shuin.SignatureReport) bool) bool {
	return len(a.reports) >= limits.GateReports || slices.ContainsFunc(a.reports, func(r shuin.SignatureReport) bool {
		return r.Result == shuin.Verified && (r.Signer == nil || over(&r))
	})
}

// known is an answer that may be given again.
func (m *memory) known(k key, now time.Time) (*answer, bool) {
	a, _, ok := m.verdicts.get(k, now)
	if !ok || a.turn != m.turn.Load() {
		return nil, false
	}
	return a, true
}
