package pipeline_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/pipeline"
)

const (
	iam = "arn:aws:iam::111122223333:"
	sts = "arn:aws:sts::111122223333:"
)

// profiled is a policy with two profiles; a, b and admins are lists of
// principals, in YAML, or nothing.
func profiled(a, b, admins string) string {
	stage := func(name, principals string) string {
		s := "  " + name + ":\n    signers: [{signingProfile: \"" + arn + name + "_profile\", trustStores: [\"signingAuthority:x\"]}]\n"
		if principals != "" {
			s += "    principals: [" + principals + "]\n"
		}
		return s
	}
	s := head + "stages:\n" + stage("a", a) + stage("b", b) + someRule
	if admins != "" {
		s += "signerAdmins: [" + admins + "]\n"
	}
	return s
}

func TestAPrincipalIsWhoItsARNSays(t *testing.T) {
	for _, tt := range []struct {
		name, pattern, arn string
		want               bool
	}{
		{"itself", iam + "role/ci", iam + "role/ci", true},
		{"another role", iam + "role/ci", iam + "role/cia", false},
		{"a user of the role's name", iam + "role/ci", iam + "user/ci", false},
		{"the role in another account", iam + "role/ci", "arn:aws:iam::444455556666:role/ci", false},
		{"the role in another partition", iam + "role/ci", "arn:aws-cn:iam::111122223333:role/ci", false},
		{"another case", iam + "role/ci", iam + "role/CI", false},
		{"a star in a name", iam + "role/ci-*", iam + "role/ci-build", true},
		{"a star for nothing", iam + "role/ci-*", iam + "role/ci-", true},
		{"a star does not reach over a slash", iam + "role/ci-*", iam + "role/ci-x/build", false},
		{"a star for a path's segment", iam + "role/*/build", iam + "role/ci/build", true},
		{"a star is one segment", iam + "role/*/build", iam + "role/a/b/build", false},
		{"a role without the path", iam + "role/*/build", iam + "role/build", false},
		{"a session", sts + "assumed-role/ci/Git*", sts + "assumed-role/ci/GitHub", true},
		{"a session is not its role", iam + "role/ci", sts + "assumed-role/ci/GitHub", false},
		{"root", iam + "root", iam + "root", true},
		{"a star that somebody calls with", iam + "role/ci-*", iam + "role/ci-*", false},
		{"a pattern that somebody calls with", iam + "role/ci", iam + "role/c*", false},
		{"nobody", iam + "role/ci", "", false},
		{"no ARN", iam + "role/ci", "ci", false},
		{"an ARN with more behind it", iam + "role/ci", iam + "role/ci:x", false},
		{"a very long one", iam + "role/*", iam + "role/" + strings.Repeat("a", 5000), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustParse(t, profiled("", "", `"`+tt.pattern+`"`))
			if got := p.SignerAdmins()[0].Matches(tt.arn); got != tt.want {
				t.Errorf("%s matches %s: %t", tt.pattern, tt.arn, got)
			}
		})
	}
}

func TestAPolicySaysWhoSignsWithAProfile(t *testing.T) {
	p := mustParse(t, profiled(`"`+iam+`role/a"`, "", `"`+iam+`role/admin"`))
	profile, err := awsprofile.ParseProfile(arn + "a_profile/0123456789")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.StagesOf(profile); len(got) != 1 || got[0] != "a" {
		t.Errorf("stages of the profile's version: %v", got)
	}
	if got := p.Profiles(); len(got) != 2 || got[0] != arn+"a_profile" {
		t.Errorf("profiles: %v", got)
	}
	if a := p.Principals("a"); len(a) != 1 || a[0].String() != iam+"role/a" {
		t.Errorf("principals of a: %v", a)
	}
	if p.Principals("b") != nil || p.Principals("c") != nil || !p.NamesPrincipals() {
		t.Error("principals that nobody wrote")
	}
	if mustParse(t, profiled("", "", "")).NamesPrincipals() {
		t.Error("a policy without principals names some")
	}
	x := p.Explain(pipeline.Question{Repository: "reg.example/x", Now: june})
	if len(x.Stages[0].Principals) != 1 || x.Stages[0].Principals[0] != iam+"role/a" || x.Stages[1].Principals != nil {
		t.Errorf("explained: %+v", x.Stages)
	}
}

func TestPrincipalsChangeNoHashOfARule(t *testing.T) {
	q := pipeline.Question{Repository: "reg.example/x", Now: june}
	plain, named := mustParse(t, profiled("", "", "")), mustParse(t, profiled(`"`+iam+`role/a"`, `"`+iam+`role/b"`, `"`+iam+`role/admin"`))
	if plain.Select(q).Hash != named.Select(q).Hash {
		t.Error("the rule's hash changed: all that is remembered would be asked again")
	}
	other := pipeline.Question{Repository: "elsewhere.example/x", Now: june}
	if plain.Select(other).Hash != named.Select(other).Hash {
		t.Error("the default's hash changed")
	}
	if plain.Digest() == named.Digest() {
		t.Error("the policies have one digest")
	}
}

func TestLintSaysWhoseDutiesAreNotApart(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"everybody apart", profiled(`"`+iam+`role/a"`, `"`+iam+`role/b"`, `"`+iam+`role/admin"`), nil},
		{"principals without admins", profiled(`"`+iam+`role/a"`, "", ""), nil},
		{"one of both", profiled(`"`+iam+`role/a"`, `"`+iam+`role/b"`, `"`+iam+`role/a"`),
			[]string{"line 6: stages.a.principals: " + iam + "role/a may sign for this stage, and is among signerAdmins too (" + iam + "role/a, line 11)"}},
		{"wildcards with somebody in common", profiled(`"`+iam+`role/a-*"`, `"`+iam+`role/b"`, `"`+iam+`role/*-admin"`),
			[]string{"line 6: stages.a.principals: " + iam + "role/a-* may sign for this stage, and is among signerAdmins too"}},
		{"a session of an admin's role", profiled(`"`+sts+`assumed-role/admin/ci"`, `"`+iam+`role/b"`, `"`+iam+`role/security/admin"`),
			[]string{"line 6: stages.a.principals: " + sts + "assumed-role/admin/ci may sign for this stage, and is among signerAdmins too"}},
		{"a stage without principals", profiled(`"`+iam+`role/a"`, "", `"`+iam+`role/admin"`),
			[]string{"line 7: stages.b: signerAdmins are given, and no principals of this stage"}},
		{"one role for two stages", profiled(`"`+iam+`role/ci"`, `"`+iam+`role/c*"`, ""),
			[]string{"line 9: stages.b.principals: " + iam + "role/c* may sign for stage a too"}},
		{"one of the list names the other", profiled(`"`+iam+`role/ci-*", "`+iam+`role/ci-build"`, "", ""),
			[]string{"line 6: stages.a.principals: " + iam + "role/ci-build is named by " + iam + "role/ci-* already"}},
		{"everybody of the account", profiled(`"`+iam+`role/*"`, "", ""), []string{"line 6: stages.a.principals: " + iam + "role/* is everybody"}},
		{"no profile", head + "stages:\n  a: {signers: [" + signerA + "], principals: [\"" + iam + "role/a\"]}\n  b: {signers: [" + signerB + "]}\n" + someRule + "signerAdmins: [\"" + iam + "role/admin\"]\n",
			[]string{"line 4: stages.a.principals: no signer of this stage is a signing profile", "line 7: signerAdmins: no stage has a signing profile"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mustParse(t, tt.text).Lint(june)
			if len(got) != len(tt.want) {
				t.Fatalf("%d warnings, wanted %d: %v", len(got), len(tt.want), got)
			}
			for i, line := range strings.Split(got.Error(), "\n") {
				if len(got) > 0 && !strings.HasPrefix(line, tt.want[i]) {
					t.Errorf("got  %s\nwant %s", line, tt.want[i])
				}
			}
		})
	}
}

func TestLintOfManyPrincipalsEnds(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + "stages:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "  s%d:\n    signers: [%s]\n    principals:\n", i, signerA)
		for k := range 100 {
			fmt.Fprintf(&b, "    - %srole/*a*b*c*d*%s*%d.%d\n", iam, strings.Repeat("a", 40), i, k)
		}
	}
	p := mustParse(t, b.String()+oneRule("s0"))
	begin := time.Now()
	if p.Lint(june) == nil {
		t.Error("nothing is doubtful about it")
	}
	t.Log(time.Since(begin))
}

func FuzzPrincipal(f *testing.F) {
	for _, s := range []string{iam + "role/ci/*", iam + "root", sts + "assumed-role/a/b*", sts + "federated-user/x", iam + "user/a", "*", ""} {
		f.Add(s, iam+"role/ci/build")
	}
	f.Fuzz(func(t *testing.T, pattern, arn string) {
		quoted, err := json.Marshal(pattern)
		if err != nil {
			return
		}
		p, err := pipeline.Parse([]byte(head + stagesAB + someRule + "signerAdmins: [" + string(quoted) + "]\n"))
		if err != nil {
			return
		}
		one := p.SignerAdmins()[0]
		stars := strings.Contains(one.String(), "*")
		if one.String() != pattern || !stars && !one.Matches(pattern) || !stars && one.Matches(arn) != (arn == pattern) {
			t.Errorf("%q as %q, of %q: %t", pattern, one, arn, one.Matches(arn))
		}
		if one.Matches(arn) && strings.Count(arn, "/") != strings.Count(pattern, "/") {
			t.Errorf("the star of %q reaches over a segment of %q", pattern, arn)
		}
		p.Lint(june)
	})
}
