package ecs

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/internal/awscall"
	"github.com/shuin/shuin/pipeline"
	"github.com/shuin/shuin/watch"
)

// apiCall is detail of "AWS API Call via CloudTrail" ("CloudTrail record
// contents", AWS CloudTrail User Guide).
type apiCall struct {
	EventVersion string         `json:"eventVersion"`
	EventSource  string         `json:"eventSource"`
	EventName    string         `json:"eventName"`
	EventTime    string         `json:"eventTime"`
	EventID      string         `json:"eventID"`
	Region       string         `json:"awsRegion"`
	Recipient    string         `json:"recipientAccountId"`
	ErrorCode    string         `json:"errorCode"`
	Identity     userIdentity   `json:"userIdentity"`
	Request      jsontext.Value `json:"requestParameters"`
	Response     jsontext.Value `json:"responseElements"`
	Resources    []struct {
		ARN string `json:"ARN"`
	} `json:"resources"`

	at   string // where detail lies in the payload
	when time.Time
}

// userIdentity is who called ("CloudTrail userIdentity element").
type userIdentity struct {
	Type           string `json:"type"`
	ARN            string `json:"arn"`
	PrincipalID    string `json:"principalId"`
	AccountID      string `json:"accountId"`
	InvokedBy      string `json:"invokedBy"`
	SessionContext struct {
		SessionIssuer struct {
			ARN string `json:"arn"`
		} `json:"sessionIssuer"`
	} `json:"sessionContext"`
}

// principal is the role that was assumed, or whoever called without one; empty
// where an AWS service called for itself.
func (u *userIdentity) principal() string {
	if issuer := u.SessionContext.SessionIssuer.ARN; u.Type == "AssumedRole" && issuer != "" {
		return issuer
	}
	return u.ARN
}

// caller tells callers without an ARN apart (types AWSAccount,
// WebIdentityUser, …): type, account and principalId, of which the name that a
// session gives itself is left out. Empty where there is an ARN, or no
// principalId.
func (u *userIdentity) caller() string {
	id := u.PrincipalID
	if u.principal() != "" {
		return ""
	}
	if strings.HasPrefix(id, "AROA") {
		id, _, _ = strings.Cut(id, ":")
	}
	if id == "" {
		return ""
	}
	return strings.Join(strings.Fields(u.Type+" "+u.AccountID+" "+id), " ")
}

// has reports whether there is more than null or nothing.
func has(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

// call reads a call of an API.
func (e *envelope) call(ev *Event) error {
	c := apiCall{at: e.field("detail")}
	if err := e.detail(&c); err != nil {
		return err
	}
	if err := c.check(ev); err != nil {
		return err
	}
	ev.What = c.EventName + " (CloudTrail)"
	service, of := strings.CutSuffix(c.EventSource, ".amazonaws.com")
	switch {
	case !of || service != "ecs" && service != "signer":
		return malformed(c.field("eventSource"), "%q: only calls of ecs.amazonaws.com and signer.amazonaws.com are read; take others out of the rule's pattern", awscall.Printable(c.EventSource, 100))
	case e.Source != "aws."+service:
		// Nobody but AWS can put events of such a source on a bus ("PutEvents",
		// Amazon EventBridge API Reference).
		return malformed(e.field("source"), "%q: calls of %s come from \"aws.%s\"", awscall.Printable(e.Source, 100), c.EventSource, service)
	case service == "ecs":
		return c.ecs(ev)
	}
	return c.signer(ev)
}

func (c *apiCall) field(names ...string) string { return join(c.at, names...) }

// check holds what every record has to that.
func (c *apiCall) check(ev *Event) error {
	if err := check(text{c.field("eventVersion"), c.EventVersion}, text{c.field("eventSource"), c.EventSource},
		text{c.field("eventName"), c.EventName}, text{c.field("eventID"), c.EventID}); err != nil {
		return err
	}
	if err := bounded(text{c.field("errorCode"), c.ErrorCode}, text{c.field("userIdentity.arn"), c.Identity.ARN}, text{c.field("userIdentity.type"), c.Identity.Type},
		text{c.field("userIdentity.principalId"), c.Identity.PrincipalID}, text{c.field("userIdentity.accountId"), c.Identity.AccountID}, text{c.field("userIdentity.invokedBy"), c.Identity.InvokedBy},
		text{c.field("userIdentity.sessionContext.sessionIssuer.arn"), c.Identity.SessionContext.SessionIssuer.ARN}); err != nil {
		return err
	}
	if major, _, _ := strings.Cut(c.EventVersion, "."); major != "1" {
		return malformed(c.field("eventVersion"), "%q: only 1.x is known", awscall.Printable(c.EventVersion, 60))
	}
	ev.Account, ev.Region = cmp.Or(c.Recipient, ev.Account), cmp.Or(c.Region, ev.Region)
	if !awsprofile.ValidAccount(ev.Account) {
		return malformed(c.field("recipientAccountId"), "%q is no account", awscall.Printable(ev.Account, 60))
	}
	if !awsprofile.ValidRegion(ev.Region) {
		return malformed(c.field("awsRegion"), "%q is no region", awscall.Printable(ev.Region, 60))
	}
	c.when = ev.Time
	if c.EventTime != "" {
		when, err := moment(c.field("eventTime"), c.EventTime)
		if err != nil {
			return err
		}
		c.when = when
	}
	ev.ID, ev.Time = c.EventID, c.when // the envelope's differ where several rules or buses pass it on
	return nil
}

// judged are the calls after which something else may run.
var judged = map[string]func(*apiCall, *Event) error{
	"RegisterTaskDefinition":      (*apiCall).registered,
	"RunTask":                     (*apiCall).requested,
	"StartTask":                   (*apiCall).requested,
	"CreateService":               (*apiCall).deployed,
	"UpdateService":               (*apiCall).deployed,
	"CreateTaskSet":               (*apiCall).deployed,
	"CreateExpressGatewayService": (*apiCall).expressed,
	"UpdateExpressGatewayService": (*apiCall).expressed,
}

// harmless are the beginnings of the names of calls that read, end, or arrange
// what is there ("Actions", Amazon ECS API Reference).
var harmless = []string{
	"List", "Describe", "Get", "Discover", "Delete", "Deregister", "Stop", "Tag", "Untag", "Put", "Submit", "RegisterContainerInstance", "ExecuteCommand",
	"CreateCapacityProvider", "CreateCluster", "UpdateCapacityProvider", "UpdateCluster", "UpdateContainer", "UpdateServicePrimaryTaskSet",
	"UpdateTaskProtection", "UpdateTaskSet",
}

// ecs reads a call of ECS.
func (c *apiCall) ecs(ev *Event) error {
	read, ok := judged[c.EventName]
	switch {
	case !ok && slices.ContainsFunc(harmless, func(name string) bool { return strings.HasPrefix(c.EventName, name) }):
		ev.irrelevant("%s brings nothing else to run", awscall.Printable(c.EventName, 100))
		return nil
	case !ok:
		ev.irrelevant("%s is no call that is known here: what it may bring to run is judged when its tasks start", awscall.Printable(c.EventName, 100))
		return nil
	case c.ErrorCode != "":
		ev.irrelevant("the call failed (errorCode %s)", awscall.Printable(c.ErrorCode, 100))
		return nil
	case !has(c.Response):
		ev.irrelevant("the call failed (responseElements is null)")
		return nil
	}
	return read(c, ev)
}

// observation is what all calls of ECS say alike. The subject's kind, ARN and
// group are the caller's to set.
func (c *apiCall) observation(ev *Event, phase watch.Phase, cluster string) watch.Observation {
	return watch.Observation{
		Subject: watch.Subject{Account: ev.Account, Region: ev.Region, Cluster: cluster},
		Phase:   phase, Version: c.when.UnixMilli(), At: c.when, Where: pipeline.Where{Cluster: cluster},
		Event: c.EventID, By: cmp.Or(c.Identity.principal(), c.Identity.InvokedBy, c.Identity.caller()),
	}
}

// placeOf is the account and region of the call as a resource's.
func placeOf(ev *Event) resource {
	return resource{partition: awscall.Partition(ev.Region), region: ev.Region, account: ev.Account}
}

// omitted: CloudTrail leaves out what is longer than 100 KB, and says so.
type omitted struct {
	Omitted bool `json:"omitted"`
}

// registered reads RegisterTaskDefinition. What was registered is read from
// ECS, and not taken from the event.
func (c *apiCall) registered(ev *Event) error {
	var response struct {
		TaskDefinition struct {
			ARN string `json:"taskDefinitionArn"`
		} `json:"taskDefinition"`
	}
	if err := c.both(&struct{}{}, &response); err != nil {
		return err
	}
	at := c.field("responseElements.taskDefinition.taskDefinitionArn")
	if err := check(text{at, response.TaskDefinition.ARN}); err != nil {
		return err
	}
	r, err := arnOf(at, response.TaskDefinition.ARN, "ecs", "task-definition")
	if err != nil {
		return err
	}
	if err := r.in(at, ev.Account, ev.Region); err != nil {
		return err
	}
	name, revision := family(r.path)
	if revision == 0 {
		return noRevision(at, r.path)
	}
	o := c.observation(ev, watch.Registered, "")
	o.Subject.Kind, o.Where = watch.TaskDefinition, pipeline.Where{}
	o.Subject.ARN, o.Subject.Group, o.Version = response.TaskDefinition.ARN, "family:"+name, revision
	ev.Kind = KindSeen
	ev.Seen = &Seen{Observation: o, Read: &TaskDefinitionRef{Account: ev.Account, Region: ev.Region, Name: response.TaskDefinition.ARN}}
	return nil
}

// noRevision: what is newest by now need not be what was meant.
func noRevision(at, name string) error {
	return malformed(at, "%q: which revision it was is not said, and the newest by now may be another; a sweep of task definitions judges what there is", awscall.Printable(name, 300))
}

// both reads what was asked and what was answered.
func (c *apiCall) both(request, response any) error {
	if has(c.Request) {
		if err := decode(c.field("requestParameters"), c.Request, request); err != nil {
			return err
		}
	}
	if has(c.Response) {
		return decode(c.field("responseElements"), c.Response, response)
	}
	return nil
}

// requested reads RunTask and StartTask: what they start is a task definition.
func (c *apiCall) requested(ev *Event) error {
	var request struct {
		omitted
		Cluster        string `json:"cluster"`
		TaskDefinition string `json:"taskDefinition"`
		Group          string `json:"group"`
		StartedBy      string `json:"startedBy"`
	}
	type task struct {
		Cluster        string `json:"clusterArn"`
		TaskDefinition string `json:"taskDefinitionArn"`
		Group          string `json:"group"`
		StartedBy      string `json:"startedBy"`
	}
	var response struct {
		omitted
		Tasks    []task           `json:"tasks"`
		Failures []jsontext.Value `json:"failures"`
	}
	if err := c.both(&request, &response); err != nil {
		return err
	}
	if !response.Omitted && len(response.Tasks) == 0 && len(response.Failures) > 0 {
		ev.irrelevant("no task was started (%d failures)", len(response.Failures))
		return nil
	}
	var first task
	if len(response.Tasks) > 0 {
		first = response.Tasks[0]
	}
	cluster, err := clusterName(c.field("requestParameters.cluster"), cmp.Or(first.Cluster, request.Cluster))
	if err != nil {
		return err
	}
	o := c.observation(ev, watch.Requested, cluster)
	o.Subject.Kind = watch.TaskDefinition
	o.Subject.Group, o.Subject.StartedBy = chosen(cmp.Or(first.Group, request.Group)), chosen(cmp.Or(first.StartedBy, request.StartedBy))
	return c.definition(ev, o, cmp.Or(first.TaskDefinition, request.TaskDefinition))
}

// definition is an observation whose task definition has to be read. Where
// there is no other subject, it is that of the task definition.
func (c *apiCall) definition(ev *Event, o watch.Observation, name string) error {
	at := c.field("requestParameters.taskDefinition")
	if err := check(text{at, name}); err != nil {
		return err
	}
	arn := name
	if !strings.HasPrefix(name, "arn:") {
		arn = placeOf(ev).sibling("task-definition", name)
	}
	r, err := arnOf(at, arn, "ecs", "task-definition")
	if err != nil {
		return err
	}
	if err := r.in(at, ev.Account, ev.Region); err != nil {
		return err
	}
	base, revision := family(r.path)
	if revision == 0 {
		return noRevision(at, r.path)
	}
	if o.Subject.Kind == watch.TaskDefinition {
		o.Subject.ARN = arn
		o.Subject.Group = cmp.Or(o.Subject.Group, "family:"+base)
	} else {
		o.Subject.TaskDefinition = arn
	}
	ev.Kind = KindSeen
	ev.Seen = &Seen{Observation: o, Read: &TaskDefinitionRef{Account: ev.Account, Region: ev.Region, Name: arn}}
	return nil
}

// deployed reads CreateService, UpdateService and CreateTaskSet.
func (c *apiCall) deployed(ev *Event) error {
	var request struct {
		omitted
		Cluster        string `json:"cluster"`
		Service        string `json:"service"`
		ServiceName    string `json:"serviceName"`
		TaskDefinition string `json:"taskDefinition"`
		Force          bool   `json:"forceNewDeployment"`
	}
	type service struct {
		ARN            string `json:"serviceArn"`
		Cluster        string `json:"clusterArn"`
		TaskDefinition string `json:"taskDefinition"`
	}
	var response struct {
		omitted
		Service service `json:"service"`
		TaskSet service `json:"taskSet"`
	}
	if err := c.both(&request, &response); err != nil {
		return err
	}
	got := response.Service
	if c.EventName == "CreateTaskSet" {
		got = response.TaskSet
	}
	if c.EventName == "UpdateService" && request.TaskDefinition == "" && !request.Force && !request.Omitted && has(c.Request) {
		ev.irrelevant("the update changes no task definition")
		return nil
	}
	cluster, err := clusterName(c.field("requestParameters.cluster"), cmp.Or(got.Cluster, request.Cluster))
	if err != nil {
		return err
	}
	o := c.observation(ev, watch.Deployed, cluster)
	if err := c.service(ev, &o, cmp.Or(got.ARN, request.Service, request.ServiceName)); err != nil {
		return err
	}
	definition := cmp.Or(got.TaskDefinition, request.TaskDefinition)
	if definition == "" && c.EventName == "CreateService" && !request.Omitted && !response.Omitted {
		ev.irrelevant("the service has no task definition: its deployment controller brings them (CreateTaskSet)")
		return nil
	}
	return c.definition(ev, o, definition)
}

// expressed reads CreateExpressGatewayService and UpdateExpressGatewayService:
// they bring the image themselves, and ECS makes a task definition of it.
func (c *apiCall) expressed(ev *Event) error {
	type service struct {
		ARN     string `json:"serviceArn"`
		Name    string `json:"serviceName"`
		Cluster string `json:"cluster"`
	}
	var request struct {
		omitted
		service
		Container struct {
			Image string `json:"image"`
		} `json:"primaryContainer"`
	}
	var response struct {
		Service service `json:"service"`
	}
	if err := c.both(&request, &response); err != nil {
		return err
	}
	at := c.field("requestParameters.primaryContainer.image")
	image, err := imageOf(strings.TrimSuffix(at, ".image"), "", request.Container.Image, "")
	switch {
	case err != nil:
		return err
	case image.Written == "" && c.EventName == "UpdateExpressGatewayService" && !request.Omitted && has(c.Request):
		ev.irrelevant("the update changes no image")
		return nil
	case image.Written == "":
		return malformed(at, "missing or empty")
	}
	arn := cmp.Or(response.Service.ARN, request.ARN)
	if r, err := arnOf("", arn, "ecs", "service"); err == nil && response.Service.Cluster+request.Cluster == "" {
		request.Cluster, _, _ = strings.Cut(r.path, "/")
	}
	cluster, err := clusterName(c.field("requestParameters.cluster"), cmp.Or(response.Service.Cluster, request.Cluster))
	if err != nil {
		return err
	}
	o := c.observation(ev, watch.Deployed, cluster)
	if err := c.service(ev, &o, cmp.Or(arn, response.Service.Name, request.Name)); err != nil {
		return err
	}
	o.Images = []gate.Image{image}
	ev.Kind, ev.Seen = KindSeen, &Seen{Observation: o}
	return nil
}

// service makes a service, by ARN or by name, the subject.
func (c *apiCall) service(ev *Event, o *watch.Observation, name string) error {
	at := c.field("requestParameters.service")
	if err := check(text{at, name}); err != nil {
		return err
	}
	arn := name
	if !strings.HasPrefix(name, "arn:") {
		arn = placeOf(ev).sibling("service", o.Subject.Cluster+"/"+name)
	}
	r, err := arnOf(at, arn, "ecs", "service")
	if err != nil {
		return err
	}
	if err := r.in(at, ev.Account, ev.Region); err != nil {
		return err
	}
	o.Subject.Kind, o.Subject.ARN, o.Subject.Group = watch.Service, arn, "service:"+r.last()
	return nil
}
