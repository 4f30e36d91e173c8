{{- define "dunlin.test.container" -}}
image: {{ include "dunlin.image" (dict "root" . "image" .Values.gateway.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "dunlin.containerSecurity" . | nindent 2 }}
resources:
  requests: {cpu: 50m, memory: 128Mi}
  limits: {memory: 256Mi}
{{- if include "dunlin.tls" . }}
volumeMounts:
  {{- include "dunlin.gateway.tlsMounts" . | nindent 2 }}
{{- end }}
{{- end -}}
