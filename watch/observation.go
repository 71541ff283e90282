package watch

import (
	"sync/atomic"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// SubjectKind is what was observed. Empty is invalid.
type SubjectKind string

// The kinds of subject.
const (
	Task           SubjectKind = "task"            // an ECS task
	TaskDefinition SubjectKind = "task-definition" // a revision of one
	Service        SubjectKind = "service"         // an ECS service
	Image          SubjectKind = "image"           // an image pushed to a repository
	Pod            SubjectKind = "pod"             // a Kubernetes Pod
	Signer         SubjectKind = "signer"          // a signing profile, or a signature made with it
)

// Subject is what an observation or a finding is about. ARN alone tells it
// from others; the rest is for rules, findings and people.
type Subject struct {
	Kind SubjectKind
	// ARN of the task, the task definition with its revision, the service, the
	// repository; of a signer, the profile's; of a Pod, which has none,
	// "k8s://CLUSTER/NAMESPACE/pods/NAME". Never empty.
	ARN     string
	Account string // twelve digits
	Region  string
	Cluster string // its name, not its ARN; empty where there is none
	// Group is what all subjects of one origin have in common, as ECS writes it
	// for tasks: "service:NAME" or "family:NAME". A task definition has
	// "family:NAME", a service "service:NAME", an image "repository:NAME", a Pod
	// "KIND:NAMESPACE/NAME" of what it belongs to, such as "deployment:shop/web".
	// Findings are told once for a group; empty: once for the ARN.
	Group          string
	TaskDefinition string // ARN of the task's or service's task definition; may be empty
	StartedBy      string // as ECS reports it for tasks; may be empty
}

// Phase is when in its life a subject was observed. Empty is invalid.
type Phase string

// The phases.
const (
	// Starting: a task before its images are pulled (PROVISIONING, PENDING,
	// ACTIVATING). Judged by what the references name now.
	Starting Phase = "starting"
	// Running: a task with the digests it reports.
	Running Phase = "running"
	// Requested: somebody asked for it (CloudTrail RunTask, StartTask).
	Requested Phase = "requested"
	// Registered: a task definition was registered.
	Registered Phase = "registered"
	// Deployed: a service was created or updated.
	Deployed Phase = "deployed"
	// Pushed: an image was pushed.
	Pushed Phase = "pushed"
	// Swept: a sweep found it.
	Swept Phase = "swept"
	// Asked: somebody asks for this decision by hand.
	Asked Phase = "asked"
)

// Observation is something that runs, or is registered or asked to run.
type Observation struct {
	Subject Subject
	Phase   Phase
	// Version rises with every change of the subject. Starting and Running
	// share one line of versions (detail.version of ECS's events, version of
	// DescribeTasks); every other phase has its own: the time of the event in
	// Unix milliseconds, for Swept the time at which the sweep began, for
	// Registered the revision. What is not newer than what was decided is
	// dropped; of Requested, Deployed and Pushed, only what has the same Event.
	Version int64
	At      time.Time // of the event, as its source tells it
	Images  []gate.Image
	Where   pipeline.Where
	Event   string // the event's id, for logs and findings; may be empty
	By      string // who did it: a principal's ARN, or what started the task; may be empty
	// Over: it is stopping, or has stopped, after it ran. What ran is told;
	// nothing is done to it, and nothing that was told is over for it.
	Over bool
	// Unstarted: of phase Swept, a task whose images may not be pulled yet. It is
	// there, and judged as one that starts.
	Unstarted bool
	// Doubt is why nobody could find out whether it is anything that runs at all;
	// nil: it is. That it lacks seals is then left undecided for this: it may be
	// something that nobody seals. What else the gate says stands.
	Doubt error
	// Last: nobody will bring it again. What still cannot be checked becomes a
	// finding of outcome Undecided in place of a Retry.
	Last bool
}

// phase is what o is judged as.
func (o *Observation) phase() Phase {
	if o.Phase == Swept && o.Unstarted {
		return Starting
	}
	return o.Phase
}

// Result is what became of an observation.
type Result struct {
	// Disposition says whether the event may be acknowledged: all but Retry may.
	Disposition Disposition
	// Reason says why it was dropped or is to be brought again, for a log; nil
	// for Decided.
	Reason error
	// Verdict is the gate's; nil where it was not asked. It is not to be changed.
	Verdict *gate.Verdict
	// Findings are all that the observation shows, told or not, in the order of
	// its images.
	Findings []Finding
	// Told are those that went out now, to whom; and what was resolved.
	Told []Delivery
	// Reaction is what was, or was not, done to the subject, and why.
	Reaction Reacted

	counted atomic.Bool // by an Inventory
}

// Ack reports whether the event is settled and may be acknowledged.
func (r *Result) Ack() bool { return r.Disposition != Retry && r.Disposition != 0 }

// Disposition is what became of an observation. Zero is invalid.
type Disposition uint8

// The dispositions.
const (
	// Decided: it was judged, and the judgement recorded, now and never again.
	Decided Disposition = iota + 1
	// Dropped: it, or something newer, was decided before (ErrDuplicate,
	// ErrOlder).
	Dropped
	// Retry: it was not settled, and has to be brought again: it could not be
	// checked, another holds it (ErrBusy), a store or a notifier failed.
	Retry
)

// String is the disposition in one word.
func (d Disposition) String() string {
	switch d {
	case Decided:
		return "decided"
	case Dropped:
		return "dropped"
	case Retry:
		return "retry"
	}
	return "invalid"
}

// Delivery is one finding sent to one notifier.
type Delivery struct {
	Finding  Finding
	To       string // the notifier's name
	Reminder bool   // it was told before, and is told again
	Err      error  // it could not be sent; it is told next time
}
