//go:build !linux && !darwin

package plugin

import "errors"

// exchange is not there: what was is moved away first.
func exchange(string, string) error { return errors.ErrUnsupported }
