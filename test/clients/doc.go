// Package clients holds our signing service against clients of others: it
// starts the service on loopback and runs the small modules beside it, which
// use the official AWS SDK for Go in an old and a new version and nothing of
// ours. The tests have the build tag e2e. It holds no code for others.
package clients
