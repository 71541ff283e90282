package notify

import "context"

// Read gives the value that s names, for a request that is not a
// notification's. It goes into that request's header and nowhere else. The
// error names the place alone.
func (r *Secrets) Read(ctx context.Context, s Secret) (string, error) {
	v, err := r.read(ctx, s)
	return string(v), err
}

// Forget drops what is kept of s: it was refused, and may have been replaced.
func (r *Secrets) Forget(s Secret) { r.forget(s) }
