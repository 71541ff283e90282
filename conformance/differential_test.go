package conformance

import (
	"testing"
)

// differencesFile lists where Shuin and notation-go decide otherwise, and why.
const differencesFile = vectorDir + "/differences.json"

type differences struct {
	// Upstream is what the list was made against.
	Upstream string `json:"upstream"`
	// Vectors are by id.
	Vectors map[string]difference `json:"vectors"`
	// Classes are what FuzzVerifyAgrees and the mutations may meet.
	Classes []differenceClass `json:"classes"`
}

type difference struct {
	Row string `json:"row"`
	// Shuin accepts or refuses; notation-go does the other.
	Shuin string `json:"shuin"`
	Why   string `json:"why"`
}

// differenceClass is a difference by its reason: the message of the side that
// refuses matches, and the envelope is of the format and has what When names,
// as far as these are given.
type differenceClass struct {
	Name    string `json:"name"`
	Kind    string `json:"kind,omitempty"` // of vector; empty: envelope
	Row     string `json:"row"`
	Shuin   string `json:"shuin"`
	Message string `json:"message,omitempty"` // regular expression
	When    string `json:"when,omitempty"`    // one of conditions
	Format  string `json:"format,omitempty"`  // of envelope: "jose+json", "cose"
	Why     string `json:"why"`
}

func decision(refused bool) string {
	if refused {
		return "refuses"
	}
	return "accepts"
}

// Shuin and notation-go decide every vector alike, but for the listed
// differences; a listed one that is gone fails too.
func TestVectorsAreDecidedAlike(t *testing.T) {
	var list differences
	loadJSON(t, differencesFile, &list)
	asked, ran := map[string]bool{}, 0
	all := loadVectors(t)
	for _, v := range all {
		t.Run(v.ID, func(t *testing.T) {
			ran++
			err, ok := upstream(t, v)
			if !ok {
				return
			}
			asked[v.ID] = true
			reasons := shuinDecides(t, v)
			ours, theirs := decision(len(reasons) > 0), decision(err != nil)
			d, listed := list.Vectors[v.ID]
			switch {
			case ours == theirs && listed:
				t.Errorf("%s: both %s it, the listed difference is gone", v.Title, whom(ours))
			case ours != theirs && !listed:
				t.Errorf("%s: Shuin %s it %v, notation-go %s it (%v): not listed in %s", v.Title, ours, reasons, theirs, err, differencesFile)
			case listed && (d.Shuin != ours || d.Row != v.Row || d.Why == ""):
				t.Errorf("%s: Shuin %s it; the list says row %s, Shuin %s, because %q", v.Title, ours, d.Row, d.Shuin, d.Why)
			}
		})
	}
	for id := range list.Vectors {
		if !asked[id] && ran == len(all) {
			t.Errorf("%s: listed in %s, but no such vector was asked of notation-go", id, differencesFile)
		}
	}
}

func whom(decision string) string { return decision[:len(decision)-1] }
