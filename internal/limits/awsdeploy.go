package limits

import "time"

// Bounds of what is asked of AWS about a stack of the deploy kit.
const (
	DeployPages      = 20                  // of a stack's resources, or of alarms, at AWS's own page size
	DeployLookBack   = 14 * 24 * time.Hour // how far back the last event is looked for: AWS keeps hours as long
	DeployMetricStep = time.Hour           // a time told of an event is good to this much
)
