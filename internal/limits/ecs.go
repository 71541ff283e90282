package limits

import "time"

// Bounds on what AWS sends: events, hooks, jobs, and batches of them.
const (
	EventBytes       = 6 << 20 // one invocation's payload: what AWS Lambda allows
	EventDepth       = 64      // of nesting in it
	EventRecords     = 10_000  // in one batch: what Amazon SQS and AWS Lambda allow
	EventContainers  = 1000    // of one task, task definition or service revision
	EventStringBytes = 4 << 10 // one ARN, name, status
	EventChosenRunes = 200     // kept of a group or startedBy that cannot be a part of keys as it is
	EventTaskVersion = 100_000 // changes of a task, which has a few in its life
	EventWeights     = 100     // service revisions that traffic is split between
)

// Bounds of hooks: how long they are asked again, and what they may keep.
const (
	HookMargin       = 2 * time.Second  // of an invocation's time, kept for the answer
	HookDelay        = 30 * time.Second // until ECS asks again, unless asked otherwise: its own
	HookDelayLeast   = time.Second
	HookDelayMost    = 15 * time.Minute
	HookRetries      = 20       // times that could not check is answered with "ask again", unless asked otherwise
	HookRetriesMost  = 10_000   // likewise, that may be asked for
	HookNoted        = 5        // images that a note of a hook's record names
	HookDetailsBytes = 64 << 10 // what a service's configuration hands its hooks
	AppSpecBytes     = 1 << 20  // an AppSpec file
	JobParameters    = 16 << 10 // UserParameters of an action: AWS allows 1000 characters, variables may be longer
	JobMessageRunes  = 2000     // of a job's failure: AWS takes 5000 characters
)
