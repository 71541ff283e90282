package limits

// Bounds of policy bundles. The policy in one is bounded by PolicyBytes.
const (
	BundleBytes          = 2 << 20   // a bundle
	BundleSignatureBytes = 1 << 20   // the signature beside it
	BundleStores         = 200       // trust stores in it
	BundleCertificates   = 1000      // in all of them together
	BundleSequence       = 1<<53 - 1 // the largest number that every reader of JSON takes for what it is
)
