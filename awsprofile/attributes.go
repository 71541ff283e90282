package awsprofile

import "fmt"

// Attribute is a signed attribute that is not one of the Notary Project's own.
// It has the shape of envelope.Attribute.
type Attribute struct {
	Key      any // a string; COSE also allows int64
	Value    any
	Critical bool
}

// Signed is what AWS Signer says in an envelope's signed attributes.
type Signed struct {
	Profile Profile // with its version
	Job     Job
	// Unknown are the keys of further critical attributes, in their order:
	// whoever does not know them must not accept the signature. Profile
	// aliases are among them.
	Unknown []string
}

// ReadAttributes reads the signed attributes of an envelope that names
// [PluginName], without the two that name the plugin and its version. Both of
// AWS Signer's must be there, critical, and in the spelling it signs. A
// further critical attribute is no error but goes into Unknown, which is
// filled whether or not there is one; further ones that are not critical are
// left alone.
func ReadAttributes(attrs []Attribute) (Signed, error) {
	var s Signed
	values := map[string]Attribute{}
	for _, a := range attrs {
		switch a.Key {
		case AttributeProfileVersion, AttributeJob:
			values[a.Key.(string)] = a
		default:
			if a.Critical {
				s.Unknown = append(s.Unknown, fmt.Sprint(a.Key))
			}
		}
	}
	text, err := value(values, AttributeProfileVersion)
	if err != nil {
		return s, err
	}
	if s.Profile, err = ParseProfile(text); err != nil {
		return s, fmt.Errorf("signed attribute %s: %w", AttributeProfileVersion, err)
	}
	if s.Profile.Version == "" || s.Profile.String() != text {
		return s, fmt.Errorf("signed attribute %s: %s is not the ARN of a signing profile version as AWS Signer writes it", AttributeProfileVersion, quote(text))
	}
	if text, err = value(values, AttributeJob); err != nil {
		return s, err
	}
	if s.Job, err = ParseJob(text); err != nil {
		return s, fmt.Errorf("signed attribute %s: %w", AttributeJob, err)
	}
	if s.Job.String() != text {
		return s, fmt.Errorf("signed attribute %s: %s is not the ARN of a signing job as AWS Signer writes it", AttributeJob, quote(text))
	}
	return s, nil
}

func value(values map[string]Attribute, key string) (string, error) {
	a, ok := values[key]
	if !ok {
		return "", fmt.Errorf("signed attribute %s is missing", key)
	}
	if !a.Critical {
		return "", fmt.Errorf("signed attribute %s is not marked critical", key)
	}
	s, ok := a.Value.(string)
	if !ok {
		return "", fmt.Errorf("signed attribute %s is not text", key)
	}
	return s, nil
}
