package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sweepWorld has services, each with an image of its own that has a seal of
// each stage, and tasks in turns.
func sweepWorld(tb testing.TB, tasks, services int) (*world, *cloud) {
	w := newWorld(tb)
	c := newCloud(tb, w)
	w.write("pipeline.yaml", stagesPolicy(w.host, func(string) string {
		return "{identities: [\"x509.subject: C=JP, ST=Tokyo, O=Example, CN=ci-build\"], trustStores: [\"ca:ci\"], signatureVerification: {level: strict, override: {revocation: skip}}}"
	}))
	c.ecs.definitions = map[string][]container{}
	for i := range services {
		im := w.push(fmt.Sprint("shop/s", i), fmt.Sprint("image ", i))
		for _, stage := range threeStages {
			w.sealFor(stage, im, ci())
		}
		name := fmt.Sprintf("f%d:1", i)
		c.ecs.definitions[name] = []container{{"app", im.String(), im.Digest}}
		c.ecs.services = append(c.ecs.services, ecsService{fmt.Sprint("s", i), name})
	}
	for i := range tasks {
		of := i % services
		name := fmt.Sprintf("f%d:1", of)
		c.ecs.tasks = append(c.ecs.tasks, ecsTask{fmt.Sprintf("t%06d", i), fmt.Sprint("service:s", of), name, c.ecs.definitions[name]})
	}
	return w, c
}

// swept is what a sweep took: calls of ECS and of DynamoDB, requests of the
// registry, decisions of the gate.
type swept struct{ ecs, dynamo, registry, decisions int }

func sweepOf(tb testing.TB, tasks, services int) swept {
	tb.Helper()
	w, c := sweepWorld(tb, tasks, services)
	f := newLambda(tb, shipped, time.Minute, w.env(c.env("SHUIN_CONFIG", w.config("state: {dynamodb: shuin}", "tell: [{log: true}]", "sweep: {targets: [{}]}"))...))
	defer f.stop()
	body := f.invoke(map[string]any{"shuin": "sweep"}).mustBody(tb)
	var inventory struct {
		Settled  int `json:"settled"`
		Admitted int `json:"admitted"`
	}
	if err := json.Unmarshal(body, &inventory); err != nil || inventory.Settled != tasks+services || inventory.Admitted != tasks+services {
		tb.Errorf("%d tasks and %d services, all good: the inventory is %s (%v)", tasks, services, body, err)
	}
	total, by := counted(c.since(0))
	s := swept{registry: len(w.registry.Log()), dynamo: by["dynamodb:GetItem"] + by["dynamodb:UpdateItem"]}
	s.ecs = total - s.dynamo
	peak := f.peak()
	f.stop() // what it wrote is all there then
	s.decisions = strings.Count(f.logs.String(), `"msg":"decision"`)
	tb.Logf("%d tasks, %d images: %d decisions, %d requests of the registry, %s; %d MB of memory", tasks, services, s.decisions, s.registry, describe(by), peak>>20)
	return s
}

func TestASweepCostsByImagesAndNotByTasks(t *testing.T) {
	for _, c := range []struct {
		tasks, images int
		want          swept
	}{
		// For each image: a service and a group of tasks to be decided, with a
		// claim, its end, and a look at what was told of it; a task definition; a
		// manifest, a list of seals, and three seals.
		{1000, 200, swept{ecs: 243, dynamo: 1200, registry: 1600, decisions: 400}},
		{2000, 200, swept{ecs: 263, dynamo: 1200, registry: 1600, decisions: 400}}, // 20 pages more of tasks
		{1000, 400, swept{ecs: 465, dynamo: 2400, registry: 3200, decisions: 800}},
	} {
		if got := sweepOf(t, c.tasks, c.images); got != c.want {
			t.Errorf("%d tasks of %d images took %+v, want %+v", c.tasks, c.images, got, c.want)
		}
	}
}
