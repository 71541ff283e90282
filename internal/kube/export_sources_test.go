package kube

// What tests of this package look into.
var (
	ParseDockerConfig = parseDockerConfig
	ParseDockerCfg    = parseDockerCfg
	Matching          = matching
)
