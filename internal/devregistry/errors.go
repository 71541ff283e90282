package devregistry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// apiError is an answer of the registry that is not a success (OCI
// distribution specification, "Error Codes").
type apiError struct {
	status int
	code   string
	msg    string
	detail any
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.msg) }

func refuse(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, code: code, msg: fmt.Sprintf(format, args...)}
}

// writeError answers with err's status and a JSON body in the specification's
// form. HEAD answers have no body; net/http drops it.
func writeError(w http.ResponseWriter, err *apiError) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	body, jerr := json.Marshal(map[string][]item{"errors": {{err.code, err.msg, err.detail}}})
	if jerr != nil {
		body = []byte(`{"errors":[]}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(err.status)
	w.Write(body)
}
