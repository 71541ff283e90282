package kubernetes

import (
	"math/big"
	"regexp"
	"strings"
)

// checkMemory wants the garbage collector's target below what the container may
// use: at or above it the gate is killed before memory is collected.
func checkMemory(v Values) error {
	target, _ := v["memoryTarget"].(string)
	resources, _ := v["resources"].(map[string]any)
	bounds, _ := resources["limits"].(map[string]any)
	limit := ""
	switch l := bounds["memory"].(type) {
	case string:
		limit = l
	case int64:
		limit = big.NewInt(l).String()
	default:
		return nil // unbounded
	}
	most, ok := bytesOf(limit)
	if !ok {
		return invalid("resources.limits.memory: %s is no number of bytes, such as 1Gi", quoteShort(limit))
	}
	if at, ok := bytesOf(strings.TrimSuffix(target, "B")); ok && at.Cmp(most) >= 0 {
		return invalid("memoryTarget: %s is not below resources.limits.memory (%s): leave a third of it for what is not collected yet", target, limit)
	}
	return nil
}

// quantity is one of Kubernetes (k8s.io/apimachinery, package resource): a number
// with an exponent, or with a unit, which may be less than one.
var quantity = regexp.MustCompile(`^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i)?$`)

var units = map[string]*big.Rat{
	"": big.NewRat(1, 1), "n": big.NewRat(1, 1e9), "u": big.NewRat(1, 1e6), "m": big.NewRat(1, 1e3),
	"k": big.NewRat(1e3, 1), "M": big.NewRat(1e6, 1), "G": big.NewRat(1e9, 1), "T": big.NewRat(1e12, 1), "P": big.NewRat(1e15, 1), "E": big.NewRat(1e18, 1),
	"Ki": big.NewRat(1<<10, 1), "Mi": big.NewRat(1<<20, 1), "Gi": big.NewRat(1<<30, 1), "Ti": big.NewRat(1<<40, 1), "Pi": big.NewRat(1<<50, 1), "Ei": big.NewRat(1<<60, 1),
}

// bytesOf reads a quantity of Kubernetes that is a number of bytes, more than none.
func bytesOf(text string) (*big.Rat, bool) {
	parts := quantity.FindStringSubmatch(text)
	if parts == nil || len(text) > 40 {
		return nil, false
	}
	unit, known := units[parts[2]]
	if !known { // an exponent
		parts[1] += parts[2]
		unit = units[""]
	}
	r, ok := new(big.Rat).SetString(parts[1])
	if !ok || r.Sign() == 0 {
		return nil, false
	}
	return r.Mul(r, unit), true
}
