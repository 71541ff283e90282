// Package watch follows what runs or is registered to run: it has each
// observation decided by the gate, makes findings of what the policy would not
// admit, says which of them are to be told (once, and again when they change),
// and which reaction a configuration allows.
//
// It knows no AWS, no HTTP and no clock: events come in as observations, and
// stores, notifiers and reactors are handed in.
package watch
