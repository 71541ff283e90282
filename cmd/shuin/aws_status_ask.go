package main

import (
	"context"
	"sync"
	"time"

	"github.com/shuin/shuin/internal/awsdeploy"
)

// stackAsker asks about the parts of one stack. The names of the parts are the
// logical names of deploy/aws/shuin.yaml.
type stackAsker struct {
	reader *awsdeploy.Reader
	now    time.Time

	stack     awsdeploy.Stack
	resources map[string]awsdeploy.Resource
	seen      map[string]awsdeploy.Seen // by logical name; of rules and the function
	seenErr   error
	alarms    map[string]awsdeploy.Alarm
	alarmsErr error
}

// stackPartAsks are the parts in the order they are told.
func (s *stackAsker) parts() []func(context.Context) stackPart {
	all := []func(context.Context) stackPart{s.stackItself, s.function, s.mode, s.policy, s.hookRole}
	for _, r := range stackRules() {
		all = append(all, func(ctx context.Context) stackPart { return s.rule(ctx, r) })
	}
	all = append(all, s.trail, s.queue, s.deadLetters, s.mapping, s.table, s.topic)
	for _, logical := range stackAlarms() {
		all = append(all, func(context.Context) stackPart { return s.alarm(logical) })
	}
	return all
}

// ask reads the stack, and then all of its parts at a time.
func (s *stackAsker) ask(ctx context.Context, name string) (*stackStatus, error) {
	var err error
	if s.stack, err = s.reader.Stack(ctx, name); err != nil {
		return nil, err
	}
	list, err := s.reader.Resources(ctx, name)
	if err != nil {
		return nil, err
	}
	s.resources = map[string]awsdeploy.Resource{}
	for _, r := range list {
		s.resources[r.Logical] = r
	}
	var first sync.WaitGroup
	first.Go(func() { s.seen, s.seenErr = s.lastSeen(ctx) })
	first.Go(func() { s.alarms, s.alarmsErr = s.allAlarms(ctx) })
	first.Wait()

	asks := s.parts()
	status := &stackStatus{MediaType: stackStatusType, Stack: s.stack.ID, AskedAt: s.now.UTC().Truncate(time.Second), Parts: make([]stackPart, len(asks))}
	var all sync.WaitGroup
	for i, ask := range asks {
		all.Go(func() { status.Parts[i] = ask(ctx) })
	}
	all.Wait()
	status.judge()
	return status, nil
}

// part begins the answer about a resource; false where the stack has none.
func (s *stackAsker) part(name, logical string) (stackPart, awsdeploy.Resource, bool) {
	r, ok := s.resources[logical]
	ok = ok && r.Physical != ""
	return stackPart{Name: name, ID: r.Physical}, r, ok
}

// absent is the answer about a part that the stack does not have: it was
// deployed without it, or it lost it.
func (s *stackAsker) absent(p stackPart, parameter, off string) stackPart {
	if value := s.stack.Parameters[parameter]; value == "no" || value == "" {
		return p.off(off + " (" + parameter + ")")
	}
	return p.lost()
}

// lost is the answer about a part that every stack has, where this has none.
func (p stackPart) lost() stackPart {
	return p.bad("the stack has none", "deploy the stack again with the template that \"shuin aws template\" prints")
}

// lastSeen asks when rules and function last had something to do.
func (s *stackAsker) lastSeen(ctx context.Context) (map[string]awsdeploy.Seen, error) {
	var names []string
	var metrics []awsdeploy.Metric
	for _, r := range stackRules() {
		if found, ok := s.resources[r.logical]; ok {
			names = append(names, r.logical)
			metrics = append(metrics, awsdeploy.Metric{Namespace: "AWS/Events", Name: "TriggeredRules", Dimension: "RuleName", Value: found.Physical})
		}
	}
	if found, ok := s.resources[partFunction]; ok {
		names = append(names, partFunction)
		metrics = append(metrics, awsdeploy.Metric{Namespace: "AWS/Lambda", Name: "Invocations", Dimension: "FunctionName", Value: found.Physical})
	}
	if len(metrics) == 0 {
		return nil, nil
	}
	list, err := s.reader.LastSeen(ctx, metrics, s.now)
	if err != nil {
		return nil, err
	}
	seen := map[string]awsdeploy.Seen{}
	for i, name := range names {
		seen[name] = list[i]
	}
	return seen, nil
}

func (s *stackAsker) allAlarms(ctx context.Context) (map[string]awsdeploy.Alarm, error) {
	var names []string
	for _, logical := range stackAlarms() {
		if found, ok := s.resources[logical]; ok {
			names = append(names, found.Physical)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return s.reader.Alarms(ctx, names)
}

// last adds to a part that is well when it last saw something.
func (s *stackAsker) last(p stackPart, logical string) stackPart {
	seen := s.seen[logical]
	switch {
	case s.seenErr != nil:
		p.Says += "; CloudWatch could not be asked when the last event came"
	case seen.At.IsZero():
		p.Says += "; no event in two weeks"
	default:
		p.LastEvent = &seen.At
		p.Says += "; last event in the hour from " + clock(seen.At)
	}
	return p
}
