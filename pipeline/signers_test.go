package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
)

// holds asks a policy made-up questions.
func holds(t *testing.T, policy, cases string) {
	t.Helper()
	p := mustParse(t, policy)
	cs, err := pipeline.ParseTests([]byte("apiVersion: shuin.dev/v1\nkind: PipelinePolicyTest\ntime: 2026-06-01T00:00:00Z\ncases:\n"+cases), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Test(cs, time.Time{}) {
		if !r.Passed() {
			t.Errorf("%s: %s (%v)", r.Name, strings.Join(r.Differences, "; "), r.Decision.Err)
		}
	}
}

// two is a policy that wants seals of a and b by different signers; the partner
// makes that possible whoever may seal the two.
func two(a, b string) string {
	identity := func(s string) string {
		return "{identities: [\"" + s + "\", \"x509.subject: C=JP, ST=Tokyo, O=Partner\"], trustStores: [\"ca:ci\"]}"
	}
	return head + "stages:\n  a: {signers: [" + identity(a) + "]}\n  b: {signers: [" + identity(b) + "]}\n" +
		"  c: {signers: [{identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, OU=all\"], trustStores: [\"ca:ci\"]}]}\n" +
		"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {atLeast: 2, of: [a, b]}}]\n"
}

func TestOneIdentityInTwoSpellingsIsOneSigner(t *testing.T) {
	for _, second := range []string{"x509.subject: C=JP, ST=Tokyo, O=Example", "x509.subject:O=Example,ST=Tokyo,C=JP", "x509.subject: C=JP, S=Tokyo, O=Example"} {
		holds(t, two("x509.subject: C=JP, ST=Tokyo, O=Example", second), `
  - name: two leaves of one identity
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=one", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=two", stage: b}
    expect: {outcome: deny, sealed: [a, b]}
  - name: and another
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=one", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Partner, CN=two", stage: b}
    expect: {outcome: admit}
`)
		_, err := pipeline.Parse([]byte(strings.ReplaceAll(two("x509.subject: C=JP, ST=Tokyo, O=Example", second), `, "x509.subject: C=JP, ST=Tokyo, O=Partner"`, "")))
		if err == nil || !strings.Contains(err.Error(), "can never be satisfied") {
			t.Errorf("%s: %v", second, err)
		}
	}
}

func TestOneSignerInTwoSpellingsIsListedOnce(t *testing.T) {
	_, err := pipeline.Parse([]byte(head + `stages: {a: {signers: [
  {identities: ["x509.subject: C=JP, ST=Tokyo, O=A", "x509.subject: C=JP, ST=Tokyo, O=B"], trustStores: ["ca:x", "ca:y"]},
  {identities: ["x509.subject: O=B, ST=Tokyo, C=JP", "x509.subject: C=JP, S=Tokyo, O=A"], trustStores: ["ca:y", "ca:x"]}]}}
` + oneRule("")))
	if err == nil || !strings.Contains(err.Error(), "this signer is listed twice") {
		t.Error(err)
	}
}

func TestWhoIsUnderABroaderIdentityOfTheSameAtLeastCountsAsThatOne(t *testing.T) {
	const cases = `
  - name: both leaves are of the broad identity
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=one", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=two", stage: b}
    expect: {outcome: deny, sealed: [a, b]}
  - name: one is of another
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=one", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Partner, CN=two", stage: b}
    expect: {outcome: admit}
`
	narrow, broad := "x509.subject: C=JP, ST=Tokyo, O=Example, CN=one", "x509.subject: C=JP, ST=Tokyo, O=Example"
	holds(t, two(narrow, broad), cases)
	_, err := pipeline.Parse([]byte(strings.ReplaceAll(two(narrow, broad), `, "x509.subject: C=JP, ST=Tokyo, O=Partner"`, "")))
	if err == nil || !strings.Contains(err.Error(), "can never be satisfied") {
		t.Errorf("%v", err)
	}
	// Under another root it is not the same signer's certificate.
	apart := strings.Replace(strings.ReplaceAll(two(narrow, broad), `, "x509.subject: C=JP, ST=Tokyo, O=Partner"`, ""), "ca:ci", "ca:other", 1)
	if _, err := pipeline.Parse([]byte(apart)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsBroadOutsideAnAtLeastIsNothingToIt(t *testing.T) {
	holds(t, two("x509.subject: C=JP, ST=Tokyo, O=Example, OU=all, CN=one", "x509.subject: C=JP, ST=Tokyo, O=Example, OU=all, CN=two"), `
  - name: two people of whom stage c knows the unit
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, OU=all, CN=one", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, OU=all, CN=two", stage: b}
    expect: {outcome: admit}
`)
}

func TestEverybodyIsNoIdentityThatMakesOthersTheSame(t *testing.T) {
	holds(t, head+`stages:
  a: {signers: [{identities: ["*"], trustStores: ["ca:ci"]}]}
  b: {signers: [{identities: ["x509.subject: C=JP, ST=Tokyo, O=Example, CN=two"], trustStores: ["ca:ci"]}]}
rules: [{name: r, match: {images: ["reg.example/**"]}, require: {atLeast: 2, of: [a, b]}}]
`, `
  - name: somebody and a person who is named
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=one", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=two", stage: b}
    expect: {outcome: admit}
  - name: the person who is named, twice
    image: reg.example/x
    seals:
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=two", stage: a}
      - {signer: "x509.subject: C=JP, ST=Tokyo, O=Example, CN=two", stage: b}
    expect: {outcome: deny}
`)
}

// stagesOf is a policy with stages s0 to s4, each with a signer, and one rule.
func stagesOf(require string) string {
	text := head + "stages:\n"
	for i := range 5 {
		text += fmt.Sprintf("  s%d: {signers: [{identities: [\"%sp%d\"], trustStores: [\"ca:c%d\"]}]}\n", i, dn, i, i)
	}
	return text + "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: " + require + "}]\n"
}

func TestASignatureThatCouldNotBeFetchedIsHopedForOnce(t *testing.T) {
	missing := &shuin.Error{Code: shuin.CodeUnavailable, Message: "not fetched"}
	for _, tt := range []struct {
		require   string
		sealed    []int
		unfetched int
		want      pipeline.Outcome
	}{
		{"{all: [s0, s1]}", nil, 1, pipeline.Deny},
		{"{all: [s0, s1]}", nil, 2, pipeline.Undecided},
		{"{all: [s0, s1]}", []int{0}, 1, pipeline.Undecided},
		{"{all: [s0, {any: [s0, s1]}]}", nil, 1, pipeline.Undecided},
		{"{all: [{any: [s0, s1]}, {any: [s2, s1]}]}", nil, 1, pipeline.Undecided},
		{"{all: [{any: [s0, s1]}, {any: [s2, s3]}]}", nil, 1, pipeline.Deny},
		{"{all: [{any: [s0, s1]}, {any: [s2, s3]}]}", []int{3}, 1, pipeline.Undecided},
		{"{any: [s0, s1]}", nil, 1, pipeline.Undecided},
		{"{atLeast: 2, of: [s0, s1, s2]}", nil, 1, pipeline.Deny},
		{"{atLeast: 2, of: [s0, s1, s2]}", []int{1}, 1, pipeline.Undecided},
		{"{atLeast: 2, of: [s0, s1, s2]}", nil, 2, pipeline.Undecided},
		{"{all: [s0, {atLeast: 1, of: [s0, s1]}]}", nil, 1, pipeline.Undecided},
		{"{all: [s3, {atLeast: 2, of: [s0, s1]}]}", []int{0}, 1, pipeline.Deny},
		{"{all: [s3, {atLeast: 2, of: [s0, s1]}]}", []int{0}, 2, pipeline.Undecided},
		{"{all: [{atLeast: 2, of: [s0, s1, s2]}, {atLeast: 2, of: [s1, s3]}]}", []int{0, 3}, 1, pipeline.Undecided},
		{"{all: [{atLeast: 2, of: [s0, s1, s2]}, {atLeast: 2, of: [s4, s3]}]}", []int{0, 3}, 1, pipeline.Deny},
		{"{atLeast: 2, of: [{all: [s0, s1]}, {all: [s2, s3]}]}", []int{0, 2}, 1, pipeline.Deny},
		{"{atLeast: 2, of: [{all: [s0, s1]}, {all: [s2, s3]}]}", []int{0, 2}, 2, pipeline.Undecided},
	} {
		p := mustParse(t, stagesOf(tt.require))
		var cs []pipeline.Candidate
		for range tt.unfetched {
			cs = append(cs, pipeline.Candidate{Digest: hexA, Err: missing})
		}
		for _, st := range tt.sealed {
			cs = append(cs, person(p, st))
		}
		d := p.Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june}).Decide(cs, nil, june)
		if d.Outcome != tt.want {
			t.Errorf("%s with %v sealed and %d not fetched: %s (%v)", tt.require, tt.sealed, tt.unfetched, d.Outcome, d.Err)
		}
		if d.Outcome == pipeline.Deny && (shuin.CodeOf(d.Err).Undecided() || !strings.Contains(d.Err.Error(), "missing stages")) {
			t.Errorf("%s: %v", tt.require, d.Err)
		}
		d = p.Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june}).Decide(cs, missing, june)
		if d.Outcome != pipeline.Undecided {
			t.Errorf("%s with %v sealed, %d not fetched and a list that is cut short: %s (%v)", tt.require, tt.sealed, tt.unfetched, d.Outcome, d.Err)
		}
	}
	p := mustParse(t, strings.Replace(stagesOf("{atLeast: 2, of: [s0, s0, s0]}"), dn+`p0"]`, dn+`p0", "`+dn+`q"]`, 1))
	for n, want := range []pipeline.Outcome{pipeline.Deny, pipeline.Deny, pipeline.Undecided, pipeline.Undecided} {
		cs := slices.Repeat([]pipeline.Candidate{{Err: missing}}, n)
		if d := p.Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june}).Decide(cs, nil, june); d.Outcome != want {
			t.Errorf("two approvals with %d not fetched: %s (%v)", n, d.Outcome, d.Err)
		}
	}
}

// person is the seal of a stage of stagesOf.
func person(p *pipeline.Policy, stage int) pipeline.Candidate {
	c := pipeline.Candidate{Digest: digest.FromString(fmt.Sprint(stage)), Subject: fmt.Sprint("CN=p", stage), Metadata: map[string]string{shuin.MetadataStage: fmt.Sprint("s", stage)}}
	c.Answers = slices.Repeat([]pipeline.Answer{{Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeUntrusted, Message: "no"}}}, len(p.Signers()))
	c.Answers[stage] = pipeline.Answer{Result: shuin.Verified, Authentic: true, Identity: fmt.Sprint(dn, "p", stage)}
	return c
}

// other is the seal by somebody else.
func other(c pipeline.Candidate, stage int, who string) pipeline.Candidate {
	c.Subject = "CN=" + who
	c.Answers[stage].Identity = dn + who
	return c
}

// What is hoped for against trying every way in which the signatures that
// could not be fetched turn out.
func TestHopeIsNeitherTooSmallNorTooGreat(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	var tree func(depth int) string
	tree = func(depth int) string {
		items := map[string]bool{}
		for range 1 + r.IntN(3) {
			if depth > 0 && r.IntN(2) == 0 {
				items[tree(depth-1)] = true
			} else {
				items[fmt.Sprint("s", r.IntN(5))] = true
			}
		}
		var list []string
		for item := range items {
			list = append(list, item)
		}
		slices.Sort(list)
		of := "[" + strings.Join(list, ", ") + "]"
		switch r.IntN(3) {
		case 0:
			return "{any: " + of + "}"
		case 1:
			return fmt.Sprintf("{atLeast: %d, of: %s}", 1+r.IntN(len(list)), of)
		}
		return "{all: " + of + "}"
	}
	outcomes := map[pipeline.Outcome]int{}
	for range 600 {
		p, err := pipeline.Parse([]byte(stagesOf(tree(2))))
		if err != nil {
			continue // nobody could satisfy it
		}
		s := p.Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june})
		var sealed []pipeline.Candidate
		for st := range 5 {
			if r.IntN(3) == 0 {
				sealed = append(sealed, person(p, st))
			}
		}
		open := 1 + r.IntN(2)
		missing := slices.Repeat([]pipeline.Candidate{{Err: &shuin.Error{Code: shuin.CodeUnavailable, Message: "not fetched"}}}, open)
		got := s.Decide(append(slices.Clone(sealed), missing...), nil, june)
		best, worst := pipeline.Deny, s.Decide(sealed, nil, june).Outcome
		for a := range 5 {
			for b := range 5 {
				more := append(slices.Clone(sealed), other(person(p, a), a, "x"))
				if open == 2 {
					more = append(more, other(person(p, b), b, "y"))
				}
				if s.Decide(more, nil, june).Outcome == pipeline.Admit {
					best = pipeline.Admit
				}
			}
		}
		want := worst
		if best != worst {
			want = pipeline.Undecided
		}
		if got.Outcome != want {
			t.Fatalf("%s, and %d signatures that turn out in every way make it %s to %s: %v", got.Outcome, open, worst, best, got.Err)
		}
		outcomes[want]++
	}
	if len(outcomes) < 3 || outcomes[pipeline.Undecided] < 50 || outcomes[pipeline.Deny] < 30 {
		t.Errorf("the test shows little: %v", outcomes)
	}
}

func TestMoreHopeThanCanBeCountedIsHope(t *testing.T) {
	text := head + "stages:\n"
	var groups []string
	for g := range 6 {
		var names []string
		for i := range 16 {
			name := fmt.Sprintf("s%d-%d", g, i)
			text += fmt.Sprintf("  %s: {signers: [{identities: [\"%s%s\"], trustStores: [\"ca:c\"]}]}\n", name, dn, name)
			names = append(names, name)
		}
		groups = append(groups, "{any: ["+strings.Join(names, ", ")+"]}")
	}
	p := mustParse(t, text+"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: ["+strings.Join(groups, ", ")+"]}}]\n")
	s := p.Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june})
	for open, want := range map[int][]pipeline.Outcome{1: {pipeline.Deny}, 6: {pipeline.Undecided}, 40: {pipeline.Undecided}} {
		missing := slices.Repeat([]pipeline.Candidate{{Err: &shuin.Error{Code: shuin.CodeUnavailable, Message: "not fetched"}}}, open)
		if d := s.Decide(missing, nil, june); !slices.Contains(want, d.Outcome) {
			t.Errorf("%d not fetched: %s (%v)", open, d.Outcome, d.Err)
		}
	}
}
