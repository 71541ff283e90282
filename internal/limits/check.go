package limits

// Bounds of `shuin check`.
const (
	CheckFiles             = 1000 // files, task definitions and services named on one command line
	ServiceTaskDefinitions = 20   // under way in one ECS service
)
