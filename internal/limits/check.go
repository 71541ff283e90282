package limits

import "time"

// Bounds of `shuin check` and its kin.
const (
	CheckFiles             = 1000             // files, task definitions and services named on one command line
	CheckInFlight          = 8                // workloads asked about at once
	CheckTime              = 10 * time.Minute // one check, unless asked otherwise
	CheckPlaces            = 1000             // repositories and places looked at for rules that only their place keeps away
	CheckForeign           = 20               // objects of unknown kinds without images that are named, for each file
	ServiceTaskDefinitions = 20               // under way in one ECS service
)
