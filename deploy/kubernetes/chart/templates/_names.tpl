{{- /* The name of everything: the release's. */}}
{{- define "shuin.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "shuin.selector" -}}
app.kubernetes.io/name: shuin-gate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "shuin.labels" -}}
{{ include "shuin.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "shuin.image" -}}
{{- $repository := required "image.repository is missing: the image of shuind (docs/kubernetes.md says how to make it)" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end }}

{{- define "shuin.policy" -}}
{{- if .Values.policy.configMap -}}
{{ .Values.policy.configMap }}
{{- else -}}
{{ include "shuin.name" . }}-policy
{{- end -}}
{{- end }}

{{- define "shuin.trust" -}}
{{- if .Values.trust.configMap -}}
{{ .Values.trust.configMap }}
{{- else -}}
{{ include "shuin.name" . }}-trust
{{- end -}}
{{- end }}

{{- /* Not empty: a bundle decides. */}}
{{- define "shuin.bundled" -}}
{{ or .Values.bundle.configMap .Values.bundle.secret }}
{{- end }}

{{- /* Not empty: the bundle has to be signed. */}}
{{- define "shuin.signed" -}}
{{- if or .Values.bundle.signedBy.identities .Values.bundle.signedBy.signingProfile .Values.bundle.signedBy.trustStores .Values.bundle.signedBy.leastSequence .Values.bundle.signedBy.signature -}}
signed
{{- end -}}
{{- end }}

{{- define "shuin.claim" -}}
{{- if .Values.findings.claim -}}
{{ .Values.findings.claim }}
{{- else -}}
{{ include "shuin.name" . }}-findings
{{- end -}}
{{- end }}

{{- /* The configuration of shuind; values are written as JSON, which is YAML. */}}
{{- define "shuin.config" -}}
operations:
  listen: 0.0.0.0:9464
gate:
  cache: /var/cache/shuind
  {{- if .Values.records }}
  records: "-"
  {{- end }}
  {{- if .Values.findings.enabled }}
  findings: /var/lib/shuind/findings.db
  {{- end }}
  {{- if include "shuin.bundled" . }}
  bundle: {{ printf "/etc/shuind/bundle/%s" .Values.bundle.key | toJson }}
  trust: /etc/shuind/trust
  {{- if include "shuin.signed" . }}
  signedBy:
    {{- with .Values.bundle.signedBy.identities }}
    identities: {{ toJson . }}
    {{- end }}
    {{- with .Values.bundle.signedBy.signingProfile }}
    signingProfile: {{ toJson . }}
    {{- end }}
    trustStores: {{ toJson .Values.bundle.signedBy.trustStores }}
    leastSequence: {{ toJson .Values.bundle.signedBy.leastSequence }}
    {{- with .Values.bundle.signedBy.signature }}
    signature: {{ printf "/etc/shuind/bundle/%s" . | toJson }}
    {{- end }}
  {{- end }}
  {{- end }}
  {{- if .Values.api.principals }}
  listen: 0.0.0.0:8443
  tls:
    certificate: /etc/shuind/api/tls.crt
    key: /etc/shuind/api/tls.key
  {{- if .Values.api.clientCA }}
  clientCA: /etc/shuind/clients/ca.crt
  {{- end }}
  principals:
    {{- range $name, $principal := .Values.api.principals }}
    - name: {{ toJson $name }}
      {{- with $principal.token }}
      token:
        file: {{ printf "/etc/shuind/tokens/%s" . | toJson }}
      {{- end }}
      {{- with $principal.certificate }}
      certificate: {{ toJson . }}
      {{- end }}
      clusters: {{ default (list) $principal.clusters | toJson }}
      namespaces: {{ default (list) $principal.namespaces | toJson }}
      anywhere: {{ default false $principal.anywhere }}
      readsPolicy: {{ default false $principal.readsPolicy }}
      reports: {{ default false $principal.reports }}
    {{- end }}
  {{- end }}
  {{- if .Values.registryCredentials }}
  credentials:
    dockerConfig: /etc/shuind/registry/.dockerconfigjson
  {{- end }}
  revocation:
    allowPrivateAddresses: {{ .Values.revocation.allowPrivateAddresses }}
kubernetes:
  listen: 0.0.0.0:9443
  cluster: {{ required "cluster is missing: the name that the policy's rules know this cluster by" .Values.cluster | toJson }}
  namespace: {{ .Release.Namespace | toJson }}
  {{- if not (include "shuin.bundled" .) }}
  policy:
    configMap: {{ include "shuin.policy" . | toJson }}
    key: {{ .Values.policy.key | toJson }}
  trust:
    {{- if .Values.trust.secret }}
    secret: {{ .Values.trust.secret | toJson }}
    {{- else }}
    configMap: {{ include "shuin.trust" . | toJson }}
    {{- end }}
  {{- end }}
  namespacePolicies: {{ .Values.namespacePolicies }}
  exceptions: {{ .Values.exceptions }}
  pullSecrets: {{ .Values.pullSecrets }}
  pinOwners: {{ .Values.pinOwners }}
  {{- if .Values.webhooks.tlsSecret }}
  tls:
    certificate: /etc/shuind/tls/tls.crt
    key: /etc/shuind/tls/tls.key
  {{- else }}
  serving:
    secret: {{ include "shuin.name" . }}-serving
    service: {{ include "shuin.name" . }}
    webhooks:
      mutating: {{ include "shuin.name" . }}
      validating: {{ include "shuin.name" . }}
  {{- end }}
  sweep:
    every: {{ .Values.sweep.every | toJson }}
    reports: {{ .Values.sweep.reports }}
  timeout: {{ .Values.webhooks.timeoutSeconds }}s
  warmUp: {{ .Values.warmUp | toJson }}
  leader:
    lease: {{ include "shuin.name" . }}
log:
  level: {{ .Values.log.level }}
  format: {{ .Values.log.format }}
{{- end }}

{{- /*
What a webhook is not asked about: updates of objects that were going away
before (finalizers have to come off; a new object may say of itself that it goes
away: the API server takes that where it is applied), and updates that leave
alone what can hold images: the pod's template where there is one, else
the spec. Who scales, pauses or suspends is not asked about, also by controllers
(a Deployment's scales its ReplicaSets by plain updates): it goes on while
nobody answers.
*/}}
{{- define "shuin.conditions" -}}
- name: not-going-away
  expression: request.operation != "UPDATE" || !has(oldObject.metadata.deletionTimestamp)
- name: images-may-change
  expression: >-
    request.operation != "UPDATE" ? true :
    has(object.template) && has(oldObject.template) ? object.template != oldObject.template :
    !has(object.spec) || !has(oldObject.spec) ? true :
    has(object.spec.template) && has(oldObject.spec.template) ? object.spec.template != oldObject.spec.template :
    has(object.spec.jobTemplate) && has(oldObject.spec.jobTemplate) ? object.spec.jobTemplate != oldObject.spec.jobTemplate :
    object.spec != oldObject.spec
{{- end }}

{{- define "shuin.exempt" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      - {{ .Release.Namespace | quote }}
      {{- range .Values.webhooks.exemptNamespaces }}
      - {{ . | quote }}
      {{- end }}
{{- end }}

{{- define "shuin.owners" -}}
- apiGroups: [apps]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [deployments, replicasets, statefulsets, daemonsets]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [jobs, cronjobs]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [replicationcontrollers, podtemplates]
  scope: Namespaced
{{- end }}

{{- define "shuin.pods" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [pods]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  operations: [UPDATE]
  resources: [pods/ephemeralcontainers]
  scope: Namespaced
{{- end }}
