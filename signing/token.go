package signing

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"

	"github.com/shuin/shuin/internal/limits"
)

// pageMax is the largest page of the API's model, and the default.
const pageMax = 25

func pageSize(n int) (int, error) {
	switch {
	case n == 0:
		return pageMax, nil
	case n < 1 || n > pageMax:
		return 0, invalid("Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and %d", n, pageMax)
	}
	return n, nil
}

// tokens makes pagination tokens: where a list goes on, with a code that binds
// it to caller and query. The key is this process's: a restart ends listings.
type tokens struct {
	once sync.Once
	key  [32]byte
}

const tokenCode = 16 // bytes of the authentication code

func (t *tokens) code(query []string, cursor string) []byte {
	t.once.Do(func() { _, _ = rand.Read(t.key[:]) }) // never fails (crypto/rand)
	mac := hmac.New(sha256.New, t.key[:])
	for _, part := range append(query, cursor) {
		fmt.Fprintf(mac, "%d:%s,", len(part), part)
	}
	return mac.Sum(nil)[:tokenCode]
}

// make gives the token of a cursor.
func (t *tokens) make(query []string, cursor string) string {
	return base64.RawURLEncoding.EncodeToString(append(t.code(query, cursor), cursor...))
}

// read gives the cursor of a token made for the same query; empty: the start.
func (t *tokens) read(query []string, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	if len(token) > limits.PageToken {
		return "", badToken()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= tokenCode {
		return "", badToken()
	}
	cursor := string(raw[tokenCode:])
	if !hmac.Equal(raw[:tokenCode], t.code(query, cursor)) {
		return "", badToken()
	}
	return cursor, nil
}

func badToken() *Error {
	return invalid("The nextToken is not one that this signer gave for this request; begin the listing anew.")
}
