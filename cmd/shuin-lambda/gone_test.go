package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/ecs"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// lists keeps what it is told, and says that all of it is open.
type lists struct{ *hears }

func (l lists) Open(context.Context, string) (all []watch.Listed, next string, err error) {
	for _, f := range l.told {
		if !f.Resolved {
			all = append(all, watch.Listed{Finding: f, Own: true})
		}
	}
	return all, "", nil
}

// TestARevisionThatCanStillBeStartedIsNotGone: a sweep sees the newest of a
// family, or what runs, under IDs of their own; the one that was told at its
// registration is active all the same.
func TestARevisionThatCanStillBeStartedIsNotGone(t *testing.T) {
	definition := func(revision, cluster, image string, phase watch.Phase) watch.Observation {
		o := sweptTask("")
		o.Subject.Kind, o.Subject.Group, o.Subject.Cluster = watch.TaskDefinition, "family:shop", cluster
		o.Subject.ARN = "arn:aws:ecs:eu-west-1:111122223333:task-definition/shop:" + revision
		o.Phase, o.Where.Cluster, o.Images = phase, cluster, []gate.Image{{Name: "web", Written: image}}
		return o
	}
	const evil = "shop.example/evil:1"
	asked := definition("5", "prod", evil, watch.Requested)
	asked.Subject.Group = "mine" // as whoever calls RunTask chooses
	for name, c := range map[string]struct {
		told, swept watch.Observation
		wanted      int // findings, none of which is over
	}{
		"a newer one has an image of another repository": {definition("5", "", evil, watch.Registered), definition("6", "", "shop.example/web:1", watch.Swept), 1},
		"it runs, and is swept where it runs":            {definition("5", "", evil, watch.Registered), definition("5", "prod", evil, watch.Swept), 2},
		"it was started in a group of its own":           {asked, definition("5", "prod", evil, watch.Swept), 2},
	} {
		t.Run(name, func(t *testing.T) {
			f, ear := watchedWorld(func(_ context.Context, image string) pipeline.Outcome {
				if strings.Contains(image, "evil") {
					return pipeline.Deny
				}
				return pipeline.Admit
			})
			now := time.Now()
			f.settings.region, f.watcher.Now = "eu-west-1", func() time.Time { return now }
			f.watcher.Routes = []watch.Route{{Notifier: lists{ear}}}
			if r, err := f.watcher.Observe(t.Context(), c.told); err != nil || !r.Ack() {
				t.Fatal(r, err)
			}
			now = now.Add(6 * time.Hour)
			c.swept.At = now
			s := &sweeping{function: f}
			if err := s.found(t.Context(), ecs.Found{Observation: c.swept}); err != nil {
				t.Fatal(err)
			}
			if _, err := f.watcher.EndSweep(t.Context(), now, f.settings.covers("111122223333")); err != nil {
				t.Fatal(err)
			}
			if len(ear.told) != c.wanted {
				t.Errorf("told %+v", ear.told)
			}
			for _, f := range ear.told {
				if f.Resolved {
					t.Errorf("over: %s", f.Message)
				}
			}
		})
	}
}
