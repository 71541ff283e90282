// Package seal knows what a seal says beside the artifact: the stage it is for
// and the evidence that the stage's work succeeded, as signed metadata, and the
// evidence file that carries it from before the push to after it.
//
// It runs no command, reads no file and signs nothing. Evidence is a claim of
// whoever may sign for the stage: its checksum catches damage and careless
// edits, not an attacker who may run the same command.
package seal
