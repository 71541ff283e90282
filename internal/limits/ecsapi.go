package limits

// Bounds of what is asked of ECS, CodeDeploy and CodePipeline. The sizes of
// pages and batches are AWS's own.
const (
	ECSPage          = 100     // ARNs of one page of a listing
	ECSListed        = 100_000 // ARNs of one listing
	ECSTasksBatch    = 100     // tasks described by one call
	ECSServicesBatch = 10      // services described by one call
	ECSDefinitions   = 4096    // task definitions remembered by one process
	ECSStopReason    = 1024    // characters of the reason a task was stopped
	JobContinuation  = 2048    // of a CodePipeline job's token

	SweepTargets  = 1000 // accounts and regions of one sweep
	SweepInFlight = 8    // calls at a time, unless asked otherwise
	SweepTries    = 7    // of one call that is throttled: with their pauses they fill AWSCallTime
	SweepClusters = 4    // of one target at a time
	SweepFailures = 1000 // told of one sweep
)
