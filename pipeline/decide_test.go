package pipeline_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/policy"
)

var june = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func TestPoliciesAnswerAsTheirTablesSay(t *testing.T) {
	for _, name := range []string{"stages", "people"} {
		text, err := os.ReadFile("testdata/" + name + ".policy.yaml")
		if err != nil {
			t.Fatal(err)
		}
		p := mustParse(t, string(text))
		table, err := os.ReadFile("testdata/" + name + ".cases.yaml")
		if err != nil {
			t.Fatal(err)
		}
		cases, err := pipeline.ParseTests(table, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Test(cases, time.Time{}) {
			if !r.Passed() {
				t.Errorf("%s, line %d: %s: %s (%v)", name, r.Line, r.Name, strings.Join(r.Differences, "; "), r.Decision.Err)
			}
		}
	}
}

// twoStages is a policy with stages a and b, and what a candidate of them says.
const twoStages = head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [a, b]}, mode: warn}]\n"

// sealed is a good signature of one of the two signers of stagesAB.
func sealed(signer int, change func(*pipeline.Candidate, *pipeline.Answer)) pipeline.Candidate {
	c := pipeline.Candidate{Digest: digest.FromString(fmt.Sprint("seal", signer)), Subject: fmt.Sprint("CN=", signer), Metadata: map[string]string{},
		Answers: []pipeline.Answer{{Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeUntrusted, Message: "untrusted"}}, {Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeUntrusted, Message: "untrusted"}}}}
	c.Answers[signer] = pipeline.Answer{Result: shuin.Verified, Authentic: true, Identity: fmt.Sprint("identity ", signer), Time: june.Add(-time.Hour), StaleUntil: june.Add(time.Duration(signer+1) * time.Hour)}
	if change != nil {
		change(&c, &c.Answers[signer])
	}
	return c
}

func decide(tb testing.TB, text string, candidates []pipeline.Candidate, incomplete error) *pipeline.Decision {
	tb.Helper()
	return mustParse(tb, text).Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june}).Decide(candidates, incomplete, june)
}

func TestADecisionSaysWhoSealedAndUntilWhen(t *testing.T) {
	d := decide(t, twoStages, []pipeline.Candidate{sealed(0, nil), sealed(1, nil)}, nil)
	if d.Outcome != pipeline.Admit || d.Err != nil || !d.StaleUntil.Equal(june.Add(time.Hour)) {
		t.Fatalf("%+v", d)
	}
	a := d.Stages[0]
	if a.Stage != "a" || !a.Required || a.Outcome != shuin.Passed || a.Seal != digest.FromString("seal0") || a.Identity != "identity 0" ||
		!a.SealedAt.Equal(june.Add(-time.Hour)) || !a.StaleUntil.Equal(june.Add(time.Hour)) || a.Err != nil || a.Missing {
		t.Errorf("%+v", a)
	}
	longer := sealed(0, func(_ *pipeline.Candidate, a *pipeline.Answer) { a.StaleUntil = time.Time{} })
	d = decide(t, twoStages, []pipeline.Candidate{sealed(0, nil), longer, sealed(1, nil)}, nil)
	if !d.StaleUntil.Equal(june.Add(2 * time.Hour)) {
		t.Errorf("with a seal that does not grow stale: %s", d.StaleUntil)
	}
}

func TestTheEndOfASealIsItsStagesToo(t *testing.T) {
	text := head + "stages: {s: {signers: [{signingProfile: \"" + arn + "ab\", trustStores: [\"signingAuthority:x\"]}], maxAge: 90m}}\n" +
		"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [s]}}]\n"
	c := sealed(0, nil)
	c.Answers = c.Answers[:1]
	d := decide(t, text, []pipeline.Candidate{c}, nil)
	if d.Outcome != pipeline.Admit || !d.StaleUntil.Equal(june.Add(30*time.Minute)) || d.Stages[0].Identity != arn+"ab" {
		t.Errorf("%+v", d)
	}
}

func TestADenialIsOneLineThatNamesEveryMissingStage(t *testing.T) {
	p := mustParse(t, strings.ReplaceAll(whole, "mode: warn", "mode: enforce"))
	q := pipeline.Question{Repository: "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/shop/api", Digest: hexA, Now: june, Where: pipeline.Where{Cluster: "prod-1", Namespace: "shop"}}
	d := p.Select(q).Decide(nil, nil, june)
	want := `rule "shop-production": missing stages: build (no seal), unit-test (no seal), scan (no seal)`
	if d.Err == nil || d.Err.Error() != want || shuin.CodeOf(d.Err) != shuin.CodeUnsigned {
		t.Errorf("%v", d.Err)
	}
	if hint := shuin.HintOf(d.Err); !strings.Contains(hint, "shuin seal "+q.Repository+"@"+hexA+" --policy FILE --stage build -- COMMAND") {
		t.Errorf("hint %q", hint)
	}
	revoked := sealed(0, func(c *pipeline.Candidate, a *pipeline.Answer) {
		a.Result, a.Err = shuin.NotVerified, &shuin.Error{Code: shuin.CodeRevoked, Message: "AWS Signer says it was revoked", Hint: "do not use it"}
	})
	d = decide(t, twoStages, []pipeline.Candidate{revoked}, nil)
	if d.Err.Error() != `rule "r": missing stages: a (revoked), b (no seal): AWS Signer says it was revoked` || shuin.HintOf(d.Err) != "do not use it" {
		t.Errorf("%v, hint %q", d.Err, shuin.HintOf(d.Err))
	}
	d = decide(t, twoStages, []pipeline.Candidate{sealed(0, nil), {Err: &shuin.Error{Code: shuin.CodeThrottled, Message: "429"}}}, nil)
	if d.Outcome != pipeline.Undecided || d.Err.Error() != `rule "r" could not be checked: missing stages: b (could not check: registry-throttled): 429` {
		t.Errorf("%v", d.Err)
	}
}

func TestAnExpiredExceptionIsNamedInTheDenial(t *testing.T) {
	text := twoStages + "exceptions: [{images: [\"reg.example/x\"], reason: INC-1, owner: me, expires: 2026-05-31T00:00:00Z}]\n"
	d := decide(t, text, nil, nil)
	if d.Outcome != pipeline.Deny || !strings.HasSuffix(d.Err.Error(), `; the exception "INC-1" of me expired at 2026-05-31T00:00:00Z`) {
		t.Errorf("%v", d.Err)
	}
}

func TestAnExceptionAdmitsUntilItEnds(t *testing.T) {
	text := twoStages + "exceptions: [{images: [\"reg.example/x\"], clusters: [\"*\"], reason: INC-1, owner: me, expires: 2026-06-02T00:00:00Z}]\n"
	p := mustParse(t, text)
	s := p.Select(pipeline.Question{Repository: "reg.example/x", Digest: hexA, Now: june, Where: pipeline.Where{Cluster: "c"}})
	d := s.Decide(nil, nil, june)
	if s.NeedsSignatures || s.Exception == nil || s.Exception.Owner != "me" || s.Exception.Where[0] != "clusters *" || d.Outcome != pipeline.Admit || !d.StaleUntil.Equal(june.Add(24*time.Hour)) {
		t.Errorf("%+v %+v", s, d)
	}
}

func TestTheHashOfASelectionCoversWhatItDependsOn(t *testing.T) {
	hash := func(text string) digest.Digest {
		return mustParse(t, text).Select(pipeline.Question{Repository: "reg.example/x", Now: june}).Hash
	}
	base := hash(twoStages)
	same := map[string]string{
		"another exception": twoStages + "exceptions: [{images: [\"reg.example/x\"], reason: r, owner: o, expires: 2026-07-01T00:00:00Z}]\n",
		"a comment":         "# x\n" + twoStages,
		"another rule":      twoStages + "",
	}
	for name, text := range same {
		if hash(text) != base {
			t.Errorf("%s changes it", name)
		}
	}
	other := map[string]string{
		"mode":               strings.Replace(twoStages, "mode: warn", "mode: audit", 1),
		"requirement":        strings.Replace(twoStages, "all: [a, b]", "any: [a, b]", 1),
		"order":              strings.Replace(twoStages, "all: [a, b]", "all: [b, a]", 1),
		"an unrelated stage": strings.Replace(twoStages, "rules:", "  c: {signers: [{identities: [\""+dn+"c\"], trustStores: [\"ca:ci\"]}]}\nrules:", 1),
		"a store":            strings.Replace(twoStages, "ca:ci", "ca:other", 1),
		"an identity":        strings.Replace(twoStages, "CN=a", "CN=z", 1),
		"a level":            strings.Replace(twoStages, "trustStores: [\"ca:ci\"]}", "trustStores: [\"ca:ci\"], signatureVerification: {level: permissive}}", 1),
		"metadata":           strings.Replace(twoStages, "a: {signers", "a: {metadata: {x: y}, signers", 1),
		"an age":             strings.Replace(twoStages, "rules:", "  c: {maxAge: 1h, signers: [{signingProfile: \""+arn+"cc\", trustStores: [\"signingAuthority:x\"]}]}\nrules:", 1),
		"another age":        strings.Replace(twoStages, "rules:", "  c: {maxAge: 2h, signers: [{signingProfile: \""+arn+"cc\", trustStores: [\"signingAuthority:x\"]}]}\nrules:", 1),
		"platforms":          strings.Replace(twoStages, "mode: warn", "mode: warn, platforms: each", 1),
	}
	seen := map[digest.Digest]string{base: "nothing"}
	for name, text := range other {
		h := hash(text)
		if like, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, like)
		}
		seen[h] = name
	}
}

func TestTheHashOfTheDefaultCoversIt(t *testing.T) {
	q := pipeline.Question{Repository: "other.example/x", Now: june}
	deny, admit := mustParse(t, twoStages).Select(q), mustParse(t, twoStages+"default: admit\n").Select(q)
	if deny.Hash == admit.Hash || deny.Decide(nil, nil, june).Outcome != pipeline.Deny || admit.Decide(nil, nil, june).Outcome != pipeline.Admit {
		t.Errorf("%s %s", deny.Hash, admit.Hash)
	}
}

func TestASelectionThatNeedsNoSignaturesSaysSo(t *testing.T) {
	p := mustParse(t, whole)
	for name, want := range map[string]bool{
		"public.ecr.aws/aws-observability/x":     false,
		"registry.vendor.example/team/agent-one": false,
		"nowhere.example/x":                      false,
	} {
		s := p.Select(pipeline.Question{Repository: name, Now: june})
		if d := s.Decide(nil, nil, june); s.NeedsSignatures != want || d.Stages != nil {
			t.Errorf("%s: %+v, %+v", name, s, d)
		}
	}
}

func TestASignatureOfAnotherPolicyIsNone(t *testing.T) {
	c := sealed(0, nil)
	c.Answers = append(c.Answers, c.Answers[0])
	if d := decide(t, twoStages, []pipeline.Candidate{c, sealed(0, nil), sealed(1, nil)}, nil); d.Outcome != pipeline.Admit {
		t.Errorf("%v", d.Err)
	}
	if d := decide(t, twoStages, []pipeline.Candidate{c, sealed(1, nil)}, nil); d.Outcome != pipeline.Deny {
		t.Errorf("%+v", d)
	}
}

func TestTheSignersOwnFaultTellsMoreThanAStrangers(t *testing.T) {
	expired := sealed(0, func(_ *pipeline.Candidate, a *pipeline.Answer) {
		a.Result, a.Err = shuin.NotVerified, &shuin.Error{Code: shuin.CodeExpired, Message: "expired"}
	})
	foreign := sealed(0, func(c *pipeline.Candidate, a *pipeline.Answer) {
		c.Claims = "a"
		*a = pipeline.Answer{Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeRevoked, Message: "a stranger's, revoked"}}
	})
	for _, cs := range [][]pipeline.Candidate{{expired, foreign, sealed(1, nil)}, {foreign, expired, sealed(1, nil)}} {
		if d := decide(t, twoStages, cs, nil); shuin.CodeOf(d.Err) != shuin.CodeExpired {
			t.Errorf("%v", d.Err)
		}
	}
	if d := decide(t, twoStages, []pipeline.Candidate{foreign, sealed(1, nil)}, nil); shuin.CodeOf(d.Err) != shuin.CodeRevoked {
		t.Errorf("%v", d.Err)
	}
}

func TestAClaimMakesNoSeal(t *testing.T) {
	c := sealed(1, func(c *pipeline.Candidate, _ *pipeline.Answer) { c.Claims = "a" }) // b's signer, and nobody signed the name
	if d := decide(t, twoStages, []pipeline.Candidate{c, sealed(0, nil)}, nil); d.Outcome != pipeline.Deny {
		t.Errorf("%+v", d)
	}
	shared := head + "stages:\n  a: {signers: [" + signerA + "]}\n  b: {signers: [" + signerA + "]}\n" + oneRule("")
	claimed := sealed(0, func(c *pipeline.Candidate, _ *pipeline.Answer) { c.Claims, c.Answers = "a", c.Answers[:1] })
	if d := decide(t, shared, []pipeline.Candidate{claimed}, nil); d.Outcome != pipeline.Deny || shuin.CodeOf(d.Err) != shuin.CodeStageMissing {
		t.Errorf("%+v", d)
	}
	claimed.Metadata = map[string]string{shuin.MetadataStage: "a"}
	if d := decide(t, shared, []pipeline.Candidate{claimed}, nil); d.Outcome != pipeline.Admit {
		t.Errorf("%+v", d)
	}
}

func TestProfilesAreToldApartByTheirARNAlone(t *testing.T) {
	text := head + "stages:\n" +
		"  one: {signers: [{signingProfile: \"" + arn + "one\", trustStores: [\"signingAuthority:x\"]}]}\n" +
		"  two: {signers: [{signingProfile: \"" + arn + "two\", trustStores: [\"signingAuthority:x\"]}]}\n" +
		"  cert: {signers: [{identities: [\"" + dn + "one\"], trustStores: [\"signingAuthority:x\"]}]}\n" +
		"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {atLeast: 2, of: [one, two, cert]}}]\n"
	by := func(stage string, signers ...int) pipeline.Candidate {
		c := pipeline.Candidate{Subject: "CN=the same", Metadata: map[string]string{shuin.MetadataStage: stage}, Answers: make([]pipeline.Answer, 3)}
		for _, i := range signers {
			c.Answers[i] = pipeline.Answer{Result: shuin.Verified, Authentic: true, Identity: fmt.Sprint("identity ", i)}
		}
		return c
	}
	tests := []struct {
		name       string
		candidates []pipeline.Candidate
		want       pipeline.Outcome
	}{
		{"two profiles whose certificates have one subject", []pipeline.Candidate{by("one", 0), by("two", 1)}, pipeline.Admit},
		{"a profile and its own certificate by its subject", []pipeline.Candidate{by("one", 0, 2), by("cert", 0, 2)}, pipeline.Deny},
		{"a profile and another's certificate by its subject", []pipeline.Candidate{by("two", 1), by("cert", 2)}, pipeline.Admit},
	}
	for _, tt := range tests {
		if d := decide(t, text, tt.candidates, nil); d.Outcome != tt.want {
			t.Errorf("%s: %s, %v", tt.name, d.Outcome, d.Err)
		}
	}
}

func TestWhoseSignatureCouldNotBeCheckedMayBeAnybody(t *testing.T) {
	text := head + stagesAB + "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {atLeast: 2, of: [a, b]}}]\n"
	down := func(authentic bool) pipeline.Candidate {
		return sealed(1, func(c *pipeline.Candidate, a *pipeline.Answer) {
			c.Subject = sealed(0, nil).Subject
			a.Result, a.Err, a.Authentic = shuin.Undecided, &shuin.Error{Code: shuin.CodeDeadline, Message: "no time"}, authentic
		})
	}
	if d := decide(t, text, []pipeline.Candidate{sealed(0, nil), down(false)}, nil); d.Outcome != pipeline.Undecided {
		t.Errorf("%+v", d)
	}
	if d := decide(t, text, []pipeline.Candidate{sealed(0, nil), down(true)}, nil); d.Outcome != pipeline.Deny {
		t.Errorf("the first one's other seal: %+v", d)
	}
}

func TestAPlaceThatIsNotKnownIsInNoList(t *testing.T) {
	text := twoStages + "exceptions: [{images: [\"reg.example/x\"], clusters: [\"*\"], reason: r, owner: o, expires: 2026-07-01T00:00:00Z}]\n"
	p := mustParse(t, text)
	if s := p.Select(pipeline.Question{Repository: "reg.example/x", Now: june}); s.Exception != nil {
		t.Error("an exception for every cluster holds where none is known")
	}
	if s := p.Select(pipeline.Question{Repository: "reg.example/x", Now: june, Where: pipeline.Where{Cluster: "c"}}); s.Exception == nil || s.Exception.Reason != "r" {
		t.Error("an exception for every cluster does not hold in one")
	}
}

func TestAnExceptionInForceHidesOneThatIsOver(t *testing.T) {
	text := twoStages + "exceptions:\n- {images: [\"reg.example/x\"], reason: over, owner: o, expires: 2026-05-01T00:00:00Z}\n" +
		"- {images: [\"reg.example/**\"], reason: holds, owner: o, expires: 2026-07-01T00:00:00Z}\n"
	p := mustParse(t, text)
	if s := p.Select(pipeline.Question{Repository: "reg.example/x", Now: june}); s.Expired != nil || s.Exception.Reason != "holds" {
		t.Errorf("%+v", s)
	}
	if s := p.Select(pipeline.Question{Repository: "reg.example/x", Now: june.AddDate(0, 2, 0)}); s.Exception != nil || s.Expired.Reason != "holds" {
		t.Errorf("%+v", s)
	}
}

// random makes candidates of every kind for a policy's signers.
func random(r *rand.Rand, p *pipeline.Policy, n int) []pipeline.Candidate {
	stages := append(p.Stages(), "", "", "", "unknown")
	out := make([]pipeline.Candidate, n)
	for i := range out {
		c := &out[i]
		c.Digest = digest.FromString(fmt.Sprint(i, r.Int()))
		if r.IntN(12) == 0 {
			c.Err = &shuin.Error{Code: []shuin.Code{shuin.CodeUnavailable, shuin.CodeMalformed}[r.IntN(2)], Message: "not fetched"}
			continue
		}
		c.Subject = fmt.Sprint("CN=", r.IntN(4))
		c.Metadata = map[string]string{"critical": fmt.Sprint(r.IntN(2)), "high": "0"}
		if stage := stages[r.IntN(len(stages))]; stage != "" {
			c.Metadata[shuin.MetadataStage] = stage
		}
		by := r.IntN(len(p.Signers()))
		for k := range p.Signers() {
			a := pipeline.Answer{Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeUntrusted, Message: "no"}}
			if k == by || r.IntN(4) == 0 {
				a = pipeline.Answer{Result: shuin.Verified, Authentic: true, Identity: fmt.Sprint("id", r.IntN(3)), Time: june.Add(-time.Duration(r.IntN(400)) * time.Hour)}
				switch r.IntN(5) {
				case 0:
					a.Result, a.Err = shuin.NotVerified, &shuin.Error{Code: shuin.CodeRevoked, Message: "revoked"}
				case 1:
					a.Result, a.Err = shuin.Undecided, &shuin.Error{Code: shuin.CodeRevocationUnavailable, Message: "down"}
				}
			}
			c.Answers = append(c.Answers, a)
		}
	}
	return out
}

// policies of the tables, with the images that their rules are for.
func tables(tb testing.TB) map[*pipeline.Policy][]string {
	tb.Helper()
	out := map[*pipeline.Policy][]string{}
	for name, images := range map[string][]string{
		"stages": {"reg.example/shop/api", "reg.example/any/x", "reg.example/stamped/x", "reg.example/shared/x"},
		"people": {"reg.example/two", "reg.example/three", "reg.example/approvals", "reg.example/nested", "reg.example/inner", "reg.example/team", "reg.example/machines"},
	} {
		text, err := os.ReadFile("testdata/" + name + ".policy.yaml")
		if err != nil {
			tb.Fatal(err)
		}
		out[mustParse(tb, string(text))] = images
	}
	return out
}

// Whatever an Undecided answer turns out to be, a decision that was made
// without it stands.
func TestWhatTurnsOutLaterContradictsNoDecision(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	decided, open := 0, 0
	for p, images := range tables(t) {
		for range 400 {
			for _, image := range images {
				cs := random(r, p, 1+r.IntN(6))
				s := p.Select(pipeline.Question{Repository: image, Digest: hexA, Now: june})
				before := s.Decide(cs, nil, june)
				if before.Outcome == pipeline.Undecided {
					open++
				}
				settled := turnOut(r, p, cs)
				after := s.Decide(settled, nil, june)
				if before.Outcome != pipeline.Undecided && after.Outcome != before.Outcome {
					t.Fatalf("%s: %s became %s\n%+v\n%+v", image, before.Outcome, after.Outcome, cs, settled)
				}
				if after.Outcome == pipeline.Undecided {
					t.Fatalf("%s: undecided with everything known: %v", image, after.Err)
				}
				decided++
			}
		}
	}
	if open < decided/50 {
		t.Errorf("%d of %d were open: the test shows little", open, decided)
	}
}

// turnOut replaces each Undecided answer by a good or a bad one, and each
// signature that could not be fetched by a stranger's or a good one.
func turnOut(r *rand.Rand, p *pipeline.Policy, cs []pipeline.Candidate) []pipeline.Candidate {
	out := slices.Clone(cs)
	for i := range out {
		c := &out[i]
		if c.Err != nil && shuin.CodeOf(c.Err).Undecided() {
			if r.IntN(3) == 0 {
				*c = pipeline.Candidate{Digest: c.Digest}
				continue
			}
			for c.Err != nil {
				*c = random(r, p, 1)[0]
			}
		}
		c.Answers = slices.Clone(c.Answers)
		for k := range c.Answers {
			if a := &c.Answers[k]; a.Result == shuin.Undecided {
				if a.Result, a.Err = shuin.Verified, nil; r.IntN(2) == 0 {
					a.Result, a.Err = shuin.NotVerified, &shuin.Error{Code: shuin.CodeRevoked, Message: "revoked"}
				}
			}
		}
	}
	return out
}

// A signature more never makes of an admitted image a denied one.
func TestAnotherSignatureNeverTurnsAdmitIntoDeny(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	admitted := 0
	for p, images := range tables(t) {
		for range 1500 {
			for _, image := range images {
				cs := random(r, p, 2+r.IntN(5))
				s := p.Select(pipeline.Question{Repository: image, Digest: hexA, Now: june})
				if s.Decide(cs, nil, june).Outcome != pipeline.Admit {
					continue
				}
				admitted++
				more := append(slices.Clone(cs), random(r, p, 1+r.IntN(3))...)
				r.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
				for _, incomplete := range []error{nil, &shuin.Error{Code: shuin.CodeLimit}, &shuin.Error{Code: shuin.CodeUnavailable}} {
					if d := s.Decide(more, incomplete, june); d.Outcome != pipeline.Admit {
						t.Fatalf("%s: %s with more (%v): %v\n%+v\n%+v", image, d.Outcome, incomplete, d.Err, cs, more)
					}
				}
			}
		}
	}
	if admitted < 200 {
		t.Errorf("%d were admitted: the test shows little", admitted)
	}
}

// atLeast against trying everything: every choice of seals for every choice of
// items, no two by one signer.
func TestDifferentSignersAreFoundWhereThereAre(t *testing.T) {
	people := head + "stages:\n"
	for i := range 5 {
		people += fmt.Sprintf("  s%d: {signers: [{identities: [\"%sp%d\"], trustStores: [\"ca:c%d\"]}]}\n", i, dn, i, i)
	}
	people += "rules:\n"
	for n := 1; n <= 5; n++ {
		people += fmt.Sprintf("- {name: r%d, match: {images: [\"reg.example/r%d\"]}, require: {atLeast: %d, of: [s0, s1, s2, s3, s4]}}\n", n, n, n)
	}
	p := mustParse(t, people)
	r := rand.New(rand.NewPCG(5, 6))
	both := map[bool]int{}
	for range 2000 {
		var cs []pipeline.Candidate
		by := make([][][2]string, 5) // identity and subject, by stage
		for range 2 + r.IntN(8) {
			stage, id, subject := r.IntN(5), fmt.Sprint("id", r.IntN(5)), fmt.Sprint("CN=", r.IntN(5))
			c := pipeline.Candidate{Subject: subject, Metadata: map[string]string{shuin.MetadataStage: fmt.Sprint("s", stage)}, Answers: make([]pipeline.Answer, 5)}
			c.Answers[stage] = pipeline.Answer{Result: shuin.Verified, Authentic: true, Identity: id}
			cs = append(cs, c)
			by[stage] = append(by[stage], [2]string{id, subject})
		}
		n := 1 + r.IntN(5)
		d := p.Select(pipeline.Question{Repository: fmt.Sprint("reg.example/r", n), Now: june}).Decide(cs, nil, june)
		want := trial(by, nil, n)
		if (d.Outcome == pipeline.Admit) != want {
			t.Fatalf("%d of %v: %s, want %t", n, by, d.Outcome, want)
		}
		both[want]++
	}
	if both[true] < 100 || both[false] < 100 {
		t.Errorf("%v: the test shows little", both)
	}
}

func trial(stages [][][2]string, taken [][2]string, n int) bool {
	if n == 0 {
		return true
	}
	for i, seals := range stages {
		for _, s := range seals {
			if !slices.ContainsFunc(taken, func(o [2]string) bool { return o[0] == s[0] || o[1] == s[1] }) && trial(stages[i+1:], append(slices.Clone(taken), s), n-1) {
				return true
			}
		}
	}
	return false
}

func TestASearchThatGrowsTooLargeIsALimit(t *testing.T) {
	text := head + "stages:\n"
	for i := range 16 {
		text += fmt.Sprintf("  s%d: {signers: [{identities: [\"%sp%d\"], trustStores: [\"ca:c%d\"]}]}\n", i, dn, i, i)
	}
	text += "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {atLeast: 16, of: [" + strings.TrimSuffix(strings.Repeat("%s, ", 16), ", ") + "]}}]\n"
	names := make([]any, 16)
	for i := range names {
		names[i] = fmt.Sprint("s", i)
	}
	var cs []pipeline.Candidate
	for stage := range 16 {
		for k := range 15 { // fifteen people in sixteen stages, each with a certificate of its own for each
			c := pipeline.Candidate{Subject: fmt.Sprint("CN=", stage, "-", k), Metadata: map[string]string{shuin.MetadataStage: fmt.Sprint("s", stage)}, Answers: make([]pipeline.Answer, 16)}
			c.Answers[stage] = pipeline.Answer{Result: shuin.Verified, Authentic: true, Identity: fmt.Sprint("id", k)}
			cs = append(cs, c)
		}
	}
	d := decide(t, fmt.Sprintf(text, names...), cs, nil)
	if d.Outcome != pipeline.Deny || shuin.CodeOf(d.Err) != shuin.CodeLimit {
		t.Errorf("%s %v", d.Outcome, d.Err)
	}
}

func TestATrustPolicyIsOneStageForEachStatement(t *testing.T) {
	data := []byte(`{"version": "1.0", "trustPolicies": [
 {"name": "shop", "registryScopes": ["reg.example/shop"], "signatureVerification": {"level": "strict"}, "trustStores": ["ca:ci"], "trustedIdentities": ["` + dn + `a"]},
 {"name": "audit", "registryScopes": ["reg.example/audit"], "signatureVerification": {"level": "audit"}, "trustStores": ["ca:ci"], "trustedIdentities": ["*"]},
 {"name": "none", "registryScopes": ["reg.example/none"], "signatureVerification": {"level": "skip"}},
 {"name": "rest", "registryScopes": ["*"], "signatureVerification": {"level": "permissive"}, "trustStores": ["ca:ci"], "trustedIdentities": ["` + dn + `b"]}]}`)
	doc, err := policy.ParseOCI(data)
	if err != nil {
		t.Fatal(err)
	}
	p := pipeline.FromTrustPolicy(doc, data)
	if p.Digest() != digest.FromBytes(data) || len(p.Signers()) != 3 {
		t.Fatalf("%s, %d signers", p.Digest(), len(p.Signers()))
	}
	yes := pipeline.Answer{Result: shuin.Verified, Authentic: true}
	no := pipeline.Answer{Result: shuin.NotVerified, Err: &shuin.Error{Code: shuin.CodeUntrusted, Message: "untrusted"}}
	down := pipeline.Answer{Result: shuin.Undecided, Err: &shuin.Error{Code: shuin.CodeRevocationUnavailable, Message: "down"}, Authentic: true}
	one := func(a ...pipeline.Answer) pipeline.Candidate {
		return pipeline.Candidate{Answers: a, Metadata: map[string]string{shuin.MetadataStage: "whatever"}}
	}
	tests := []struct {
		name, image, rule string
		candidates        []pipeline.Candidate
		incomplete        error
		want              pipeline.Outcome
		code              shuin.Code
	}{
		{"accepted", "reg.example/shop", "shop", []pipeline.Candidate{one(no, no, no), one(yes, yes, no)}, nil, pipeline.Admit, ""},
		{"accepted by another statement alone", "reg.example/shop", "shop", []pipeline.Candidate{one(no, yes, yes)}, nil, pipeline.Deny, shuin.CodeUntrusted},
		{"accepted by several", "reg.example/shop", "shop", []pipeline.Candidate{one(yes, yes, yes)}, nil, pipeline.Admit, ""},
		{"accepted by several, naming no stage", "reg.example/shop", "shop", []pipeline.Candidate{{Answers: []pipeline.Answer{yes, yes, yes}}}, nil, pipeline.Admit, ""},
		{"unsigned", "reg.example/shop", "shop", nil, nil, pipeline.Deny, shuin.CodeUnsigned},
		{"could not be asked", "reg.example/shop", "shop", []pipeline.Candidate{one(no, no, no), one(down, no, no)}, nil, pipeline.Undecided, shuin.CodeRevocationUnavailable},
		{"could not be listed", "reg.example/shop", "shop", nil, &shuin.Error{Code: shuin.CodeUnavailable}, pipeline.Undecided, shuin.CodeUnavailable},
		{"too many", "reg.example/shop", "shop", []pipeline.Candidate{one(down, no, no)}, &shuin.Error{Code: shuin.CodeLimit}, pipeline.Deny, shuin.CodeLimit},
		{"too many, and a good one", "reg.example/shop", "shop", []pipeline.Candidate{one(yes, no, no)}, &shuin.Error{Code: shuin.CodeLimit}, pipeline.Admit, ""},
		{"a malformed one", "reg.example/shop", "shop", []pipeline.Candidate{{Err: &shuin.Error{Code: shuin.CodeMalformed, Message: "bad"}}}, nil, pipeline.Deny, shuin.CodeMalformed},
		{"audit", "reg.example/audit", "audit", []pipeline.Candidate{one(no, yes, no)}, nil, pipeline.Admit, ""},
		{"skip", "reg.example/none", "none", nil, nil, pipeline.Admit, ""},
		{"the global statement", "other.example/a/b", "rest", []pipeline.Candidate{one(yes, yes, no)}, nil, pipeline.Deny, shuin.CodeUntrusted},
		{"nothing is expanded", "reg.example/shop/api", "rest", []pipeline.Candidate{one(no, no, yes)}, nil, pipeline.Admit, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := p.Select(pipeline.Question{Repository: tt.image, Digest: hexA, Now: june})
			d := s.Decide(tt.candidates, tt.incomplete, june)
			if s.Rule != tt.rule || d.Outcome != tt.want || shuin.CodeOf(d.Err) != tt.code {
				t.Errorf("%s: %s, %v", s.Rule, d.Outcome, d.Err)
			}
			if s.NeedsSignatures && (len(d.Stages) != 1 || d.Stages[0].Stage != tt.rule) {
				t.Errorf("%+v", d.Stages)
			}
		})
	}
}

func TestAnAnswerWithoutAReasonIsStillADenial(t *testing.T) {
	c := sealed(0, func(_ *pipeline.Candidate, a *pipeline.Answer) { a.Result = "" })
	if d := decide(t, twoStages, []pipeline.Candidate{c, sealed(1, nil)}, nil); d.Outcome != pipeline.Deny || d.Err == nil {
		t.Errorf("%+v", d)
	}
	if d := decide(t, twoStages, []pipeline.Candidate{{}, {Answers: []pipeline.Answer{{}}}}, errors.New("odd")); d.Outcome != pipeline.Deny {
		t.Errorf("%+v", d)
	}
}

func TestASealWithAMaximumAgeIsNotDatedInTheFuture(t *testing.T) {
	const policy = head + "stages:\n  scan: {maxAge: 1h, signers: [{signingProfile: \"" + arn + "scan\", trustStores: [\"signingAuthority:own\"]}]}\n" +
		"  note: {signers: [{signingProfile: \"" + arn + "note\", trustStores: [\"signingAuthority:own\"]}]}\n" +
		"rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {any: [scan, note]}}]\n"
	for name, tt := range map[string]struct {
		at     time.Time
		signer int
		want   pipeline.Outcome
	}{
		"a year ahead":                           {june.AddDate(1, 0, 0), 0, pipeline.Deny},
		"six minutes ahead":                      {june.Add(6 * time.Minute), 0, pipeline.Deny},
		"by a clock four minutes fast":           {june.Add(4 * time.Minute), 0, pipeline.Admit},
		"of now":                                 {june, 0, pipeline.Admit},
		"a year ahead where no age is looked at": {june.AddDate(1, 0, 0), 1, pipeline.Admit},
	} {
		c := sealed(tt.signer, func(_ *pipeline.Candidate, a *pipeline.Answer) { a.Time, a.StaleUntil = tt.at, time.Time{} })
		d := decide(t, policy, []pipeline.Candidate{c}, nil)
		if d.Outcome != tt.want || tt.want == pipeline.Deny && (shuin.CodeOf(d.Err) != shuin.CodeExpired || !strings.Contains(fmt.Sprint(d.Stages[0].Err), "in the future")) {
			t.Errorf("%s: %s %v %v", name, d.Outcome, d.Err, d.Stages[0].Err)
		}
	}
}
