//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/internal/devregistry"
)

const (
	stormMessages   = 10_000
	stormDuplicates = stormMessages / 10
	stormPoison     = stormMessages / 20
	stormServices   = 30
	stormReleases   = 10 // of each service, one after the other
	stormFunctions  = 4  // processes at a time
	stormLife       = 150
	stormReceives   = 10    // of the function's configuration
	stormRedrive    = 14    // maxReceiveCount of the queue
	stormHidden     = 1_300 // how long a message is hidden that was given back
	stormOutage     = 4_000 // the registry answers 429 from here
	stormOutageEnd  = 13_500
)

// stormMessage is a message of the queue.
type stormMessage struct {
	id       string
	body     string
	poison   bool
	received int
	visible  int // from this many deliveries on
}

// stormQueue is a queue of SQS with its dead-letter queue ("Amazon SQS
// visibility timeout", "Using dead-letter queues", Amazon SQS Developer Guide).
// Its time goes on with each delivery, and at once to the next message where
// nothing else is left, so that nothing is waited for.
type stormQueue struct {
	tick func(now int) (away bool) // told of the time; away: the registry is

	mu         sync.Mutex
	settled    sync.Cond
	now        int
	ready      []*stormMessage
	hidden     []*stormMessage // in the order in which they become visible
	inFlight   int
	dead       []*stormMessage
	deliveries int
	away       int // deliveries while the registry was away
	undecided  int // messages that are no poison and were given back
}

// take hands out up to ten messages; none: nothing is left.
func (q *stormQueue) take() (batch []*stormMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if len(q.ready) == 0 && len(q.hidden) > 0 && q.inFlight == 0 {
			q.now = max(q.now, q.hidden[0].visible)
		}
		for len(q.hidden) > 0 && q.hidden[0].visible <= q.now {
			q.ready, q.hidden = append(q.ready, q.hidden[0]), q.hidden[1:]
		}
		if len(q.ready) > 0 || q.inFlight == 0 {
			break
		}
		q.settled.Wait() // the others have what is left in hand
	}
	batch = q.ready[:min(10, len(q.ready))]
	q.ready = q.ready[len(batch):]
	q.inFlight += len(batch)
	q.now += len(batch)
	q.deliveries += len(batch)
	for _, m := range batch {
		m.received++
	}
	if q.tick(q.now) {
		q.away += len(batch)
	}
	return batch
}

// settle deletes what was not given back.
func (q *stormQueue) settle(batch []*stormMessage, back []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.settled.Broadcast()
	q.inFlight -= len(batch)
	for _, m := range batch {
		switch {
		case !slices.Contains(back, m.id):
		case m.received >= stormRedrive:
			q.dead = append(q.dead, m)
		default:
			if !m.poison {
				q.undecided++
			}
			m.visible = q.now + stormHidden
			q.hidden = append(q.hidden, m)
		}
	}
}

// stormWorld is what the events are about.
type stormWorld struct {
	*world
	random *rand.Rand
	side   image
	images [stormServices][stormReleases]image
	newest map[string]int64  // version of each task, by ARN
	bad    map[string]string // digests that have to be told, and their service
	denied map[string]bool   // tasks that run one, by ARN
	run    []ecsTask         // all of them
	events []*stormMessage
	plain  []string // bodies of events, before anything is around them
}

func newStormWorld(t *testing.T) *stormWorld {
	s := &stormWorld{world: newWorld(t), random: rand.New(rand.NewPCG(7, 11)), newest: map[string]int64{}, bad: map[string]string{}, denied: map[string]bool{}}
	s.side = s.push("shop/side", "side")
	s.world.seal(s.side, ci())
	for n := range stormServices {
		for r := range stormReleases {
			im := s.push(fmt.Sprint("shop/s", n), fmt.Sprint("release ", r, " of ", n), fmt.Sprint("v", r))
			switch (n*stormReleases + r) % 10 {
			case 3: // nobody sealed it
				s.bad[im.Digest.String()] = fmt.Sprint("s", n)
			case 8:
				s.world.seal(im, stranger())
				s.bad[im.Digest.String()] = fmt.Sprint("s", n)
			default:
				s.world.seal(im, ci())
			}
			s.images[n][r] = im
		}
	}
	s.tasks()
	s.spoil()
	return s
}

// tasks makes the events of tasks, release after release: one to three
// versions of each task, near each other and in no order; and a tenth of all
// messages is a duplicate.
func (s *stormWorld) tasks() {
	const unique = stormMessages - stormDuplicates - stormPoison
	for n := 0; len(s.events) < unique; n++ {
		service, release := s.random.IntN(stormServices), min(len(s.events)*stormReleases/unique, stormReleases-1)
		im := s.images[service][release]
		id := fmt.Sprintf("%032x", n)
		tag := fmt.Sprintf("%s/%s:v%d", s.host, im.repository, release)
		s.run = append(s.run, ecsTask{id, fmt.Sprint("service:s", service), "shop:7", []container{{"app", tag, im.Digest}, {"side", s.side.String(), s.side.Digest}}})
		for v := 1; v <= 1+n%3 && len(s.events) < unique; v++ {
			var digests [2]digest.Digest
			status := "PROVISIONING"
			if v > 1 || n%3 == 0 {
				status, digests = "RUNNING", [2]digest.Digest{im.Digest, s.side.Digest}
			}
			e := taskEvent(id, v,
				container{"app", tag, digests[0]},
				container{"side", s.side.String(), digests[1]})
			detail := e["detail"].(map[string]any)
			detail["lastStatus"], detail["group"] = status, fmt.Sprint("service:s", service)
			e["id"] = fmt.Sprintf("0a1b2c3d-0000-4000-8000-%012d", len(s.events))
			task := detail["taskArn"].(string)
			s.newest[task] = max(s.newest[task], int64(v))
			s.denied[task] = s.bad[im.Digest.String()] != ""
			s.add(mustJSON(e), false)
		}
	}
	for range stormDuplicates {
		s.add(s.plain[s.random.IntN(unique)], false)
	}
	for i := range s.events[:unique] { // a little out of order
		j := max(0, min(unique-1, i+s.random.IntN(60)-30))
		s.events[i], s.events[j] = s.events[j], s.events[i]
	}
}

// add appends a message; every fourth comes through a topic.
func (s *stormWorld) add(body string, poison bool) {
	n := len(s.events)
	s.plain = append(s.plain, body)
	if n%4 == 0 {
		body = mustJSON(map[string]any{
			"Type": "Notification", "MessageId": fmt.Sprintf("99999999-0000-4000-8000-%012d", n), "TopicArn": "arn:aws:sns:" + region + ":" + account + ":tasks",
			"Message": body, "Timestamp": "2026-11-20T08:15:31.123Z", "SignatureVersion": "1", "Signature": "x", "SigningCertURL": "x", "UnsubscribeURL": "x",
		})
	}
	s.events = append(s.events, &stormMessage{id: fmt.Sprintf("m%05d", n), body: body, poison: poison})
}

// spoil adds what cannot be read, in ten ways, and mixes it and the duplicates
// with the rest.
func (s *stormWorld) spoil() {
	good := func(change func(e, detail map[string]any)) string {
		e := taskEvent("ffff", 1, container{"app", s.images[0][0].String(), s.images[0][0].Digest})
		change(e, e["detail"].(map[string]any))
		return mustJSON(e)
	}
	whole := good(func(_, _ map[string]any) {})
	for n := range stormPoison {
		s.add([]string{
			"not JSON",
			"{}",
			whole[:len(whole)/2],
			strings.Replace(whole, `"detail":{`, `"detail":{"taskArn":"arn:aws:ecs:x",`, 1), // a name twice
			good(func(_, d map[string]any) { delete(d, "taskArn") }),
			good(func(_, d map[string]any) { delete(d, "version") }),
			good(func(_, d map[string]any) { d["version"] = "one" }),
			good(func(_, d map[string]any) { d["lastStatus"] = "RESTING" }),
			good(func(_, d map[string]any) { d["containers"].([]map[string]any)[0]["imageDigest"] = "sha256:short" }),
			good(func(_, d map[string]any) { d["clusterArn"] = "arn:aws:ecs:" + region + ":999988887777:cluster/prod" }),
		}[n%10], true)
	}
	const unique = stormMessages - stormDuplicates - stormPoison
	later := s.events[unique:]
	all := slices.Clone(s.events[:unique])
	for _, m := range later {
		all = slices.Insert(all, s.random.IntN(len(all)+1), m)
	}
	s.events = all
}

func TestInAStormOfEventsEveryTaskIsDecidedOnceAndNothingElseIsGivenUp(t *testing.T) {
	s := newStormWorld(t)
	c := newCloud(t, s.world)
	c.ecs.tasks = s.run
	var asked, sent, lost atomic.Int64
	c.fails = func(action string) (before, after bool) {
		if action == "sns:Publish" || action == "events:PutEvents" {
			return sent.Add(1)%3 == 0, false // what was sent and is not known to be would be sent again
		}
		if n := asked.Add(1); n%500 == 0 {
			before, after = n%1000 == 0, n%1000 == 500
		}
		if after {
			lost.Add(1)
		}
		return before, after
	}
	away := false
	q := &stormQueue{ready: s.events, tick: func(now int) bool {
		switch is := now >= stormOutage && now < stormOutageEnd; {
		case is && !away:
			s.registry.FailNext(devregistry.Fault{Times: -1, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3600"}}})
			away = true
		case away && !is:
			s.registry.ClearFaults()
			away = false
		}
		return away
	}}
	q.settled.L = &q.mu
	env := s.env(c.env("SHUIN_CONFIG", s.config("state: {dynamodb: shuin}", "tell: [{sns: \""+topicARN+"\"}, {eventBus: \""+busARN+"\"}]",
		fmt.Sprintf("events: {receives: %d}", stormReceives), "react: {dangerouslyStopTasks: true}"))...)
	began := time.Now()
	var functions []*lambdaFunction
	var all sync.WaitGroup
	for range stormFunctions {
		f := newLambda(t, shipped, time.Minute, env)
		functions = append(functions, f)
		all.Go(func() { f.serve(q) })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	checkQueue(t, q)
	decisions := checkDecided(t, s, c)
	// A decision whose recording had no answer, and that a newer one followed at
	// once, comes again and is dropped then.
	if told := linesWith(functions, `"disposition":"decided"`); told > decisions || told < decisions-int(lost.Load()) {
		t.Errorf("the logs tell of %d decisions, the table of %d, and %d answers of it were lost", told, decisions, lost.Load())
	}
	for _, text := range []string{`"msg":"panic"`, "DATA RACE"} { // the latter where the binary was built to look for them
		if n := linesWith(functions, text); n > 0 {
			t.Errorf("the logs say %s %d times", text, n)
		}
	}
	checkTellings(t, s, c)
	minutes := int(time.Now().Truncate(time.Minute).Sub(began.Truncate(time.Minute))/time.Minute) + 1
	if n := len(c.stopped); n == 0 || n > min(5*minutes, 30) || slices.ContainsFunc(c.stopped, func(task string) bool { return !s.denied[task] }) {
		t.Errorf("%d tasks were stopped in %d minutes, by all functions together: %q; want at most 5 a minute, and none that is good", n, minutes, c.stopped)
	}
	starts, bad := 0, 0
	for _, is := range s.denied {
		if is {
			bad++
		}
	}
	for _, f := range functions {
		starts += f.Starts()
	}
	total, by := counted(c.since(0))
	t.Logf("%d messages in %d deliveries to %d processes, %d of them while the registry answered 429; %d were given back undecided",
		stormMessages, q.deliveries, starts, q.away, q.undecided)
	t.Logf("one call of DynamoDB in 500 and one message in 3 failed: %d answers of DynamoDB were lost after they had their effect", lost.Load())
	t.Logf("%d tasks, %d decisions recorded, %d findings told, %d of %d bad tasks stopped; %d calls of AWS (%s), %d requests of the registry",
		len(s.newest), decisions, len(c.published), len(c.stopped), bad, total, describe(by), len(s.registry.Log()))
}

// serve takes batches until nothing is left. After stormLife of them the
// process is replaced by a cold one.
func (f *lambdaFunction) serve(q *stormQueue) {
	for n := 1; ; n++ {
		batch := q.take()
		if len(batch) == 0 {
			return
		}
		var messages []message
		for _, m := range batch {
			messages = append(messages, message{id: m.id, body: m.body, received: m.received})
		}
		r := f.invoke(batchOf("shuin", messages...))
		var a struct {
			Failures []struct {
				ID string `json:"itemIdentifier"`
			} `json:"batchItemFailures"`
		}
		if err := json.Unmarshal(r.Body, &a); r.Error != nil || err != nil {
			f.tb.Errorf("answered %s (%+v)", r.Body, r.Error)
		}
		var back []string
		for _, one := range a.Failures {
			back = append(back, one.ID)
		}
		q.settle(batch, back)
		if n%stormLife == 0 {
			f.stop()
		}
	}
}

// linesWith counts lines of the logs.
func linesWith(functions []*lambdaFunction, text string) (n int) {
	for _, f := range functions {
		f.stop() // what it wrote is all there then
		n += strings.Count(f.logs.String(), text)
	}
	return n
}

func checkQueue(t *testing.T, q *stormQueue) {
	t.Helper()
	poison := 0
	for _, m := range q.dead {
		if m.poison {
			poison++
		}
	}
	if poison != stormPoison || len(q.dead) != poison {
		t.Errorf("%d messages are in the dead-letter queue, %d of them can be read; want the %d that cannot", len(q.dead), len(q.dead)-poison, stormPoison)
	}
	if 3*q.away < q.deliveries || q.undecided < q.away/2 {
		t.Errorf("the registry was away for %d deliveries of %d, and %d were given back: that is no third of the run, or nobody noticed", q.away, q.deliveries, q.undecided)
	}
}

// checkDecided holds the table to what happened: the newest version of each
// task was decided once, each older one at most once, and before it.
func checkDecided(t *testing.T, s *stormWorld, c *cloud) (decisions int) {
	t.Helper()
	for task, newest := range s.newest {
		versions := c.table.decided["task/state/"+task]
		decisions += len(versions)
		if len(versions) == 0 || versions[len(versions)-1] != newest || !slices.IsSorted(versions) || len(slices.Compact(slices.Clone(versions))) != len(versions) {
			t.Errorf("%s: versions %v were decided, want each at most once and the newest, %d, last", task, versions, newest)
		}
	}
	for claim := range c.table.decided {
		if task, is := strings.CutPrefix(claim, "task/state/"); is && s.newest[task] == 0 {
			t.Errorf("decided, though no message is about it: %s", claim)
		}
	}
	return decisions
}

// checkTellings holds topic and bus to one message for each bad image of a
// service.
func checkTellings(t *testing.T, s *stormWorld, c *cloud) {
	t.Helper()
	var fromBus []string
	for _, body := range c.put {
		var in struct{ Entries []struct{ Detail string } }
		if err := json.Unmarshal([]byte(body), &in); err != nil || len(in.Entries) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		fromBus = append(fromBus, in.Entries[0].Detail)
	}
	for where, told := range map[string][]string{"topic": c.published, "bus": fromBus} {
		states, digests := map[string]int{}, map[string]string{}
		for _, body := range told {
			var f struct {
				ID, State, Status, Outcome, Digest, Container string
				Subject                                       struct{ Group string }
			}
			if err := json.Unmarshal([]byte(body), &f); err != nil {
				t.Fatal(err)
			}
			if states[f.ID+f.State]++; states[f.ID+f.State] > 1 || f.Status != "open" || f.Outcome != "deny" || f.Container != "app" {
				t.Errorf("the %s was told: %s", where, body)
			}
			digests[f.Digest] = strings.TrimPrefix(f.Subject.Group, "service:")
		}
		if !maps.Equal(digests, s.bad) || len(told) != len(s.bad) {
			t.Errorf("the %s was told %d times of %d images; want each of %d once", where, len(told), len(digests), len(s.bad))
		}
	}
}
