//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/internal/keys/file"
	"github.com/shuin/shuin/internal/shuintest"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/seal"
	"github.com/shuin/shuin/sign"
	"github.com/shuin/shuin/verify"
)

// failingTarget stores signatures until it fails.
type failingTarget struct {
	target
	good   int // signatures that are stored
	stored []digest.Digest
}

func (f *failingTarget) PushSignature(_ context.Context, a shuin.Artifact, mediaType string, envelope []byte, _ map[string]string) (shuin.Descriptor, error) {
	if len(f.stored) >= f.good {
		return shuin.Descriptor{}, &shuin.Error{Code: shuin.CodeUnavailable, Message: "the registry is gone"}
	}
	f.stored = append(f.stored, a.Digest())
	return shuin.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(envelope), Size: int64(len(envelope))}, nil
}

// sealsFor are works of one stage for several images, and a signer.
func sealsFor(t *testing.T, n int) (map[string]*stageSigner, []sealWork) {
	t.Helper()
	c, err := shuintest.NewChain(chainOptions("ci", nil))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "k"), filepath.Join(dir, "c")
	for name, data := range map[string][]byte{key: c.KeyPEM(), cert: c.PEM()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k, err := file.Load(key, cert)
	if err != nil {
		t.Fatal(err)
	}
	var works []sealWork
	for i := range n {
		a, err := shuin.NewArtifact(shuin.Reference{Registry: "r.example", Repository: "app"}, shuin.Descriptor{
			MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString(fmt.Sprint(i)), Size: 10})
		if err != nil {
			t.Fatal(err)
		}
		works = append(works, sealWork{sealTarget: sealTarget{artifact: a}, evidence: seal.Evidence{Stage: "scan", Tool: "t"}})
	}
	return map[string]*stageSigner{"scan": {&sign.Signer{Key: k}, sign.Options{MediaType: shuin.MediaTypeJWS}}}, works
}

func TestWhatFailsMidwaySaysWhatWasStored(t *testing.T) {
	signers, works := sealsFor(t, 3)
	a := &app{now: time.Now}
	repo := &failingTarget{good: 2}
	done, err := a.sealAll(t.Context(), repo, signers, works, storing{})
	if len(done) != 2 || done[0].artifact.Digest() != works[0].artifact.Digest() || done[1].signature == "" {
		t.Errorf("%d are told as done", len(done))
	}
	if err == nil || !strings.Contains(err.Error(), "2 of 3 seals were stored, then that of stage scan of "+works[2].artifact.String()) ||
		shuin.CodeOf(err) != shuin.CodeUnavailable || shuin.HintOf(err) == "" {
		t.Error(err)
	}
	var out strings.Builder
	a.stdout = &out
	if got := a.printSeals(&sealOptions{output: outputFlag{value: "json"}}, works[2].artifact, done, nil, err); !errors.Is(got, err) {
		t.Error(got)
	}
	if !strings.Contains(out.String(), `"complete": false`) || strings.Count(out.String(), `"signature"`) != 2 {
		t.Error(out.String())
	}
}

func TestNothingIsStoredWhereOneSealCannotBeMade(t *testing.T) {
	signers, works := sealsFor(t, 3)
	works[2].evidence.Stage = " "
	signers[" "] = signers["scan"]
	repo := &failingTarget{good: 3}
	if done, err := (&app{now: time.Now}).sealAll(t.Context(), repo, signers, works, storing{}); err == nil || len(done)+len(repo.stored) != 0 {
		t.Errorf("%d stored, %v", len(repo.stored), err)
	}
	_, many := sealsFor(t, 1)
	for len(many) < 257 {
		many = append(many, many[0])
	}
	if _, err := (&app{now: time.Now}).sealAll(t.Context(), repo, signers, many, storing{}); shuin.CodeOf(err) != shuin.CodeLimit {
		t.Error(err)
	}
}

func TestStagesRecordedAtOnceAreAllInTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "e.json")
	subject := seal.Subject{ImageID: digest.FromString("image")}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			e := seal.Evidence{Stage: fmt.Sprint("s", i), Ran: true, Started: time.Now()}
			if _, err := addEvidence(t.Context(), name, subject, e, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f, err := evidenceFor(t.Context(), name, subject)
	if err != nil || len(f.Stages) != 20 {
		t.Fatalf("%v, %d stages", err, len(f.Stages))
	}
	entries, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %d files are left", err, len(entries))
	}
}

func TestALockThatIsHeldIsNotWaitedForLongerThanTheContextLasts(t *testing.T) {
	name := filepath.Join(t.TempDir(), "e.json")
	unlock, err := lockFile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := lockFile(ctx, name); err == nil || err.Error() != "enough" {
		t.Error(err)
	}
	unlock()
	again, err := lockFile(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// movedTarget resolves tags to what it holds.
type movedTarget struct {
	target
	tags map[string]shuin.Descriptor
	err  error
}

func (m *movedTarget) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	if m.err != nil {
		return shuin.Artifact{}, m.err
	}
	return shuin.NewArtifact(ref, m.tags[ref.Tag])
}

func (m *movedTarget) Discover(context.Context, shuin.Reference) (shuin.Artifact, verify.Signatures, error) {
	panic("not asked")
}

func TestATagHasToNameTheSameToTheEnd(t *testing.T) {
	d := func(s string) shuin.Descriptor {
		return shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString(s), Size: 1}
	}
	ref := shuin.Reference{Registry: "r.example", Repository: "app", Tag: "v1"}
	artifact, err := shuin.NewArtifact(ref, d("one"))
	if err != nil {
		t.Fatal(err)
	}
	byDigest, err := shuin.NewArtifact(shuin.Reference{Registry: "r.example", Repository: "app", Digest: d("one").Digest}, d("one"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		artifact shuin.Artifact
		now      *movedTarget
		want     shuin.Code
	}{
		{"the same", artifact, &movedTarget{tags: map[string]shuin.Descriptor{"v1": d("one")}}, ""},
		{"another", artifact, &movedTarget{tags: map[string]shuin.Descriptor{"v1": d("two")}}, shuin.CodeTagMoved},
		{"gone", artifact, &movedTarget{err: &shuin.Error{Code: shuin.CodeNotFound}}, shuin.CodeTagMoved},
		{"not told", artifact, &movedTarget{err: &shuin.Error{Code: shuin.CodeThrottled}}, shuin.CodeThrottled},
		{"no tag to ask about", byDigest, &movedTarget{err: errors.New("asked")}, ""},
	} {
		if got := shuin.CodeOf(checkTag(t.Context(), c.now, c.artifact)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// indexTarget is an index of platforms and what a registry says of each.
type indexTarget struct {
	target
	platforms []shuin.Platform
	size      int64 // that the registry tells; 0: what the index tells
}

func (x *indexTarget) Platforms(context.Context, shuin.Artifact) ([]shuin.Platform, error) {
	return x.platforms, nil
}

func (x *indexTarget) Config(context.Context, shuin.Artifact) (shuin.Descriptor, error) {
	panic("not asked")
}

func (x *indexTarget) Resolve(_ context.Context, ref shuin.Reference) (shuin.Artifact, error) {
	for _, p := range x.platforms {
		if p.Descriptor.Digest == ref.Digest && ref.Tag == "" {
			d := p.Descriptor
			if x.size != 0 {
				d.Size = x.size
			}
			return shuin.NewArtifact(ref, d)
		}
	}
	return shuin.Artifact{}, &shuin.Error{Code: shuin.CodeNotFound}
}

func TestPlatformsAreSealedOnceEachAndAsTheRegistryHasThem(t *testing.T) {
	index, err := shuin.NewArtifact(shuin.Reference{Registry: "r.example", Repository: "app", Tag: "v1"}, shuin.Descriptor{
		MediaType: "application/vnd.oci.image.index.v1+json", Digest: digest.FromString("index"), Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	platform := func(arch, content string) shuin.Platform {
		return shuin.Platform{OS: "linux", Architecture: arch, Descriptor: shuin.Descriptor{
			MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString(content), Size: 7}}
	}
	repo := &indexTarget{platforms: []shuin.Platform{platform("amd64", "a"), platform("arm64", "b"), platform("arm", "a")}}
	got, err := platformTargets(t.Context(), repo, index)
	if err != nil || len(got) != 2 || got[0].platform != "linux/amd64, linux/arm" || got[1].artifact.String() != "r.example/app@"+digest.FromString("b").String() {
		t.Errorf("%+v %v", got, err)
	}
	repo.size = 8
	if _, err := platformTargets(t.Context(), repo, index); shuin.CodeOf(err) != shuin.CodeMalformed {
		t.Error(err)
	}
	repo.size = 0
	for i := range 65 {
		repo.platforms = append(repo.platforms, platform(fmt.Sprint("x", i), fmt.Sprint("x", i)))
	}
	if _, err := platformTargets(t.Context(), repo, index); shuin.CodeOf(err) != shuin.CodeLimit || !strings.Contains(err.Error(), "SealTargets") {
		t.Error(err)
	}
}

func TestAnOCILayoutWithoutATagHasToHoldOneImage(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		`{"manifests":[]}`: "holds 0 images",
		`{"manifests":[{"digest":"sha256:1"},{"digest":"sha256:2"}]}`: "holds 2 images: say which",
		`{`:                                     "read ",
		`{"manifests":[{"digest":"sha256:1"}]}`: "",
	} {
		if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		ref, err := layoutReference(t.Context(), dir)
		if want == "" && (err != nil || ref.Digest != "sha256:1") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestStagesThatCanBeSealedAreThoseAPolicyCanHave(t *testing.T) {
	for r := rune(0); r < 0x250; r++ {
		for _, name := range []string{string(r), "a" + string(r), string(r) + "a", "a" + string(r) + "a", strings.Repeat(string(r), 63), strings.Repeat(string(r), 64)} {
			if policy, sealed := pipeline.ValidStage(name), seal.CheckStage(name) == nil; policy != sealed {
				t.Fatalf("%q: a policy can have it: %v; it can be sealed: %v", name, policy, sealed)
			}
		}
	}
	if pipeline.ValidStage("") || seal.CheckStage("") == nil {
		t.Error("the empty name is taken")
	}
}

// envTerminalProbe makes the test binary say what it takes SIGINT for.
const envTerminalProbe = "SHUIN_TEST_TERMINAL_PROBE"

func TestTerminalProbe(t *testing.T) {
	if os.Getenv(envTerminalProbe) == "" {
		t.Skip("run by the test below")
	}
	fmt.Printf("INT %v QUIT %v TERM %v HUP %v\n", sentByTerminal(syscall.SIGINT), sentByTerminal(syscall.SIGQUIT), sentByTerminal(syscall.SIGTERM), sentByTerminal(syscall.SIGHUP))
}

// probe is what a process in a session of its own says, at the terminal if there is one.
func probe(t *testing.T, tty *os.File) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestTerminalProbe$")
	cmd.Env = append(os.Environ(), envTerminalProbe+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if tty != nil {
		cmd.Stdin = tty
		cmd.SysProcAttr.Setctty = true
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func TestWithoutATerminalEverySignalIsHandedOn(t *testing.T) {
	if got := probe(t, nil); got != "INT false QUIT false TERM false HUP false" {
		t.Error(got)
	}
}
