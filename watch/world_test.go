package watch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const account, region = "111122223333", "ap-northeast-1"

// answerer is a gate that knows what to say of a reference, or of what runs.
// What it is not told is denied as unsigned.
type answerer struct {
	mu      sync.Mutex
	answers map[string]said
	asked   []gate.Workload
}

type said struct {
	outcome pipeline.Outcome
	code    shuin.Code
	rule    string
	mode    pipeline.Mode
	digest  digest.Digest // empty: not resolved
	missing []string
	allowed bool
	excepts *pipeline.Exception
}

func (g *answerer) say(reference string, s said) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.answers == nil {
		g.answers = map[string]said{}
	}
	g.answers[reference] = s
}

func (g *answerer) Decide(_ context.Context, w gate.Workload) *gate.Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, w)
	v := &gate.Verdict{Policy: digest.FromString("policy"), Outcome: pipeline.Admit, Allowed: true}
	for _, image := range w.Images {
		s, known := g.answers[image.Written]
		if !known {
			s = said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, rule: "shop", digest: sha(image.Written)}
		}
		v.Images = append(v.Images, s.verdict(image))
		if s.outcome != pipeline.Admit {
			v.Outcome, v.Allowed = s.outcome, v.Allowed && s.allowed
		}
	}
	return v
}

func (s said) verdict(image gate.Image) gate.ImageVerdict {
	iv := gate.ImageVerdict{Image: image, Outcome: s.outcome, Allowed: s.outcome == pipeline.Admit || s.allowed, Rule: s.rule, Mode: s.mode, Exception: s.excepts}
	if ref, err := shuin.ParseReference(image.Written); err == nil && s.digest != "" {
		ref.Digest = ""
		iv.Artifact, err = shuin.NewArtifact(ref, shuin.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: s.digest, Size: 1})
		if err != nil {
			panic(err)
		}
	}
	if s.outcome != pipeline.Admit {
		iv.Err = &shuin.Error{Code: s.code, Message: fmt.Sprintf("rule %q: it is %s", s.rule, s.code), Hint: "seal it"}
	}
	for _, stage := range s.missing {
		iv.Stages = append(iv.Stages, pipeline.StageResult{Stage: stage, Required: true, Missing: true, Outcome: shuin.Failed})
	}
	return iv
}

func sha(s string) digest.Digest { return digest.FromString(s) }

var (
	bad       = said{outcome: pipeline.Deny, code: shuin.CodeUnsigned, rule: "shop", digest: sha("bad")}
	good      = said{outcome: pipeline.Admit, rule: "shop", digest: sha("good")}
	unknown   = said{outcome: pipeline.Undecided, code: shuin.CodeThrottled, rule: "shop"}
	tagIsGone = said{outcome: pipeline.Deny, code: shuin.CodeNotInIndex, rule: "shop", digest: sha("new")}
)

// pager is a notifier that can be broken.
type pager struct {
	name string
	mu   sync.Mutex
	got  []watch.Finding
	fail bool
}

func (p *pager) Name() string { return p.name }

func (p *pager) Notify(_ context.Context, f watch.Finding) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail {
		return errors.New("nobody answers")
	}
	p.got = append(p.got, f)
	return nil
}

// take is what was told since it was asked last, one line each.
func (p *pager) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []string
	for _, f := range p.got {
		line := string(f.Severity) + " " + f.Container + " " + f.Outcome.String() + " " + string(f.Code)
		switch {
		case f.Resolved:
			line = "resolved " + f.Container
		case f.Reminder:
			line = "still " + line
		}
		if f.Kind != watch.NotAdmitted {
			line = string(f.Severity) + " " + string(f.Kind)
			if f.Resolved {
				line += ": over"
			}
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	p.got = nil
	return strings.Join(lines, "\n")
}

// scene is a watcher with all that it needs.
type scene struct {
	*watch.Watcher
	t     *testing.T
	gate  *answerer
	store *watch.MemoryStore
	pager *pager
	mu    sync.Mutex
	now   time.Time
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, gate: &answerer{}, store: &watch.MemoryStore{}, pager: &pager{name: "pager"}, now: begin}
	s.Watcher = &watch.Watcher{
		Gate: s.gate, Store: s.store, Routes: []watch.Route{{Notifier: s.pager}}, Remind: 24 * time.Hour,
		Now: func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now },
	}
	return s
}

func (s *scene) after(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// observe wants a disposition, and gives what was told.
func (s *scene) observe(o watch.Observation, want watch.Disposition) *watch.Result {
	s.t.Helper()
	r, err := s.Observe(context.Background(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Disposition != want {
		s.t.Fatalf("%s (%v), wanted %s", r.Disposition, r.Reason, want)
	}
	if r.Ack() != (want != watch.Retry) || (r.Reason == nil) != (want == watch.Decided) {
		s.t.Fatalf("%s: acknowledged %t, because %v", r.Disposition, r.Ack(), r.Reason)
	}
	return r
}

func (s *scene) told(want string) {
	s.t.Helper()
	if got := s.pager.take(); got != want {
		s.t.Fatalf("told:\n%s\nwanted:\n%s", got, want)
	}
}

// task is an observation of a task of the service shop, with one container.
func task(name string, version int64, image string) watch.Observation {
	return watch.Observation{
		Subject: watch.Subject{
			Kind: watch.Task, ARN: "arn:aws:ecs:" + region + ":" + account + ":task/prod/" + name, Account: account, Region: region,
			Cluster: "prod", Group: "service:shop", TaskDefinition: "arn:aws:ecs:" + region + ":" + account + ":task-definition/shop:7",
			StartedBy: "ecs-svc/1234567890123456789",
		},
		Phase: watch.Running, Version: version, At: begin, Where: pipeline.Where{Cluster: "prod"},
		Images: []gate.Image{{Name: "app", Written: image}}, Event: "event-" + name,
	}
}

func definition(revision int64, image string) watch.Observation {
	o := task("", revision, image)
	o.Subject.Kind, o.Subject.Group, o.Subject.Cluster, o.Phase = watch.TaskDefinition, "family:shop", "", watch.Registered
	o.Subject.ARN = fmt.Sprintf("arn:aws:ecs:%s:%s:task-definition/shop:%d", region, account, revision)
	return o
}
