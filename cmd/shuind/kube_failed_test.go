package main

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

func TestASweepThatCouldNotListWhatRunsIsAskedForAgain(t *testing.T) {
	b := newClusterBench(t)
	forbidden := true
	b.core.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return forbidden, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", nil)
	})
	g := b.part(t)
	s := &sweeper{k: g.kube, told: map[string]string{}}
	for len(g.kube.sweeps) > 0 { // for the first rules
		<-g.kube.sweeps
	}
	s.sweep(t.Context())
	if len(g.kube.sweeps) != 1 {
		t.Error("no sweep is asked for")
	}
	if log := b.log(); !strings.Contains(log, "a sweep failed") || !strings.Contains(log, "the verb list on pods in every namespace") {
		t.Errorf("log: %s", log)
	}
	if text := g.text(t); !strings.Contains(text, `shuin_kube_sweeps_total{result="failed"} 1`) {
		t.Errorf("metrics: %s", text)
	}
	<-g.kube.sweeps
	forbidden = false
	s.sweep(t.Context())
	if len(g.kube.sweeps) != 0 {
		t.Error("a sweep that saw all that runs asks for another")
	}
}
