// Package crash kills a signing server again and again and holds what is left
// against what its clients were told: kill -9 at random points while ten
// clients sign, revoke and make profiles (crash_test.go), and the system calls
// of a commit (durability_test.go; kill -9 alone passes without a single
// fsync, since the kernel keeps what a killed process wrote). The server is
// the real binary, on loopback. It holds tests only.
package crash
