package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

const additionPolicy = `apiVersion: shuin.dev/v1
kind: PipelinePolicy
rules: [{name: r, match: {images: ["r.io/shop/**"]}, allow: {unsigned: true, because: x}}]
exceptions:
  - {images: ["r.io/a/b"], reason: in the file, owner: o, expires: 2026-07-01T00:00:00Z}
`

func addition(tb testing.TB, text, name string) *Addition {
	tb.Helper()
	a, err := ParseAddition([]byte(text), name)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestExceptionsFromOutsideStandBesideThePolicysOwn(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	bad := digest.FromString("bad")
	p, err := Parse([]byte(additionPolicy))
	if err != nil {
		t.Fatal(err)
	}
	more, err := p.WithExceptions([]*Addition{
		addition(t, `{"images": ["r.io/a/b"], "reason": "longer", "owner": "o", "expires": "2026-08-01T00:00:00Z"}`, "PolicyException ops/longer"),
		addition(t, `{"images": ["r.io/*/c@`+bad.String()+`"], "reason": "one digest", "owner": "o", "expires": "2026-08-01T00:00:00Z"}`, "PolicyException shop/one").HeldTo("shop"),
		addition(t, `{"images": ["r.io/d/d"], "reason": "over", "owner": "o", "expires": "2026-05-01T00:00:00Z", "namespaces": ["team-*"]}`, "PolicyException ops/over"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		q              Question
		before, after  string // the reason of the exception in force
		beforeX, overX string // of one that is over
	}{
		{"of two the one that lasts longer", Question{Repository: "r.io/a/b", Now: now}, "in the file", "longer", "", ""},
		{"a digest in its namespace", Question{Repository: "r.io/x/c", Digest: bad, Now: now, Where: Where{Namespace: "shop"}}, "", "one digest", "", ""},
		{"another digest there", Question{Repository: "r.io/x/c", Digest: digest.FromString("other"), Now: now, Where: Where{Namespace: "shop"}}, "", "", "", ""},
		{"the digest in another namespace", Question{Repository: "r.io/x/c", Digest: bad, Now: now, Where: Where{Namespace: "shop2"}}, "", "", "", ""},
		{"the digest where the namespace is not known", Question{Repository: "r.io/x/c", Digest: bad, Now: now}, "", "", "", ""},
		{"one that expired", Question{Repository: "r.io/d/d", Now: now, Where: Where{Namespace: "team-a"}}, "", "", "", "over"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reason := func(e *Exception) string {
				if e == nil {
					return ""
				}
				return e.Reason
			}
			before, after := p.Select(c.q), more.Select(c.q)
			if got := []string{reason(before.Exception), reason(after.Exception), reason(before.Expired), reason(after.Expired)}; !cmp.Equal(got, []string{c.before, c.after, c.beforeX, c.overX}) {
				t.Errorf("got %q", got)
			}
			if before.Hash != after.Hash {
				t.Error("an exception changed the hash of the rule")
			}
		})
	}
	if p.Digest() != more.Digest() || !cmp.Equal(p.Stages(), more.Stages()) {
		t.Error("the policy became another one")
	}
	if !more.ExceptsSomeDigest("r.io/x/c", Where{Namespace: "shop"}, now) || p.ExceptsSomeDigest("r.io/x/c", Where{Namespace: "shop"}, now) {
		t.Error("that a digest is excepted is not known")
	}
	if e := more.Select(Question{Repository: "r.io/a/b", Now: now}).Exception; e.Name != "PolicyException ops/longer" {
		t.Errorf("the exception is called %q", e.Name)
	}
	same, err := p.WithExceptions(nil)
	if err != nil || same != p {
		t.Errorf("%p, %v", same, err)
	}
}

func TestExceptionsFromOutsideAreReplacedAndShared(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	p, err := Parse([]byte(additionPolicy))
	if err != nil {
		t.Fatal(err)
	}
	var all []*Addition
	for i := range limits.PolicyExceptions / 10 {
		all = append(all, addition(t, fmt.Sprintf(`{"images": ["r.io/x/i%d"], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, i), "x"))
	}
	excepted := func(p *Policy, repository string) bool {
		return p.Select(Question{Repository: repository, Now: now}).Exception != nil
	}
	cluster, err := p.WithExceptions(all)
	if err != nil {
		t.Fatal(err)
	}
	own, err := Parse([]byte(strings.ReplaceAll(additionPolicy, "r.io/a/b", "r.io/own/b")))
	if err != nil {
		t.Fatal(err)
	}
	shared := own.WithExceptionsOf(cluster)
	if !excepted(shared, "r.io/x/i7") || !excepted(shared, "r.io/own/b") || excepted(shared, "r.io/a/b") || excepted(own, "r.io/x/i7") {
		t.Error("it has not its own exceptions and the other's from outside, or took the other's own")
	}
	if e := shared.Explain(Question{Repository: "r.io/x/i7", Now: now}).Exceptions; len(e) != 1 || e[0].Name != "x" {
		t.Errorf("explained: %+v", e)
	}
	if n := testing.AllocsPerRun(20, func() { own.WithExceptionsOf(cluster) }); n > 1 {
		t.Errorf("%v allocations to share %d exceptions", n, len(all))
	}
	fewer, err := cluster.WithExceptions(all[:1])
	if err != nil || !excepted(fewer, "r.io/x/i0") || excepted(fewer, "r.io/x/i7") {
		t.Errorf("%v, or those before still hold", err)
	}
	none, err := cluster.WithExceptions(nil)
	if err != nil || excepted(none, "r.io/x/i0") || !excepted(none, "r.io/a/b") {
		t.Errorf("%v, or those before still hold", err)
	}
	if back := shared.WithExceptionsOf(p); excepted(back, "r.io/x/i7") {
		t.Error("what the other has not any more still holds")
	}
}

func TestAnExceptionFromOutsideKeepsThePolicysOwnRules(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", ``, "one exception is wanted"},
		{"two", "{}\n{}", "one exception is wanted"},
		{"a list", `[]`, "a mapping"},
		{"no images", `{"reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, "images are missing"},
		{"no owner", `{"images": ["r.io/a"], "reason": "r", "expires": "2026-12-31T00:00:00Z"}`, "the owner of an exception"},
		{"no reason", `{"images": ["r.io/a"], "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, "the reason of an exception"},
		{"no end", `{"images": ["r.io/a"], "reason": "r", "owner": "o"}`, "the end of an exception"},
		{"an end without a zone", `{"images": ["r.io/a"], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00"}`, "RFC 3339"},
		{"a tag", `{"images": ["r.io/a:1"], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, "has a tag"},
		{"a digest that is none", `{"images": ["r.io/a@sha256:1"], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, "no digest"},
		{"no registry", `{"images": ["nginx"], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, "names no registry"},
		{"an unknown key", `{"image": ["r.io/a"], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, `unknown key "image": did you mean "images"?`},
		{"a key twice", `{"reason": "r", "reason": "s"}`, "twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := ParseAddition([]byte(c.in), "x")
			if err == nil || a != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if _, err := ParseAddition([]byte(strings.Repeat("#", limits.PolicyBytes+1)), "x"); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Errorf("got %v", err)
	}
}

func TestExceptionsFromOutsideAreBounded(t *testing.T) {
	p, err := Parse([]byte(additionPolicy))
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	for i := range 100 {
		images = append(images, fmt.Sprintf("%q", fmt.Sprintf("r.io/z/i%d", i)))
	}
	one := addition(t, `{"images": [`+strings.Join(images, ",")+`], "reason": "r", "owner": "o", "expires": "2026-12-31T00:00:00Z"}`, "x")
	many := make([]*Addition, limits.PolicyExceptions/one.ImageCount())
	for i := range many {
		many[i] = one
	}
	if _, err := p.WithExceptions(many); err != nil {
		t.Fatal(err)
	}
	if _, err := p.WithExceptions(append(many, one)); err == nil || !strings.Contains(err.Error(), "10100 images") {
		t.Errorf("got %v", err)
	}
	if _, err := p.WithExceptions([]*Addition{{}}); err == nil {
		t.Error("one that was not read is taken")
	}
}
