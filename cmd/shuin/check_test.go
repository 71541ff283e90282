package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/buildinfo"
	"github.com/shuin/shuin/internal/manifest"
	"github.com/shuin/shuin/pipeline"
)

// Answers of every sort about the images of three inputs, as the gate gives them.

var checkedAt = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)

func imageVerdict(t *testing.T, written string, change func(*gate.ImageVerdict)) gate.ImageVerdict {
	t.Helper()
	v := gate.ImageVerdict{Image: gate.Image{Name: "app", Written: written}, Outcome: pipeline.Admit, Allowed: true, Rule: "shop"}
	ref, err := shuin.ParseReference(written)
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromString(ref.Repository)
	if ref.Digest != "" {
		d = ref.Digest
	}
	v.Artifact, err = shuin.NewArtifact(ref, shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d, Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&v)
	}
	return v
}

func stages(pairs ...any) []pipeline.StageResult {
	var out []pipeline.StageResult
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, pipeline.StageResult{Stage: pairs[i].(string), Required: true, Outcome: pairs[i+1].(shuin.Outcome)})
	}
	return out
}

func checkedWorld(t *testing.T) ([]*deployed, []*checked) {
	t.Helper()
	file := &deployed{file: "k8s/api deploy.yaml", File: manifest.File{Format: manifest.Kubernetes}}
	task := &deployed{taskDefinition: "arn:aws:ecs:us-west-2:111122223333:task-definition/shop:7", service: "prod/shop", File: manifest.File{Format: manifest.TaskDefinition}}
	empty := &deployed{file: "config.yaml", File: manifest.File{Format: manifest.Kubernetes}}
	pinned := "registry.test/shop/pinned@" + digest.FromString("x").String()
	missing := &shuin.Error{Code: shuin.CodeStageMissing, Message: "missing stages: unit-test (no seal)\x1b[31m", Hint: "shuin seal IMAGE --stage unit-test\n-- make test"}
	images := []gate.ImageVerdict{
		imageVerdict(t, "registry.test/shop/good:v1", func(v *gate.ImageVerdict) {
			v.Stages = append(stages("build", shuin.Passed, "unit-test", shuin.Passed), pipeline.StageResult{Stage: "approve", Outcome: shuin.Failed})
		}),
		imageVerdict(t, "registry.test/shop/denied:v1", func(v *gate.ImageVerdict) {
			v.Outcome, v.Allowed, v.Err = pipeline.Deny, false, missing
			v.Stages = stages("build", shuin.Passed, "unit-test", shuin.Failed)
		}),
		imageVerdict(t, pinned, func(v *gate.ImageVerdict) {
			v.Outcome, v.Mode, v.Err = pipeline.Deny, pipeline.Warn, missing
			v.Stages = stages("build", shuin.Failed, "unit-test", shuin.Failed)
		}),
		imageVerdict(t, "registry.test/shop/away:v1", func(v *gate.ImageVerdict) {
			v.Outcome, v.Allowed = pipeline.Undecided, false
			v.Err = &shuin.Error{Code: shuin.CodeUnavailable, Message: "list signatures", Err: errors.New("connection refused")}
			v.Stages = stages("build", shuin.Unknown, "unit-test", shuin.Unknown)
		}),
	}
	again := append([]gate.ImageVerdict{images[1]}, images[1])
	again[1].Image.Name = "again"
	more := []gate.ImageVerdict{
		imageVerdict(t, "registry.test/shop/excepted:v1", func(v *gate.ImageVerdict) {
			v.Exception = &pipeline.Exception{Reason: "INC-4711", Owner: "sre@example.com", Expires: checkedAt.Add(24 * time.Hour)}
		}),
		imageVerdict(t, "registry.test/shop/loose:v1", func(v *gate.ImageVerdict) { v.Unpinned, v.Rule = true, "" }),
		imageVerdict(t, "registry.test/shop/before:v1", func(v *gate.ImageVerdict) {
			v.Outcome, v.LastGood, v.Err = pipeline.Undecided, checkedAt.Add(-time.Hour), &shuin.Error{Code: shuin.CodeThrottled, Message: "429"}
		}),
	}
	workload := func(from *deployed, kind, name string, vs []gate.ImageVerdict) *checked {
		item := &manifest.Item{Source: manifest.Source{Document: 1, Line: 1, Kind: kind, Name: name, Namespace: "shop"}}
		for i, v := range vs {
			item.Places = append(item.Places, manifest.Place{Line: 10 + i, Path: "spec", Written: v.Image.Written})
			item.Workload.Images = append(item.Workload.Images, v.Image)
		}
		return &checked{Item: item, from: from, verdict: &gate.Verdict{Images: vs}}
	}
	return []*deployed{file, empty, task}, []*checked{
		workload(file, "Deployment", "api", images), workload(file, "CronJob", "night", again), workload(task, "TaskDefinition", "shop", more),
	}
}

// golden compares with testdata/check/NAME, or writes it where UPDATE_SCRIPTS is 1.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "check", name)
	if os.Getenv("UPDATE_SCRIPTS") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestCheckSaysTheSameInEachFormat(t *testing.T) {
	for _, format := range []string{"table", "junit", "sarif"} {
		t.Run(format, func(t *testing.T) {
			inputs, list := checkedWorld(t)
			var out bytes.Buffer
			a := &app{name: "shuin", stdout: &out}
			if err := a.printChecked(format, inputs, list); err != nil {
				t.Fatal(err)
			}
			if strings.ContainsRune(out.String(), '\x1b') || strings.Contains(out.String(), `\u001b`) {
				t.Error("a terminal can be steered")
			}
			version, _ := buildinfo.Version()
			golden(t, format, strings.ReplaceAll(out.String(), `"version": "`+version+`"`, `"version": "VERSION"`))
		})
	}
}

func TestJUnitCountsWhatIsInIt(t *testing.T) {
	inputs, list := checkedWorld(t)
	var out bytes.Buffer
	if err := writeJUnit(&out, (&app{name: "shuin"}).checkSuites(inputs, list)); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 9 || got.Failures != 3 || got.Errors != 1 || len(got.Suites) != 3 || got.Suites[1].Tests != 0 {
		t.Errorf("%+v", got)
	}
	byName := map[string]junitCase{}
	for _, s := range got.Suites {
		for _, c := range s.Cases {
			byName[c.Name] = c
		}
	}
	if c := byName["app: registry.test/shop/away:v1"]; c.Error == nil || c.Failure != nil || c.Error.Type != "registry-unavailable" {
		t.Errorf("undecided is no error: %+v", c)
	}
	for name, c := range byName {
		if strings.Contains(name, "pinned") && (c.Failure != nil || c.Error != nil || !strings.Contains(c.Output, "allowed: mode warn")) {
			t.Errorf("warned has to pass and say so: %+v", c)
		}
	}
}

func TestSARIFPlacesWhatIsInFiles(t *testing.T) {
	_, list := checkedWorld(t)
	b, err := json.Marshal((&app{name: "shuin"}).sarif(list))
	if err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	if err := json.Unmarshal(b, &log); err != nil {
		t.Fatal(err)
	}
	levels := map[string]int{}
	for _, r := range log.Runs[0].Results {
		levels[r.Level]++
		if got := log.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID; got != r.RuleID {
			t.Errorf("rule %d is %s, not %s", r.RuleIndex, got, r.RuleID)
		}
		p := r.Locations[0].Physical
		if inFile := r.RuleID != sarifException && r.RuleID != sarifUnpinned && r.RuleID != "registry-throttled"; inFile != (p != nil) {
			t.Errorf("%s: %+v", r.RuleID, r.Locations)
		} else if inFile && (p.Artifact.URI != "k8s/api%20deploy.yaml" || p.Region.StartLine < 10) {
			t.Errorf("%+v", p)
		}
	}
	if diff := cmp.Diff(map[string]int{"error": 4, "warning": 2, "note": 2}, levels); diff != "" {
		t.Error(diff)
	}
}

func TestPathsBecomeURIs(t *testing.T) {
	for path, want := range map[string]string{
		"a.yaml": "a.yaml", "./k8s/../k8s/a b#1.yaml": "k8s/a%20b%231.yaml", "a:b.yaml": "./a:b.yaml", "../x": "../x",
	} {
		if got := fileURI(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := fileURI("/etc/x y.yaml"); got != "file:///etc/x%20y.yaml" && filepath.IsAbs("/etc/x y.yaml") {
		t.Error(got)
	}
}

func TestDeniedCountsBeforeUndecided(t *testing.T) {
	_, list := checkedWorld(t)
	a := &app{name: "shuin", stderr: &bytes.Buffer{}}
	if err := checkedError(list); a.exit(err) != exitFailed || err.Error() != "3 of 9 images may not run" {
		t.Errorf("%v", err)
	}
	away := &checked{Item: list[0].Item, verdict: &gate.Verdict{Images: list[0].verdict.Images[3:]}}
	if err := checkedError([]*checked{list[2], away}); a.exit(err) != exitUndecided || err.Error() != "could not decide about 1 of 4 images" {
		t.Errorf("%v", err)
	}
	if err := checkedError(list[2:]); err != nil {
		t.Errorf("allowed, and yet: %v", err)
	}
}

func TestAThousandContainersOfOneImageAreOneRowAndOneReason(t *testing.T) {
	v := imageVerdict(t, "registry.test/shop/denied:v1", func(v *gate.ImageVerdict) {
		v.Outcome, v.Allowed, v.Err = pipeline.Deny, false, &shuin.Error{Code: shuin.CodeUnsigned, Message: "no signature"}
	})
	c := &checked{Item: &manifest.Item{Source: manifest.Source{Kind: "Pod", Name: "p"}}, from: &deployed{file: "p.yaml"}, verdict: &gate.Verdict{}}
	for range 1000 {
		c.verdict.Images = append(c.verdict.Images, v)
		c.Places = append(c.Places, manifest.Place{Line: 7})
	}
	var out bytes.Buffer
	if err := (&app{name: "shuin", stdout: &out}).printChecked("table", nil, []*checked{c}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "shop/denied:v1"); n != 2 || !strings.Contains(out.String(), "and 999 more places") {
		t.Errorf("%d: %s", n, out.String())
	}
}
