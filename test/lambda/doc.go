// Package lambda holds a Lambda Runtime API server, and runs the function
// binary behind it.
package lambda
