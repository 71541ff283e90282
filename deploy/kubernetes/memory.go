package kubernetes

import (
	"math/big"
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

// bytesOf reads a quantity of Kubernetes that is a number of bytes.
func bytesOf(text string) (*big.Rat, bool) {
	number := strings.TrimRight(text, "KMGTPEkim")
	unit, known := map[string]int64{
		"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
	}[text[len(number):]]
	if !known || number == "" || len(number) > 30 || strings.Trim(number, "0123456789.") != "" {
		return nil, false
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok || r.Sign() <= 0 {
		return nil, false
	}
	return r.Mul(r, new(big.Rat).SetInt64(unit)), true
}
