package signing

import "time"

// MaxValidityMonths is AWS Signer's longest validity of a signature, and its
// default: 11 years and 3 months.
const MaxValidityMonths = 135

// DefaultValidity is that of a profile that names none.
var DefaultValidity = Validity{Value: MaxValidityMonths, Type: "MONTHS"}

// From is the end of a signature made at t, by the calendar: the same day of
// the month, or the month's last day where it has no such day.
func (v Validity) From(t time.Time) time.Time {
	switch v.Type {
	case "MONTHS":
		return addMonths(t, v.Value)
	case "YEARS":
		return addMonths(t, 12*v.Value)
	}
	return t.AddDate(0, 0, v.Value)
}

func addMonths(t time.Time, months int) time.Time {
	end := t.AddDate(0, months, 0)
	if end.Day() != t.Day() { // AddDate ran over into the next month
		end = end.AddDate(0, 0, -end.Day())
	}
	return end
}

// check holds v against the bounds at the time a profile is made.
func (v Validity) check(now time.Time) *Error {
	switch v.Type {
	case "DAYS", "MONTHS", "YEARS":
	default:
		return invalid("Value %.20q at 'signatureValidityPeriod.type' failed to satisfy constraint: Member must satisfy enum value set: [DAYS, MONTHS, YEARS]", v.Type)
	}
	// The first bound keeps the calendar arithmetic itself in range.
	if v.Value < 1 || v.Value > 100*366 || v.From(now).After(addMonths(now, MaxValidityMonths)) {
		return invalid("The signature validity period has to be at least 1 day and at most %d months, not %d %s.", MaxValidityMonths, v.Value, v.Type)
	}
	return nil
}
