package main

import (
	"io"
	"strings"
)

// node is one line of a tree with what hangs below it.
type node struct {
	text     string
	children []*node
}

func (n *node) add(text string) *node {
	child := &node{text: text}
	n.children = append(n.children, child)
	return child
}

func (n *node) pair(key, value string) *node { return n.add(key + ": " + value) }

// write renders the tree with n as its root. Each node is one line, whatever
// its text holds.
func (n *node) write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(visible(n.text) + "\n")
	n.writeChildren(&b, "")
	_, err := io.WriteString(w, b.String())
	return err
}

func (n *node) writeChildren(b *strings.Builder, indent string) {
	for i, child := range n.children {
		branch, below := "├── ", "│   "
		if i == len(n.children)-1 {
			branch, below = "└── ", "    "
		}
		b.WriteString(indent + branch + visible(child.text) + "\n")
		child.writeChildren(b, indent+below)
	}
}
