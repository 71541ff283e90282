package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/shuin/shuin/internal/limits"
)

// checkPolicy reads the policy and the trust stores where these are files. A
// bundle's signature is verified as the function would, which may ask the
// network whether its signer was revoked.
func checkPolicy(s *settings, env func(string) string) error {
	if s.Policy.Bundle != "" && !remote(s.Policy.Bundle) {
		logger := slog.New(slog.DiscardHandler)
		p, err := newPolicies(s, newCaller(logger), env, logger)
		if err != nil {
			return err
		}
		return p.look(context.Background())
	}
	if s.Policy.File == "" {
		return nil
	}
	data, err := readFile(s.path(s.Policy.File), limits.PolicyBytes, "PolicyBytes")
	if err != nil {
		return err
	}
	p := &policies{config: &s.Policy, stores: s.trustDir(slog.New(slog.DiscardHandler))}
	_, err = p.rules(context.Background(), data)
	return err
}

// describe says in words what the function would do.
func (s *settings) describe() []string {
	lines := []string{"The function is in " + s.Mode + " mode."}
	if s.warns() {
		lines[0] += " Every lifecycle hook is answered SUCCEEDED; nothing is blocked or stopped."
	}
	where := cmp.Or(s.Policy.File, s.Policy.S3, s.Policy.Bundle)
	if s.Policy.S3 != "" || remote(s.Policy.Bundle) {
		where += ", looked at again after " + s.Policy.Refresh.String()
	}
	if c := &s.Policy.SignedBy; c.set() {
		where += ", signed by " + cmp.Or(c.SigningProfile, strings.Join(c.Identities, " or "))
	}
	if s.Policy.SHA256 != "" {
		where += ", pinned to " + s.Policy.pin().String()
	}
	lines = append(lines, "It decides by "+where+".",
		fmt.Sprintf("A lifecycle hook whose images cannot be checked is asked again %d times, %s apart, and fails then.", s.Hook.Retries, s.Hook.RetryAfter))
	switch {
	case s.State.DynamoDB != "":
		lines = append(lines, "What was decided and told is kept in the DynamoDB table "+s.State.DynamoDB+".")
	case s.State.shared():
		lines = append(lines, "What was decided and told is kept by the server "+s.State.Server.URL+".")
	default:
		lines = append(lines, "What was told is remembered by each instance of the function alone: findings may be told more than once (neither state.dynamodb nor state.server is set).")
	}
	var told []string
	for i := range s.Tell {
		t := &s.Tell[i]
		name := t.kinds()[0]
		if t.Name != "" {
			name += " (" + t.Name + ")"
		}
		told = append(told, name)
	}
	if len(told) == 0 {
		told = []string{"nobody: they are in the function's log only"}
	}
	lines = append(lines, "Findings are told to "+strings.Join(told, ", ")+".")
	if s.React.DangerouslyStopTasks {
		lines = append(lines, "It STOPS TASKS whose image a rule that enforces denies.")
	}
	if s.React.DangerouslyDeregisterTaskDefinitions {
		lines = append(lines, "It DEREGISTERS TASK DEFINITIONS whose image a rule that enforces denies.")
	}
	if s.reactionsOff {
		lines = append(lines, "All reactions are switched off by "+envReactions+".")
	}
	return lines
}
