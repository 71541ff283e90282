package signing

import (
	"context"
	"errors"
	"fmt"
)

// String is the fault's name in the log.
func (f Fault) String() string {
	switch f {
	case FaultValidation:
		return "validation"
	case FaultAccessDenied:
		return "access-denied"
	case FaultNotFound:
		return "not-found"
	case FaultConflict:
		return "conflict"
	case FaultLimit:
		return "limit-exceeded"
	case FaultThrottled:
		return "throttled"
	case FaultUnavailable:
		return "unavailable"
	}
	return "internal"
}

func fault(f Fault, format string, args ...any) *Error {
	return &Error{Fault: f, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Error { return fault(FaultValidation, format, args...) }

func notFound(format string, args ...any) *Error { return fault(FaultNotFound, format, args...) }

// internal is a fault of ours: what it was is for the log.
func internal(doing string, err error) *Error {
	return &Error{Fault: FaultInternal, Message: "internal error: " + doing + " failed", Err: fmt.Errorf("%s: %w", doing, err)}
}

// asError makes an *Error of what an operation or its transaction returned:
// refusals pass, everything else means that the store cannot be used now.
func asError(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Error{Fault: FaultUnavailable, Message: "the request ended before the signer's store had answered", Err: err}
	}
	return &Error{Fault: FaultUnavailable, Message: "the signer's store cannot be used at the moment", Err: fmt.Errorf("store: %w", err)}
}

// detailed is err with what a refusal came from, which its own text keeps to
// itself: for errors that are joined, and read by the operator alone.
func detailed(err error) error {
	if e := refusal(err); e != nil && e.Err != nil {
		return fmt.Errorf("%w: %w", err, e.Err)
	}
	return err
}

// refusal is the *Error of err, nil when err is none.
func refusal(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
