// Package many measures verifying many images at once, as a sweep over a
// cluster does. It holds tests and a benchmark only, and will not hold anything
// that a program uses.
package many
