package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shuin/shuin"
	"github.com/shuin/shuin/awsprofile"
	"github.com/shuin/shuin/internal/document"
	"github.com/shuin/shuin/internal/limits"
	"github.com/shuin/shuin/policy"
	"github.com/shuin/shuin/trust"
)

// stage is a step that images have to pass.
type stage struct {
	name     string
	line     int
	signers  []int // into Policy.signers
	maxAge   time.Duration
	metadata map[string]string
	// principals may sign with its profiles: no part of any hash, for they
	// decide nothing about an image.
	principals []Principal

	// Where the signers were written, in step with signers; of a trust
	// policy's stages: none.
	signerLines []int
}

// ValidStage reports whether s can name a stage: 1 to limits.PolicyStageBytes
// lower-case letters, digits, "-", "_" and ".", the first and the last of them
// a letter or digit.
func ValidStage(s string) bool {
	if s == "" || len(s) > limits.PolicyStageBytes {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case strings.IndexByte("-_.", c) >= 0 && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return true
}

func (p *parsing) stages(a at) {
	if a.node.Kind != document.Mapping {
		p.wrong(a, "a mapping of stages, each with its signers")
		return
	}
	switch n := len(a.node.Pairs); {
	case n == 0:
		p.fault(a, "there is no stage in it")
	case n > limits.PolicyStages:
		p.fault(a, "there are %d stages, and %d are allowed", n, limits.PolicyStages)
		return
	}
	for _, pair := range a.node.Pairs {
		one := at{pair.Value, joinPath(a.path, pair.Key), pair.Line}
		if !ValidStage(pair.Key) {
			p.faults.Add(pair.Line, a.path, "%q cannot name a stage: up to %d lower-case letters, digits, dashes, underscores and dots are allowed", pair.Key, limits.PolicyStageBytes)
		}
		p.names[pair.Key] = len(p.policy.stages)
		p.policy.stages = append(p.policy.stages, stage{name: pair.Key, line: pair.Line})
		p.stage(one, len(p.policy.stages)-1)
	}
}

func (p *parsing) stage(a at, index int) {
	o := p.object(a, "signers", "maxAge", "metadata", "principals")
	if o == nil {
		return
	}
	st := &p.policy.stages[index]
	if f := o.field("maxAge"); f.node != nil {
		st.maxAge = p.duration(f, limits.PolicyDuration)
	}
	if f := o.field("metadata"); f.node != nil {
		st.metadata = p.metadata(f)
	}
	if f := o.field("principals"); f.node != nil {
		st.principals = p.principals(f)
	}
	f := o.field("signers")
	if f.node == nil {
		p.fault(a, "signers are missing: say who may seal this stage")
		return
	}
	for _, item := range p.list(f, "signers", limits.PolicySigners) {
		if s, key := p.signer(item, st); s != nil {
			p.addSigner(item, st, s, key)
		}
	}
}

// addSigner lists a signer with its stage, and each statement once.
func (p *parsing) addSigner(a at, st *stage, s *Signer, key string) {
	index, known := p.byKey[key]
	if !known {
		index = len(p.policy.signers)
		p.byKey[key] = index
		p.policy.signers = append(p.policy.signers, *s)
	}
	if slices.Contains(st.signers, index) {
		p.fault(a, "this signer is listed twice")
		return
	}
	listed := &p.policy.signers[index]
	listed.Stages = append(listed.Stages, st.name)
	st.signers, st.signerLines = append(st.signers, index), append(st.signerLines, a.line)
}

func (p *parsing) metadata(a at) map[string]string {
	if a.node.Kind != document.Mapping || len(a.node.Pairs) == 0 {
		p.wrong(a, "a mapping of signed metadata, which must be there with these values,")
		return nil
	}
	if len(a.node.Pairs) > limits.PolicyMetadata {
		p.fault(a, "there are %d pairs, and %d are allowed", len(a.node.Pairs), limits.PolicyMetadata)
		return nil
	}
	m := make(map[string]string, len(a.node.Pairs))
	for _, pair := range a.node.Pairs {
		one := at{pair.Value, joinPath(a.path, pair.Key), pair.Line}
		if pair.Key == shuin.MetadataStage {
			p.fault(one, "%s is the stage's own name, and is looked at anyway", shuin.MetadataStage)
			continue
		}
		m[pair.Key] = p.text(one, "the value", limits.PolicyTextBytes)
	}
	return m
}

// signer reads one signer. key tells equal ones.
func (p *parsing) signer(a at, st *stage) (s *Signer, key string) {
	o := p.object(a, "signingProfile", "identities", "trustStores", "verifyTimestamp", "signatureVerification")
	if o == nil {
		return nil, ""
	}
	before := len(p.faults)
	statement := &policy.Statement{Name: st.name, VerifyTimestamp: policy.Always}
	statement.TrustStores = p.trustStores(o)
	statement.Level = p.level(o, statement)
	s = &Signer{Statement: statement}
	switch profile, identities := o.has("signingProfile"), o.has("identities"); {
	case profile && identities:
		p.fault(a, "a signer is either a signingProfile or identities: make it two signers")
	case profile:
		s.Profile = p.signingProfile(o, statement)
	case identities:
		p.identities(o, st, statement)
	default:
		p.fault(a, "it is not said who signs: write signingProfile or identities")
	}
	if len(p.faults) > before {
		return nil, ""
	}
	return s, statementKey(statement)
}

func (p *parsing) trustStores(o *object) []trust.StoreName {
	f := o.field("trustStores")
	if f.node == nil {
		p.fault(o.at, `trustStores are missing: say which roots the signer's certificate has to lead to, such as "ca:acme"`)
		return nil
	}
	var names []trust.StoreName
	for _, item := range p.list(f, "trust stores", limits.PolicySigners) {
		text := p.text(item, "a trust store", limits.PolicyTextBytes)
		if text == "" {
			continue
		}
		name, err := trust.ParseStoreName(text)
		switch {
		case err != nil:
			p.fault(item, "%v", err)
		case slices.Contains(names, name):
			p.fault(item, "trust store %s is listed twice", name)
		default:
			names = append(names, name)
		}
	}
	return names
}

// level reads signatureVerification, in a trust policy's words.
func (p *parsing) level(o *object, statement *policy.Statement) policy.Level {
	strict, _ := policy.NewLevel(policy.LevelStrict, nil)
	if f := o.field("verifyTimestamp"); f.node != nil {
		p.verifyTimestamp(o, statement)
	}
	f := o.field("signatureVerification")
	if f.node == nil {
		return strict
	}
	v := p.object(f, "level", "override", "verifyTimestamp")
	if v == nil {
		return strict
	}
	if v.has("verifyTimestamp") {
		if o.has("verifyTimestamp") {
			p.fault(v.field("verifyTimestamp"), "verifyTimestamp is written twice, in line %d too", o.field("verifyTimestamp").line)
		}
		p.verifyTimestamp(v, statement)
	}
	name := policy.LevelStrict
	if l := v.field("level"); l.node != nil {
		name = p.text(l, "the level", limits.PolicyNameBytes)
	}
	if name == policy.LevelSkip {
		p.fault(v.field("level"), "level skip verifies nothing, so that anybody could seal the stage; where images need no signature, write a rule with allow: {unsigned: true, because: …}")
		return strict
	}
	override := map[string]string{}
	if f := v.field("override"); f.node != nil {
		if f.node.Kind != document.Mapping {
			p.wrong(f, "a mapping of checks and what their failure does")
			return strict
		}
		for _, pair := range f.node.Pairs {
			override[pair.Key] = p.text(at{pair.Value, joinPath(f.path, pair.Key), pair.Line}, "what to do", limits.PolicyNameBytes)
		}
	}
	level, err := policy.NewLevel(name, override)
	if err != nil {
		p.fault(f, "%v", err)
		return strict
	}
	return level
}

func (p *parsing) verifyTimestamp(o *object, statement *policy.Statement) {
	if p.choice(o, "verifyTimestamp", string(policy.Always), string(policy.AfterCertExpiry)) == 1 {
		statement.VerifyTimestamp = policy.AfterCertExpiry
	}
}

// signingProfile reads a signer that is a signing profile. Any authority could
// claim any ARN, so that one authority alone has to be named.
func (p *parsing) signingProfile(o *object, statement *policy.Statement) string {
	f := o.field("signingProfile")
	text := p.text(f, "a signing profile's ARN", 2048)
	if text == "" {
		return ""
	}
	profile, err := awsprofile.ParseProfile(text)
	if err != nil {
		p.fault(f, "%v", err)
		return ""
	}
	if o.has("verifyTimestamp") {
		p.fault(o.field("verifyTimestamp"), "a signing profile signs with an authentic time, and needs no timestamp")
	}
	p.authority(o, f, profile, statement.TrustStores)
	identity, err := trust.ParseIdentity(profile.String())
	if err != nil {
		p.fault(f, "%v", err)
		return ""
	}
	statement.TrustedIdentities, statement.SigningProfiles = []trust.Identity{identity}, true
	return profile.Unversioned().String()
}

// authority checks a profile's trust stores, and that it has the same ones
// everywhere.
func (p *parsing) authority(o *object, f at, profile awsprofile.Profile, stores []trust.StoreName) {
	own := true
	var names []string
	for _, n := range stores {
		if n.Type != trust.SigningAuthority {
			p.fault(o.field("trustStores"), "%s is no signingAuthority store, and a signing profile is named by a signing authority alone", n)
			return
		}
		own = own && (n.Name == trust.AWSSignerStore || n.Name == trust.AWSSignerGovStore)
		names = append(names, n.String())
	}
	slices.Sort(names)
	if len(names) > 1 && !own {
		p.fault(o.field("trustStores"), "a signing profile has exactly one signingAuthority store (or AWS's own two, signingAuthority:%s and signingAuthority:%s): each of these could claim the profile", trust.AWSSignerStore, trust.AWSSignerGovStore)
		return
	}
	if len(names) == 0 {
		return
	}
	all := strings.Join(names, " and ")
	key := profile.Unversioned().String()
	first, known := p.profiles[key]
	switch {
	case !known:
		p.profiles[key] = profileUse{all, f.line}
	case first.stores != all:
		p.fault(f, "the signing profile %s is here under %s, and in line %d under %s: they are different signers with one name, and only one of them can be meant", key, all, first.line, first.stores)
	}
}

// identities reads a signer that is a list of identities.
func (p *parsing) identities(o *object, st *stage, statement *policy.Statement) {
	f := o.field("identities")
	items := p.list(f, "identities", limits.PolicySigners)
	for _, item := range items {
		text := p.text(item, "an identity", 2048)
		if text == "" {
			continue
		}
		if profile, err := awsprofile.ParseProfile(text); err == nil {
			p.fault(item, "%s is a signing profile: write signingProfile in place of identities", profile)
			continue
		}
		id, err := trust.ParseIdentity(text)
		if err != nil {
			p.fault(item, "it %v", strings.TrimPrefix(err.Error(), "trusted identity "))
			continue
		}
		if id.Any() && len(items) > 1 {
			p.fault(item, `"*" is everybody, and stands alone`)
			continue
		}
		for _, other := range statement.TrustedIdentities {
			if id.String() == other.String() || id.Overlaps(other) {
				p.fault(item, "it overlaps with %q: one of the two is enough", other.String())
			}
		}
		statement.TrustedIdentities = append(statement.TrustedIdentities, id)
	}
	ca, authority, tsa := len(statement.StoresOf(trust.CA)), len(statement.StoresOf(trust.SigningAuthority)), len(statement.StoresOf(trust.TSA))
	switch {
	case len(statement.TrustStores) == 0: // said already
	case ca+authority == 0:
		p.fault(o.field("trustStores"), "no store of type ca or signingAuthority: no signer can seal stage %s", st.name)
	case st.maxAge > 0 && ca > 0 && tsa == 0:
		p.fault(o.at, "stage %s has a maxAge, and this signer gives no time that can be believed: add a tsa store to trustStores and have signatures timestamped, or use a signing profile", st.name)
	case st.maxAge > 0 && ca > 0 && statement.VerifyTimestamp != policy.Always:
		p.fault(o.at, "stage %s has a maxAge, which needs the timestamp of every signature: verifyTimestamp has to be %s", st.name, policy.Always)
	}
}

// statementKey is equal for statements that judge alike, however their
// identities are written and in whatever order.
func statementKey(s *policy.Statement) string {
	h := newHash()
	h.level(s)
	stores := make([]string, len(s.TrustStores))
	for i, n := range s.TrustStores {
		stores[i] = n.String()
	}
	identities := make([]string, len(s.TrustedIdentities))
	for i, id := range s.TrustedIdentities {
		identities[i] = id.Canonical()
	}
	slices.Sort(stores)
	slices.Sort(identities)
	h.texts(stores)
	h.texts(identities)
	h.flag(s.SigningProfiles)
	return string(h.sum())
}

// checkLevels holds the signers of each stage against the rules that need it:
// where a missing seal stops a deploy, a seal has to be its signer's.
func (p *parsing) checkLevels() {
	needed := map[int]*rule{}
	for i := range p.policy.rules {
		r := &p.policy.rules[i]
		if r.mode != Enforce || r.require == nil {
			continue
		}
		for _, st := range r.require.stages(nil) {
			if needed[st] == nil {
				needed[st] = r
			}
		}
	}
	for i := range p.policy.stages {
		st := &p.policy.stages[i]
		if needed[i] == nil {
			continue
		}
		for k, index := range st.signers {
			level := p.policy.signers[index].Statement.Level
			where := at{path: fmt.Sprintf("stages.%s.signers[%d]", st.name, k), line: st.signerLines[k]}
			switch {
			case level.Name == policy.LevelAudit:
				p.fault(where, "level audit lets anybody's signature count, and rule %q enforces stage %s: use level strict or permissive, or mode warn", needed[i].name, st.name)
			case level.Action(shuin.CheckAuthenticity) != policy.Enforce:
				p.fault(where, "authenticity is not enforced, so that anybody's signature counts, and rule %q enforces stage %s", needed[i].name, st.name)
			}
		}
	}
}
