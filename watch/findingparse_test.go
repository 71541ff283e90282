package watch_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// imageFinding and signerFinding have every member that their kind can have.
func imageFinding() watch.Finding {
	return watch.Finding{
		ID: strings.Repeat("0a", 16), State: digest.FromString("state"), Kind: watch.NotAdmitted, Severity: watch.High, Reminder: true,
		Subject: watch.Subject{Kind: watch.Task, ARN: "arn:aws:ecs:ap-northeast-1:111122223333:task/prod/0123", Account: account, Region: region, Cluster: "prod",
			Group: "service:shop", TaskDefinition: "arn:aws:ecs:ap-northeast-1:111122223333:task-definition/shop:7", StartedBy: "ecs-svc/123"},
		Phase: watch.Running, Event: "3317b2af", By: "ecs-svc/123", At: begin, Time: begin.Add(4*time.Second + 5),
		Container: "app", Image: "reg.example/shop:1", Repository: "reg.example/shop", Digest: digest.FromString("image"), Running: digest.FromString("platform"),
		Missing: []string{"scan"}, Outcome: pipeline.Deny, Mode: pipeline.Warn, Rule: "shop-production <&> 朱印", Policy: digest.FromString("policy"),
		Code: shuin.CodeStageMissing, Message: "missing stages: scan (no seal)", Hint: "seal it",
	}
}

func podFinding() watch.Finding {
	f := imageFinding()
	f.Phase, f.Event, f.By = watch.Swept, "", ""
	f.Subject = watch.Subject{Kind: watch.Pod, ARN: "k8s://prod/shop/pods/web-6b7f-x1", Cluster: "prod", Group: "deployment:shop/web"}
	return f
}

func signerFinding() watch.Finding {
	f := imageFinding()
	f.Kind, f.Reminder, f.Subject = watch.WrongPrincipal, false, watch.Subject{Kind: watch.Signer, ARN: "arn:aws:signer:ap-northeast-1:111122223333:/signing-profiles/build", Account: account}
	f.Phase, f.Container, f.Image, f.Repository, f.Digest, f.Running, f.Missing, f.Mode, f.Rule, f.Code = "", "", "", "", "", "", nil, 0, "", ""
	f.Signer = &watch.SignerAct{Action: "SignPayload", Profile: f.Subject.ARN, Stages: []string{"build"}, Principal: "arn:aws:iam::111122223333:role/x",
		Session: "arn:aws:sts::111122223333:assumed-role/x/y", InvokedBy: "codebuild.amazonaws.com", Job: "j", Refused: "AccessDenied"}
	return f
}

func resolvedFinding() watch.Finding {
	f := imageFinding()
	f.Resolved, f.Reminder, f.Outcome, f.Severity, f.Missing, f.Code, f.Hint = true, false, pipeline.Admit, watch.Low, nil, "", ""
	f.Ends = []digest.Digest{digest.FromString("state"), digest.FromString("another")}
	f.Message = "finding resolved: the image is admitted"
	return f
}

func asJSON(t testing.TB, f watch.Finding) []byte {
	t.Helper()
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAFindingIsReadAsItWasWritten(t *testing.T) {
	least := watch.Finding{ID: strings.Repeat("f", 32), State: digest.FromString("x"), Kind: watch.NotAdmitted, Severity: watch.Low, Phase: watch.Swept, Time: begin,
		Subject: watch.Subject{Kind: watch.Image, ARN: "a"}, Outcome: pipeline.Undecided, Message: "m"}
	undecided := imageFinding()
	undecided.Outcome, undecided.Time = pipeline.Undecided, begin.In(time.FixedZone("JST", 9*3600))
	for name, f := range map[string]watch.Finding{"an image": imageFinding(), "a Pod's": podFinding(), "a signer's": signerFinding(), "one that is resolved": resolvedFinding(), "the least": least, "undecided": undecided} {
		got, err := watch.ParseFinding(asJSON(t, f))
		f.Time = f.Time.UTC()
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%s: %v\n%+v\nwanted\n%+v", name, err, got, f)
		}
	}
}

// TestWhatAWatcherTellsCanBeRead: with texts that an image's maker chose.
func TestWhatAWatcherTellsCanBeRead(t *testing.T) {
	f := imageFinding()
	f.Image, f.Event = "reg.example/\x1b[2J\u202eshop\x00:1", strings.Repeat("e\n", 4000)
	f.Message, f.By, f.Rule = strings.Repeat("朱", 4000), "a\tb\xff", "r\u2028"
	first := asJSON(t, f)
	got, err := watch.ParseFinding(first)
	if err != nil {
		t.Fatal(err)
	}
	if again := asJSON(t, got); string(again) != string(first) {
		t.Errorf("written again it is\n%s\nand was\n%s", again, first)
	}
}

func TestFindingsThatNobodyWroteAreRefused(t *testing.T) {
	change := func(f watch.Finding, pairs ...string) string {
		text := string(asJSON(t, f))
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("there is no %s in %s", pairs[i], text)
			}
			text = strings.Replace(text, pairs[i], pairs[i+1], 1)
		}
		return text
	}
	i, s, r, unended := imageFinding(), signerFinding(), resolvedFinding(), resolvedFinding()
	unended.Ends = nil
	for _, c := range []struct {
		name, text, want string
		code             shuin.Code
	}{
		{"nothing", ``, "not JSON", ""},
		{"a list", `[]`, "a JSON object", ""},
		{"null", `null`, "mediaType", ""},
		{"two values", change(i) + `{}`, "not JSON", ""},
		{"an unknown member", change(i, `{"mediaType"`, `{"secret":"hunter2","mediaType"`), `no member "secret"`, ""},
		{"an unknown member of the subject", change(i, `"arn":`, `"Arn":"x","arn":`), `no member "subject.Arn"`, ""},
		{"a member twice", change(i, `"severity":`, `"id":"x","severity":`), `"id" is there twice`, ""},
		{"a member in other letters", change(i, `"severity"`, `"Severity"`), `no member "Severity"`, ""},
		{"a number for a text", change(i, `"severity":"high"`, `"severity":1`), `"severity" has another type`, ""},
		{"another media type", change(i, `finding.v1`, `finding.v2`), "mediaType", ""},
		{"an ID in capitals", change(i, `"id":"0a`, `"id":"0A`), "id is", ""},
		{"a state that is no digest", change(i, `"state":"sha256:`, `"state":"sha256:x`), "state is", ""},
		{"a digest that is none", change(i, `"running":"sha256:`, `"running":"sha256:/`), "running is", ""},
		{"another kind", change(i, `image-not-admitted`, `image-admitted`), "kind is", ""},
		{"another severity", change(i, `"high"`, `"critical"`), "severity is", ""},
		{"another status", change(i, `"open"`, `"closed"`), "status is", ""},
		{"another outcome", change(i, `"deny"`, `"denied"`), "outcome is", ""},
		{"an outcome that is nearly empty", change(i, `"deny"`, `""`), "outcome is", ""},
		{"no mode", change(i, `"mode":"warn",`, ``), "mode is", ""},
		{"another phase", change(i, `"phase":"running"`, `"phase":"run"`), "phase is", ""},
		{"a code with spaces", change(i, `"code":"stage-missing"`, `"code":"stage missing"`), "reason.code", ""},
		{"a signer's subject of an image", change(i, `"kind":"task"`, `"kind":"signer"`), "subject.kind", ""},
		{"an image's subject of a signer", change(s, `"kind":"signer"`, `"kind":"task"`), "subject.kind", ""},
		{"a kind that is in other letters", change(podFinding(), `"kind":"pod"`, `"kind":"Pod"`), "subject.kind", ""},
		{"a Pod of a signer", change(s, `"kind":"signer"`, `"kind":"pod"`), "subject.kind", ""},
		{"no ARN", change(i, i.Subject.ARN, ""), "subject.arn is missing", ""},
		{"no message", change(i, i.Message, ""), "reason.message is missing", ""},
		{"no time", change(i, `"time":"2026-03-01T12:00:04.000000005Z",`, ``), "time is missing", ""},
		{"a time that is none", change(i, `2026-03-01T12:00:04.000000005Z`, `yesterday`), `"time" has another type`, ""},
		{"a year before all computers", change(i, `"at":"2026`, `"at":"0026`), "at is missing, or", ""},
		{"a control character", change(i, `"app"`, `"a\u0007pp"`), "container holds", ""},
		{"a mark of direction", change(i, `"app"`, `"a\u202epp"`), "container holds", ""},
		{"text that is not UTF-8", change(i, `"app"`, "\"a\xff\""), "not JSON", ""},
		{"a long message", change(i, i.Message, strings.Repeat("m", limits.WatchMessageBytes+1)), "reason.message is longer", shuin.CodeLimit},
		{"a long cluster", change(i, `"prod"`, `"`+strings.Repeat("p", limits.WatchARNBytes+1)+`"`), "subject.cluster is longer", shuin.CodeLimit},
		{"many stages", change(i, `["scan"]`, `["scan"`+strings.Repeat(`,"scan"`, limits.PolicyStages)+`]`), "missingStages has", shuin.CodeLimit},
		{"an empty stage", change(i, `["scan"]`, `[""]`), "missingStages[0] is missing", ""},
		{"much of it", change(i, i.Message, strings.Repeat("m", limits.FindingBytes)), "limit FindingBytes", shuin.CodeLimit},
		{"resolved and denied", change(r, `"admit"`, `"deny"`), "go together", ""},
		{"open and admitted", change(i, `"deny"`, `"admit"`), "go together", ""},
		{"resolved without what is over", change(unended), "ends is missing", ""},
		{"open with what is over", change(i, `"status":"open"`, `"status":"open","ends":["`+string(i.State)+`"]`), "ends is there", ""},
		{"resolved as a reminder", change(r, `"outcome"`, `"reminder":true,"outcome"`), "reminder", ""},
		{"an image with a signer", change(i, `"container"`, `"signer":{"action":"x"},"container"`), "signer is there", ""},
		{"a signer's without one", change(s, string(asJSON(t, s))[strings.Index(string(asJSON(t, s)), `"signer":{`):strings.Index(string(asJSON(t, s)), `"reason"`)], ``), "signer is missing", ""},
		{"a signer's with an image", change(s, `"signer":{`, `"image":"x","signer":{`), "image is there", ""},
	} {
		_, err := watch.ParseFinding([]byte(c.text))
		want := c.code
		if want == "" {
			want = shuin.CodeInvalidInput
		}
		if err == nil || shuin.CodeOf(err) != want || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, wanted %q with %q", c.name, err, want, c.want)
		}
	}
}

// FuzzParseFinding: no bytes make it panic, and what it reads it writes, and
// reads again as the same.
func FuzzParseFinding(f *testing.F) {
	for _, one := range []watch.Finding{imageFinding(), podFinding(), signerFinding(), resolvedFinding()} {
		f.Add(asJSON(f, one))
	}
	f.Add([]byte(`{"mediaType":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		one, err := watch.ParseFinding(data)
		if err != nil {
			if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput && c != shuin.CodeLimit || len(err.Error()) > 4096 {
				t.Fatalf("%q: %v", c, err)
			}
			return
		}
		text, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		again, err := watch.ParseFinding(text)
		if err != nil || !reflect.DeepEqual(again, one) {
			t.Fatalf("%v\n%+v\n%+v", err, again, one)
		}
		_ = one.Line()
	})
}

// TestWhatIsKeptDoesNotDependOnTheOrder: all orders of what may be told, each
// told twice.
func TestWhatIsKeptDoesNotDependOnTheOrder(t *testing.T) {
	type step struct {
		over bool
		at   int
	}
	tell := func(k *watch.Kept, s step) {
		f := imageFinding()
		if s.over {
			f = resolvedFinding()
		}
		f.Time, f.Event = begin.Add(time.Duration(s.at)*time.Hour), string(rune('a'+s.at))
		if s.over {
			k.End(f, "lambda", begin)
		} else {
			k.Add(f, "lambda", begin)
		}
	}
	for _, c := range []struct {
		name  string
		steps []step
		open  bool
	}{
		{"told, and a reminder", []step{{false, 1}, {false, 5}}, true},
		{"told, and over", []step{{false, 1}, {true, 2}}, false},
		{"told, over, and told again", []step{{false, 1}, {true, 2}, {false, 3}}, true},
		{"told, over, told again, and over", []step{{false, 1}, {true, 2}, {false, 3}, {true, 4}}, false},
		{"over in the same moment", []step{{false, 1}, {true, 1}}, false},
	} {
		var want *watch.Kept
		var permute func(done, left []step)
		permute = func(done, left []step) {
			if len(left) == 0 {
				var k watch.Kept
				for _, s := range append(done, done...) {
					tell(&k, s)
				}
				if k.Open() != c.open || k.Finding.Resolved || k.Finding.Reminder || want != nil && !reflect.DeepEqual(k, *want) {
					t.Errorf("%s: told as %v: open %t: %+v", c.name, done, k.Open(), k)
				}
				want = &k
				return
			}
			for i := range left {
				rest := append(append([]step{}, left[:i]...), left[i+1:]...)
				permute(append(append([]step{}, done...), left[i]), rest)
			}
		}
		permute(nil, c.steps)
	}
}
