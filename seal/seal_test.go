package seal

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/limits"
)

var at = time.Date(2026, 11, 22, 7, 30, 0, 0, time.UTC)

func evidence(stage string) Evidence {
	return Evidence{
		Stage: stage, Ran: true, Command: NewCommand([]string{"make", "test"}), Started: at, Duration: 72500 * time.Millisecond,
		Commit: "0123456789abcdef0123456789abcdef01234567", Run: "https://ci.example/run/7", Tool: "shuin/v1.0.0",
	}
}

// size is the payload's as the envelope writes it, for a descriptor of usual length.
func size(m map[string]string) (int, error) {
	b, err := json.Marshal(map[string]any{"targetArtifact": map[string]any{
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest.FromString("x"), "size": 1234, "annotations": m}})
	return len(b), err
}

func TestASealSaysWhatWasRunAndWhere(t *testing.T) {
	got, err := evidence("unit-test").Metadata("imageID sha256:0", map[string]string{"who": "me"}, size)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"shuin.stage": "unit-test", "shuin.command": "make test", "shuin.exit-status": "0", "shuin.started": "2026-11-22T07:30:00Z",
		"shuin.duration": "1m12.5s", "shuin.commit": "0123456789abcdef0123456789abcdef01234567", "shuin.run": "https://ci.example/run/7",
		"shuin.tool": "shuin/v1.0.0", "shuin.subject": "imageID sha256:0", "who": "me",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got, err = Evidence{Stage: "scan"}.Metadata("", nil, size)
	if d := cmp.Diff(map[string]string{"shuin.stage": "scan"}, got); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestALongCommandIsCutVisiblyAndItsHashSigned(t *testing.T) {
	for _, c := range []struct {
		name string
		word string
		user map[string]string
	}{
		{"long", strings.Repeat("x", 3000), nil},
		{"longer than a file holds", strings.Repeat("y", 100_000), nil},
		{"little room", strings.Repeat("z", 3000), map[string]string{"k": strings.Repeat("u", 3100)}},
		{"escapes that take room in JSON", strings.Repeat("\"", 900), map[string]string{"k": strings.Repeat("u", 2000)}},
		{"characters of several bytes", strings.Repeat("朱印", 500), nil},
		{"room for the hash alone", strings.Repeat("w", 3000), map[string]string{"k": strings.Repeat("u", 3330)}},
	} {
		e := evidence("s")
		e.Command = NewCommand([]string{"run", c.word})
		m, err := e.Metadata("", c.user, size)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		n, _ := size(m)
		text := m[MetadataCommand]
		whole := "run " + quote(c.word)
		if n > 4096 || len(text) > limits.SealCommandBytes {
			t.Errorf("%s: %d bytes, %d of them the command", c.name, n, len(text))
		}
		if text != "" && (!strings.HasSuffix(text, "…") || !strings.HasPrefix(whole, strings.TrimSuffix(text, " …"))) {
			t.Errorf("%s: command %q", c.name, text)
		}
		if m[MetadataCommandSHA256] != digest.FromString(whole).Encoded() {
			t.Errorf("%s: hash %q is not that of the whole", c.name, m[MetadataCommandSHA256])
		}
		if len(text) < limits.SealCommandBytes-4 && n < 4096-8 && c.name != "room for the hash alone" {
			t.Errorf("%s: %d bytes are left, and the command has only %d", c.name, 4096-n, len(text))
		}
	}
}

func TestMetadataThatDoesNotFitIsAnErrorThatNamesIt(t *testing.T) {
	for n := 3000; n < 4000; n++ { // every length around the limit
		user := map[string]string{"notes": strings.Repeat("n", n), "a": "b"}
		m, err := evidence("s").Metadata("", user, size)
		if err == nil {
			if got, _ := size(m); got > 4096 {
				t.Fatalf("%d bytes of user metadata make a payload of %d", n, got)
			}
			continue
		}
		if shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), fmt.Sprintf("notes (%d bytes)", n)) || !strings.Contains(err.Error(), "4096") {
			t.Fatalf("%d: %v", n, err)
		}
	}
	if _, err := evidence("s").Metadata("", map[string]string{"k": strings.Repeat("u", 5000)}, size); err == nil {
		t.Error("5000 bytes fit into 4096")
	}
	broken := errors.New("broken")
	if _, err := evidence("s").Metadata("", nil, func(map[string]string) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestUserMetadataCannotSpeakForTheSeal(t *testing.T) {
	for _, k := range []string{"shuin.stage", "shuin.exit-status", "shuin.new"} {
		if _, err := evidence("s").Metadata("", map[string]string{k: "x"}, size); shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), k) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestStageNames(t *testing.T) {
	for _, name := range []string{"build", "unit-test", "a.b_c-1", "7", strings.Repeat("s", 63)} {
		if err := CheckStage(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", " build", "Build", "a b", "-a", "a.", "_", "a/b", "a\n", "\xff", "段階", strings.Repeat("s", 64)} {
		if CheckStage(name) == nil {
			t.Errorf("%q is taken for the name of a stage", name)
		}
	}
}

func TestACommandReadsAsAShellWouldTakeIt(t *testing.T) {
	for want, argv := range map[string][]string{
		"make test":                  {"make", "test"},
		"sh -c 'a && b'":             {"sh", "-c", "a && b"},
		`echo 'it'\''s'`:             {"echo", "it's"},
		"x ''":                       {"x", ""},
		`x $'a\nb\t\'\\'`:            {"x", "a\nb\t'\\"},
		`x $'\xff\x1b'`:              {"x", "\xff\x1b"},
		"x '\ufffd'":                 {"x", "\ufffd"},
		`x $'\xe2\x80\xae朱'`:         {"x", "\u202e朱"},
		"FOO=1 --a=b,c ./x:y@z%1_2+": {"FOO=1", "--a=b,c", "./x:y@z%1_2+"},
	} {
		if got := NewCommand(argv); got.Text != want || got.SHA256 != "" {
			t.Errorf("%q: %+v, want %s", argv, got, want)
		}
	}
}

func TestAnEvidenceFileIsReadAsItWasWritten(t *testing.T) {
	for _, subject := range []Subject{
		{ImageID: digest.FromString("image")},
		{Manifest: digest.FromString("m")},
		{Manifest: digest.FromString("m"), Config: digest.FromString("c")},
	} {
		f := &File{Subject: subject}
		long := evidence("long")
		long.Command = NewCommand([]string{strings.Repeat("朱", 20_000)})
		for _, e := range []Evidence{evidence("unit-test"), long, {Stage: "bare", Ran: true, Started: at.Add(time.Nanosecond)}} {
			if err := f.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		b, err := f.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if d := cmp.Diff(f, got); d != "" {
			t.Error(d)
		}
	}
}

func TestTheSameStageAgainTakesTheOldOnesPlace(t *testing.T) {
	f := &File{Subject: Subject{ImageID: digest.FromString("image")}}
	second := evidence("a")
	second.Commit = "2"
	for _, e := range []Evidence{evidence("a"), evidence("b"), second} {
		if err := f.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.Stages) != 2 || f.Find("a").Commit != "2" || f.Find("b") == nil || f.Find("c") != nil {
		t.Errorf("%+v", f.Stages)
	}
	if f.Add(Evidence{Stage: "c"}) == nil {
		t.Error("a stage without a command was recorded")
	}
	for i := range limits.EvidenceStages {
		err := f.Add(evidence(fmt.Sprint("s", i)))
		if full := i >= limits.EvidenceStages-2; full != (err != nil) {
			t.Errorf("stage %d: %v", i, err)
		}
	}
}

// written is a file as recorded, with changes made to its text.
func written(t *testing.T, changes ...string) []byte {
	t.Helper()
	f := &File{Subject: Subject{ImageID: digest.FromString("image")}, Stages: []Evidence{evidence("unit-test")}}
	b, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("no %q in %s", changes[i], text)
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return []byte(text)
}

// resealed gives edited text the checksum of its content, as somebody who knows
// how would.
func resealed(t *testing.T, changes ...string) []byte {
	t.Helper()
	b := written(t, changes...)
	_, err := Parse(b)
	if err == nil {
		return b
	}
	_, right, ok := strings.Cut(err.Error(), "its content (")
	right, _, _ = strings.Cut(right, ")")
	before, rest, _ := strings.Cut(string(b), `"checksum": "`)
	if !ok {
		t.Fatalf("not refused for its checksum: %v", err)
	}
	return []byte(before + `"checksum": "` + right + rest[71:])
}

func TestEditedEvidenceIsRefused(t *testing.T) {
	for _, changes := range [][]string{
		{`"stage": "unit-test"`, `"stage": "scan"`},
		{digest.FromString("image").String(), digest.FromString("other").String()},
		{`make test`, `make tests`},
		{`"exitStatus": 0`, `"exitStatus": 1`},
		{`2026-11-22`, `2026-11-23`},
		{`1m12.5s`, `1m12s`},
		{`/run/7`, `/run/8`},
		{`shuin/v1.0.0`, `shuin/v1.0.1`},
		{`"checksum": "sha256:`, `"checksum": "sha512:`},
	} {
		_, err := Parse(written(t, changes...))
		if shuin.CodeOf(err) != shuin.CodeInvalidInput || !strings.Contains(err.Error(), "edited or damaged after it was recorded") || shuin.HintOf(err) == "" {
			t.Errorf("%s: %v", changes[1], err)
		}
	}
}

func TestWhatIsNoEvidenceIsRefusedThoughItsChecksumIsRight(t *testing.T) {
	for want, changes := range map[string][]string{
		"ended with exit status 2":           {`"exitStatus": 0`, `"exitStatus": 2`},
		"has no exitStatus":                  {`"exitStatus": 0`, `"exitStatus": null`},
		"started":                            {`2026-11-22T07:30:00Z`, `yesterday`},
		"not started in the year 1999":       {`2026-11-22T07:30:00Z`, `1999-11-22T07:30:00Z`},
		"duration":                           {`1m12.5s`, `long`},
		"no command runs for -":              {`1m12.5s`, `-1s`},
		"\"\" cannot name a stage":           {`"stage": "unit-test"`, `"stage": ""`},
		"characters that are not seen":       {`make test`, `make\u0000`},
		"subject: imageID":                   {digest.FromString("image").String(), "sha256:1234"},
		"is that of an empty object":         {digest.FromString("image").String(), emptyConfig.String()},
		"commandSHA256 is not 64 lower-case": {`"command": "make test"`, `"command": "make …", "commandSHA256": "1234"`},
		"a command that was cut":             {`"command": "make test"`, `"command": "make", "commandSHA256": "` + digest.FromString("").Encoded() + `"`},
	} {
		_, err := Parse(resealed(t, changes...))
		if err == nil || !strings.Contains(err.Error(), want) || shuin.CodeOf(err) != shuin.CodeInvalidInput {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestEvidenceFilesAreReadStrictly(t *testing.T) {
	for want, data := range map[string][]byte{
		"unknown object member name":   written(t, `"kind":`, `"more": 1, "kind":`),
		"duplicate object member name": written(t, `"kind":`, `"kind": "Evidence", "kind":`),
		"unknown object member":        written(t, `"stage":`, `"Stage":`),
		"has no checksum":              written(t, `"checksum"`, `"checksum": "", "x"`)[:0],
		`apiVersion is "shuin.dev/v2"`: written(t, "shuin.dev/v1", "shuin.dev/v2", `"kind":`, `"new": {}, "kind":`),
		`and kind "Policy"`:            written(t, `"Evidence"`, `"Policy"`),
		"invalid character":            append(written(t), "{}"...),
		"invalid UTF-8":                written(t, "make test", "make \xff"),
		"limit EvidenceBytes":          append(written(t), make([]byte, limits.EvidenceBytes)...),
		"nested deeper than":           []byte(strings.Repeat("[", 100)),
		"subject: either an imageID":   resealed(t, `"imageID": "`+digest.FromString("image").String()+`"`, ""),
		"unexpected EOF":               written(t)[:60],
	} {
		if want == "has no checksum" {
			data = written(t)
			before, _, _ := strings.Cut(string(data), `,`+"\n"+`  "checksum"`)
			data = []byte(before + "}")
		}
		if _, err := Parse(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for name, code := range map[string]shuin.Code{"[": shuin.CodeInvalidInput, strings.Repeat("[", 100): shuin.CodeLimit} {
		if _, err := Parse([]byte(name)); shuin.CodeOf(err) != code {
			t.Errorf("%s: %v", name[:1], err)
		}
	}
}

func TestAStageTwiceAndNoStageAreRefused(t *testing.T) {
	twice := &File{Subject: Subject{ImageID: digest.FromString("image")}, Stages: []Evidence{evidence("a"), evidence("a")}}
	for want, f := range map[string]*File{"is there twice": twice, "has no stages": {Subject: twice.Subject}} {
		if _, err := f.Marshal(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}

func TestEvidenceMatchesThePushedImageInEitherImageStore(t *testing.T) {
	id, other := digest.FromString("id"), digest.FromString("other")
	image := func(d digest.Digest, mediaType string) shuin.Descriptor {
		return shuin.Descriptor{MediaType: mediaType, Digest: d, Size: 1}
	}
	const oci, docker = "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"
	for _, c := range []struct {
		name    string
		subject Subject
		pushed  Pushed
		want    string
	}{
		{"classic store, OCI manifest", Subject{ImageID: id}, Pushed{Digest: other, Config: image(id, oci)}, "config digest"},
		{"classic store, Docker manifest", Subject{ImageID: id}, Pushed{Digest: other, Config: image(id, docker)}, "config digest"},
		{"containerd store, manifest", Subject{ImageID: id}, Pushed{Digest: id, Config: image(other, oci)}, "digest"},
		{"containerd store, index", Subject{ImageID: id}, Pushed{Digest: id}, "digest"},
		{"layout, same manifest", Subject{Manifest: id, Config: other}, Pushed{Digest: id, Config: image(other, oci)}, "digest"},
		{"layout, manifest converted by the copy", Subject{Manifest: other, Config: id}, Pushed{Digest: digest.FromString("new"), Config: image(id, oci)}, "config digest"},
		{"another image", Subject{ImageID: id}, Pushed{Digest: other, Config: image(other, oci)}, ""},
		{"an index with nothing in common", Subject{ImageID: id}, Pushed{Digest: other}, ""},
		{"layout of another image", Subject{Manifest: id}, Pushed{Digest: other, Config: image(id, oci)}, ""},
		{"a config that is no image's", Subject{ImageID: id}, Pushed{Digest: other, Config: image(id, "application/vnd.example+json")}, ""},
		{"the empty config", Subject{ImageID: emptyConfig}, Pushed{Digest: other, Config: image(emptyConfig, oci)}, ""},
		{"an empty subject", Subject{}, Pushed{Digest: other}, ""},
	} {
		if got := c.subject.Match(c.pushed); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOldEvidenceAndEvidenceToComeAreRefused(t *testing.T) {
	e := evidence("s")
	end := e.Ended()
	for _, c := range []struct {
		now  time.Time
		good bool
	}{
		{end, true}, {end.Add(24 * time.Hour), true}, {end.Add(24*time.Hour + time.Second), false},
		{end.Add(-limits.ClockSkew), true}, {end.Add(-limits.ClockSkew - time.Second), false},
	} {
		if err := e.CheckAge(c.now, 24*time.Hour); (err == nil) != c.good {
			t.Errorf("at %s: %v", c.now, err)
		}
	}
}

func TestCommonIsWhatAllEvidenceSays(t *testing.T) {
	a, b := evidence("s"), evidence("s")
	if d := cmp.Diff(a, Common([]Evidence{a, b})); d != "" {
		t.Error(d)
	}
	b.Run, b.Started, b.Command = "https://ci.example/run/8", at.Add(-time.Minute), NewCommand([]string{"make", "arm"})
	got := Common([]Evidence{a, b})
	want := a
	want.Run, want.Command, want.Started, want.Duration = "", Command{}, at.Add(-time.Minute), 132500*time.Millisecond
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Evidence{}, Common(nil)); d != "" {
		t.Error(d)
	}
}

func TestCISystemsAreKnownByTheirOwnVariables(t *testing.T) {
	const sha = "0123456789abcdef0123456789abcdef01234567"
	for name, c := range map[string]struct {
		env map[string]string
		run string
	}{
		"GitHub Actions": {map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_SHA": sha, "GITHUB_SERVER_URL": "https://github.com",
			"GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "12", "GITHUB_RUN_ATTEMPT": "2"}, "https://github.com/o/r/actions/runs/12/attempts/2"},
		"GitLab CI": {map[string]string{"GITLAB_CI": "true", "CI_COMMIT_SHA": sha, "CI_JOB_URL": "https://gitlab.example/o/r/-/jobs/3"}, "https://gitlab.example/o/r/-/jobs/3"},
		"CodeBuild": {map[string]string{"CODEBUILD_BUILD_ARN": "arn:aws:codebuild:us-west-2:111122223333:build/p:1-2", "CODEBUILD_RESOLVED_SOURCE_VERSION": sha},
			"arn:aws:codebuild:us-west-2:111122223333:build/p:1-2"},
		"Azure Pipelines": {map[string]string{"TF_BUILD": "True", "BUILD_SOURCEVERSION": sha, "SYSTEM_COLLECTIONURI": "https://dev.azure.com/o/",
			"SYSTEM_TEAMPROJECT": "My Project", "BUILD_BUILDID": "9"}, "https://dev.azure.com/o/My%20Project/_build/results?buildId=9"},
		"Buildkite": {map[string]string{"BUILDKITE": "true", "BUILDKITE_COMMIT": sha, "BUILDKITE_BUILD_URL": "https://buildkite.com/o/p/builds/4", "BUILDKITE_JOB_ID": "j"},
			"https://buildkite.com/o/p/builds/4#j"},
		"CircleCI":  {map[string]string{"CIRCLECI": "true", "CIRCLE_SHA1": sha, "CIRCLE_BUILD_URL": "https://circleci.com/gh/o/r/5"}, "https://circleci.com/gh/o/r/5"},
		"Jenkins":   {map[string]string{"JENKINS_URL": "https://ci.example/", "GIT_COMMIT": sha, "BUILD_URL": "https://user:pw@ci.example/job/j/6/"}, "https://ci.example/job/j/6/"},
		"Bitbucket": {map[string]string{"BITBUCKET_BUILD_NUMBER": "8", "BITBUCKET_COMMIT": sha, "BITBUCKET_GIT_HTTP_ORIGIN": "http://bitbucket.org/o/r"}, "http://bitbucket.org/o/r/pipelines/results/8"},
		"Travis CI": {map[string]string{"TRAVIS": "true", "TRAVIS_COMMIT": sha, "TRAVIS_BUILD_WEB_URL": "https://app.travis-ci.com/o/r/builds/1"}, "https://app.travis-ci.com/o/r/builds/1"},
		"Drone":     {map[string]string{"DRONE": "true", "DRONE_COMMIT_SHA": sha, "DRONE_BUILD_LINK": "https://drone.example/o/r/1"}, "https://drone.example/o/r/1"},
	} {
		asked := map[string]bool{}
		got := OriginOf(func(k string) string { asked[k] = true; return c.env[k] })
		if got.Commit != sha || got.Run != c.run {
			t.Errorf("%s: %+v", name, got)
		}
		for _, k := range slices.Sorted(maps.Keys(asked)) {
			for _, secret := range []string{"TOKEN", "PASSWORD", "SECRET", "KEY"} {
				if strings.Contains(k, secret) {
					t.Errorf("%s: %s was read", name, k)
				}
			}
		}
	}
}

func TestWhatACISystemDoesNotTellIsLeftOut(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"no system":                  {"GIT_COMMIT": "x", "BUILD_URL": "https://ci.example"},
		"another value":              {"GITHUB_ACTIONS": "false", "GITHUB_SHA": "x"},
		"nothing told":               {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com"},
		"an address with a newline":  {"GITLAB_CI": "true", "CI_JOB_URL": "https://x\ny", "CI_COMMIT_SHA": "a b"},
		"an address of another kind": {"GITLAB_CI": "true", "CI_JOB_URL": "javascript:alert(1)"},
		"a long address":             {"GITLAB_CI": "true", "CI_JOB_URL": "https://" + strings.Repeat("x", 2000)},
		"HEAD":                       {"BUILDKITE": "true", "BUILDKITE_COMMIT": "HEAD"},
	} {
		if got := OriginOf(func(k string) string { return env[k] }); got != (Origin{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzParseEvidence(f *testing.F) {
	file := &File{Subject: Subject{ImageID: digest.FromString("image")}, Stages: []Evidence{evidence("a"), evidence("b")}}
	b, err := file.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"apiVersion":"shuin.dev/v1","kind":"Evidence","subject":{},"stages":[],"checksum":"sha256:"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Parse(data)
		if err != nil {
			if c := shuin.CodeOf(err); c != shuin.CodeInvalidInput && c != shuin.CodeLimit {
				t.Fatalf("code %s: %v", c, err)
			}
			return
		}
		again, err := got.Marshal()
		if err != nil {
			t.Fatalf("read, and cannot be written: %v", err)
		}
		twice, err := Parse(again)
		if err != nil || !cmp.Equal(got, twice) {
			t.Fatalf("%v\n%s", err, cmp.Diff(got, twice))
		}
		for _, e := range got.Stages {
			if m, err := e.Metadata(got.Subject.String(), nil, size); err == nil {
				if n, _ := size(m); n > limits.SignPayload {
					t.Fatalf("%d bytes", n)
				}
			}
		}
	})
}

func FuzzCommand(f *testing.F) {
	f.Add("make test", "it's")
	f.Add("\xff\n", "朱印")
	f.Fuzz(func(t *testing.T, a, b string) {
		c := NewCommand([]string{a, b})
		if err := c.check("s"); err != nil {
			t.Fatalf("%q: %v", c.Text, err)
		}
	})
}
