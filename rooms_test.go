package shuin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/shuin/shuin"

// kind is what a room does: decide from values, touch one outside thing, or
// join the two.
type kind uint8

const (
	_     kind = iota
	think      // decides from values
	touch      // one door to one outside thing
	tool       // a bounded helper that doors may import
	join       // a binary
	trial      // tests, demos and their helpers
)

// room is one row of the table in docs/design/rooms.md.
type room struct {
	kind kind
	// rooms it may import besides the root words and internal/limits.
	// A join and a trial may import all that the kind allows.
	rooms []string
	// outside packages it alone may import, by prefix.
	outside []string
}

// rooms is the table: who may import whom. A new folder starts here.
var rooms = map[string]room{
	"":         {kind: think},
	"envelope": {kind: think, outside: []string{"github.com/veraison/go-cose", "github.com/notaryproject/tspclient-go", "github.com/fxamacker/cbor"}},
	"trust":    {kind: think},
	"policy":   {kind: think, rooms: []string{"trust"}},
	"verify":   {kind: think, rooms: []string{"envelope", "policy", "trust", "awsprofile"}, outside: []string{"golang.org/x/crypto/ocsp"}},
	"sign":     {kind: think, rooms: []string{"envelope"}},
	// The signer.
	"awsprofile": {kind: think},
	"issue":      {kind: think, rooms: []string{"envelope"}},
	"audit":      {kind: think},
	"signing":    {kind: think, rooms: []string{"sign", "envelope", "issue", "audit", "awsprofile"}},
	// The gate.
	"pipeline": {kind: think, rooms: []string{"policy", "trust", "awsprofile", "internal/document"}},
	"gate":     {kind: think, rooms: []string{"pipeline", "policy", "trust", "verify"}, outside: []string{"github.com/maypok86/otter"}},
	"seal":     {kind: think},
	"bundle":   {kind: think, rooms: []string{"pipeline", "policy", "trust", "verify", "envelope", "internal/document"}},
	// What runs.
	"watch":           {kind: think, rooms: []string{"gate", "pipeline", "awsprofile"}},
	"watch/storetest": {kind: trial},

	"internal/limits":      {kind: tool},
	"internal/buildinfo":   {kind: tool},
	"internal/document":    {kind: tool, outside: []string{"github.com/goccy/go-yaml"}},
	"internal/blobcache":   {kind: touch},
	"internal/imagename":   {kind: tool},
	"internal/manifest":    {kind: touch, rooms: []string{"gate", "internal/document", "internal/imagename"}},
	"internal/admission":   {kind: touch, rooms: []string{"gate", "pipeline", "internal/imagename", "internal/share"}},
	"internal/kube":        {kind: touch, rooms: []string{"gate", "pipeline", "trust", "verify", "watch", "internal/imagename", "internal/document", "internal/servingcert", "internal/share"}, outside: []string{"k8s.io", "sigs.k8s.io"}},
	"internal/servingcert": {kind: tool},
	"internal/gateapi":     {kind: touch, rooms: []string{"gate", "pipeline", "watch"}},
	"internal/fetch":       {kind: tool},
	"internal/share":       {kind: tool},
	"internal/registry":    {kind: touch, rooms: []string{"verify"}, outside: []string{"oras.land/oras-go", "github.com/gofrs/flock"}},
	"internal/notationdir": {kind: touch, rooms: []string{"policy", "trust"}, outside: []string{"github.com/gofrs/flock"}},
	"internal/keys/file":   {kind: touch, rooms: []string{"sign", "envelope"}},
	"internal/keys/age":    {kind: touch, rooms: []string{"sign", "envelope", "issue"}, outside: []string{"filippo.io/age"}},
	"internal/sigv4":       {kind: tool},
	"internal/awscall":     {kind: tool, outside: []string{"github.com/aws"}},
	"internal/awsclient":   {kind: touch, rooms: []string{"sign", "verify", "awsprofile", "envelope", "internal/awscall"}, outside: []string{"github.com/aws"}},
	"internal/ecs":         {kind: touch, rooms: []string{"gate", "pipeline", "watch", "awsprofile", "internal/awscall"}},
	"internal/cloudlogin":  {kind: touch, outside: []string{"golang.org/x/oauth2"}},
	"internal/awsstate":    {kind: touch, rooms: []string{"watch", "internal/awscall"}},
	"internal/notify":      {kind: touch, rooms: []string{"watch", "internal/awscall", "internal/fetch"}, outside: []string{"github.com/nicholas-fedor/shoutrrr"}},
	"internal/webfile":     {kind: touch},
	"internal/download":    {kind: touch},
	"internal/webstate":    {kind: touch, rooms: []string{"watch"}},
	"internal/awsdeploy":   {kind: touch, rooms: []string{"internal/awscall"}},
	"internal/awssigner":   {kind: touch, rooms: []string{"signing", "awsprofile", "internal/sigv4", "internal/share"}, outside: []string{"golang.org/x/time"}},
	"internal/sqlstore":    {kind: touch, rooms: []string{"signing", "audit", "awsprofile", "watch"}, outside: []string{"modernc.org/sqlite", "github.com/pressly/goose"}},
	"internal/revocation":  {kind: touch, rooms: []string{"verify", "envelope", "awsprofile", "internal/fetch"}, outside: []string{"golang.org/x/crypto/ocsp"}},
	"internal/timestamp":   {kind: touch, rooms: []string{"sign", "envelope", "internal/fetch"}, outside: []string{"github.com/notaryproject/tspclient-go"}},
	"internal/plugin":      {kind: touch, rooms: []string{"sign", "verify", "envelope"}, outside: []string{"github.com/notaryproject/notation-plugin-framework-go", "github.com/gofrs/flock"}},
	"internal/devregistry": {kind: touch, outside: []string{"github.com/gofrs/flock"}},
	"internal/shuintest":   {kind: trial},

	"deploy/aws":        {kind: tool},
	"deploy/kubernetes": {kind: tool, rooms: []string{"internal/document"}},

	"cmd/shuin-lambda": {kind: join, outside: []string{"github.com/aws/aws-lambda-go"}},
	"cmd/shuin":        {kind: join, outside: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}},
	"cmd/shuind":       {kind: join, outside: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/goccy/go-yaml", "github.com/prometheus/client_golang", "github.com/gofrs/flock"}},

	"test/clients":    {kind: trial},
	"test/aws":        {kind: trial},
	"test/awscli":     {kind: trial},
	"test/crash":      {kind: trial},
	"test/demo":       {kind: trial},
	"test/deploy":     {kind: trial},
	"test/gate":       {kind: trial},
	"test/lambda":     {kind: trial},
	"test/many":       {kind: trial},
	"test/openssl":    {kind: trial},
	"test/readme":     {kind: trial},
	"test/runtimeapi": {kind: trial},
	"test/signer":     {kind: trial},
	"test/tensigners": {kind: trial},
}

// elsewhere are folders that other modules or no Go code live in.
var elsewhere = []string{"conformance", "docs", "examples", "bin", "dist"}

// forbiddenInThink are outside packages that reach for the world.
var forbiddenInThink = []string{
	"net/http", "os", "os/exec", "database/sql", "log", "log/slog", "syscall", "io/ioutil", "path/filepath",
	"k8s.io", "github.com/aws", "github.com/spf13/cobra", "oras.land",
}

// guarded are outside packages that only the rooms that name them may import.
var guarded = []string{
	"github.com/veraison/go-cose", "github.com/notaryproject/tspclient-go", "github.com/fxamacker/cbor",
	"golang.org/x/crypto/ocsp", "oras.land/oras-go", "github.com/spf13/cobra", "github.com/spf13/pflag",
	"github.com/notaryproject/notation-plugin-framework-go", "github.com/gofrs/flock",
	"github.com/aws", "modernc.org/sqlite", "github.com/pressly/goose", "filippo.io/age",
	"github.com/goccy/go-yaml", "github.com/prometheus/client_golang", "golang.org/x/time", "github.com/maypok86/otter", "github.com/nicholas-fedor/shoutrrr",
	"k8s.io", "sigs.k8s.io", "golang.org/x/oauth2",
}

// oracle is what the product never imports: it is what we are held against.
var oracle = []string{"github.com/notaryproject/notation-go", "github.com/notaryproject/notation-core-go"}

// worldCalls are calls that a thinking room must be handed the result of.
var worldCalls = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker", "Tick"},
	"os":   {"Getenv", "LookupEnv", "Environ"},
	"slog": {"Default", "Info", "Warn", "Error", "Debug"},
}

type source struct {
	room, path string
	test       bool
	file       *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (slices.Contains(elsewhere, path) || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != "." {
				return fs.SkipDir // another module
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			dir = ""
		}
		out = append(out, source{room: dir, path: path, test: strings.HasSuffix(path, "_test.go"), file: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found only %d Go files: the walk is broken", len(out))
	}
	return out
}

func hasPrefix(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

func TestEveryFolderIsARoom(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if _, ok := rooms[s.room]; !ok && !seen[s.room] {
			t.Errorf("folder %q is not in the room table (rooms_test.go): decide what it may import before adding it", s.room)
		}
		seen[s.room] = true
	}
	var gone []string
	for name := range rooms {
		if !seen[name] {
			gone = append(gone, name)
		}
	}
	sort.Strings(gone)
	if len(gone) > 0 {
		t.Errorf("rooms in the table without code: %v", gone)
	}
}

func TestRoomsImportOnlyWhatTheTableAllows(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue // tests may build a world; the oracle rule below still holds
		}
		r := rooms[s.room]
		for _, spec := range s.file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if why := forbidden(s.room, r, path); why != "" {
				t.Errorf("%s imports %s: %s", s.path, path, why)
			}
		}
	}
}

// forbidden says why the room may not import path; empty when it may.
func forbidden(name string, r room, path string) string {
	if path == module {
		if name == "internal/limits" {
			return "limits import nothing"
		}
		return ""
	}
	if rel, ok := strings.CutPrefix(path, module+"/"); ok {
		target, known := rooms[rel]
		switch {
		case !known:
			return "not a room"
		case rel == "internal/limits" || slices.Contains(r.rooms, rel):
			return ""
		case r.kind == trial && target.kind != join:
			return ""
		case r.kind == join && target.kind != join && target.kind != trial:
			return ""
		}
		return "the room table does not allow it"
	}
	if r.kind == think && hasPrefix(path, forbiddenInThink) {
		return "a thinking room does not touch the world"
	}
	if hasPrefix(path, guarded) && r.kind != trial && !hasPrefix(path, r.outside) {
		return "only the rooms that the table names may import it"
	}
	return ""
}

func TestTheProductNeverImportsTheOracle(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if hasPrefix(path, oracle) {
				t.Errorf("%s imports %s: it belongs in conformance/", s.path, path)
			}
		}
	}
}

func TestNoInitAndNoWorldInThinkingRooms(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.path)
			}
		}
		if s.test || rooms[s.room].kind != think {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && slices.Contains(worldCalls[pkg.Name], sel.Sel.Name) {
				t.Errorf("%s uses %s.%s: a thinking room is handed time and settings", s.path, pkg.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

func TestEveryRoomSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test && s.file.Doc != nil && len(s.file.Doc.Text()) > 80 {
			documented[s.room] = true
		}
	}
	for name, r := range rooms {
		if r.kind != trial && !documented[name] {
			t.Errorf("room %q has no package comment that says what it does and will not do", name)
		}
	}
}

func TestTheTableCatchesWhatItForbids(t *testing.T) {
	for _, c := range []struct {
		name, room, path string
		refused          bool
	}{
		{"a thinker may not open files", "verify", "os", true},
		{"a thinker may not speak HTTP", "policy", "net/http", true},
		{"a thinker may not import a door", "verify", module + "/internal/registry", true},
		{"a door may not import a door", "internal/registry", module + "/internal/plugin", true},
		{"nobody but the registry imports oras", "cmd/shuin", "oras.land/oras-go/v2", true},
		{"a binary may not use the test world", "cmd/shuin", module + "/internal/shuintest", true},
		{"a door may import its thinker", "internal/registry", module + "/verify", false},
		{"everybody may import the words", "verify", module, false},
		{"everybody may import the limits", "envelope", module + "/internal/limits", false},
	} {
		if got := forbidden(c.room, rooms[c.room], c.path); (got != "") != c.refused {
			t.Errorf("%s: got %q", c.name, got)
		}
	}
}
