{{- /* Nothing; values that are good each and do not go together are refused. */}}
{{- define "shuin.refused" -}}
{{- if and .Values.trust.configMap .Values.trust.secret }}
{{- fail "trust.configMap and trust.secret are both there: the trust stores are in one of them" }}
{{- end }}
{{- if and .Values.trust.certificates (or .Values.trust.configMap .Values.trust.secret) }}
{{- fail "trust.certificates goes with neither trust.configMap nor trust.secret: the trust stores are in one place" }}
{{- end }}
{{- if and .Values.policy.text .Values.policy.configMap }}
{{- fail "policy.text and policy.configMap are both there: one policy decides" }}
{{- end }}
{{- include "shuin.refusedBundle" . }}
{{- include "shuin.refusedAPI" . }}
{{- if .Values.findings.enabled }}
{{- if ne (toJson .Values.replicas) "1" }}
{{- fail "findings.enabled: their database is for one replica (replicas: 1): several on different nodes would spoil it" }}
{{- end }}
{{- else if .Values.findings.claim }}
{{- fail "findings.claim is for findings.enabled: no findings are kept" }}
{{- end }}
{{- end }}

{{- define "shuin.refusedBundle" -}}
{{- if include "shuin.bundled" . }}
{{- if and .Values.bundle.configMap .Values.bundle.secret }}
{{- fail "bundle.configMap and bundle.secret are both there: the bundle is in one of them" }}
{{- end }}
{{- if or .Values.policy.text .Values.policy.configMap }}
{{- fail "bundle goes with neither policy.text nor policy.configMap: one policy decides" }}
{{- end }}
{{- if or .Values.trust.configMap .Values.trust.secret }}
{{- fail "bundle goes with neither trust.configMap nor trust.secret: it has the trust stores of its policy in it, and those of who signs it are trust.certificates" }}
{{- end }}
{{- if not (include "shuin.signed" .) }}
{{- if .Values.trust.certificates }}
{{- fail "trust.certificates: nothing is verified with them: the bundle has the trust stores of its policy in it, and bundle.signedBy does not say who signs it" }}
{{- end }}
{{- else }}
{{- if not (or .Values.bundle.signedBy.identities .Values.bundle.signedBy.signingProfile) }}
{{- fail "bundle.signedBy: identities or signingProfile is missing: who signs the bundle" }}
{{- end }}
{{- if and .Values.bundle.signedBy.identities .Values.bundle.signedBy.signingProfile }}
{{- fail "bundle.signedBy: either identities or signingProfile, not both" }}
{{- end }}
{{- if not .Values.bundle.signedBy.trustStores }}
{{- fail "bundle.signedBy.trustStores is missing: what the signer's certificate has to lead to" }}
{{- end }}
{{- end }}
{{- else if include "shuin.signed" . }}
{{- fail "bundle.signedBy goes with bundle.configMap or bundle.secret" }}
{{- end }}
{{- end }}

{{- define "shuin.refusedAPI" -}}
{{- if .Values.api.principals }}
{{- if not .Values.api.tlsSecret }}
{{- fail "api.tlsSecret is missing: the API is served over TLS alone" }}
{{- end }}
{{- else if or .Values.api.tlsSecret .Values.api.tokens .Values.api.clientCA }}
{{- fail "api.principals is missing: nobody could ask" }}
{{- end }}
{{- range $name, $principal := .Values.api.principals }}
{{- if and $principal.token (not $.Values.api.tokens) }}
{{- fail (printf "api.principals.%s.token: api.tokens is missing: the Secret with the tokens" $name) }}
{{- end }}
{{- if and $principal.certificate (not $.Values.api.clientCA) }}
{{- fail (printf "api.principals.%s.certificate: api.clientCA is missing: the CAs of client certificates" $name) }}
{{- end }}
{{- if not (or $principal.token $principal.certificate) }}
{{- fail (printf "api.principals.%s: neither a token nor a certificate: say how it is known" $name) }}
{{- end }}
{{- if and $principal.anywhere (or $principal.clusters $principal.namespaces) }}
{{- fail (printf "api.principals.%s.anywhere: it does not go with clusters or namespaces" $name) }}
{{- end }}
{{- if not (or $principal.anywhere $principal.clusters $principal.namespaces) }}
{{- fail (printf "api.principals.%s: it has no places: name its clusters, its namespaces, or set anywhere to true" $name) }}
{{- end }}
{{- if $principal.reports }}
{{- if not $.Values.findings.enabled }}
{{- fail (printf "api.principals.%s.reports: no findings are kept: set findings.enabled" $name) }}
{{- end }}
{{- if $principal.namespaces }}
{{- fail (printf "api.principals.%s.reports: findings have no namespace, so it could tell of none: bind it to clusters, or set anywhere to true" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
