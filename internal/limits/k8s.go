package limits

// What shuin k8s reads.
const (
	KubectlBytes      = 16 << 20 // of one answer of kubectl's
	KubectlErrorBytes = 8 << 10  // of what it says is wrong
	ChartValuesBytes  = 1 << 20  // of a file of values
)
