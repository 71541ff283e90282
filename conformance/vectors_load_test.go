package conformance

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const vectorDir = "vectors/v1"

// vector is one file of vectors/v1; vectors/README.md describes it.
type vector struct {
	Version int             `json:"version"`
	ID      string          `json:"id"`
	Row     string          `json:"row"`
	Title   string          `json:"title"`
	Kind    string          `json:"kind"`
	Valid   bool            `json:"valid"`
	Expect  expectation     `json:"expect"`
	Now     time.Time       `json:"now"`
	Input   json.RawMessage `json:"input"`
}

type expectation struct {
	Rows  []string `json:"rows"`
	Check string   `json:"check"` // alternatives, separated by |
	Codes []string `json:"codes"`
}

type descriptorJSON struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

type envelopeJSON struct {
	MediaType string `json:"mediaType"`
	Text      string `json:"text"`
	Bytes     []byte `json:"bytes"`
}

func (e envelopeJSON) content() []byte {
	if e.Text != "" {
		return []byte(e.Text)
	}
	return e.Bytes
}

type answerJSON struct {
	Status int    `json:"status"`
	Body   []byte `json:"body"`
}

type envelopeCase struct {
	Reference    string                `json:"reference"`
	Artifact     descriptorJSON        `json:"artifact"`
	Signatures   []envelopeJSON        `json:"signatures"`
	TrustPolicy  json.RawMessage       `json:"trustPolicy"`
	TrustStores  map[string][][]byte   `json:"trustStores"`
	UserMetadata map[string]string     `json:"userMetadata"`
	Answers      map[string]answerJSON `json:"answers"`
	Plugin       *pluginJSON           `json:"plugin"`
}

type pluginJSON struct {
	Name     string          `json:"name"`
	Metadata json.RawMessage `json:"get-plugin-metadata"`
	Verify   json.RawMessage `json:"verify-signature"`
}

type chainCase struct {
	Purpose string   `json:"purpose"`
	Chain   [][]byte `json:"chain"`
}

type policyCase struct {
	Document  string `json:"document"`
	Type      string `json:"type"`
	Reference string `json:"reference"`
	Statement string `json:"statement"`
}

type identityCase struct {
	TrustedIdentities []string `json:"trustedIdentities"`
}

type resolutionCase struct {
	Reference  string         `json:"reference"`
	Descriptor descriptorJSON `json:"descriptor"`
}

type revocationCase struct {
	Purpose string                `json:"purpose"`
	Chain   [][]byte              `json:"chain"`
	At      time.Time             `json:"at"`
	Answers map[string]answerJSON `json:"answers"`
	Status  []string              `json:"status"`
}

type manifestCase struct {
	Artifact descriptorJSON `json:"artifact"`
	Manifest string         `json:"manifest"`
	Envelope envelopeJSON   `json:"envelope"`
}

type storeCase struct {
	Store        string               `json:"store"`
	Files        map[string]entryJSON `json:"files"`
	Certificates []string             `json:"certificates"`
}

type entryJSON struct {
	Content   []byte `json:"content"`
	Symlink   string `json:"symlink"`
	Directory bool   `json:"directory"`
}

type signCase struct {
	MediaType     string            `json:"mediaType"`
	Artifact      descriptorJSON    `json:"artifact"`
	Key           []byte            `json:"key"`
	Chain         [][]byte          `json:"chain"`
	UserMetadata  map[string]string `json:"userMetadata"`
	ExpirySeconds int64             `json:"expirySeconds"`
}

type pluginCase struct {
	Name     string                 `json:"name"`
	File     string                 `json:"file"`
	Mode     string                 `json:"mode"`
	Ask      string                 `json:"ask"`
	Commands map[string]processJSON `json:"commands"`
}

type processJSON struct {
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Exit   int    `json:"exit"`
}

// input decodes a vector's input.
func input[T any](tb testing.TB, v *vector) T {
	tb.Helper()
	var in T
	if err := json.Unmarshal(v.Input, &in); err != nil {
		tb.Fatalf("%s: %v", v.ID, err)
	}
	return in
}

// loadVectors reads every vector, in the order of their ids.
func loadVectors(tb testing.TB) []*vector {
	tb.Helper()
	return loadVectorsOf(tb, vectorDir)
}

func loadVectorsOf(tb testing.TB, dir string) []*vector {
	tb.Helper()
	var all []*vector
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(path) == filepath.Clean(dir) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		v := new(vector)
		if err := json.Unmarshal(data, v); err != nil {
			return errors.Join(errors.New(path), err)
		}
		all = append(all, v)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(all, func(a, b *vector) int { return strings.Compare(a.ID, b.ID) })
	return all
}

func loadVector(tb testing.TB, id string) *vector {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(vectorDir, filepath.FromSlash(id)+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	v := new(vector)
	if err := json.Unmarshal(data, v); err != nil {
		tb.Fatal(err)
	}
	return v
}
