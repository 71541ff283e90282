package verify

import "sync/atomic"

// CountChecks makes v count the signature checks it makes on envelopes and
// their chains.
func CountChecks(v *Verifier) *atomic.Int64 { return v.CountChecks() }

// Len is the number of remembered chains and paths; one used in both
// generations counts twice.
func (c *ChainCache) Len() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.young) + len(c.old)
}

// StoreOfRoot and AWSStores are the names of AWS Signer's stores, by their roots.
var (
	StoreOfRoot = storeOfRoot
	AWSStores   = awsStores
)
