// Package readme holds one end-to-end test: the commands of both READMEs, word
// for word, in an empty directory with an empty HOME.
package readme
