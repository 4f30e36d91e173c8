{{/* The part of the configuration that the chart writes for gateways. $(…) is filled in by the kubelet, and ${secrets:…} by
     the process itself, so that the secret is in no text that could be printed. */}}
{{- define "dunlin.gateway.toml" -}}
$(DUNLIN_CONFIG_COMMON)

[worker]
memory_bytes = {{ include "dunlin.memoryBytes" (dict "set" .Values.gateway.memoryBytes "limit" .Values.gateway.resources.limits.memory "pools" 2) }}
spill_dir = "/spill"
{{- with .Values.gateway.tls }}
{{- if .secretName }}

[gateway.tls]
certificate = "/tls/server/tls.crt"
key = "/tls/server/tls.key"
{{- if .clientCaSecret }}
client_ca = "/tls/clients/ca.crt"
client_auth = {{ .clientAuth | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- range $index, $key := .Values.gateway.keys }}

[[gateway.keys]]
name = {{ toJson $key.name }}
sha256 = "$(DUNLIN_KEY_{{ $index }}_SHA256)"
scopes = {{ toJson $key.scopes }}
{{- with $key.workgroup }}
workgroup = {{ toJson . }}
{{- end }}
{{- end }}
{{- with .Values.gateway.oidc }}
{{- if .issuer }}

[gateway.oidc]
issuer = {{ toJson .issuer }}
audience = {{ toJson .audience }}
{{- with .jwksUrl }}
jwks_url = {{ toJson . }}
{{- end }}
{{- with .workgroupClaim }}
workgroup_claim = {{ toJson . }}
{{- end }}
{{- with .scopesClaim }}
scopes_claim = {{ toJson . }}
{{- end }}
scopes = {{ toJson .scopes }}
name_claim = {{ toJson .nameClaim }}
secret = "${secrets:DUNLIN_OIDC_SECRET}"
{{- end }}
{{- end }}
{{- range .Values.gateway.workgroups }}
{{ include "dunlin.gateway.workgroup" . }}
{{- end }}
{{- range include "dunlin.routingPools" . | fromYamlArray }}

[[routing.pools]]
name = {{ toJson .name }}
{{- include "dunlin.gateway.numbers" (dict "from_bytes" .fromBytes "from_rows" .fromRows) }}
{{- end }}
{{ end -}}

{{/* Lines of those keys that have a whole number. 0 is a number, so `with` would lose it. Large numbers are floats in Helm;
     TOML wants all their digits. */}}
{{- define "dunlin.gateway.numbers" -}}
{{- range $key, $value := . }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ int64 $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "dunlin.gateway.workgroup" }}
[[gateway.workgroups]]
name = {{ toJson .name }}
{{- if hasKey . "tables" }}
tables = {{ toJson .tables }}
{{- end }}
{{- with .pool }}
pool = {{ toJson . }}
{{- end }}
{{- include "dunlin.gateway.numbers" (dict "max_running" .maxRunning "max_queued" .maxQueued "queue_ms" .queueMs "ttl_ms" .ttlMs "max_bytes_scanned" .maxBytesScanned "bytes_per_day" .bytesPerDay) }}
{{- range $key, $value := dict "max_cost_usd" .maxCostUsd "cost_per_day_usd" .costPerDayUsd }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "dunlin.gateway.env" -}}
{{ include "dunlin.configEnv" . }}
{{- range $index, $key := .Values.gateway.keys }}
- name: DUNLIN_KEY_{{ $index }}_SHA256
  valueFrom:
    secretKeyRef:
      {{- if $key.secret }}
      name: {{ $key.secret.name | quote }}
      key: {{ $key.secret.key | quote }}
      {{- else }}
      name: {{ include "dunlin.gateway" $ }}-keys
      key: {{ $key.name | quote }}
      {{- end }}
{{- end }}
{{- with .Values.gateway.oidc }}
{{- if .issuer }}
- name: DUNLIN_OIDC_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .secret.name | quote }}
      key: {{ .secret.key | quote }}
{{- end }}
{{- end }}
{{- if .Values.gateway.audit }}
# A variable, because `config` may have a section [gateway] of its own, and TOML knows no second one.
- name: DUNLIN__GATEWAY__AUDIT
  value: "true"
{{- end }}
- name: DUNLIN_CONFIG_TOML
  value: |
    {{- include "dunlin.gateway.toml" . | nindent 4 }}
{{ include "dunlin.commonEnv" . }}
{{- with .Values.traces }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_SERVICE_NAME
  value: {{ .serviceName | quote }}
{{- end }}
{{- end }}
{{- include "dunlin.storeEnv" . }}
{{- with .Values.gateway.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether a client must show an API key or a token: "true" or nothing. */}}
{{- define "dunlin.gateway.asks" -}}
{{- if or .Values.gateway.keys .Values.gateway.oidc.issuer -}}true{{- end -}}
{{- end -}}

{{/* The process itself refuses addresses that are not loopback without TLS, and without keys and an issuer. Where one of
     them is missing, the chart has judged (_checks.tpl) that something else does its work. */}}
{{- define "dunlin.gateway.args" -}}
- gateway
- --http
- {{ printf "%s:8090" .Values.gateway.listen | quote }}
{{- if .Values.monitoring.metrics }}
- --metrics
- {{ printf "%s:9090" .Values.gateway.listen | quote }}
{{- end }}
{{- if not (and (include "dunlin.gateway.asks" .) (include "dunlin.tls" .)) }}
- --allow-insecure-connections
{{- end }}
{{- end -}}

{{/* Where every client must show a certificate, the kubelet cannot ask by HTTP: it has none. */}}
{{- define "dunlin.gateway.alive" -}}
{{- if include "dunlin.mutualTls" . -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: /health
  port: http
  scheme: {{ include "dunlin.scheme" . | upper }}
{{- end }}
{{- end -}}
{{- define "dunlin.gateway.ready" -}}
{{- if include "dunlin.mutualTls" . -}}
exec:
  command:
    - dunlin
    - health
    - --url
    - https://localhost:8090
    {{- include "dunlin.gateway.clientArgs" . | nindent 4 }}
{{- else -}}
httpGet:
  path: /v1/ready
  port: http
  scheme: {{ include "dunlin.scheme" . | upper }}
{{- end }}
{{- end -}}

{{/* What `dunlin health` and `dunlin sql` are told of certificates. */}}
{{- define "dunlin.gateway.clientArgs" -}}
- --ca
- /tls/server/ca.crt
{{- if include "dunlin.mutualTls" . }}
- --client-cert
- /tls/health/tls.crt
- --client-key
- /tls/health/tls.key
{{- end }}
{{- end -}}

{{- define "dunlin.gateway.tlsMounts" -}}
- name: tls
  mountPath: /tls/server
  readOnly: true
{{- if .Values.gateway.tls.clientCaSecret }}
- name: tls-clients
  mountPath: /tls/clients
  readOnly: true
{{- end }}
{{- if include "dunlin.mutualTls" . }}
- name: tls-health
  mountPath: /tls/health
  readOnly: true
{{- end }}
{{- end -}}
{{- define "dunlin.gateway.tlsVolumes" -}}
{{- with .Values.gateway.tls }}
- name: tls
  secret:
    secretName: {{ .secretName | quote }}
    defaultMode: 0440
{{- if .clientCaSecret }}
- name: tls-clients
  secret:
    secretName: {{ .clientCaSecret | quote }}
    defaultMode: 0440
    items:
      - key: ca.crt
        path: ca.crt
{{- end }}
{{- if include "dunlin.mutualTls" $ }}
- name: tls-health
  secret:
    secretName: {{ .healthClientSecret | quote }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- end -}}
