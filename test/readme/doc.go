// Package readme holds one end-to-end test: the commands of README.md, word
// for word, in an empty directory with an empty HOME.
package readme
