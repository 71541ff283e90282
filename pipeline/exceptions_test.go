package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

const exceptionsHead = "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nrules: [{name: r, match: {images: [\"r.io/shop/**\"]}, allow: {unsigned: true, because: x}}]\nexceptions:\n"

// excepting is a policy with n images of one repository, by their digests, in
// exceptions of so many each.
func excepting(tb testing.TB, n, each int) *Policy {
	tb.Helper()
	var b strings.Builder
	b.WriteString(exceptionsHead)
	for i := range n {
		if i%each == 0 {
			fmt.Fprintf(&b, "  - {reason: b, owner: o, expires: %d-01-01T00:00:00Z, clusters: [c%d], images: [r.io/a/none,\n", 2027+i%7, i%3)
		}
		fmt.Fprintf(&b, "    \"r.io/a/b@%s\",\n", digest.FromString(fmt.Sprint(i)))
		if i%each == each-1 || i == n-1 {
			b.WriteString("    ]}\n")
		}
	}
	p, err := Parse([]byte(b.String()))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestTheCostOfAQuestionDoesNotGrowWithExactExceptions(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	few := excepting(t, 3, 3)
	for _, many := range []*Policy{excepting(t, 9000, 9000), excepting(t, 4000, 1)} {
		for _, name := range []string{"5", "none"} {
			q := Question{Repository: "r.io/a/b", Digest: digest.FromString(name), Now: now, Where: Where{Cluster: "c0"}}
			looked := len(many.excepted.exact[exactImage{q.Repository, q.Digest}]) + len(many.excepted.exact[exactImage{q.Repository, ""}]) +
				len(many.excepted.wild) + len(many.excepted.wildByDigest[q.Digest])
			if looked > 1 {
				t.Errorf("image %s: %d exceptions are looked at", name, looked)
			}
			one := testing.AllocsPerRun(5, func() { few.Select(q) })
			if all := testing.AllocsPerRun(5, func() { many.Select(q) }); all > one {
				t.Errorf("image %s: %v allocations, and %v with few exceptions", name, all, one)
			}
		}
		listed := 0
		for _, list := range many.excepted.exact {
			listed += len(list)
		}
		if images := len(many.exceptions[0].images) * len(many.exceptions); listed > images {
			t.Errorf("%d entries for %d images", listed, images)
		}
		if n := len(many.excepted.digests["r.io/a/b"]); n > 3 {
			t.Errorf("%d places are looked at to know that some digest is excepted, and there are 3", n)
		}
		if n := testing.AllocsPerRun(5, func() { many.ExceptsSomeDigest("r.io/a/b", Where{Cluster: "else"}, now) }); n > 0 {
			t.Errorf("%v allocations to know that no digest is excepted", n)
		}
	}
}

// byHand is what except finds, by looking at all there is.
func (p *Policy) byHand(q Question) (inForce, expired time.Time, some bool) {
	segments := strings.Split(q.Repository, "/")
	for i := range p.exceptions {
		e := &p.exceptions[i]
		if !e.place.holds(q.Where) {
			continue
		}
		for _, image := range e.images {
			if !image.matches(q.Repository, segments) {
				continue
			}
			some = some || image.digest != "" && q.Now.Before(e.Expires)
			switch {
			case image.digest != "" && image.digest != q.Digest:
			case q.Now.Before(e.Expires):
				inForce = later2(inForce, e.Expires)
			default:
				expired = later2(expired, e.Expires)
			}
		}
	}
	return inForce, expired, some
}

func later2(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func TestTheIndexFindsTheExceptionsThatALookAtAllFinds(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 4))
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	names := []string{"r.io/a", "r.io/b", "r.io/*", "r.io/**", "s.io/a"}
	digests := []string{"", "", string(digest.FromString("1")), string(digest.FromString("2"))}
	found := map[string]int{}
	for range 200 {
		var b strings.Builder
		b.WriteString(exceptionsHead)
		for range 1 + r.IntN(8) {
			var images []string
			for range 1 + r.IntN(4) {
				image := pick(names)
				if d := pick(digests); d != "" {
					image += "@" + d
				}
				if !slices.Contains(images, image) {
					images = append(images, fmt.Sprintf("%q", image))
				}
			}
			fmt.Fprintf(&b, "  - {reason: b, owner: o, expires: 202%d-01-01T00:00:00Z, images: [%s]%s}\n", 3+r.IntN(6), strings.Join(images, ", "),
				pick([]string{"", ", clusters: [c1]", ", clusters: [c*], namespaces: [n]"}))
		}
		p, err := Parse([]byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		for range 40 {
			q := Question{Repository: pick([]string{"r.io/a", "r.io/b", "s.io/a"}), Digest: digest.Digest(pick(digests)), Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC),
				Where: Where{Cluster: pick([]string{"", "c1", "c2"}), Namespace: pick([]string{"", "n"})}}
			inForce, expired, some := p.byHand(q)
			s := p.Select(q)
			switch {
			case !inForce.IsZero() && (s.Exception == nil || !s.Exception.Expires.Equal(inForce) || s.Expired != nil):
				t.Fatalf("%+v: %+v, and one until %s is in force in\n%s", q, s, inForce, b.String())
			case inForce.IsZero() && (s.Exception != nil || (s.Expired == nil) != expired.IsZero() || s.Expired != nil && !s.Expired.Expires.Equal(expired)):
				t.Fatalf("%+v: %+v, and none is in force in, and the last ended %s\n%s", q, s, expired, b.String())
			}
			if got := p.ExceptsSomeDigest(q.Repository, q.Where, q.Now); got != some {
				t.Fatalf("%+v: some digest excepted: %v in\n%s", q, got, b.String())
			}
			found[fmt.Sprint(!inForce.IsZero(), !expired.IsZero(), some)]++
		}
	}
	if len(found) < 6 {
		t.Errorf("the questions tell too little apart: %v", found)
	}
}
