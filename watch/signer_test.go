package watch_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

const (
	profiles = "arn:aws:signer:" + region + ":" + account + ":/signing-profiles/"
	roles    = "arn:aws:iam::" + account + ":role/"
	sessions = "arn:aws:sts::" + account + ":assumed-role/"
)

func TestCallersWithoutAnARNAreToldApartAndNeverMatched(t *testing.T) {
	p := duties(t, roles+"ci", "", roles+"admin")
	ids := map[string]bool{}
	for _, who := range []string{"AWSAccount 444455556666 AROA1", "AWSAccount 777788889999 AIDA2", roles + "ci", ""} {
		e := call("SignPayload", profiles+"build", "")
		e.Caller = who
		all := watch.JudgeSigner(p, e)
		if len(all) != 1 || all[0].Kind != watch.WrongPrincipal || all[0].By != who || !strings.Contains(all[0].Message, cmp.Or(who, "somebody whom the event does not name")+" signed") {
			t.Fatalf("%q: %+v", who, all)
		}
		ids[all[0].ID] = true
	}
	if len(ids) != 4 {
		t.Errorf("%d findings", len(ids))
	}
}

// duties is a policy of stages build and scan; keys are added to it.
func duties(t *testing.T, build, scan, admins string) *pipeline.Policy {
	t.Helper()
	text := "apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages:\n"
	for _, s := range []struct{ name, principals string }{{"build", build}, {"scan", scan}} {
		text += "  " + s.name + ":\n    signers: [{signingProfile: \"" + profiles + s.name + "\", trustStores: [\"signingAuthority:x\"]}]\n"
		if s.principals != "" {
			text += "    principals: [\"" + s.principals + "\"]\n"
		}
	}
	text += "rules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [build, scan]}}]\n"
	if admins != "" {
		text += "signerAdmins: [\"" + admins + "\"]\n"
	}
	p, err := pipeline.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func call(action, profile, principal string) watch.SignerEvent {
	return watch.SignerEvent{Action: action, Principal: principal, Account: account, Region: region, ID: "e-1", At: begin, Profile: profile}
}

func TestWhatIsDoneToTheSignerIsHeldAgainstWhoMay(t *testing.T) {
	whole := duties(t, roles+"ci/build-*", sessions+"scanner/GitHub", roles+"signer-admin")
	with := func(e watch.SignerEvent, change func(*watch.SignerEvent)) watch.SignerEvent { change(&e); return e }
	const build, scan, version = profiles + "build", profiles + "scan", profiles + "build/0123456789"
	for _, c := range []struct {
		name   string
		policy *pipeline.Policy
		e      watch.SignerEvent
		want   string // severity and kind, one a line
	}{
		{"a stage's principal signs", whole, call("SignPayload", version, roles+"ci/build-7"), ""},
		{"by the profile's name", whole, call("SignPayload", "build", roles+"ci/build-7"), ""},
		{"by a session", whole, with(call("SignPayload", scan, roles+"scanner"), func(e *watch.SignerEvent) { e.Session = sessions + "scanner/GitHub" }), ""},
		{"by another session of the role", whole, with(call("SignPayload", scan, roles+"scanner"), func(e *watch.SignerEvent) { e.Session = sessions + "scanner/me" }), "high signer-wrong-principal"},
		{"the other stage's principal signs", whole, call("SignPayload", scan, roles+"ci/build-7"), "high signer-wrong-principal"},
		{"somebody signs", whole, call("SignPayload", version, roles+"dev"), "high signer-wrong-principal"},
		{"a stranger's account signs", whole, call("SignPayload", version, "arn:aws:iam::444455556666:role/ci/build-7"), "high signer-wrong-principal"},
		{"a service signs for itself", whole, with(call("SignPayload", version, ""), func(e *watch.SignerEvent) { e.InvokedBy = "ecr.amazonaws.com" }), "high signer-wrong-principal"},
		{"a job is begun", whole, call("StartSigningJob", version, roles+"dev"), "high signer-wrong-principal"},
		{"an admin signs", whole, call("SignPayload", version, roles+"signer-admin"), "high signer-wrong-principal\nhigh signer-both-duties"},
		{"one of both signs", duties(t, roles+"all", "", roles+"all"), call("SignPayload", build, roles+"all"), "high signer-both-duties"},
		{"the stage names nobody", duties(t, "", "", roles+"signer-admin"), call("SignPayload", build, roles+"dev"), ""},
		{"the stage names nobody, and an admin signs", duties(t, "", "", roles+"signer-admin"), call("SignPayload", build, roles+"signer-admin"), "high signer-both-duties"},
		{"the policy names nobody", duties(t, "", "", ""), call("SignPayload", build, roles+"dev"), ""},
		{"no policy", nil, call("SignPayload", build, roles+"dev"), ""},
		{"an unknown profile signs", whole, call("SignPayload", profiles+"other", roles+"dev"), "low signer-unknown-profile"},
		{"the profile in another region signs", whole, call("SignPayload", strings.Replace(build, region, "eu-west-1", 1), roles+"ci/build-7"), "medium signer-unknown-profile"},
		{"a stage's principal signs with an unknown profile", whole, call("SignPayload", "other", roles+"ci/build-7"), "medium signer-unknown-profile"},
		{"a profile of another owner by name", whole, with(call("SignPayload", "build", roles+"ci/build-7"), func(e *watch.SignerEvent) { e.ProfileOwner = "444455556666" }), "medium signer-unknown-profile"},
		{"somebody is refused, and the event does not say of which profile", whole, with(call("SignPayload", "", roles+"dev"), func(e *watch.SignerEvent) { e.ErrorCode = "AccessDenied" }), "low signer-unknown-profile"},
		{"something that is no profile", whole, call("SignPayload", "!", roles+"dev"), "low signer-unknown-profile"},

		{"an admin makes a profile", whole, call("PutSigningProfile", build, roles+"signer-admin"), ""},
		{"somebody makes one", whole, call("PutSigningProfile", build, roles+"dev"), "high signer-not-admin"},
		{"somebody makes one that no stage lists", whole, call("PutSigningProfile", "other", roles+"dev"), "medium signer-not-admin"},
		{"somebody gives a permission", whole, with(call("AddProfilePermission", "build", roles+"dev"), func(e *watch.SignerEvent) { e.Grantee, e.Granted = "444455556666", "signer:SignPayload" }), "high signer-not-admin"},
		{"somebody takes a permission", whole, call("RemoveProfilePermission", "build", roles+"dev"), "high signer-not-admin"},
		{"somebody tags", whole, with(call("TagResource", "", roles+"dev"), func(e *watch.SignerEvent) { e.Resource = build }), "high signer-not-admin"},
		{"somebody untags", whole, with(call("UntagResource", "", roles+"dev"), func(e *watch.SignerEvent) { e.Resource = build }), "high signer-not-admin"},
		{"somebody cancels", whole, call("CancelSigningProfile", "build", roles+"dev"), "high signer-revoked"},
		{"somebody revokes a profile", whole, call("RevokeSigningProfile", version, roles+"dev"), "high signer-revoked"},
		{"somebody revokes a signature", whole, with(call("RevokeSignature", "", roles+"dev"), func(e *watch.SignerEvent) { e.Job = "j-1" }), "high signer-revoked"},
		{"an admin revokes a signature", whole, call("RevokeSignature", "", roles+"signer-admin"), ""},
		{"a stage's principal administers", whole, call("AddProfilePermission", "build", roles+"ci/build-7"), "high signer-not-admin\nhigh signer-both-duties"},
		{"a stage's principal administers, and no admins are named", duties(t, roles+"ci/build-*", "", ""), call("AddProfilePermission", "build", roles+"ci/build-7"), "high signer-both-duties"},
		{"somebody administers, and no admins are named", duties(t, roles+"ci/build-*", "", ""), call("PutSigningProfile", "build", roles+"dev"), ""},
		{"one of both administers", duties(t, roles+"all", "", roles+"all"), call("PutSigningProfile", build, roles+"all"), "high signer-both-duties"},

		{"a refused signature", whole, with(call("SignPayload", version, roles+"dev"), func(e *watch.SignerEvent) { e.ErrorCode = "AccessDeniedException" }), "low signer-wrong-principal"},
		{"a refused change", whole, with(call("PutSigningProfile", "build", roles+"dev"), func(e *watch.SignerEvent) { e.ErrorCode = "AccessDenied" }), "low signer-not-admin"},
		{"a change that is refused in other words", whole, with(call("PutSigningProfile", "build", roles+"dev"), func(e *watch.SignerEvent) { e.ErrorCode = "Client.UnauthorizedOperation" }), "low signer-not-admin"},
		{"a stage's principal is refused", whole, with(call("SignPayload", version, roles+"ci/build-7"), func(e *watch.SignerEvent) { e.ErrorCode = "AccessDenied" }), ""},
		{"a throttled signature", whole, with(call("SignPayload", version, roles+"dev"), func(e *watch.SignerEvent) { e.ErrorCode = "ThrottlingException" }), ""},
		{"a change of what is not there", whole, with(call("CancelSigningProfile", "build", roles+"dev"), func(e *watch.SignerEvent) { e.ErrorCode = "ResourceNotFoundException" }), ""},
		{"somebody looks", whole, call("GetSigningProfile", "build", roles+"dev"), ""},
		{"somebody lists", whole, call("ListProfilePermissions", "build", roles+"dev"), ""},
		{"somebody makes a call that AWS added since", whole, call("UpdateProfileAlias", "", roles+"dev"), "high signer-not-admin"},
		{"one of signerAdmins makes it", whole, call("UpdateProfileAlias", "", roles+"signer-admin"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range watch.JudgeSigner(c.policy, c.e) {
				got = append(got, string(f.Severity)+" "+string(f.Kind))
				if f.ID == "" || f.State.Validate() != nil || f.Message == "" || f.Hint == "" || f.Subject.ARN == "" || f.Subject.Kind != watch.Signer || f.Event != "e-1" || !f.At.Equal(begin) || f.Signer == nil || f.Signer.Action != c.e.Action {
					t.Errorf("%+v", f)
				}
				if refused := strings.Contains(f.Line(), "tried to"); refused != (c.e.ErrorCode != "") {
					t.Error(f.Line())
				}
			}
			if got := strings.Join(got, "\n"); got != c.want {
				t.Errorf("got:\n%s\nwanted:\n%s", got, c.want)
			}
		})
	}
}

func TestTheSignersFindingsAreToldAsOftenAsThereIsSomethingNew(t *testing.T) {
	s := newScene(t)
	policy := duties(t, roles+"ci/build-*", "", roles+"signer-admin")
	s.Policy = func() *pipeline.Policy { return policy }
	n := 0
	see := func(e watch.SignerEvent, want string) {
		t.Helper()
		n++
		e.ID = fmt.Sprint("e-", n)
		for _, d := range []watch.Disposition{watch.Decided, watch.Dropped} { // it is delivered twice
			r, err := s.ObserveSigner(context.Background(), e)
			if err != nil || r.Disposition != d {
				t.Fatal(r, err)
			}
		}
		s.told(want)
	}
	see(call("SignPayload", "build", roles+"dev"), "high signer-wrong-principal")
	see(call("SignPayload", "build", roles+"dev"), "")
	see(call("SignPayload", "build", roles+"dev2"), "high signer-wrong-principal")
	see(call("AddProfilePermission", "build", roles+"dev"), "high signer-not-admin")
	see(call("AddProfilePermission", "build", roles+"dev"), "high signer-not-admin")
	denied := call("AddProfilePermission", "build", roles+"dev3")
	denied.ErrorCode = "AccessDenied"
	see(denied, "low signer-not-admin")
	see(denied, "")
	denied.Action = "PutSigningProfile" // is another attempt of the same caller
	see(denied, "low signer-not-admin")
	see(denied, "")
	see(call("SignPayload", "build", roles+"ci/build-1"), "")
}

func TestACallThatCannotBeJudgedIsToldAsThatAndJudgedWhenItComesAgain(t *testing.T) {
	s := newScene(t)
	none := errors.New("the bucket is not there")
	policy := duties(t, roles+"ci/build-*", "", roles+"signer-admin")
	s.Policy = func() *pipeline.Policy { return nil }
	observe := func(e watch.SignerEvent, want watch.Disposition, told string) *watch.Result {
		t.Helper()
		r, err := s.ObserveSigner(context.Background(), e)
		if err != nil || r.Disposition != want {
			t.Fatalf("%s: %v %v, %v", e.ID, r.Disposition, r.Reason, err)
		}
		s.told(told)
		return r
	}
	event := func(id, principal string, last bool) watch.SignerEvent {
		e := call("SignPayload", "build", roles+principal)
		e.ID, e.Last, e.Why = id, last, &shuin.Error{Code: shuin.CodeNotBegun, Message: "there is no policy", Err: none}
		return e
	}
	if r := observe(event("e-1", "dev", false), watch.Retry, ""); !errors.Is(r.Reason, none) {
		t.Errorf("the reason is %v", r.Reason)
	}
	r := observe(event("e-1", "dev", true), watch.Decided, "medium signer-not-judged")
	f := r.Findings[0]
	if f.Outcome != pipeline.Undecided || f.Code != shuin.CodeNotBegun || f.Signer == nil || f.By != roles+"dev" || f.Policy != "" ||
		!strings.Contains(f.Message, "role/dev signed with the signing profile "+profiles+"build: ") || !strings.Contains(f.Message, none.Error()) || strings.Contains(f.Message, "tried") {
		t.Errorf("%+v", f)
	}
	if data, err := json.Marshal(f); err != nil {
		t.Error(err)
	} else if again, err := watch.ParseFinding(data); err != nil || again.ID != f.ID {
		t.Errorf("%v: %s", err, data)
	}
	observe(event("e-1", "dev", true), watch.Decided, "") // told once
	observe(event("e-0", "dev", true), watch.Decided, "") // another call of the same
	admin := event("e-7", "dev", true)
	admin.Action = "AddProfilePermission"
	observe(admin, watch.Decided, "medium signer-not-judged")
	admin.ID = "e-8" // is another thing
	observe(admin, watch.Decided, "medium signer-not-judged")
	observe(event("e-2", "ci/build-7", true), watch.Decided, "medium signer-not-judged")
	refused := event("e-3", "dev", true)
	refused.ErrorCode = "AccessDenied"
	observe(refused, watch.Decided, "low signer-not-judged")
	looked := event("e-4", "dev", true)
	looked.Action = "GetSigningProfile"
	observe(looked, watch.Decided, "") // no policy could find anything
	throttled := event("e-5", "dev", true)
	throttled.ErrorCode = "ThrottlingException"
	observe(throttled, watch.Decided, "")

	// There is a policy again, and somebody brings the events.
	s.Policy = func() *pipeline.Policy { return policy }
	for _, one := range []struct{ id, principal, told string }{
		{"e-1", "dev", "high signer-wrong-principal"},
		{"e-0", "dev", ""},
		{"e-2", "ci/build-7", ""}, // there may be more of its calls
		{"e-6", "ci/build-8", ""},
	} {
		e := event(one.id, one.principal, false)
		e.Why = nil
		observe(e, watch.Decided, one.told)
		observe(e, watch.Dropped, "")
	}
	for _, id := range []string{"e-7", "e-8"} {
		admin := event(id, "dev", false)
		admin.Why, admin.Action = nil, "AddProfilePermission"
		observe(admin, watch.Decided, "high signer-not-admin\nlow signer-not-judged: over")
	}
	left := event("e-3", "dev", false)
	left.Why, left.ErrorCode = nil, "AccessDenied"
	observe(left, watch.Decided, "low signer-wrong-principal")
	// What comes the next day is another time.
	s.Policy = func() *pipeline.Policy { return nil }
	later := event("e-9", "dev", true)
	later.At = later.At.Add(24 * time.Hour)
	observe(later, watch.Decided, "medium signer-not-judged")
}

// unjudgedCall is a call that cannot be judged, and is told as that.
func unjudgedCall(action, profile, principal string) watch.SignerEvent {
	e := call(action, profile, principal)
	e.Last, e.Why = true, &shuin.Error{Code: shuin.CodeNotBegun, Message: "there is no policy"}
	return e
}

// observeCall observes a call that is settled as that.
func (s *scene) observeCall(e watch.SignerEvent, want watch.Disposition) *watch.Result {
	s.t.Helper()
	r, err := s.ObserveSigner(s.t.Context(), e)
	if err != nil || r.Disposition != want {
		s.t.Fatalf("%s: %v, %v", e.ID, r, err)
	}
	return r
}

// TestCallsThatCannotBeJudgedAreToldOnceADayAndWhichDay: in whatever order they
// come, what is to be brought again is all of them.
func TestCallsThatCannotBeJudgedAreToldOnceADayAndWhichDay(t *testing.T) {
	s := newScene(t)
	s.Remind = 0
	s.Policy = func() *pipeline.Policy { return nil }
	hints := map[string]int{}
	for i, at := range []time.Duration{25 * time.Hour, 10 * time.Minute, 0, 26 * time.Hour, 20 * time.Minute} {
		e := unjudgedCall("SignPayload", "build", roles+"ci")
		e.ID, e.At = fmt.Sprint("e-", i), begin.Add(at)
		for _, d := range s.observeCall(e, watch.Decided).Told {
			hints[d.Finding.Hint]++
			if !strings.Contains(d.Finding.Hint, "all its calls of "+e.At.Format(time.DateOnly)+" (UTC)") {
				t.Errorf("of a call of %s: %s", e.At, d.Finding.Hint)
			}
		}
	}
	if len(hints) != 2 {
		t.Errorf("told: %v", hints)
	}
}

// TestNothingSaysThatAllCallsThatSignWereJudged: nobody counts them; another may
// be given up while one is judged.
func TestNothingSaysThatAllCallsThatSignWereJudged(t *testing.T) {
	for _, code := range []string{"", "AccessDenied"} {
		s := newScene(t)
		policy := duties(t, roles+"ci", "", roles+"ci")
		s.Policy = func() *pipeline.Policy { return nil }
		action := map[string]string{"": "SignPayload", "AccessDenied": "AddProfilePermission"}[code]
		e := unjudgedCall(action, "other", roles+"ci")
		e.ErrorCode = code
		for _, id := range []string{"a", "b"} {
			e.ID = id
			s.observeCall(e, watch.Decided)
		}
		s.told(map[string]string{"": "medium", "AccessDenied": "low"}[code] + " signer-not-judged")
		s.Policy = func() *pipeline.Policy { return policy }
		e.Why = nil
		for _, id := range []string{"b", "a"} {
			e.ID = id
			for _, d := range s.observeCall(e, watch.Decided).Told {
				if d.Finding.Resolved {
					t.Errorf("%q: over with %s", code, id)
				}
			}
		}
	}
}

// TestWhoMayDoNothingIsToldOfOnce: whatever he makes up, with a policy or none.
func TestWhoMayDoNothingIsToldOfOnce(t *testing.T) {
	policy := duties(t, roles+"ci", "", roles+"admin")
	for _, way := range []struct {
		action string
		change func(*watch.SignerEvent, string)
	}{
		{"AddProfilePermission", func(e *watch.SignerEvent, _ string) { e.Profile = "build" }},
		{"AddProfilePermission", func(e *watch.SignerEvent, made string) { e.Profile = made }},
		{"SignPayload", func(e *watch.SignerEvent, made string) { e.Profile = made }},
		{"SignPayload", func(e *watch.SignerEvent, made string) { e.Profile = profiles + made }},
		{"TagResource", func(e *watch.SignerEvent, made string) { e.Resource = "arn:aws:signer:" + made }},
		{"RevokeSignature", func(e *watch.SignerEvent, made string) { e.Job = made }},
	} {
		for _, p := range []*pipeline.Policy{nil, policy} {
			s := newScene(t)
			s.Policy = func() *pipeline.Policy { return p }
			told := 0
			for i := range 20 {
				e := call(way.action, "", roles+"nobody")
				e.ID, e.Last, e.ErrorCode = fmt.Sprint("e-", i), true, "AccessDenied"
				way.change(&e, fmt.Sprint("made_up_", i))
				told += len(s.observeCall(e, watch.Decided).Told)
			}
			if told != 1 {
				t.Errorf("refused %s, a policy %t: told %d times", way.action, p != nil, told)
			}
		}
	}
}

// TestThatACallWasNotJudgedIsOverOnceWhatThereIsToSayIsTold: to all who are to
// hear it, and told until it is heard.
func TestThatACallWasNotJudgedIsOverOnceWhatThereIsToSayIsTold(t *testing.T) {
	s := newScene(t)
	other := &pager{name: "other"}
	s.Routes = append(s.Routes, watch.Route{Notifier: other})
	policy := duties(t, roles+"ci", "", roles+"admin")
	s.Policy = func() *pipeline.Policy { return nil }
	e := unjudgedCall("AddProfilePermission", "build", roles+"dev")
	s.observeCall(e, watch.Decided)
	s.told("medium signer-not-judged")
	s.Policy = func() *pipeline.Policy { return policy }
	e.Why, e.Last = nil, false
	other.fail = true
	s.observeCall(e, watch.Retry)
	s.told("high signer-not-admin")
	other.fail, s.pager.fail = false, true
	s.observeCall(e, watch.Retry) // the pager is not told that it is over
	s.pager.fail = false
	s.pager.take()
	s.observeCall(e, watch.Decided)
	s.told("low signer-not-judged: over")
	s.observeCall(e, watch.Dropped)
}

func TestWhatCouldNotBeToldOfACallThatCannotBeJudgedComesAgain(t *testing.T) {
	s := newScene(t)
	s.Policy = func() *pipeline.Policy { return nil }
	e := call("SignPayload", "build", roles+"dev")
	e.Last = true
	s.pager.fail = true
	if r, err := s.ObserveSigner(context.Background(), e); err != nil || r.Disposition != watch.Retry {
		t.Fatal(r, err)
	}
	s.pager.fail = false
	if r, err := s.ObserveSigner(context.Background(), e); err != nil || r.Disposition != watch.Decided || len(r.Told) != 1 {
		t.Fatal(r, err)
	}
}

func TestASignersEventThatSaysNothingIsPoison(t *testing.T) {
	s := newScene(t)
	s.Policy = func() *pipeline.Policy { return nil }
	for _, e := range []watch.SignerEvent{{}, {Action: "SignPayload", ID: "e"}, {Action: "SignPayload", Account: account}, {Action: "SignPayload", Account: account, ID: strings.Repeat("e", 5000)}} {
		if r, err := s.ObserveSigner(context.Background(), e); err == nil || r != nil || shuin.CodeOf(err) == shuin.CodeInternal {
			t.Errorf("%+v: %v, %v", e, r, err)
		}
	}
	r, err := s.ObserveSigner(context.Background(), call("SignPayload", "build", roles+"dev"))
	if err != nil || r.Disposition != watch.Retry {
		t.Error("without a policy it is settled:", r, err)
	}
}

func TestWhatTheEventDoesNotNameIsNotToldAsUnlisted(t *testing.T) {
	e := call("SignPayload", "", roles+"dev")
	e.ErrorCode = "AccessDenied"
	all := watch.JudgeSigner(duties(t, roles+"ci", "", roles+"admin"), e)
	if len(all) != 1 || strings.Contains(all[0].Line(), "no stage of the policy lists") || !strings.Contains(all[0].Message, "is not known") {
		t.Errorf("%+v", all)
	}
}

func TestAProfileByItsNameIsOneOfTheRegionsOwnPartition(t *testing.T) {
	for partition, where := range map[string]string{
		"aws": region, "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1", "aws-eusc": "eusc-de-east-1",
		"aws-iso": "us-iso-east-1", "aws-iso-b": "us-isob-east-1", "aws-iso-e": "eu-isoe-west-1", "aws-iso-f": "us-isof-south-1",
	} {
		p, err := pipeline.Parse([]byte("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages:\n  build:\n    signers: [{signingProfile: \"arn:" + partition + ":signer:" + where + ":" + account +
			":/signing-profiles/build\", trustStores: [\"signingAuthority:x\"]}]\n    principals: [\"arn:" + partition + ":iam::" + account + ":role/ci\"]\nrules: [{name: r, match: {images: [\"reg.example/**\"]}, require: {all: [build]}}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		e := call("SignPayload", "build", "")
		e.Region, e.Caller = where, "AWSAccount 444455556666 AROA1"
		if all := watch.JudgeSigner(p, e); len(all) != 1 || all[0].Kind != watch.WrongPrincipal || all[0].Severity != watch.High {
			t.Errorf("%s: %+v", partition, all)
		}
	}
}
