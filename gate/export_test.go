package gate

import "context"

// Remembered is about how many bytes the verdicts hold that are remembered,
// as the gate counts them.
func (g *Gate) Remembered() (n uint64) {
	g.memory.verdicts.c.CleanUp()
	g.memory.lastGood.c.CleanUp()
	return g.memory.verdicts.c.WeightedSize() + g.memory.lastGood.c.WeightedSize()
}

// Idle says whether nobody has or waits for a place, and nothing is kept of
// anybody who did.
func (g *Gate) Idle() bool {
	for _, s := range []*shared{g.places, g.talks} {
		s.mu.Lock()
		left := s.taken + len(s.askers)
		s.mu.Unlock()
		if left != 0 {
			return false
		}
	}
	return true
}

// Entries is how many verdicts are remembered.
func (g *Gate) Entries() int {
	g.memory.verdicts.c.CleanUp()
	return g.memory.verdicts.c.EstimatedSize()
}

// LookUp returns one look-up of an image's answer in the cache of verdicts, as
// Decide makes it; the making of the key is left out.
func (g *Gate) LookUp(w Workload) func() bool {
	d := deciding{g: g, m: g.memory, rules: g.rules.Load(), w: &w, now: g.o.Now()}
	t := task{iv: &ImageVerdict{Image: w.Images[0]}, where: d.where(0)}
	if !d.begin(&t) || !t.keyed {
		panic("the image is not remembered")
	}
	return func() bool {
		_, ok := g.memory.verdicts.c.GetIfPresent(t.key)
		return ok
	}
}

// What DecideIn is made of, for tests that change the world in between.
var Narrow, Unasked = narrow, unasked

// DecideUnder decides by rules.
func (g *Gate) DecideUnder(ctx context.Context, rules *Rules, w Workload) *Verdict {
	return g.decide(ctx, rules, w)
}
