package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// stages are those of a deployment that have hooks, in their order
// (types.DeploymentLifecycleHookStage).
var stages = []string{
	"PRE_SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT",
}

func order(stage string) int { return slices.Index(stages, stage) }

// maxCalls bounds how often one hook is called.
const maxCalls = 100

// hookEvent is what a hook's function is given ("Lifecycle hooks for Amazon ECS
// service deployments", Amazon ECS Developer Guide).
type hookEvent struct {
	Execution string          `json:"executionId"`
	Stage     string          `json:"lifecycleStage"`
	Resource  string          `json:"resourceArn"`
	Details   execution       `json:"executionDetails"`
	Hook      json.RawMessage `json:"hookDetails,omitempty"`
}

// execution is executionDetails.
type execution struct {
	Service    string         `json:"serviceArn"`
	Revision   string         `json:"targetServiceRevisionArn"`
	Test       map[string]int `json:"testTrafficWeights"`
	Production map[string]int `json:"productionTrafficWeights"`
}

// hookAnswer is what it answers; another member is no answer.
type hookAnswer struct {
	Status  string          `json:"hookStatus"`
	Delay   int             `json:"callBackDelay"` // seconds
	Details json.RawMessage `json:"hookDetails"`
}

// roll takes a deployment through its stages. Where a hook fails, traffic goes
// back, and moto gets the service as it was.
func (s *services) roll(one *service, d *deployment, r *revision) {
	s.mu.Lock()
	before := one.current
	s.mu.Unlock()
	for at, stage := range stages {
		var err error
		if stage == "POST_SCALE_UP" {
			err = s.started(r)
		}
		if err == nil {
			err = s.hooks(one, d, r, stage, weights(stage, r, before, false))
		}
		if err == nil {
			continue
		}
		for _, shift := range []string{"TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"} {
			if order(shift) < at {
				if failed := s.hooks(one, d, r, shift, weights(shift, r, before, true)); failed != nil {
					s.end(one, d, nil, "ROLLBACK_FAILED", failed.Error())
					return
				}
			}
		}
		s.back(one, d, before, err)
		return
	}
	s.end(one, d, r, "SUCCESSFUL", "")
}

// started has the revision's first task run: the digests are known, which of a
// tag is what it names by now.
func (s *services) started(r *revision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.moves {
		if err := s.tags.move(m); err != nil {
			return err
		}
	}
	s.moves = nil
	images := slices.Clone(r.Images)
	for i, c := range images {
		images[i].Digest = s.tags.digest(c.Image)
	}
	r.Images = images
	return nil
}

// weights are the per cent of the traffic at a stage that shifts it.
func weights(stage string, r, before *revision, back bool) execution {
	x := execution{Service: r.Service, Revision: r.ARN, Test: map[string]int{}, Production: map[string]int{}}
	w := map[string]int{r.ARN: 100}
	if back {
		w[r.ARN] = 0
	}
	if before != nil {
		w[before.ARN] = 100 - w[r.ARN]
	}
	switch stage {
	case "TEST_TRAFFIC_SHIFT":
		x.Test = w
	case "PRODUCTION_TRAFFIC_SHIFT":
		x.Production = w
	}
	return x
}

// hooks calls the hooks of a stage, each until it has answered.
func (s *services) hooks(one *service, d *deployment, r *revision, stage string, x execution) error {
	for _, h := range one.config.Hooks {
		if !slices.Contains(h.Stages, stage) {
			continue
		}
		e := hookEvent{Execution: fmt.Sprintf("e8d5a28f-eb01-4f3c-9454-%012d", order(stage)+1), Stage: stage, Resource: d.ARN, Details: x, Hook: h.Details}
		if err := s.call(&e); err != nil {
			return fmt.Errorf("lifecycle hook %s at %s: %w", h.Target, stage, err)
		}
	}
	return nil
}

// call calls one hook. Everything but SUCCEEDED and IN_PROGRESS rolls back.
func (s *services) call(e *hookEvent) error {
	for range maxCalls {
		payload, err := json.Marshal(e)
		if err != nil {
			return err
		}
		got, err := s.invoke(context.Background(), payload)
		if err != nil {
			return err
		}
		var a hookAnswer
		if err := strict(got.body, &a); got.failed || err != nil {
			return fmt.Errorf("answered %s", got.body)
		}
		switch a.Status {
		case "SUCCEEDED":
			return nil
		case "IN_PROGRESS":
			e.Hook = a.Details
			if !s.sleep(time.Duration(cmp.Or(a.Delay, 30)) * time.Second) {
				return fmt.Errorf("the trial ended")
			}
		default:
			return fmt.Errorf("answered %s", a.Status)
		}
	}
	return fmt.Errorf("answered IN_PROGRESS %d times", maxCalls)
}

// back has moto's service be what it was before.
func (s *services) back(one *service, d *deployment, before *revision, because error) {
	if before == nil {
		s.end(one, d, nil, "ROLLBACK_FAILED", because.Error()+". There is no service revision to go back to")
		return
	}
	_, name, _ := strings.Cut(one.path, "/")
	err := s.known("UpdateService", map[string]string{"cluster": one.cluster, "service": name, "taskDefinition": before.TaskDefinition}, &struct{}{})
	if err != nil {
		s.end(one, d, nil, "ROLLBACK_FAILED", err.Error())
		return
	}
	s.end(one, d, nil, "ROLLBACK_SUCCESSFUL", because.Error())
}

// end ends a deployment; r is the service's revision from then on, if any.
func (s *services) end(one *service, d *deployment, r *revision, status, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.Status, d.Reason, d.Finished = status, reason, now()
	if r != nil {
		one.current = r
	}
}

// sleep waits, and says whether the trial still goes on.
func (s *services) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ends:
		return false
	}
}

// stop ends what waits.
func (s *services) stop() {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	s.mu.Unlock()
	if !ended {
		close(s.ends)
	}
	s.wait.Wait()
}
