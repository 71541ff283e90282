package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
)

const (
	repoPipeline = "demo/pipeline"
	cluster      = "prod-1"
	storeStages  = "stages" // trust store of the signer's root
)

// stages are those of the pipeline, each with the signing profile that seals
// it. (A profile's name has no hyphen.)
var stages = []struct{ stage, profile string }{{"build", "build"}, {"unit-test", "unit_test"}, {"scan", "scan"}}

// delivery is the second part of the demo: an image on its way to production.
type delivery struct {
	*demo
	image            string // as the deployment names it
	policy, manifest string // files in the demo's directory, where shuin runs
	evidence         string // of a stage that ran before the push
	steps            []row
}

// pipeline takes an image through its stages, and checks its deploy after each.
func (d *demo) pipeline(ctx context.Context, server string) (rows []row, err error) {
	p := &delivery{
		demo: d, image: d.ref(repoPipeline, "v1"),
		policy: "pipeline.yaml", manifest: "deployment.yaml", evidence: "evidence.json",
	}
	d.title("A pipeline: start a signer of our own (shuind dev), with a signing profile for each stage")
	signer, err := startSigner(ctx, server, filepath.Join(d.shell.home, "signer"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, signer.stop()) }()
	d.shell.more = signer.env
	for _, step := range []func(context.Context) error{
		p.profiles, p.files, p.testBeforePush, p.build, p.testAfterPush, p.redeem, p.scan, p.revokeSeal, p.except, p.report,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p.steps, nil
}

// profiles makes the signing profiles and trusts the signer's root.
func (p *delivery) profiles(ctx context.Context) error {
	for _, s := range stages {
		if err := p.shell.must(ctx, "signer", "profile", "put", s.profile); err != nil {
			return err
		}
	}
	return p.shell.must(ctx, "cert", "add", "--type", "signingAuthority", "--store", storeStages, filepath.Join("signer", "ca", "root.pem"))
}

// policyText is the pipeline policy: three stages, and who seals each.
func (p *delivery) policyText() string {
	var b strings.Builder
	b.WriteString("apiVersion: shuin.dev/v1\nkind: PipelinePolicy\nstages:\n")
	for _, s := range stages {
		fmt.Fprintf(&b, "  %s:\n    signers: [{signingProfile: \"%s\", trustStores: [\"signingAuthority:%s\"]}]\n", s.stage, profileARN(s.profile), storeStages)
	}
	b.WriteString("    metadata: {critical: \"0\"}\n") // of scan, the last
	fmt.Fprintf(&b, "rules:\n  - name: production\n    match: {images: [\"%s/demo/**\"], clusters: [\"prod-*\"]}\n    require: {all: [build, unit-test, scan]}\n", p.client.address)
	return b.String()
}

// files writes the policy and what is to be deployed, and shows them.
func (p *delivery) files(ctx context.Context) error {
	p.title("One reviewed file says what an image has to have passed, and where")
	manifest := `apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  template:
    spec:
      containers:
        - {name: shop, image: ` + p.image + `}
`
	if err := p.write(p.policy, p.policyText()); err != nil {
		return err
	}
	if err := p.write(p.manifest, manifest); err != nil {
		return err
	}
	return p.shell.must(ctx, "policy", "lint", p.policy)
}

// write writes a file and shows it.
func (p *delivery) write(name, text string) error {
	fmt.Fprintf(p.out, "  %s:\n", name)
	for line := range strings.Lines(text) {
		fmt.Fprint(p.out, "    ", line)
	}
	return os.WriteFile(filepath.Join(p.shell.home, name), []byte(text), 0o600)
}

// want runs shuin and wants an exit status.
func (p *delivery) want(ctx context.Context, status int, args ...string) error {
	r, err := p.shell.run(ctx, args...)
	if err == nil && r.status != status {
		err = fmt.Errorf("shuin %s: exit status %d, want %d", quoted(args), r.status, status)
	}
	return err
}

// The commands of the stages. A failing one has a status of its own, which
// `shuin seal` passes on.
const failed = 3

func passing(what string) []string { return []string{"--", "sh", "-c", "echo " + what} }
func failing(what string) []string { return []string{"--", "sh", "-c", "echo " + what + "; exit 3"} }

// testBeforePush: a test that fails before the push leaves no evidence, and
// what nobody sealed is denied.
func (p *delivery) testBeforePush(ctx context.Context) error {
	p.title("Before the push: the tests fail, and leave no evidence that could be redeemed")
	if err := p.want(ctx, failed, append(p.record(), failing("2 of 3 tests passed")...)...); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.shell.home, p.evidence)); err == nil {
		return fmt.Errorf("%s is there after a command that failed", p.evidence)
	}
	p.title("Push the image all the same, and check its deploy: nothing is sealed")
	if err := p.client.push(ctx, repoPipeline, "v1", p.demo.image); err != nil {
		return err
	}
	return p.check(ctx, "pushed, nothing sealed", "unsigned: build, unit-test, scan", statusNotVerified)
}

// record is the command that binds a stage to the image that was built here.
func (p *delivery) record() []string {
	return []string{"seal", "--record", p.evidence, "--image-id", p.demo.image.imageID(), "--stage", "unit-test"}
}

func (p *delivery) build(ctx context.Context) error {
	p.title("Seal the build: shuin runs the command, and seals only because it succeeds")
	if err := p.want(ctx, 0, append(p.seal("build"), passing("built")...)...); err != nil {
		return err
	}
	return p.check(ctx, "build sealed", "stage-missing: unit-test, scan", statusNotVerified)
}

// seal is the command up to what is to be run; the policy says which profile signs.
func (p *delivery) seal(stage string, flags ...string) []string {
	return append([]string{"seal", p.image, "--stage", stage, "--policy", p.policy}, flags...)
}

func (p *delivery) testAfterPush(ctx context.Context) error {
	p.title("The tests fail again, after the push: no seal")
	if err := p.want(ctx, failed, append(p.seal("unit-test"), failing("2 of 3 tests passed")...)...); err != nil {
		return err
	}
	return p.check(ctx, "test command failed (status 3)", "stage-missing: unit-test, scan", statusNotVerified)
}

func (p *delivery) redeem(ctx context.Context) error {
	p.title("The tests are mended: evidence recorded for the local image is redeemed for the pushed one")
	if err := p.want(ctx, 0, append(p.record(), passing("3 of 3 tests passed")...)...); err != nil {
		return err
	}
	if err := p.want(ctx, 0, "seal", p.image, "--from", p.evidence, "--policy", p.policy); err != nil {
		return err
	}
	return p.check(ctx, "unit-test sealed", "stage-missing: scan", statusNotVerified)
}

func (p *delivery) scan(ctx context.Context) error {
	p.title("A scan that found something is signed as such, and the policy wants another result")
	if err := p.want(ctx, 0, p.seal("scan", "--user-metadata", "critical=3")...); err != nil {
		return err
	}
	if err := p.check(ctx, "scan sealed with critical=3", "metadata-mismatch: scan", statusNotVerified); err != nil {
		return err
	}
	p.title("The scan is clean: all three are there")
	if err := p.want(ctx, 0, p.seal("scan", "--user-metadata", "critical=0")...); err != nil {
		return err
	}
	if err := p.check(ctx, "all three sealed", "admitted", statusVerified); err != nil {
		return err
	}
	return p.want(ctx, statusVerified, "verify", "--policy", p.policy, "--cluster", cluster, "--pins", p.image)
}

// revokeSeal takes one seal back at the signer.
func (p *delivery) revokeSeal(ctx context.Context) error {
	p.title("The test job's machine was broken into: its seal is revoked")
	v, _, err := p.verdict(ctx)
	if err != nil {
		return err
	}
	job := v.job("unit-test")
	if job == "" {
		return fmt.Errorf("no signing job is named in the verdict: %+v", v)
	}
	if err := p.want(ctx, 0, "signer", "revoke", "--yes", "--reason", "the test job's machine was broken into", job); err != nil {
		return err
	}
	return p.check(ctx, "unit-test's seal revoked", "revoked: unit-test", statusNotVerified)
}

// except lets the image in all the same, for a day.
func (p *delivery) except(ctx context.Context) error {
	p.title("It has to run tonight: an exception, with a reason, an owner and an end")
	until := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	text := p.policyText() + fmt.Sprintf("exceptions:\n  - images: [\"%s/%s@%s\"]\n    reason: INC-4711\n    owner: sre@example.com\n    expires: %s\n",
		p.client.address, repoPipeline, p.demo.image.Digest, until)
	if err := p.write(p.policy, text); err != nil {
		return err
	}
	return p.check(ctx, "excepted", "admitted by exception INC-4711", statusVerified)
}

// report asks which pushed images passed which stages.
func (p *delivery) report(ctx context.Context) error {
	p.title("Which pushed images passed which stages?")
	other, err := packProgram(p.shell.program, "the next release")
	if err != nil {
		return err
	}
	if err := p.client.push(ctx, repoPipeline, "v2", other); err != nil {
		return err
	}
	args := []string{"report", "--policy", p.policy, "--cluster", cluster, p.client.address + "/" + repoPipeline}
	if err := p.want(ctx, 0, args...); err != nil {
		return err
	}
	r, err := p.shell.quiet(ctx, append(args, "--output", "json")...)
	if err != nil {
		return err
	}
	var said struct {
		Repositories []struct {
			Images []struct {
				Tags    []string
				Outcome string
				Missing []string
			}
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil || len(said.Repositories) != 1 {
		return fmt.Errorf("no report: %w: %s%s", err, r.stdout, r.stderr)
	}
	var got []string
	for _, i := range said.Repositories[0].Images {
		line := strings.Join(i.Tags, ",") + " " + i.Outcome
		if len(i.Missing) > 0 {
			line += " (" + strings.Join(i.Missing, ", ") + ")"
		}
		got = append(got, line)
	}
	slices.Sort(got)
	p.steps = append(p.steps, row{name: "report", want: "v1 admit; v2 deny (build, unit-test, scan)", got: strings.Join(got, "; "), wantStatus: 0, status: r.status})
	return nil
}

// answer is what the demo reads of a verdict.
type answer struct {
	Outcome   string
	Allowed   bool
	Reason    struct{ Code shuin.Code }
	Exception *struct{ Reason string }
	Stages    []struct {
		Stage, Outcome string
		Required       bool
	}
	Signatures []struct {
		SigningJob   string
		UserMetadata map[string]string
	}
}

// job is the signing job of a stage's signature.
func (a *answer) job(stage string) string {
	for _, s := range a.Signatures {
		if s.UserMetadata[shuin.MetadataStage] == stage {
			return s.SigningJob
		}
	}
	return ""
}

// short is the answer in a word: its code and the stages that are missing.
func (a *answer) short() string {
	switch {
	case a.Outcome == "admit" && a.Exception != nil:
		return "admitted by exception " + a.Exception.Reason
	case a.Outcome == "admit":
		return "admitted"
	}
	var missing []string
	for _, s := range a.Stages {
		if s.Required && s.Outcome != "passed" {
			missing = append(missing, s.Stage)
		}
	}
	return string(a.Reason.Code) + ": " + strings.Join(missing, ", ")
}

// check runs `shuin check` on the deployment and notes what it says.
func (p *delivery) check(ctx context.Context, name, want string, wantStatus int) error {
	r, err := p.shell.run(ctx, p.checking()...)
	if err != nil {
		return err
	}
	v, status, err := p.verdict(ctx)
	if err != nil {
		return err
	}
	if status != r.status {
		return fmt.Errorf("asked again, shuin check has status %d instead of %d", status, r.status)
	}
	p.steps = append(p.steps, row{name: name, want: want, got: v.short(), wantStatus: wantStatus, status: status})
	return nil
}

func (p *delivery) checking() []string {
	return []string{"check", "--policy", p.policy, "--cluster", cluster, p.manifest}
}

// verdict is what `shuin check --output json` says.
func (p *delivery) verdict(ctx context.Context) (*answer, int, error) {
	r, err := p.shell.quiet(ctx, append(p.checking(), "--output", "json")...)
	if err != nil {
		return nil, 0, err
	}
	var said []struct{ Verdict struct{ Images []answer } }
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil || len(said) != 1 || len(said[0].Verdict.Images) != 1 {
		return nil, 0, fmt.Errorf("no verdict: %w: %s%s", err, r.stdout, r.stderr)
	}
	return &said[0].Verdict.Images[0], r.status, nil
}
