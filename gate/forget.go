package gate

import (
	"slices"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/verify"
)

// Forget drops what is remembered as good, also as good the last time, and rests
// on one of these grounds: they were revoked. No other answer is touched. Who asks
// from now on is given none that rests on them and was begun before; what is under
// way is begun again where it does. It returns how many of the last good answers
// went.
func (g *Gate) Forget(grounds []verify.Ground) (gone int) {
	m := g.memory
	if m == nil || len(grounds) == 0 {
		return 0
	}
	over := make(map[verify.Ground]struct{}, len(grounds))
	for _, x := range grounds {
		over[x] = struct{}{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn++
	m.forgotten = append(m.forgotten, over)
	m.forgotten = slices.Delete(m.forgotten, 0, max(0, len(m.forgotten)-limits.GateForgotten))
	for k, e := range m.verdicts.c.All() {
		if e.value.restsOn(over) {
			m.verdicts.drop(k)
		}
	}
	for k, e := range m.lastGood.c.All() {
		if e.value.restsOn(over) {
			m.lastGood.drop(k)
			gone++
		}
	}
	return gone
}

// restsOn says whether one of the seals that made the answer good does.
func (a *answer) restsOn(over map[verify.Ground]struct{}) bool {
	return slices.ContainsFunc(a.grounds, func(x verify.Ground) bool {
		_, is := over[x]
		return is
	})
}

// groundsOf are those of everything that was surveyed for a.
func groundsOf(a *answer) []verify.Ground {
	var all []verify.Ground
	for _, s := range append(slices.Clone(a.parts), a.whole) {
		if s != nil {
			all = append(all, s.grounds...)
		}
	}
	return slices.Clip(verify.SortedGrounds(all))
}

// begun is the turn that an answer is begun in.
func (m *memory) begun() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.turn
}

// over says whether something that a rests on was forgotten since a was begun.
func (m *memory) over(a *answer) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.overSince(a)
}

// overSince is over, with mu held. Where nobody knows any more what was
// forgotten first since then, it may have been that.
func (m *memory) overSince(a *answer) bool {
	if len(a.grounds) == 0 {
		return false
	}
	since := m.turn - a.turn
	if since > uint64(len(m.forgotten)) {
		return true
	}
	return slices.ContainsFunc(m.forgotten[len(m.forgotten)-int(since):], a.restsOn) //nolint:gosec // at most its length
}
