package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// deployedRule is a rule of EventBridge in the deploy kit's template, which
// puts what matches into the function's queue.
type deployedRule struct {
	name                    string
	source, detailType      string
	eventNames, lastStatus  []string
	schedule, otherwiseSent bool
}

// list are the words of a list in a template: [a, b], or a line each.
func list(block, key string) []string {
	m := regexp.MustCompile(`(?m)^ *` + key + `: *(?:\[([^\]]*)\]|((?:\n +- .*)+))`).FindStringSubmatch(block)
	if m == nil {
		return nil
	}
	return regexp.MustCompile(`[A-Za-z][A-Za-z. ]*[A-Za-z]`).FindAllString(m[1]+m[2], -1)
}

// deployedRules are all of them.
func deployedRules(t *testing.T) []deployedRule {
	t.Helper()
	text, err := os.ReadFile("../../deploy/aws/shuin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []deployedRule
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::(Events::Rule|Scheduler::Schedule)\n((?:    .*\n)*)`).FindAllStringSubmatch(string(text), -1) {
		r := deployedRule{name: m[1], eventNames: list(m[3], "eventName"), lastStatus: list(m[3], "lastStatus"), schedule: strings.Contains(m[3], "ScheduleExpression")}
		if source := list(m[3], "source"); len(source) == 1 {
			r.source = source[0]
		}
		if kind := list(m[3], "detail-type"); len(kind) == 1 {
			r.detailType = kind[0]
		}
		r.otherwiseSent = !strings.Contains(m[3], "Arn: !GetAtt Queue.Arn") || strings.Contains(m[3], "InputTransformer") || strings.Contains(m[3], "Input:") || strings.Contains(m[3], "InputPath")
		all = append(all, r)
	}
	return all
}

// recorded are events as AWS writes them, by source, kind and what tells them
// from others of it.
func recorded(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../internal/ecs/testdata/events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	out := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Source     string `json:"source"`
			DetailType string `json:"detail-type"`
			Detail     struct {
				EventName  string `json:"eventName"`
				LastStatus string `json:"lastStatus"`
				ErrorCode  string `json:"errorCode"`
				Result     string `json:"result"`
				Action     string `json:"action-type"`
			} `json:"detail"`
		}
		if json.Unmarshal(text, &e) != nil || e.Detail.ErrorCode != "" || e.Detail.Result == "FAILURE" || e.Detail.Action == "DELETE" {
			continue
		}
		key := e.Source + " " + e.DetailType + " " + e.Detail.EventName + e.Detail.LastStatus
		if out[key] == "" {
			out[key] = string(text)
		}
	}
	return out
}

// What the deploy kit's rules send comes as messages of a queue, each of which
// the function settles: one that it has no way to take would go to the dead
// letters, and what it was about would never be looked at.
func TestWhatEachRuleOfTheDeployKitSendsIsSettled(t *testing.T) {
	w := newWorld(t)
	w.ecs.every = true
	w.runs(container{Name: "web", Image: w.push("shop/web", "web").String()})
	events := recorded(t)
	rules := deployedRules(t)
	if len(rules) < 5 {
		t.Fatalf("%d rules in the template", len(rules))
	}
	f := newLambda(t, shipped, 20*time.Second, w.env("AWS_REGION", region, "SHUIN_CONFIG", w.config("tell: [{log: true}]")))
	for _, r := range rules {
		source, kind, names := r.source, r.detailType, slices.Concat(r.eventNames, r.lastStatus)
		if r.schedule {
			source, kind = "aws.events", "Scheduled Event"
		}
		switch {
		case len(names) == 0 && source == "aws.signer": // every call that is not read-only, known or not
			names = []string{"SignPayload", "StartSigningJob", "PutSigningProfile", "AddProfilePermission", "RemoveProfilePermission", "CancelSigningProfile",
				"RevokeSigningProfile", "RevokeSignature", "TagResource", "UntagResource", "PutSigningProfileAlias"}
		case len(names) == 0:
			names = []string{""}
		}
		if r.otherwiseSent || source == "" || kind == "" {
			t.Errorf("%s does not send whole events of one kind into the queue: this test knows no other", r.name)
			continue
		}
		for _, name := range names {
			t.Run(r.name+" "+name, func(t *testing.T) {
				event, known := events[source+" "+kind+" "+name]
				if !known { // of AWS Signer's all have one form
					event, known = strings.NewReplacer("PutSigningProfile", name, `"profileName"`, `"resourceArn": "arn:aws:signer:eu-west-1:210987654321:/signing-profiles/build", "profileName"`).
						Replace(events[source+" "+kind+" PutSigningProfile"]), source == "aws.signer"
				}
				if !known {
					t.Fatal("package ecs has no recorded event of it: record one")
				}
				if kept := f.kept(batchOf("shuin", message{id: name + ".", received: 10, body: event})); len(kept) != 0 {
					t.Errorf("given back: %v\n%s", kept, f.logs)
				}
			})
		}
	}
	if !slices.Contains(w.ecs.requests(), "ListClusters") {
		t.Error("the schedule's event swept nothing")
	}
}
