package ecs

// Stand-ins until watch declares its own.
type (
	observation struct{}
	signerEvent struct{}
)
