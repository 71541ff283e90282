package ecs

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/internal/limits"
)

// execution is what a lifecycle hook is about: in executionDetails, or, in the
// older shape, beside it.
type execution struct {
	Service           string             `json:"serviceArn"`
	Revision          string             `json:"targetServiceRevisionArn"`
	TestWeights       map[string]float64 `json:"testTrafficWeights"`
	ProductionWeights map[string]float64 `json:"productionTrafficWeights"`
}

// parseHook reads a lifecycle hook of ECS, in either shape.
func parseHook(payload []byte, members map[string]jsontext.Value) (Event, error) {
	var top struct {
		ExecutionID string         `json:"executionId"`
		Stage       string         `json:"lifecycleStage"`
		Deployment  string         `json:"resourceArn"`
		Details     jsontext.Value `json:"hookDetails"`
		Execution   jsontext.Value `json:"executionDetails"`
	}
	if err := decode("", payload, &top); err != nil {
		return Event{}, err
	}
	at, place := "", payload
	if has(top.Execution) {
		at, place = "executionDetails", top.Execution
		for _, name := range []string{"serviceArn", "targetServiceRevisionArn", "testTrafficWeights", "productionTrafficWeights"} {
			if members[name] != nil {
				return Event{}, malformed(name, "beside executionDetails: which of them counts is not clear")
			}
		}
	}
	var x execution
	if err := decode(at, place, &x); err != nil {
		return Event{}, err
	}
	h := &HookEvent{
		ExecutionID: top.ExecutionID, Stage: top.Stage, Deployment: top.Deployment, Service: x.Service, Revision: x.Revision,
		TestWeights: x.TestWeights, ProductionWeights: x.ProductionWeights,
	}
	if has(top.Details) {
		h.Details = slices.Clone([]byte(top.Details))
	}
	if err := h.check(at); err != nil {
		return Event{}, err
	}
	r, err := h.place(at)
	if err != nil {
		return Event{}, err
	}
	return Event{Kind: KindHook, What: strings.TrimSpace("lifecycle hook " + awscall.Printable(h.Stage, 60)), ID: h.ExecutionID,
		Account: r.account, Region: r.region, Hook: h}, nil
}

// check holds the members to their bounds.
func (h *HookEvent) check(at string) error {
	if err := check(text{join(at, "targetServiceRevisionArn"), h.Revision}); err != nil {
		return err
	}
	if err := bounded(text{"executionId", h.ExecutionID}, text{"lifecycleStage", h.Stage}, text{"resourceArn", h.Deployment}, text{join(at, "serviceArn"), h.Service}); err != nil {
		return err
	}
	if len(h.Details) > limits.HookDetailsBytes {
		return tooMuch("hookDetails", len(h.Details), "bytes", limits.HookDetailsBytes, "HookDetailsBytes")
	}
	for name, weights := range map[string]map[string]float64{"testTrafficWeights": h.TestWeights, "productionTrafficWeights": h.ProductionWeights} {
		if len(weights) > limits.EventWeights {
			return tooMuch(join(at, name), len(weights), "service revisions", limits.EventWeights, "EventWeights")
		}
		for arn, w := range weights {
			if !(w >= 0 && w <= 100) {
				return malformed(join(at, name), "%s has %v per cent of the traffic", awscall.Printable(arn, 300), w)
			}
		}
	}
	return nil
}

// place is the service revision taken apart; the service and the deployment
// have to be in the same place, and of the same service, where they are named.
func (h *HookEvent) place(at string) (resource, error) {
	field := join(at, "targetServiceRevisionArn")
	r, err := arnOf(field, h.Revision, "ecs", "service-revision")
	if err != nil {
		return r, err
	}
	part := strings.Split(r.path, "/")
	if len(part) != 3 || slices.Contains(part, "") {
		return r, malformed(field, "%q does not name cluster, service and revision", awscall.Printable(h.Revision, 300))
	}
	own := part[0] + "/" + part[1]
	if h.Service != "" {
		s, err := arnOf(join(at, "serviceArn"), h.Service, "ecs", "service")
		if err != nil {
			return r, err
		}
		if err := s.in(join(at, "serviceArn"), r.account, r.region); err != nil {
			return r, err
		}
		if s.path != own && s.path != part[1] {
			return r, malformed(join(at, "serviceArn"), "the service is %s, and the revision is one of %s", s.path, own)
		}
	}
	if h.Deployment != "" {
		d, err := arnOf("resourceArn", h.Deployment, "ecs", "service-deployment")
		if err != nil {
			return r, err
		}
		if err := d.in("resourceArn", r.account, r.region); err != nil {
			return r, err
		}
		if !strings.HasPrefix(d.path, own+"/") {
			return r, malformed("resourceArn", "the deployment is of %s, and the revision of %s", d.path, own)
		}
	}
	return r, nil
}

// parseCodeDeploy reads a lifecycle hook of CodeDeploy.
func parseCodeDeploy(payload []byte, _ map[string]jsontext.Value) (Event, error) {
	var in struct {
		Deployment string `json:"DeploymentId"`
		Execution  string `json:"LifecycleEventHookExecutionId"`
	}
	if err := decode("", payload, &in); err != nil {
		return Event{}, err
	}
	if err := check(text{"DeploymentId", in.Deployment}, text{"LifecycleEventHookExecutionId", in.Execution}); err != nil {
		return Event{}, err
	}
	return Event{Kind: KindCodeDeploy, What: "CodeDeploy lifecycle hook", ID: in.Execution,
		CodeDeploy: &CodeDeployEvent{Deployment: in.Deployment, Execution: in.Execution}}, nil
}

// parseCodePipeline reads a job of CodePipeline.
func parseCodePipeline(payload []byte, _ map[string]jsontext.Value) (Event, error) {
	var in struct {
		Job struct {
			ID      string `json:"id"`
			Account string `json:"accountId"`
			Data    struct {
				Action struct {
					Configuration struct {
						Parameters string `json:"UserParameters"`
					} `json:"configuration"`
				} `json:"actionConfiguration"`
				Continuation string `json:"continuationToken"`
			} `json:"data"`
		} `json:"CodePipeline.job"`
	}
	if err := decode("", payload, &in); err != nil {
		return Event{}, err
	}
	j := in.Job
	const at = "CodePipeline.job"
	if err := check(text{at + ".id", j.ID}); err != nil {
		return Event{}, err
	}
	if !awsprofile.ValidAccount(j.Account) {
		return Event{}, malformed(at+".accountId", "%q is no account", awscall.Printable(j.Account, 60))
	}
	if n := len(j.Data.Action.Configuration.Parameters); n > limits.JobParameters {
		return Event{}, tooMuch(at+".data.actionConfiguration.configuration.UserParameters", n, "bytes", limits.JobParameters, "JobParameters")
	}
	if err := bounded(text{at + ".data.continuationToken", j.Data.Continuation}); err != nil {
		return Event{}, err
	}
	return Event{Kind: KindCodePipeline, What: "CodePipeline job", ID: j.ID, Account: j.Account,
		CodePipeline: &CodePipelineEvent{Job: j.ID, Account: j.Account, Parameters: j.Data.Action.Configuration.Parameters, Continuation: j.Data.Continuation}}, nil
}
