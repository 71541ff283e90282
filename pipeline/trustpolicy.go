package pipeline

import (
	"github.com/opencontainers/go-digest"

	"github.com/shuin/shuin/policy"
)

// FromTrustPolicy compiles a Notary trust policy (OCI): one stage and one rule
// per statement, of the statement's name; level skip allows what is unsigned.
// data is the document's bytes, which the digest is of. Every signature that
// the statement accepts is a seal of its stage, whatever stage it names.
func FromTrustPolicy(doc *policy.Document, data []byte) *Policy {
	p := &Policy{digest: digest.FromBytes(data), trustPolicy: true}
	byKey := map[string]int{}
	for i := range doc.Statements {
		st := &doc.Statements[i]
		r := rule{name: st.Name}
		for _, scope := range st.RegistryScopes {
			one := newPattern(scope)
			if scope == policy.GlobalScope {
				one = newPattern(anyDepth)
			}
			r.patterns = append(r.patterns, one)
		}
		if st.Level.Skip() {
			r.unsigned = true
			r.because = "the trust policy's level is skip"
		} else {
			r.require = &requirement{op: isStage, stage: len(p.stages)}
			p.stages = append(p.stages, stage{name: st.Name, signers: []int{p.statement(byKey, st)}})
		}
		p.rules = append(p.rules, r)
	}
	p.finish()
	return p
}

// statement lists a statement as a signer, each distinct one once.
func (p *Policy) statement(byKey map[string]int, st *policy.Statement) int {
	key := statementKey(st)
	index, known := byKey[key]
	if !known {
		index = len(p.signers)
		byKey[key] = index
		p.signers = append(p.signers, Signer{Statement: st})
	}
	p.signers[index].Stages = append(p.signers[index].Stages, st.Name)
	return index
}
