package main

import (
	"strconv"
	"strings"
)

// The values of --for.
const (
	forSign   = "sign"
	forVerify = "verify"
	forCheck  = "check"
	forReport = "report"
	forHook   = "hook"
	forEvents = "events"
	forSweep  = "sweep"
	forStop   = "stop"
)

// purposes are the values of --for.
func (a *app) purposes() []string {
	if a.asNotation() {
		return []string{forSign, forVerify}
	}
	return []string{forSign, forVerify, forCheck, forReport, forHook, forEvents, forSweep, forStop}
}

// quotedOr is "a", "b" or "c".
func quotedOr(list []string) string {
	var b strings.Builder
	for i, s := range list {
		switch i {
		case 0:
		case len(list) - 1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(strconv.Quote(s))
	}
	return b.String()
}
