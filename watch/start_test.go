package watch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin/watch"
)

const shopOnly = `rules:
  - {name: prod, match: {images: ["reg.example/shop"]}, allow: {digests: ["GOOD"]}}
`

// unstarted is a task that a sweep finds before its images are pulled.
func unstarted(name string, at time.Time) watch.Observation {
	o := swept(name, at, app)
	o.Unstarted = true
	return o
}

func TestATaskThatASweepFindsBeforeItHasStartedIsJudgedAsOneThatStarts(t *testing.T) {
	s, _ := realScene(t, shopOnly)
	s.observe(unstarted("a", s.Now()), watch.Decided)
	s.told("")
	s.after(6 * time.Hour)
	s.observe(swept("a", s.Now(), app), watch.Decided)
	s.told("high app deny tag-refused")
	bad, _ := realScene(t, strings.ReplaceAll(shopOnly, "GOOD", sha("another").String()))
	r := bad.observe(unstarted("a", bad.Now()), watch.Decided)
	bad.told("high app deny digest-not-allowed")
	if r.Findings[0].Phase != watch.Starting {
		t.Errorf("the finding is of phase %s", r.Findings[0].Phase)
	}
}

func TestATaskThatHasNotStartedIsThereAndShowsNothingToBeOver(t *testing.T) {
	s := newScene(t)
	server := &keeper{pager: pager{name: "server"}}
	s.Routes = append(s.Routes, watch.Route{Notifier: server})
	s.Remind = 0
	s.gate.say("reg.example/shop:0", bad)
	s.gate.say(app, good)
	s.observe(task("a", 1, "reg.example/shop:0"), watch.Decided)
	s.told("high app deny unsigned")
	for _, c := range []struct {
		found func() watch.Observation
		want  string
	}{
		{func() watch.Observation { return unstarted("b", s.Now()) }, ""},
		{func() watch.Observation { return swept("b", s.Now(), app) }, "resolved app"},
	} {
		s.after(6 * time.Hour)
		began := s.Now()
		s.observe(c.found(), watch.Decided)
		if _, err := s.EndSweep(t.Context(), began, func(*watch.Subject) bool { return true }); err != nil {
			t.Fatal(err)
		}
		s.told(c.want)
	}
}
