{{/* What the pods of all roles have in common. */}}

{{/* The restricted pod security standard. 65532 is `nonroot` of the images. */}}
{{- define "dunlin.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "dunlin.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Placement and identity: (dict "root" $ "component" … "pool" … "role" <values> "account" <values>). */}}
{{- define "dunlin.podCommon" -}}
serviceAccountName: {{ include "dunlin.serviceAccount" . | quote }}
automountServiceAccountToken: false
# A Service called `dunlin` would otherwise put variables DUNLIN_… into every pod.
enableServiceLinks: false
securityContext:
  {{- include "dunlin.podSecurity" . | nindent 2 }}
terminationGracePeriodSeconds: {{ .role.terminationGracePeriodSeconds }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if ne .role.spreadZones "none" }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: {{ .role.spreadZones }}
    {{- with .role.minZones }}
    minDomains: {{ . }}
    {{- end }}
    labelSelector:
      matchLabels:
        {{- include "dunlin.selector" . | nindent 8 }}
    # Only pods of the same revision count, so that a rolling update ends as even as it began.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/* The text of `dunlin.toml`, as a variable from which the next one is put together. */}}
{{- define "dunlin.configEnv" -}}
- name: DUNLIN_CONFIG_COMMON
  valueFrom:
    {{- if .Values.configSecret.name }}
    secretKeyRef:
      name: {{ .Values.configSecret.name | quote }}
      key: {{ .Values.configSecret.key | quote }}
    {{- else }}
    configMapKeyRef:
      name: {{ include "dunlin.fullname" . }}-config
      key: dunlin.toml
    {{- end }}
{{- end -}}

{{- define "dunlin.commonEnv" -}}
# Inline queries spill into the system's temporary folder, workers into [worker] spill_dir: here both are one.
- name: TMPDIR
  value: /spill
- name: DUNLIN_LOG
  value: {{ .Values.logs.filter | quote }}
- name: DUNLIN_LOG_FORMAT
  value: {{ .Values.logs.format }}
{{- end -}}

{{/* Name of the Secret with the store's credentials, or nothing. */}}
{{- define "dunlin.storeSecret" -}}
{{- if .Values.storeCredentials.existingSecret -}}
{{- .Values.storeCredentials.existingSecret -}}
{{- else if .Values.storeCredentials.create.accessKeyId -}}
{{- include "dunlin.fullname" . }}-store
{{- end -}}
{{- end -}}

{{- define "dunlin.storeEnv" -}}
{{- $secret := include "dunlin.storeSecret" . -}}
{{- $keys := .Values.storeCredentials -}}
{{- if $secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ $keys.accessKeyIdKey | quote }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ $keys.secretAccessKeyKey | quote }}
{{- with $keys.sessionTokenKey }}
- name: AWS_SESSION_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A read-only root needs two folders: for spills, and for the file of a worker that tells that it is alive. */}}
{{- define "dunlin.scratchMounts" -}}
- name: spill
  mountPath: /spill
- name: tmp
  mountPath: /tmp
{{- end -}}
{{- define "dunlin.scratchVolumes" -}}
- name: spill
  emptyDir:
    sizeLimit: {{ .spillSize }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{/* Changed configuration makes new pods. The keys are here as their place in the values only. */}}
{{- define "dunlin.checksums" -}}
dunlin/config: {{ .Values.config | sha256sum | trunc 32 | quote }}
dunlin/credentials: {{ toJson .Values.storeCredentials | sha256sum | trunc 32 | quote }}
{{- end -}}

{{/* A strategy whose defaults were merged: `Recreate` has no numbers. */}}
{{- define "dunlin.strategy" -}}
type: {{ .type }}
{{- if and (eq .type "RollingUpdate") .rollingUpdate }}
rollingUpdate:
  {{- toYaml .rollingUpdate | nindent 2 }}
{{- end }}
{{- end -}}
