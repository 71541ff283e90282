// Package gateapi serves the gate over HTTP: POST /v1/decide and /v1/explain.
// It authenticates principals (mutual TLS or a bearer token), holds them to the
// places they may ask about, and translates; it decides nothing.
package gateapi
