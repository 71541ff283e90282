package ecs

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/awscall"
)

// envelope is what EventBridge puts around every event ("Events structure
// reference", Amazon EventBridge User Guide).
type envelope struct {
	Version    string         `json:"version"`
	ID         string         `json:"id"`
	DetailType string         `json:"detail-type"`
	Source     string         `json:"source"`
	Account    string         `json:"account"`
	Time       string         `json:"time"`
	Region     string         `json:"region"`
	Resources  []string       `json:"resources"`
	Detail     jsontext.Value `json:"detail"`

	at string // where the envelope lies in the payload
}

// field is the place of a member.
func (e *envelope) field(name string) string {
	if e.at == "" {
		return name
	}
	return e.at + "." + name
}

// irrelevantTypes are known, and say nothing of images.
var irrelevantTypes = map[string]string{
	"aws.ecs ECS Service Action":                                     "it says how a service fares; its tasks tell what they run themselves",
	"aws.ecs ECS Deployment State Change":                            "it says how a deployment fares; its tasks tell what they run themselves",
	"aws.ecs ECS Container Instance State Change":                    "it is about an instance",
	"aws.ecr ECR Image Scan":                                         "a scan changes no image",
	"aws.ecr ECR Pull Through Cache Action":                          "what is pulled is judged where it runs",
	"aws.ecr ECR Replication Action":                                 "a copy has the digest, and the signatures, of what was pushed",
	"aws.ecr ECR Scan Resource Change":                               "a scan's settings change no image",
	"aws.ecr ECR Referrer Action":                                    "it is about what is attached to an image",
	"aws.signer Signer Job Status Change":                            "CloudTrail's events tell who asked for it",
	"aws.codedeploy CodeDeploy Deployment State-change Notification": "its hooks are asked themselves",
}

// parseEnvelope reads an event of EventBridge.
func parseEnvelope(at string, data []byte) (Event, error) {
	e := envelope{at: at}
	if err := decode(at, data, &e); err != nil {
		return Event{}, err
	}
	if err := check(text{e.field("detail-type"), e.DetailType}, text{e.field("source"), e.Source}, text{e.field("id"), e.ID}); err != nil {
		return Event{}, err
	}
	if e.Version != "0" {
		return Event{}, malformed(e.field("version"), "%q: the only version of EventBridge's envelope that is known is \"0\"", awscall.Printable(e.Version, 60))
	}
	if e.Account != "" && !awsprofile.ValidAccount(e.Account) {
		return Event{}, malformed(e.field("account"), "%q is no account", awscall.Printable(e.Account, 60))
	}
	if !awsprofile.ValidRegion(e.Region) {
		return Event{}, malformed(e.field("region"), "%q is no region", awscall.Printable(e.Region, 60))
	}
	when, err := moment(e.field("time"), e.Time)
	if err != nil {
		return Event{}, err
	}
	ev := Event{What: e.DetailType, ID: e.ID, Account: e.Account, Region: e.Region, Time: when}
	return ev, e.read(&ev)
}

// read reads what the envelope holds into ev.
func (e *envelope) read(ev *Event) error {
	switch kind := e.Source + " " + e.DetailType; {
	case kind == "aws.ecs ECS Task State Change":
		return e.task(ev)
	case e.DetailType == "AWS API Call via CloudTrail":
		return e.call(ev)
	case kind == "aws.ecr ECR Image Action":
		return e.push(ev)
	case e.DetailType == "Scheduled Event" && (e.Source == "aws.events" || e.Source == "aws.scheduler"):
		ev.Kind = KindSweep
		return nil
	case irrelevantTypes[kind] != "":
		ev.irrelevant("%s", irrelevantTypes[kind])
		return nil
	}
	return malformed(e.field("detail-type"), "%q from %q: nothing here is made for such events; take them out of the rule's pattern",
		awscall.Printable(e.DetailType, 100), awscall.Printable(e.Source, 100))
}

// detail reads detail, which has to be an object.
func (e *envelope) detail(into any) error {
	if len(e.Detail) == 0 || e.Detail.Kind() != '{' {
		return malformed(e.field("detail"), "missing, or no object")
	}
	return decode(e.field("detail"), e.Detail, into)
}

// awsDomain is the domain that a partition's registries lie under.
func awsDomain(partition string) string {
	switch partition {
	case "aws-cn":
		return "amazonaws.com.cn"
	case "aws-iso":
		return "c2s.ic.gov"
	case "aws-iso-b":
		return "sc2s.sgov.gov"
	case "aws-iso-e":
		return "cloud.adc-e.uk"
	case "aws-iso-f":
		return "csp.hci.ic.gov"
	case "aws-eusc":
		return "amazonaws.eu"
	}
	return "amazonaws.com"
}

// join is the place of a member below at.
func join(at string, names ...string) string {
	return strings.TrimPrefix(at+"."+strings.Join(names, "."), ".")
}
