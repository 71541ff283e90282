package watch

// Inventory counts what a sweep saw. The zero value is ready for use; Add is
// safe for concurrent use.
type Inventory struct{}

// Add counts one observation and what became of it.
func (i *Inventory) Add(o Observation, r *Result) { panic("unimplemented") }

// MarshalJSON writes the versioned form.
func (i *Inventory) MarshalJSON() ([]byte, error) { panic("unimplemented") }
