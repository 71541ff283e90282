package main

import "github.com/shuin/shuin"

// gateHint is what to do about a reason of the gate: its own hint where it has
// one.
func (a *app) gateHint(err error) string {
	if h := shuin.HintOf(err); h != "" {
		return h
	}
	code := shuin.CodeOf(err)
	if h, ok := gateHints()[code]; ok {
		return a.help(h)
	}
	return a.hint(code, err)
}

// gateHints are those that a pipeline policy wants in other words than a trust
// policy.
func gateHints() map[shuin.Code]string {
	return map[shuin.Code]string{
		shuin.CodeUnsigned:         "run its stages and seal it with \"{} seal\"; \"{} policy explain\" shows what the rule wants",
		shuin.CodeUntrusted:        "\"{} inspect\" shows who signed, \"{} policy explain\" whose signature the rule wants",
		shuin.CodeStageMissing:     "run the stage and seal its result with \"{} seal\"; \"{} policy explain\" shows what the rule wants",
		shuin.CodeSealTooOld:       "run the stage again and seal its result",
		shuin.CodeNoPolicy:         "add a rule for the repository; \"{} policy explain\" shows which rules there are for a place",
		shuin.CodeTagRefused:       "name the image by its digest (repository@sha256:…)",
		shuin.CodeNotAllowed:       "check that this is the digest you meant; the rule lists those it allows",
		shuin.CodeNotInIndex:       "find out what runs: it is not what its reference names",
		shuin.CodeMetadataMismatch: "the stage wants metadata that was not signed: \"{} inspect\" shows what was",
	}
}
