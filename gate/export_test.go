package gate

import "github.com/opencontainers/go-digest"

// Remembered is about how many bytes the verdicts hold that are remembered,
// as the gate counts them.
func (g *Gate) Remembered() (n uint64) {
	g.memory.verdicts.c.CleanUp()
	g.memory.lastGood.c.CleanUp()
	return g.memory.verdicts.c.WeightedSize() + g.memory.lastGood.c.WeightedSize()
}

// Entries is how many verdicts are remembered.
func (g *Gate) Entries() int {
	g.memory.verdicts.c.CleanUp()
	return g.memory.verdicts.c.EstimatedSize()
}

// LookUp returns one look-up of a digest's answer in the cache of verdicts, as
// Decide makes it, key and all left out.
func (g *Gate) LookUp(w Workload, rule digest.Digest) func() bool {
	rules := g.rules.Load()
	ref, err := g.memory.parse(w.Images[0].Written)
	if err != nil {
		panic(err)
	}
	k := keyOf(ref.Name(), string(ref.Digest), string(rule), string(rules.trust), "0", g.o.Engine, w.Access)
	return func() bool {
		_, ok := g.memory.verdicts.c.GetIfPresent(k)
		return ok
	}
}
