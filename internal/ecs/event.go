package ecs

import (
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/watch"
)

// Kind is what an event asks for. The zero value is none.
type Kind uint8

const (
	_ Kind = iota
	// KindHook: a lifecycle hook of an ECS service deployment. Answer it.
	KindHook
	// KindCodeDeploy: a lifecycle hook of a CodeDeploy deployment. It is
	// answered by a call.
	KindCodeDeploy
	// KindCodePipeline: a job of a CodePipeline action. It is answered by a call.
	KindCodePipeline
	// KindSeen: something starts, runs, was registered or pushed (Event.Seen).
	KindSeen
	// KindSigner: somebody used or administered AWS Signer (Event.Signer).
	KindSigner
	// KindSweep: it is time to look at everything.
	KindSweep
	// KindBatch: messages of a queue or a topic (Event.Records), each an event
	// of its own with its own end.
	KindBatch
	// KindDecide: Shuin's own question, for tests and people (Event.Decide).
	KindDecide
	// KindIrrelevant: known, and nothing has to be done (Event.Reason).
	KindIrrelevant
)

// String is the name that logs use.
func (k Kind) String() string {
	switch k {
	case KindHook:
		return "hook"
	case KindCodeDeploy:
		return "codedeploy-hook"
	case KindCodePipeline:
		return "codepipeline-job"
	case KindSeen:
		return "seen"
	case KindSigner:
		return "signer"
	case KindSweep:
		return "sweep"
	case KindBatch:
		return "batch"
	case KindDecide:
		return "decide"
	case KindIrrelevant:
		return "irrelevant"
	}
	return "none"
}

// Event is one payload, read. Exactly the member that Kind names is set.
type Event struct {
	Kind Kind
	// What is in words what it is: "ECS Task State Change RUNNING".
	What string
	// Reason is why nothing has to be done; for KindIrrelevant only.
	Reason string

	// Of EventBridge's envelope; empty where there is none. ID names the event
	// and not its delivery: it is the same each time it comes.
	ID, Account, Region string
	Time                time.Time

	Hook         *HookEvent
	CodeDeploy   *CodeDeployEvent
	CodePipeline *CodePipelineEvent
	Seen         *Seen
	Signer       *watch.SignerEvent
	Decide       *gate.Workload
	Records      []Record
}

// Record is one message of a batch. Each is taken for itself: that one cannot
// be read says nothing of the others.
type Record struct {
	// ID is the message's: what batchItemFailures names it by.
	ID string
	// Source is the ARN of the queue or topic.
	Source string
	// Topic: the message came from Amazon SNS straight, and cannot be given
	// back alone: only the whole invocation can fail.
	Topic bool
	// Received is how often the queue has handed the message out, this time
	// included; 0 where it is not said.
	Received int
	Sent     time.Time
	// Event is what the message says where Err is nil. It is never a batch, a
	// hook or a job: those come straight.
	Event Event
	Err   error
}

// FIFO reports whether the queue keeps order: after the first message that
// fails, all that follow have to be given back as well.
func (r *Record) FIFO() bool { return strings.HasSuffix(r.Source, ".fifo") }

// Seen is something that starts, runs, was registered or pushed.
type Seen struct {
	// Observation is complete where Read and Push are nil. Else its images are
	// not known yet.
	Observation watch.Observation
	// Read is the task definition that has to be read for the images: the event
	// does not hold them. Fill them in with WithTaskDefinition.
	Read *TaskDefinitionRef
	// Push is the push to a repository that Observation.Images is of: what was
	// pushed may be a signature, and nothing that can run.
	Push *Push
}

// TaskDefinitionRef names a task definition in the words of a call.
type TaskDefinitionRef struct {
	// Account and Region that it lies in.
	Account, Region string
	// Name is an ARN, FAMILY:REVISION, or FAMILY alone, which meant the newest
	// active one at the time of the call, and may mean another now.
	Name string
}

// Push is what "ECR Image Action" says of a push.
type Push struct {
	Registry, Repository string
	Digest               digest.Digest
	Tag                  string // empty: pushed by digest
	// ManifestType and ArtifactType are of the manifest, where the event says so.
	ManifestType, ArtifactType string
}

// HookEvent is the payload of a lifecycle hook ("Lifecycle hooks for Amazon ECS
// service deployments", Amazon ECS Developer Guide), in both its shapes.
type HookEvent struct {
	ExecutionID string
	Stage       string // lifecycleStage, as sent; empty where the older shape leaves it out
	// Deployment is resourceArn: the service deployment.
	Deployment string
	Service    string // ARN
	// Revision is the ARN of the service revision that is being deployed.
	Revision string
	// TestWeights and ProductionWeights are per cent of the traffic by the ARN of
	// the service revision; empty but where traffic shifts.
	TestWeights, ProductionWeights map[string]float64
	// Details are hookDetails as sent, an object, or nil: of the service's
	// configuration, and what the last answer IN_PROGRESS of this hook added.
	Details []byte
}

// CodeDeployEvent is the payload of a CodeDeploy lifecycle hook ("AppSpec
// 'hooks' section", AWS CodeDeploy User Guide). It does not say which hook.
type CodeDeployEvent struct {
	Deployment string // ID, d-…
	Execution  string // LifecycleEventHookExecutionId
}

// CodePipelineEvent is a job of a Lambda action ("JSON event example", AWS
// CodePipeline User Guide). The credentials for its artifacts are not read.
type CodePipelineEvent struct {
	Job     string // ID
	Account string
	// Parameters are UserParameters as configured.
	Parameters string
	// Continuation is the token of the answer before; empty: this is the first.
	Continuation string
}
