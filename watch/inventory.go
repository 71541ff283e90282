package watch

import (
	"encoding/json"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
)

// MediaTypeInventory is the media type of an [Inventory] as JSON.
const MediaTypeInventory = "application/vnd.shuin.inventory.v1+json"

// Inventory counts what a sweep saw. The zero value is ready for use; safe for
// concurrent use.
type Inventory struct {
	mu sync.Mutex
	n  inventoryJSON
	// Distinct ones, at most limits.WatchDigests of each.
	digests  map[digest.Digest]struct{}
	findings map[string]struct{}
}

// inventoryJSON is its form as JSON. Subjects are of all kinds, and each is in
// one of settled, dropped and retried; images are those of subjects that were
// judged, each in one of admitted, denied and undecided; excepted ones are
// among the admitted.
type inventoryJSON struct {
	MediaType string              `json:"mediaType"`
	Subjects  int                 `json:"subjects"`
	Kinds     map[SubjectKind]int `json:"kinds"`
	Settled   int                 `json:"settled"`
	Dropped   int                 `json:"dropped"` // judged before
	Retried   int                 `json:"retried"` // to be brought again
	Images    int                 `json:"images"`
	Digests   int                 `json:"digests"` // distinct ones
	// More: there were more than limits.WatchDigests distinct digests or
	// findings, and further ones are not counted.
	More      bool `json:"more,omitempty"`
	Admitted  int  `json:"admitted"`
	Excepted  int  `json:"excepted"`
	Denied    int  `json:"denied"`
	Undecided int  `json:"undecided"`
	Findings  int  `json:"findings"` // distinct ones, told now or before
	Told      int  `json:"told"`
	Reactions int  `json:"reactions"` // done
}

// Add counts one observation and what became of it. A result may be added
// again for each subject that is like the one it is of and was not looked at
// itself: what was told and done counts once.
func (i *Inventory) Add(o Observation, r *Result) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.n.Kinds == nil {
		i.n.Kinds, i.digests, i.findings = map[SubjectKind]int{}, map[digest.Digest]struct{}{}, map[string]struct{}{}
	}
	i.n.Subjects++
	i.n.Kinds[o.Subject.Kind]++
	switch r.Disposition {
	case Decided:
		i.n.Settled++
	case Dropped:
		i.n.Dropped++
	default:
		i.n.Retried++
	}
	for k := range r.Findings {
		keep(i, i.findings, r.Findings[k].ID)
	}
	if r.counted.CompareAndSwap(false, true) {
		for _, d := range r.Told {
			if d.Err == nil {
				i.n.Told++
			}
		}
		if r.Reaction.Done {
			i.n.Reactions++
		}
	}
	if r.Verdict == nil {
		return
	}
	for k := range r.Verdict.Images {
		iv := &r.Verdict.Images[k]
		i.n.Images++
		switch iv.Outcome {
		case pipeline.Admit:
			i.n.Admitted++
			if iv.Exception != nil {
				i.n.Excepted++
			}
		case pipeline.Deny:
			i.n.Denied++
		default:
			i.n.Undecided++
		}
		if d := iv.Digest(); d != "" {
			keep(i, i.digests, d)
		}
	}
}

// keep notes one of distinct ones.
func keep[K comparable](i *Inventory, set map[K]struct{}, k K) {
	if _, known := set[k]; known {
		return
	}
	if len(set) >= limits.WatchDigests {
		i.n.More = true
		return
	}
	set[k] = struct{}{}
}

// MarshalJSON writes the versioned form, media type [MediaTypeInventory].
func (i *Inventory) MarshalJSON() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	out := i.n
	out.MediaType, out.Digests = MediaTypeInventory, len(i.digests)
	out.Findings = len(i.findings)
	if out.Kinds == nil {
		out.Kinds = map[SubjectKind]int{}
	}
	return json.Marshal(out)
}
