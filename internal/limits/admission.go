package limits

import "time"

// Bounds of Kubernetes' admission webhooks.
const (
	// AdmissionBodyBytes bounds a review. The API server takes objects of 3 MiB
	// and writes some characters in six: object and old object are 36 MiB at
	// most. A smaller bound would be a way past the gate where a webhook's
	// failurePolicy is Ignore.
	AdmissionBodyBytes  = 40 << 20
	AdmissionSmallBytes = 1 << 20          // a review that is one of many; a larger one waits for its turn
	AdmissionSmall      = 256              // of those being read at a time
	AdmissionBodyTime   = 10 * time.Second // until a body has arrived
	AdmissionSmallTime  = 3 * time.Second  // until one of these has

	// What senders share (package share): all of it, and one sender's part. The
	// parts are what API servers of one address need; all is more, so that
	// strangers of another leave them as much.
	AdmissionLarge          = 4         // of the larger ones, being received or read
	AdmissionSenderLarge    = 2         //
	AdmissionArrivingBytes  = 128 << 20 // of small reviews that are received or read at a time
	AdmissionSenderBytes    = 16 << 20  //
	AdmissionInFlight       = 2048      // places of decisions that are waited for
	AdmissionSenderInFlight = 1024      //
	AdmissionImagesOfPlace  = 16        // images that a decision has in one of them: what is held of it is theirs

	AdmissionRoomBytes = 64 << 10 // that a body has from the start, and what it counts for at least

	AdmissionTimeout      = 10 * time.Second       // until the answer, where the API server does not say
	AdmissionTimeoutLeast = time.Second            // what a webhook's timeoutSeconds can be at least
	AdmissionTimeoutMost  = 30 * time.Second       // and at most
	AdmissionMargin       = 500 * time.Millisecond // of that time, kept for the answer's way back; a tenth of it at most

	AdmissionDepth        = 64        // of nesting in a pod's specification
	AdmissionNameBytes    = 512       // of a name, a namespace, a kind, a container, a user, a pull secret
	AdmissionPullSecrets  = 100       // that one pod names
	AdmissionImagesBytes  = 64 << 10  // the annotation with the images as written; a larger one is not written, and none is merged with
	AdmissionAnnotations  = 256 << 10 // all annotations of one object: the API server refuses more
	AdmissionMessageBytes = 2 << 10   // a denial's text
	AdmissionWarningBytes = 256       // one warning: the API server cuts longer ones
	AdmissionWarnings     = 4 << 10   // all warnings of one answer, likewise
	AdmissionAuditBytes   = 1 << 10   // one audit annotation
	AdmissionRetryAfter   = 1         // seconds until a client asks again what was still being found out
)
