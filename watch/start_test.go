package watch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/pipeline"
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

func TestWhatRunsAndNobodyTellsIsToldOnceHoweverManyTasksStart(t *testing.T) {
	for name, wait := range map[string]time.Duration{"within a minute": time.Minute, "less than once a day": 27 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s, _ := realScene(t, shopOnly)
			s.Remind = 0
			want := "high app deny tag-refused"
			for _, name := range []string{"a", "b", "c"} {
				o := task(name, 1, app)
				o.Phase = watch.Starting
				s.observe(o, watch.Decided)
				s.told("")
				s.after(wait)
				s.observe(task(name, 2, app), watch.Decided)
				s.told(want)
				s.after(wait)
				s.observe(unstarted(name, s.Now()), watch.Decided)
				if _, err := s.EndSweep(t.Context(), s.Now(), nil); err != nil {
					t.Fatal(err)
				}
				s.told("")
				want = ""
			}
			// Another task that tells what it runs says nothing of these.
			o := task("d", 1, app)
			o.Images[0].Running = sha("good")
			s.observe(o, watch.Decided)
			if wait < time.Hour {
				s.told("")
			} else {
				s.told("resolved app") // for its age
			}
		})
	}
}

func TestWhatNobodyTellsIsOverOnceATaskMayRunIt(t *testing.T) {
	s, _ := realScene(t, shopOnly)
	s.observe(task("a", 1, app), watch.Decided)
	s.told("high app deny tag-refused")
	strict := s.Gate
	may, _ := realScene(t, strings.Replace(shopOnly, "[\"GOOD\"]}", "[\"GOOD\"]}, tags: allowUnpinned", 1))
	s.Gate = may.Gate
	o := task("b", 1, app)
	o.Phase = watch.Starting
	s.observe(o, watch.Decided)
	s.told("")
	s.observe(task("b", 2, app), watch.Decided)
	s.told("resolved app")
	s.Gate = strict
	s.observe(task("b", 3, app), watch.Decided)
	s.told("high app deny tag-refused")
}

// TestAStartEndsNothingThatCouldNotBeCheckedOfWhatRuns: what the tag names for a
// task that starts need not be what another runs.
func TestAStartEndsNothingThatCouldNotBeCheckedOfWhatRuns(t *testing.T) {
	resolved := unknown
	resolved.digest = sha("good")
	for name, c := range map[string]struct {
		said said
		told string
	}{
		"the tag could not be resolved":   {unknown, "medium app undecided registry-throttled"},
		"what it names was not looked at": {resolved, "medium app undecided registry-throttled"},
		"it can never be resolved":        {said{outcome: pipeline.Deny, code: shuin.CodeMalformed, rule: "shop"}, "high app deny malformed-answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.gate.say(app, c.said)
			o := task("a", 1, app)
			o.Last = true
			s.observe(o, watch.Decided)
			s.told(c.told)
			s.gate.say(app, good)
			o = task("b", 1, app)
			o.Phase = watch.Starting
			s.observe(o, watch.Decided)
			s.told("")
			s.observe(task("b", 2, app), watch.Decided)
			s.told("resolved app")
		})
	}
}

// What is written by digest is what runs, whoever starts it.
func TestAStartEndsWhatCouldNotBeCheckedOfTheSameDigest(t *testing.T) {
	s := newScene(t)
	pinned := "reg.example/shop@" + string(sha("good"))
	dark := unknown
	dark.digest = sha("good")
	s.gate.say(pinned, dark)
	o := task("a", 1, pinned)
	o.Last = true
	s.observe(o, watch.Decided)
	s.told("medium app undecided registry-throttled")
	s.gate.say(pinned, good)
	o = task("b", 1, pinned)
	o.Phase = watch.Starting
	s.observe(o, watch.Decided)
	s.told("resolved app")
}
