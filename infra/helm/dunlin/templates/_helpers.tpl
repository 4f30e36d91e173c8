{{/* Names, labels, images, sizes. */}}

{{/* At most 30 characters, so that every name made of it and a pool's name fits into 63. */}}
{{- define "dunlin.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.gateway" -}}
{{- include "dunlin.fullname" . }}-gateway
{{- end -}}

{{/* A pool's objects: (dict "root" $ "pool" $pool). */}}
{{- define "dunlin.worker" -}}
{{- include "dunlin.fullname" .root }}-worker-{{ .pool.name }}
{{- end -}}

{{- define "dunlin.name" -}}
{{- default .Chart.Name .Values.nameOverride -}}
{{- end -}}

{{/* What never changes, so that selectors may use it: (dict "root" $ "component" "gateway" "pool" "name or empty"). */}}
{{- define "dunlin.selector" -}}
app.kubernetes.io/name: {{ include "dunlin.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- if .pool }}
dunlin/pool: {{ .pool | quote }}
{{- end }}
{{- end -}}

{{- define "dunlin.labels" -}}
{{ include "dunlin.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Every pool with the defaults under it: a YAML list, for fromYamlArray. */}}
{{- define "dunlin.pools" -}}
{{- $pools := list -}}
{{- range .Values.workers.pools -}}
{{- $pools = append $pools (include "dunlin.merge" (list $.Values.workers.defaults .) | fromYaml) -}}
{{- end -}}
{{- toYaml $pools -}}
{{- end -}}

{{/* The pool of Dunlin whose queries the workers of a pool run, `*` for all, or nothing: those that are for no pool. */}}
{{- define "dunlin.queries" -}}
{{- with .queries -}}{{- .pool -}}{{- end -}}
{{- end -}}

{{/* What gateways are told of Dunlin's pools, in the order of the list: a YAML list, for fromYamlArray. Of several entries
     for one pool (two builds, two kinds of nodes) the first has the place, and any of them the bounds. */}}
{{- define "dunlin.routingPools" -}}
{{- $names := list -}}
{{- $bounds := dict -}}
{{- range .Values.workers.pools -}}
{{- $name := include "dunlin.queries" . -}}
{{- if not (has $name (list "" "*")) -}}
{{- $names = append $names $name -}}
{{- $_ := set $bounds $name (merge (pick .queries "fromBytes" "fromRows") (get $bounds $name | default dict)) -}}
{{- end -}}
{{- end -}}
{{- $pools := list -}}
{{- range uniq $names -}}
{{- $pools = append $pools (set (get $bounds .) "name" .) -}}
{{- end -}}
{{- toYaml $pools -}}
{{- end -}}

{{/* (list base over): `over` wins, map by map. The function mergeOverwrite would leave out 0, false and empty lists. */}}
{{- define "dunlin.merge" -}}
{{- $merged := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $merged $key)) -}}
{{- $value = include "dunlin.merge" (list (get $merged $key) $value) | fromYaml -}}
{{- end -}}
{{- $_ := set $merged $key $value -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end -}}

{{/* (dict "root" $ "image" .Values.gateway.image) */}}
{{- define "dunlin.image" -}}
{{- $name := .image.repository -}}
{{- with .root.Values.image.registry -}}{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "gateway" "account" .Values.gateway.serviceAccount) */}}
{{- define "dunlin.serviceAccount" -}}
{{- if .account.name -}}
{{- .account.name -}}
{{- else if .account.create -}}
{{- include "dunlin.fullname" .root }}-{{ .component }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{/* `512Mi` or `4Gi` in MiB. */}}
{{- define "dunlin.mib" -}}
{{- if hasSuffix "Gi" . -}}
{{- mul (trimSuffix "Gi" . | int64) 1024 -}}
{{- else -}}
{{- trimSuffix "Mi" . | int64 -}}
{{- end -}}
{{- end -}}

{{/* Bytes of one pool of memory, where the process has `pools` of them: six sevenths of what the limit leaves without
     300 MiB for binary and connections. (dict "set" null "limit" "4Gi" "pools" 2) */}}
{{- define "dunlin.memoryBytes" -}}
{{- if .set -}}
{{- int64 .set -}}
{{- else -}}
{{- $left := sub (include "dunlin.mib" .limit | int64) 300 -}}
{{- mul (div (mul (div $left 7) 6) .pools) 1048576 -}}
{{- end -}}
{{- end -}}

{{/* Whether the gateways speak TLS, and whether every client must show a certificate: "true" or nothing. */}}
{{- define "dunlin.tls" -}}
{{- if .Values.gateway.tls.secretName -}}true{{- end -}}
{{- end -}}
{{- define "dunlin.scheme" -}}
{{- if include "dunlin.tls" . -}}https{{- else -}}http{{- end -}}
{{- end -}}
{{- define "dunlin.mutualTls" -}}
{{- if and .Values.gateway.tls.secretName .Values.gateway.tls.clientCaSecret (eq .Values.gateway.tls.clientAuth "required") -}}true{{- end -}}
{{- end -}}

{{/* Selects the metrics of this release's gateways. The job is the Service, as a ServiceMonitor sets it. */}}
{{- define "dunlin.metricsOf" -}}
{namespace={{ .Release.Namespace | quote }},job={{ printf "%s-metrics" (include "dunlin.gateway" .) | quote }}}
{{- end -}}

{{/* Whether the workers of a pool count their own tasks only, because there are other pools: "true" or nothing. Workers of all
     pools count all tasks. (dict "root" $ "pool" $pool) */}}
{{- define "dunlin.countsOwn" -}}
{{- if and (include "dunlin.routingPools" .root | fromYamlArray) (ne (include "dunlin.queries" .pool) "*") -}}true{{- end -}}
{{- end -}}

{{/* The query by which KEDA scales a pool: (dict "root" $ "pool" $pool). */}}
{{- define "dunlin.signal" -}}
{{- $of := include "dunlin.metricsOf" .root -}}
{{- if .pool.autoscaling.query -}}
{{- .pool.autoscaling.query -}}
{{- else if include "dunlin.countsOwn" . -}}
{{- $pool := include "dunlin.queries" .pool -}}
{{- $open := trimSuffix "}" $of -}}
max(dunlin_pool_tasks{{ $open }},pool={{ $pool | quote }}})
{{- /* A gateway tells of a pool once it has had tasks, and of those of no pool from its start. */ -}}
{{- if $pool }} or 0 * max(dunlin_pool_tasks{{ $open }},pool=""}){{ end -}}
{{- else if .root.Values.workers.signal.query -}}
{{- .root.Values.workers.signal.query -}}
{{- else -}}
max(dunlin_tasks_pending{{ $of }}) + max(dunlin_tasks_running{{ $of }})
{{- end -}}
{{- end -}}

{{/* Rules of a NetworkPolicy for peers with their ports: (dict "peers" … "protocols" (list "TCP")). */}}
{{- define "dunlin.egress" -}}
{{- range $index, $peer := .peers -}}
{{- if $index }}{{ "\n" }}{{ end -}}
- to:
    {{- if $peer.cidr }}
    - ipBlock:
        cidr: {{ $peer.cidr | quote }}
        {{- with $peer.except }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
    {{- else }}
    - {{ toYaml (pick $peer "namespaceSelector" "podSelector") | nindent 6 | trim }}
    {{- end }}
  ports:
    {{- range $port := $peer.ports }}
    {{- range $.protocols }}
    - port: {{ int $port }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
