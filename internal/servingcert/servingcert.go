// Package servingcert makes the certificates that a webhook is served with: a CA
// of its own and a leaf below it, renewed long before their end, with both the
// old CA and the new one trusted meanwhile. It stores nothing, publishes nothing
// and has no clock.
package servingcert
