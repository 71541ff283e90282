package limits

// Bounds on what people deploy: Kubernetes manifests, task definitions,
// imagedefinitions.json.
const (
	DeployFileBytes  = 16 << 20  // one file
	DeployNodes      = 1_000_000 // values in it
	DeployDepth      = 64        // of nesting
	DeployDocuments  = 10_000    // in one file, and objects in its lists
	DeployImages     = 20_000    // images in one file
	DeployListDepth  = 4         // lists inside lists
	DeployFaults     = 100       // faults told of one file
	DeployImageBytes = 1 << 10   // one image reference
)

// Bounds on what build tools write of the images they made.
const (
	BuiltFileBytes = 8 << 20 // one file: buildx writes the whole provenance in it if asked
	BuiltImages    = 1000    // images, and names of one image
)
