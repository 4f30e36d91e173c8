{{/* The part of the configuration that the chart writes for a pool: (dict "root" $ "pool" $pool). No keys of clients. */}}
{{- define "dunlin.worker.toml" -}}
$(DUNLIN_CONFIG_COMMON)

[worker]
memory_bytes = {{ include "dunlin.memoryBytes" (dict "set" .pool.memoryBytes "limit" .pool.resources.limits.memory "pools" 1) }}
spill_dir = "/spill"
{{- with .pool.idlePollMs }}
idle_poll_ms = {{ int64 . }}
{{- end }}
{{- with .pool.graceMs }}
grace_ms = {{ int64 . }}
{{- end }}
{{ end -}}

{{- define "dunlin.worker.env" -}}
{{ include "dunlin.configEnv" .root }}
- name: DUNLIN_CONFIG_TOML
  value: |
    {{- include "dunlin.worker.toml" . | nindent 4 }}
{{ include "dunlin.commonEnv" .root }}
{{- include "dunlin.storeEnv" .root }}
{{- with .pool.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A worker listens on no port: its file tells that it is alive. */}}
{{- define "dunlin.worker.alive" -}}
exec:
  command: [dunlin-worker, alive, --file, /tmp/alive, --within, "60"]
{{- end -}}

{{/* Up at once, because tasks wait. Down slowly, because a stopped worker's tasks begin anew elsewhere. */}}
{{- define "dunlin.worker.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Percent
      value: 400
      periodSeconds: 15
    - type: Pods
      value: 10
      periodSeconds: 15
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownSeconds }}
  policies:
    - type: Percent
      value: 50
      periodSeconds: 60
{{- end -}}
