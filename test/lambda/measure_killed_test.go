package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shuin/shuin/internal/devregistry"
	"github.com/shuin/shuin/test/runtimeapi"
)

// lapse has all claims end now.
func (d *dynamoTable) lapse() (longest time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, item := range d.items {
		if until, held := item["until"]; held {
			longest = max(longest, time.Until(time.UnixMilli(numberOf(until))))
			item["until"] = attribute{"N": strconv.FormatInt(time.Now().Add(-time.Second).UnixMilli(), 10)}
		}
	}
	return longest
}

// hanging tells of what somebody came, and answers nobody.
func hanging(arrived chan<- string) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-r.Context().Done()
	})
}

func TestWhatAKilledFunctionHadInHandIsDecidedOnceByTheNext(t *testing.T) {
	w := newWorld(t)
	c := newCloud(t, w)
	good, bad := w.push("shop/web", "good"), w.push("shop/web", "unsigned")
	w.seal(good, ci())
	arrived := make(chan string, 100)
	w.registry.FailNext(devregistry.Fault{Times: -1, Handler: hanging(arrived)})
	env := w.env(c.env("SHUIN_CONFIG", w.config("state: {dynamodb: shuin}", "tell: [{sns: \""+topicARN+"\"}]"))...)
	batch := batchOf("shuin",
		message{id: "good", body: taskEvent("good", 1, container{"web", good.String(), good.Digest})},
		message{id: "bad", body: taskEvent("bad", 1, container{"web", bad.String(), bad.Digest})})
	first := newLambda(t, shipped, 20*time.Second, env)
	ended := make(chan result, 1)
	go func() { ended <- first.invoke(batch) }()
	for waiting := []string{good.Digest.String(), bad.Digest.String()}; len(waiting) > 0; { // who is asked about is claimed
		path := <-arrived
		waiting = slices.DeleteFunc(waiting, func(d string) bool { return strings.Contains(path, d) })
	}
	first.signal(syscall.SIGKILL)
	if r := <-ended; r.Error != runtimeapi.ErrExited {
		t.Fatalf("answered %s (%+v)", r.Body, r.Error)
	}
	w.registry.ClearFaults()

	second := newLambda(t, shipped, 20*time.Second, env)
	if kept := second.kept(batch); !slices.Equal(kept, []string{"good", "bad"}) || len(c.table.decided) != 0 {
		t.Errorf("while the claims of the first hold, %v is given back; want both", kept)
	}
	if longest := c.table.lapse(); longest <= 0 || longest > 40*time.Second {
		t.Errorf("a claim of a function with 20 seconds holds for %s: its queue would give the message up before", longest)
	}
	if kept := second.kept(batch); len(kept) != 0 {
		t.Errorf("once they have ended, %v is given back", kept)
	}
	for _, task := range []string{"good", "bad"} {
		if versions := c.table.decided["task/state/"+taskARN(task)]; !slices.Equal(versions, []int64{1}) {
			t.Errorf("task %s was decided in versions %v", task, versions)
		}
	}
	if len(c.published) != 1 {
		t.Errorf("%d findings were told, want one", len(c.published))
	}
}
