package limits

// Bounds of the documents that package document reads.
const (
	DocumentBytes  = 4 << 20   // of one file
	DocumentNodes  = 500_000   // values in it, each alias counted as all that it stands for
	DocumentDepth  = 64        // mappings and sequences inside each other
	Documents      = 10_000    // documents in one file
	DocumentFaults = 1000      // faults collected of one file
	FaultsShown    = 50        // of them that an error's text lists
	FaultBytes     = 300       // of one fault's text
	DocumentTokens = 1_000_000 // words of YAML in it: keys, values, marks
	DocumentKeys   = 10_000    // of one mapping of YAML over several lines: the library's time for it grows with their square
	DocumentItems  = 50_000    // of one list of that kind
)
