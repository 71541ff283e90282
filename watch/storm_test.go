package watch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/watch"
)

const (
	stormUnique     = 9000
	stormDuplicates = 1000
	stormServices   = 60
)

// weather is the time of a storm: it goes on with every attempt, and in its
// second third gate and store fail.
type weather struct {
	mu       sync.Mutex
	attempts int
	random   *rand.Rand
}

func (w *weather) attempt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts++
}

func (w *weather) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return begin.Add(time.Duration(w.attempts) * 20 * time.Millisecond)
}

func (w *weather) bad() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	const all = stormUnique + stormDuplicates
	return w.attempts > all/3 && w.attempts < 2*all/3
}

// strikes says whether a call of the store fails: one in ten in bad weather,
// half of them after they had their effect.
func (w *weather) strikes() (before, after bool) {
	if !w.bad() {
		return false, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.random.IntN(20)
	return n == 0, n == 1
}

// stormy is a store in that weather. It counts what is decided, and knows what
// was sent and could not be recorded as told.
type stormy struct {
	watch.Store
	w          *weather
	mu         sync.Mutex
	decided    map[watch.Claim]int
	order      map[string][]int64 // versions of a key, as they were decided
	unrecorded map[string]int     // by finding, state and notifier
}

func (s *stormy) Begin(ctx context.Context, c watch.Claim, now time.Time, lease time.Duration) (string, error) {
	before, after := s.w.strikes()
	if before {
		return "", errStore
	}
	token, err := s.Store.Begin(ctx, c, now, lease)
	if after {
		return "", errStore
	}
	return token, err
}

func (s *stormy) Done(ctx context.Context, c watch.Claim, token string, now time.Time) error {
	before, after := s.w.strikes()
	if before {
		return errStore
	}
	s.mu.Lock()
	err := s.Store.Done(ctx, c, token, now)
	if err == nil {
		s.decided[c]++
		s.order[c.Key] = append(s.order[c.Key], c.Version)
	}
	s.mu.Unlock()
	if after {
		return errStore
	}
	return err
}

func (s *stormy) Release(ctx context.Context, c watch.Claim, token string) error {
	if before, _ := s.w.strikes(); before {
		return errStore
	}
	return s.Store.Release(ctx, c, token)
}

func (s *stormy) Tell(ctx context.Context, t watch.Telling, now time.Time, remind, lease time.Duration) (watch.Turn, error) {
	before, after := s.w.strikes()
	if before {
		return 0, errStore
	}
	turn, err := s.Store.Tell(ctx, t, now, remind, lease)
	if after {
		return 0, errStore
	}
	return turn, err
}

func (s *stormy) Told(ctx context.Context, t watch.Telling, now time.Time) error {
	before, after := s.w.strikes()
	if before {
		s.mu.Lock()
		s.unrecorded[t.ID+string(t.State)+t.To]++
		s.mu.Unlock()
		return errStore
	}
	err := s.Store.Told(ctx, t, now)
	if after {
		return errStore
	}
	return err
}

func (s *stormy) Tellings(ctx context.Context, id string) ([]watch.Telling, error) {
	if before, _ := s.w.strikes(); before {
		return nil, errStore
	}
	return s.Store.Tellings(ctx, id)
}

// stormEvents are observations of tasks: a third of them of one version, the
// rest of several; a tenth of all is there twice; in no order.
func stormEvents(random *rand.Rand) []watch.Observation {
	var all []watch.Observation
	for n := 0; len(all) < stormUnique; n++ {
		versions := 1 + n%3
		for v := 1; v <= versions && len(all) < stormUnique; v++ {
			service := n % stormServices
			o := task(fmt.Sprint("t", n), int64(v), fmt.Sprintf("reg.example/shop/%d:1", service))
			o.Subject.Group = fmt.Sprint("service:s", service)
			o.Event = fmt.Sprint("e", len(all))
			if v == 1 && versions > 1 {
				o.Phase = watch.Starting
			}
			all = append(all, o)
		}
	}
	for range stormDuplicates {
		all = append(all, all[random.IntN(stormUnique)])
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// queue hands events out, and takes those back that are to come again.
type queue struct {
	mu     sync.Mutex
	events []watch.Observation
	out    int // handed out, and not settled
}

func (q *queue) next() (o watch.Observation, ok, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == 0 {
		return o, false, q.out == 0
	}
	o, q.events = q.events[0], q.events[1:]
	q.out++
	return o, true, false
}

func (q *queue) settle(o watch.Observation, again bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out--
	if again {
		q.events = append(q.events, o)
	}
}

func TestInAStormEverythingIsDecidedOnceAndToldOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	events := stormEvents(random)
	if len(events) != stormUnique+stormDuplicates {
		t.Fatalf("%d events", len(events))
	}
	sky := &weather{random: random}
	store := &stormy{Store: &watch.MemoryStore{}, w: sky, decided: map[watch.Claim]int{}, order: map[string][]int64{}, unrecorded: map[string]int{}}
	admits := &answerer{}
	for i := range stormServices {
		if i%3 == 0 {
			admits.say(fmt.Sprintf("reg.example/shop/%d:1", i), good)
		}
	}
	throttled := &answerer{}
	for i := range stormServices {
		throttled.say(fmt.Sprintf("reg.example/shop/%d:1", i), unknown)
	}
	chat, page := &pager{name: "chat"}, &pager{name: "page"}
	work := &queue{events: append([]watch.Observation(nil), events...)}
	var all sync.WaitGroup
	for range 3 { // functions
		w := &watch.Watcher{
			Store: store, Routes: []watch.Route{{Notifier: chat}, {Notifier: page}}, Now: sky.now, Lease: time.Minute,
			Gate: decider(func(ctx context.Context, w gate.Workload) *gate.Verdict {
				if sky.bad() {
					return throttled.Decide(ctx, w)
				}
				return admits.Decide(ctx, w)
			}),
		}
		for range 4 {
			all.Go(func() { weatherIt(t, w, work, sky) })
		}
	}
	all.Wait()
	checkDecisions(t, store, events)
	for _, p := range []*pager{chat, page} {
		checkTold(t, store, p)
	}
	t.Logf("%d attempts for %d events, %d decisions", sky.attempts, len(events), len(store.decided))
}

// weatherIt observes until nothing is left.
func weatherIt(t *testing.T, w *watch.Watcher, work *queue, sky *weather) {
	for {
		o, ok, over := work.next()
		if over {
			return
		}
		sky.attempt()
		if !ok {
			continue
		}
		r, err := w.Observe(context.Background(), o)
		if err != nil {
			t.Error(err)
			work.settle(o, false)
			continue
		}
		if r.Disposition == watch.Dropped && !errors.Is(r.Reason, watch.ErrDuplicate) && !errors.Is(r.Reason, watch.ErrOlder) {
			t.Errorf("dropped: %v", r.Reason)
		}
		work.settle(o, !r.Ack())
	}
}

func checkDecisions(t *testing.T, store *stormy, events []watch.Observation) {
	t.Helper()
	newest := map[string]int64{}
	for _, o := range events {
		key := "task/state/" + o.Subject.ARN
		newest[key] = max(newest[key], o.Version)
	}
	for key, version := range newest {
		if n := store.decided[watch.Claim{Key: key, Version: version}]; n != 1 {
			t.Errorf("%s, its newest version %d: decided %d times", key, version, n)
		}
		for i, v := range store.order[key] {
			if i > 0 && v <= store.order[key][i-1] {
				t.Errorf("%s: versions were decided in the order %v", key, store.order[key])
			}
		}
	}
	for c, n := range store.decided {
		if n != 1 || c.Version > newest[c.Key] {
			t.Errorf("%v was decided %d times", c, n)
		}
	}
}

func checkTold(t *testing.T, store *stormy, p *pager) {
	t.Helper()
	told := map[string]int{}
	services := map[string]bool{}
	for _, f := range p.got {
		told[f.ID+string(f.State)+p.name]++
		services[f.Subject.Group] = true
		if f.Outcome.String() != "deny" || f.Resolved {
			t.Errorf("%s was told: %s", p.name, f.Line())
		}
	}
	if want := stormServices - stormServices/3; len(told) != want || len(services) != want {
		t.Errorf("%s was told of %d findings of %d services, wanted %d", p.name, len(told), len(services), want)
	}
	for key, n := range told {
		if n != 1 && n > 1+store.unrecorded[key] {
			t.Errorf("%s was told %d times of one finding", p.name, n)
		}
	}
}
