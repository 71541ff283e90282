package servingcert_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/servingcert"
)

var (
	noon  = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	names = []string{"shuin.shuin.svc", "shuin.shuin.svc.cluster.local"}
)

const day = 24 * time.Hour

func advance(t *testing.T, s *servingcert.State, now time.Time, published bool) (*servingcert.State, bool) {
	t.Helper()
	out, changed, err := servingcert.Advance(s, names, now, servingcert.Lives{}, published)
	if err != nil {
		t.Fatal(err)
	}
	return out, changed
}

func cas(t *testing.T, s *servingcert.State) (out []*x509.Certificate) {
	t.Helper()
	for rest := s.Bundle(); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return out
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
}

func TestTheFirstStateServesAtOnce(t *testing.T) {
	s, changed := advance(t, nil, noon, false)
	if !changed || !s.Trusts(s.Bundle(), names, noon) || len(cas(t, s)) != 1 {
		t.Fatalf("changed %t, %d CAs", changed, len(cas(t, s)))
	}
	if s.Trusts(s.Bundle(), []string{"other.shuin.svc"}, noon) {
		t.Error("it serves a name that was not asked for")
	}
	if again, changed := advance(t, s, noon.Add(day), true); changed || again != s {
		t.Error("a day later it is another")
	}
}

func TestALeafIsRenewedBelowTheSameCA(t *testing.T) {
	s, _ := advance(t, nil, noon, true)
	bundle := s.Bundle()
	at := s.Look(servingcert.Lives{})
	if want := noon.Add(20 * day); !at.Equal(want) {
		t.Fatalf("looked at again at %v, want %v", at, want)
	}
	if _, changed := advance(t, s, at.Add(-time.Second), true); changed {
		t.Error("renewed too early")
	}
	next, changed := advance(t, s, at, true)
	if !changed || !bytes.Equal(next.Bundle(), bundle) || !next.Ends().After(s.Ends()) || !next.Trusts(bundle, names, at) {
		t.Error("not renewed, or not below the same CA")
	}
}

// Through four years of daily looks, whatever serves is trusted by what was
// published a day before: a client that is a day behind is never cut off.
func TestNoClientIsCutOffWhileCAsChange(t *testing.T) {
	s, _ := advance(t, nil, noon, false)
	published, most := s.Bundle(), 0
	seen := map[string]bool{}
	for now := noon; now.Before(noon.Add(4 * 365 * day)); now = now.Add(day) {
		behind := published
		next, _ := advance(t, s, now, bytes.Equal(published, s.Bundle()))
		if !next.Trusts(behind, names, now) {
			t.Fatalf("%v: a client of yesterday does not trust what serves", now)
		}
		if !s.Trusts(next.Bundle(), names, now) {
			t.Fatalf("%v: a replica of yesterday is not trusted by what is published", now)
		}
		most = max(most, len(cas(t, next)))
		for _, c := range cas(t, next) {
			seen[c.SerialNumber.String()] = true
		}
		s, published = next, next.Bundle()
	}
	if most != 2 || len(seen) < 5 || len(seen) > 7 {
		t.Errorf("%d CAs at a time, %d in all", most, len(seen))
	}
	if len(cas(t, s)) > 2 {
		t.Error("old CAs stay")
	}
}

func TestANewCADoesNotSignBeforeItIsPublished(t *testing.T) {
	s, _ := advance(t, nil, noon, true)
	now := noon.Add(250 * day)
	s, _ = advance(t, s, now, true) // the leaf, and the next CA
	first := s.Bundle()[:bytes.Index(s.Bundle(), []byte("-----END"))]
	for range 30 {
		now = now.Add(day)
		s, _ = advance(t, s, now, false) // caBundle cannot be written
		if !bytes.HasPrefix(s.Bundle(), first) {
			t.Fatal("the old CA is no longer the first")
		}
	}
	old := s
	s, _ = advance(t, s, now, true)
	if s, _ = advance(t, s, now.Add(23*time.Hour), true); !bytes.HasPrefix(s.Bundle(), first) {
		t.Error("the next CA takes over before it was published for a day: other replicas have not looked yet")
	}
	back, _ := advance(t, s, now.Add(23*time.Hour), false)
	if back, _ = advance(t, back, now.Add(25*time.Hour), true); !bytes.HasPrefix(back.Bundle(), first) {
		t.Error("it takes over although it was taken out of caBundle meanwhile")
	}
	now = now.Add(24 * time.Hour)
	s, changed := advance(t, s, now, true)
	if !changed || bytes.HasPrefix(s.Bundle(), first) || !s.Trusts(old.Bundle(), names, now) {
		t.Error("once published, the next CA does not take over")
	}
}

func TestWhatIsOverIsMadeAnew(t *testing.T) {
	s, _ := advance(t, nil, noon, true)
	now := noon.Add(1000 * day)
	next, changed := advance(t, s, now, true)
	if !changed || !next.Trusts(next.Bundle(), names, now) || next.Trusts(s.Bundle(), names, now) {
		t.Error("a state that is over serves")
	}
	other, changed, err := servingcert.Advance(s, []string{"gate.example", "127.0.0.1"}, noon, servingcert.Lives{}, true)
	if err != nil || !changed || !other.Trusts(s.Bundle(), []string{"gate.example", "127.0.0.1"}, noon) {
		t.Error("other names do not make another leaf")
	}
}

func TestAStateIsKeptWholeAndRefusedInParts(t *testing.T) {
	s, _ := advance(t, nil, noon, true)
	s, _ = advance(t, s, noon.Add(250*day), true)
	data, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	back, err := servingcert.Parse(data)
	if err != nil || !bytes.Equal(back.Bundle(), s.Bundle()) || len(cas(t, back)) != 2 || !back.Ends().Equal(s.Ends()) {
		t.Fatalf("%v", err)
	}
	stranger, _ := advance(t, nil, noon, true)
	foreign, _ := stranger.Data()
	for key := range data {
		if key == servingcert.KeyCABundle {
			continue
		}
		for what, value := range map[string][]byte{
			"gone": nil, "rubbish": []byte("rubbish"), "too long": bytes.Repeat([]byte{'a'}, 1<<20),
			"twice": append(bytes.Clone(data[key]), data[key]...), "another's": foreign[strings.Replace(key, "next", "current", 1)],
		} {
			broken := maps.Clone(data)
			if broken[key] = value; value == nil {
				delete(broken, key)
			}
			if _, err := servingcert.Parse(broken); err == nil {
				t.Errorf("%s %s: taken", key, what)
			} else if strings.Contains(err.Error(), "PRIVATE KEY-----") {
				t.Errorf("%s %s: the error holds a key", key, what)
			}
		}
	}
}

func TestLivesThatDoNotFitAreRefused(t *testing.T) {
	for _, l := range []servingcert.Lives{
		{CA: 40 * day}, {Leaf: time.Second, CA: day, Overlap: time.Second}, {Leaf: -day}, {Overlap: 11 * day}, {CA: -1},
	} {
		if l.Validate() == nil {
			t.Errorf("%+v is taken", l)
		}
		if _, _, err := servingcert.Advance(nil, names, noon, l, false); err == nil {
			t.Errorf("%+v makes a state", l)
		}
	}
	if _, _, err := servingcert.Advance(nil, nil, noon, servingcert.Lives{}, false); err == nil {
		t.Error("a certificate for no name is made")
	}
}

func FuzzParse(f *testing.F) {
	s, _, err := servingcert.Advance(nil, names, noon, servingcert.Lives{}, false)
	if err != nil {
		f.Fatal(err)
	}
	data, err := s.Data()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[servingcert.KeyCertificate], data[servingcert.KeyPrivate], data["ca-current.crt"], data["ca-current.key"], []byte(nil))
	f.Add(data[servingcert.KeyCertificate], data[servingcert.KeyPrivate], data["ca-current.crt"], data["ca-current.key"], data["ca-current.crt"])
	f.Fuzz(func(t *testing.T, leaf, key, ca, caKey, previous []byte) {
		in := map[string][]byte{servingcert.KeyCertificate: leaf, servingcert.KeyPrivate: key, "ca-current.crt": ca, "ca-current.key": caKey, "ca-previous.crt": previous}
		s, err := servingcert.Parse(in)
		if err != nil {
			return
		}
		out, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := servingcert.Parse(out); err != nil || !bytes.Equal(again.Bundle(), s.Bundle()) {
			t.Errorf("written again it is another: %v", err)
		}
		if _, _, err := servingcert.Advance(s, names, noon, servingcert.Lives{}, true); err != nil {
			t.Error(err)
		}
	})
}

func TestAWrongClockThrowsNoCAAway(t *testing.T) {
	s, _ := advance(t, nil, noon, true)
	if slow, changed := advance(t, s, noon.Add(-11*time.Minute), true); changed || slow != s {
		t.Error("a slow clock makes another CA")
	}
	fast, changed := advance(t, s, noon.Add(400*day), true)
	if !changed || !fast.Trusts(fast.Bundle(), names, noon.Add(400*day)) {
		t.Error("a fast clock serves what is over")
	}
	if !s.Trusts(fast.Bundle(), names, noon) {
		t.Error("who serves under the CA that a fast clock took for over is not trusted any more")
	}
	if back, changed := advance(t, fast, noon, true); changed || back != fast {
		t.Error("two clocks throw each other's CA away in turns")
	}
	if later, _ := advance(t, fast, noon.Add(402*day), true); len(cas(t, later)) != 1 {
		t.Error("the old CA stays")
	}
}
