package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shuin/shuin"
)

// Action is what a failed check does. Zero is invalid.
type Action uint8

// The actions.
const (
	Enforce Action = iota + 1
	Log
	Skip
)

// actionNames are the actions as override spells them, by Action.
var actionNames = [...]string{Enforce: "enforce", Log: "log", Skip: "skip"}

// String is the action as a policy spells it.
func (a Action) String() string {
	if a == 0 || int(a) >= len(actionNames) {
		return "invalid"
	}
	return actionNames[a]
}

// ParseAction reads "enforce", "log" or "skip".
func ParseAction(s string) (Action, error) {
	if i := slices.Index(actionNames[:], s); s != "" && i > 0 {
		return Action(i), nil
	}
	return 0, fmt.Errorf("verification action %q in custom signature verification is not supported, supported values are %q", s, actionNames[1:])
}

// Names of the levels.
const (
	LevelStrict     = "strict"
	LevelPermissive = "permissive"
	LevelAudit      = "audit"
	LevelSkip       = "skip"
)

// Level is a verification level with its overrides.
type Level struct {
	Name    string // strict, permissive, audit, skip: as written
	Actions map[shuin.CheckName]Action
}

// Skip reports whether the level is skip: nothing is verified.
func (l Level) Skip() bool { return l.Name == LevelSkip }

// Action is what a failure of check does: Enforce when the level does not know it.
func (l Level) Action(check shuin.CheckName) Action {
	if a, ok := l.Actions[check]; ok {
		return a
	}
	return Enforce
}

// validationTypes are the keys of the table below, in the specification's order.
var validationTypes = [...]shuin.CheckName{
	shuin.CheckIntegrity, shuin.CheckAuthenticity, shuin.CheckAuthenticTimestamp, shuin.CheckExpiry, shuin.CheckRevocation,
}

// levelTable is the table of trust-store-trust-policy.md, "Signature
// Verification details" (TP-04), in the order of validationTypes.
var levelTable = map[string][len(validationTypes)]Action{
	LevelStrict:     {Enforce, Enforce, Enforce, Enforce, Enforce},
	LevelPermissive: {Enforce, Enforce, Log, Log, Log},
	LevelAudit:      {Enforce, Log, Log, Log, Log},
	LevelSkip:       {Skip, Skip, Skip, Skip, Skip},
}

// NewLevel is a level of the specification (TP-04) with overrides, spelled as
// a policy spells them (TP-05): integrity cannot be overridden, skip cannot be
// customised, and only revocation can be skipped (checklist part B, rows
// TP-05 and TSA-02). All faults are reported.
func NewLevel(name string, override map[string]string) (Level, error) {
	if name == "" {
		return Level{}, errors.New("signature verification level is empty or missing in the trust policy statement")
	}
	actions, ok := levelTable[name]
	if !ok {
		return Level{}, fmt.Errorf("invalid signature verification level %q", name)
	}
	if name == LevelSkip && len(override) > 0 {
		return Level{}, fmt.Errorf("signature verification level %q can't be used to customize signature verification", name)
	}
	l := Level{Name: name, Actions: make(map[shuin.CheckName]Action, len(actions))}
	for i, a := range actions {
		l.Actions[validationTypes[i]] = a
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(override)) {
		a, err := overrideAction(key, override[key])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l.Actions[shuin.CheckName(key)] = a
	}
	if len(errs) > 0 {
		return Level{}, errors.Join(errs...)
	}
	return l, nil
}

// overrideAction checks one entry of override (TP-05).
func overrideAction(key, value string) (Action, error) {
	check := shuin.CheckName(key)
	if !slices.Contains(validationTypes[:], check) {
		return 0, fmt.Errorf("verification type %q in custom signature verification is not supported, supported values are %q", key, validationTypes)
	}
	a, err := ParseAction(value)
	if err != nil {
		return 0, err
	}
	if check == shuin.CheckIntegrity {
		return 0, fmt.Errorf("%q verification can not be overridden in custom signature verification", key)
	}
	if check != shuin.CheckRevocation && a == Skip {
		return 0, fmt.Errorf("%q verification can not be skipped in custom signature verification", key)
	}
	return a, nil
}
