package envelope

import (
	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// This is the one file that uses go-cose. It builds every COSE envelope, and
// has the last word on what is read: a message with parameters that this
// package has no use for must be one that go-cose accepts.

// gocoseAccepts reports why go-cose does not take data as COSE_Sign1_Tagged.
func gocoseAccepts(data []byte) error {
	return cose.NewSign1Message().UnmarshalCBOR(data)
}

// gocoseProtected encodes a protected header, deterministically, as the byte
// string that the message holds; content is what is in it.
func gocoseProtected(params map[any]any) (encoded, content []byte, err error) {
	if encoded, err = cose.ProtectedHeader(params).MarshalCBOR(); err != nil {
		return nil, nil, err
	}
	_, n, head := cborHead(encoded)
	return encoded, encoded[head : head+int(n)], nil
}

// gocoseMessage encodes the whole COSE_Sign1_Tagged message.
func gocoseMessage(protected []byte, unprotected map[any]any, payload, signature []byte) ([]byte, error) {
	m := cose.Sign1Message{
		Headers:   cose.Headers{RawProtected: protected, Unprotected: unprotected},
		Payload:   payload,
		Signature: signature,
	}
	return m.MarshalCBOR()
}

// gocoseTime is a time as the specification wants it: tag 1, whole seconds.
func gocoseTime(seconds int64) any { return cbor.Tag{Number: 1, Content: seconds} }
