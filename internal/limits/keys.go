package limits

// Bounds on private keys that came encrypted, and on what their chain is
// chosen from.
const (
	KeyIterations   = 10_000_000 // rounds of PBKDF2: seconds
	KeyMemory       = 256 << 20  // bytes that scrypt may take
	KeyParallel     = 16         // scrypt's p, each of which takes the time of one
	KeySaltBytes    = 1 << 10
	KeyCertificates = 64 // certificates given with a key, from which its chain is chosen
)
