// Package admission is the door of Kubernetes' admission webhooks: it reads an
// AdmissionReview (admission.k8s.io/v1) into the images of a gate.Workload, and
// writes the gate's answer as the API server wants it: allowed or not with one
// line of reason, warnings, and the patch that pins a Pod's images to digests.
//
// It asks no API server and no registry, and decides nothing: who decides and
// whose registry credentials count is handed in.
package admission

import (
	"context"
	"log/slog"
	"time"

	"github.com/shuin/shuin/gate"
	"github.com/shuin/shuin/pipeline"
)

// The paths of the two webhooks.
const (
	ValidatePath = "/k8s/validate"
	MutatePath   = "/k8s/mutate"
)

// The endpoints, as observations and callers name them.
const (
	Validate = "validate"
	Mutate   = "mutate"
)

// ImagesAnnotation is where a pinned Pod keeps its images as they were written:
// a JSON object of "containers/NAME" (and "initContainers/…",
// "ephemeralContainers/…", "volumes/…") to the reference. It is for people:
// nothing is decided by it.
const ImagesAnnotation = "shuin.dev/images"

// Gate decides; [gate.Gate] is one.
type Gate interface {
	Decide(ctx context.Context, w gate.Workload) *gate.Verdict
}

// Server serves the webhooks. Its fields are set before first use.
type Server struct {
	Gate Gate
	// Access names the registry credentials that count for a Pod; an error says
	// that they could not be read: then nothing is admitted. Nil: the gate's own.
	Access func(ctx context.Context, p PodAccess) (string, error)
	// Cluster is what the policy calls this cluster. Namespace is the gate's own:
	// what is made there is admitted without a question. Empty: none is exempt.
	Cluster, Namespace string
	// PinOwners: mutate pins Deployments and their like too, not Pods alone; not
	// those that a controller made, for it compares them with what it wrote.
	PinOwners bool
	// Timeout is how long the webhooks' configuration lets a review take
	// (timeoutSeconds): nobody who says more in the address is answered later.
	// Zero: limits.AdmissionTimeoutMost.
	Timeout time.Duration
	// Denied is told of everything that validate did not let in, dry runs apart,
	// after the answer. It must not block. Nil: nobody is told.
	Denied func(Denial)
	// Observe is told of every request, from many goroutines. Nil: nobody is.
	Observe func(Observation)
	Now     func() time.Time
	// Log is told of every request; nil: nobody is.
	Log *slog.Logger
}

// PodAccess is what a Pod says of whose credentials its images are pulled with.
type PodAccess struct {
	Namespace      string
	ServiceAccount string   // empty: "default"
	PullSecrets    []string // names of Secrets of the namespace, in the Pod's order
}

// Object names what a review is about.
type Object struct {
	Group, Version, Kind string
	Namespace            string
	Name                 string // empty where the API server will make one
	GenerateName         string
	UID                  string // empty: it is being created
}

// Owner is the controller that an object says it has; anybody can write one.
type Owner struct{ APIVersion, Kind, Name, UID string }

// Denial is told of what was not let in.
type Denial struct {
	Object  Object
	Owner   Owner            // zero: none
	Outcome pipeline.Outcome // Deny or Undecided
	Message string           // as the user saw it: one line
	User    string
	// Verdict is the gate's, not to be changed; nil where it was not asked.
	Verdict *gate.Verdict
}

// What became of a request, as observations have it.
const (
	Admitted  = "admitted"
	Denied    = "denied"
	Undecided = "undecided"
	Skipped   = "skipped"   // allowed without a question: exempt, deleted, images unchanged
	Malformed = "malformed" // no review that could be answered
	Failed    = "failed"    // a fault of ours
)

// Observation is what became of one request.
type Observation struct {
	Endpoint  string // Validate or Mutate; empty: another path
	Kind      string // one that runs images ("Pod"); empty: any other
	Operation string // "CREATE", "UPDATE", "DELETE", "CONNECT"; empty: none of them
	Outcome   string // of those above
	Status    int    // of HTTP
	DryRun    bool
	Images    int // that were judged
	Pinned    int // that were pinned
	Took      time.Duration
	Verdict   *gate.Verdict // nil: the gate was not asked
}

// Caller says whose review a decision belongs to, as [gate.Options].Record
// finds it in its context.
type Caller struct {
	Endpoint string
	Review   string // its uid, which the API server makes anew for each webhook
	User     string
	DryRun   bool
	Object   Object
	// Explains: it is asked again, to say better why the review was not let in.
	// What comes of it is told, and is no decision: there is nothing to record and
	// nothing to count.
	Explains bool
}

type callerKey struct{}

// CallerOf is the review that ctx belongs to.
func CallerOf(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(Caller)
	return c, ok
}
