{{/* Values that a schema cannot judge. Each refusal says what to do. */}}

{{- define "dunlin.checks" -}}
{{- include "dunlin.checks.names" . -}}
{{- include "dunlin.checks.config" . -}}
{{- include "dunlin.checks.access" . -}}
{{- include "dunlin.checks.exposure" . -}}
{{- include "dunlin.checks.gateway" . -}}
{{- include "dunlin.checks.pools" . -}}
{{- include "dunlin.checks.queries" . -}}
{{- include "dunlin.checks.network" . -}}
{{- end -}}

{{- define "dunlin.checks.names" -}}
{{- range (concat (list (dict "image" .Values.gateway.image "of" "gateway")) (list (dict "image" .Values.workers.defaults.image "of" "workers.defaults"))) -}}
{{- if eq .image.tag "latest" -}}
{{- fail (printf "%s.image.tag is `latest`, which is another image tomorrow. Give a version, or a digest." .of) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.config" -}}
{{- $credentials := .Values.storeCredentials -}}
{{- if and $credentials.existingSecret $credentials.create.accessKeyId -}}
{{- fail "storeCredentials has both existingSecret and create. Keep one of them." -}}
{{- end -}}
{{- if ne (empty $credentials.create.accessKeyId) (empty $credentials.create.secretAccessKey) -}}
{{- fail "storeCredentials.create needs both accessKeyId and secretAccessKey." -}}
{{- end -}}
{{- if and .Values.config .Values.configSecret.name -}}
{{- fail "config and configSecret.name are both set. Keep one of them." -}}
{{- end -}}
{{- if not .Values.configSecret.name -}}
{{- include "dunlin.checks.configText" .Values.config -}}
{{- end -}}
{{- end -}}

{{/* The text without lines that are comments. */}}
{{- define "dunlin.checks.uncommented" -}}
{{- regexReplaceAll "(?m)^[ \\t]*#.*$" . "" -}}
{{- end -}}

{{- define "dunlin.checks.configText" -}}
{{- $text := include "dunlin.checks.uncommented" . -}}
{{- if not (regexMatch "(?m)^[ \\t]*\\[state\\]" $text) -}}
{{- fail "config has no [state]. Set config to the text of dunlin.toml with at least [state] and location = \"s3://BUCKET/PREFIX\", or name a Secret with that text in configSecret.name. See docs/kubernetes.md." -}}
{{- end -}}
{{- if not (regexMatch "(?ms)^[ \\t]*\\[state\\][^\\[]*?location[ \\t]*=[ \\t]*[\"']s3://" $text) -}}
{{- fail "config: [state] location is not s3://BUCKET/PREFIX. Pods share no folder and no memory, so the state must be in a bucket." -}}
{{- end -}}
{{- if regexMatch "(?m)(^|[{,\\t ])[\"']?(s3_)?(key|secret|session_token)[\"']?[ \\t]*=" $text -}}
{{- fail "config sets a key or a secret, and would be stored in a ConfigMap. Use storeCredentials, a role of the service accounts, or configSecret." -}}
{{- end -}}
{{- if regexMatch "(?m)^[ \\t]*\\[worker\\]" $text -}}
{{- fail "config has a section [worker], which the chart writes for each role. Use workers.defaults or workers.pools (slots, memoryBytes, spillSize, idlePollMs, graceMs) and gateway (memoryBytes, spillSize)." -}}
{{- end -}}
{{- if regexMatch "(?m)^[ \\t]*\\[+[ \\t]*gateway[ \\t]*\\.[ \\t]*(tls|keys|oidc|workgroups)[ \\t]*\\]+" $text -}}
{{- fail "config has a section [gateway.tls], [[gateway.keys]], [gateway.oidc] or [[gateway.workgroups]], which the chart writes. Use gateway.tls, gateway.keys, gateway.oidc and gateway.workgroups." -}}
{{- end -}}
{{- if gt (len $text) 100000 -}}
{{- fail (printf "config has %d characters. Linux passes at most 128 KiB in one variable; put fewer tables into one installation." (len $text)) -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.access" -}}
{{- $gateway := .Values.gateway -}}
{{- if not (or (include "dunlin.gateway.asks" .) (include "dunlin.mutualTls" .) $gateway.allowInsecureConnections) -}}
{{- fail "Everybody who reaches the gateways could use them. Set gateway.keys (`dunlin key new` prints a key and its hash), or gateway.oidc, or gateway.tls with clientCaSecret and clientAuth: required, or gateway.allowInsecureConnections: true." -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $gateway.keys -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "gateway.keys has two keys named %q. Names are how logs and people tell them apart." .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- if eq (empty .sha256) (empty .secret) -}}
{{- fail (printf "gateway.keys: the key %q needs either sha256 or secret." .name) -}}
{{- end -}}
{{- end -}}
{{- include "dunlin.checks.workgroups" . -}}
{{- include "dunlin.checks.oidc" . -}}
{{- $tls := $gateway.tls -}}
{{- if and $tls.clientCaSecret (not $tls.secretName) -}}
{{- fail "gateway.tls.clientCaSecret is set, and gateway.tls.secretName is not. Certificates of clients need TLS." -}}
{{- end -}}
{{- if and (include "dunlin.mutualTls" .) (not $tls.healthClientSecret) -}}
{{- fail "gateway.tls.clientAuth is required, so that readiness checks must show a certificate, too. Set gateway.tls.healthClientSecret, or clientAuth: optional together with gateway.keys or gateway.oidc." -}}
{{- end -}}
{{- end -}}

{{/* A text in configSecret may have workgroups that the chart does not see. */}}
{{- define "dunlin.checks.workgroups" -}}
{{- $groups := dict -}}
{{- range .Values.gateway.workgroups -}}
{{- if hasKey $groups .name -}}
{{- fail (printf "gateway.workgroups has two groups named %q." .name) -}}
{{- end -}}
{{- $_ := set $groups .name true -}}
{{- end -}}
{{- range .Values.gateway.keys -}}
{{- if and .workgroup (not (hasKey $groups .workgroup)) (not $.Values.configSecret.name) -}}
{{- fail (printf "gateway.keys: the key %q is of the workgroup %q, and gateway.workgroups has none of that name." .name .workgroup) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.oidc" -}}
{{- $oidc := .Values.gateway.oidc -}}
{{- if and (not $oidc.issuer) (or $oidc.audience $oidc.jwksUrl $oidc.workgroupClaim $oidc.scopesClaim $oidc.secret.name) -}}
{{- fail "gateway.oidc.issuer is empty, and other values of gateway.oidc are set. Without an issuer no token is taken." -}}
{{- end -}}
{{- if $oidc.issuer -}}
{{- if not $oidc.audience -}}
{{- fail "gateway.oidc.audience is empty: tokens for every other application of the issuer would be taken here. Give Dunlin an audience of its own." -}}
{{- end -}}
{{- if not $oidc.secret.name -}}
{{- fail "gateway.oidc.secret.name is empty. Make a Secret with the output of `openssl rand -base64 32`, the same for all gateways, and name it there." -}}
{{- end -}}
{{- if not (or $oidc.jwksUrl (hasPrefix "https://" $oidc.issuer)) -}}
{{- fail "gateway.oidc.issuer does not begin with https://. The issuer's keys are found below its address; otherwise say in gateway.oidc.jwksUrl where they are." -}}
{{- end -}}
{{- if and $oidc.workgroupClaim (not .Values.gateway.workgroups) (not .Values.configSecret.name) -}}
{{- fail "gateway.oidc.workgroupClaim is set, and gateway.workgroups is empty: every token would be refused." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.exposure" -}}
{{- $gateway := .Values.gateway -}}
{{- $service := $gateway.service -}}
{{- $protected := or (include "dunlin.tls" .) $gateway.allowInsecureConnections -}}
{{- if and (ne $service.type "ClusterIP") (not (or $protected $service.tlsByLoadBalancer)) -}}
{{- fail (printf "gateway.service.type is %s without TLS: API keys and answers would cross the network in plain text. Set gateway.tls.secretName, or gateway.service.tlsByLoadBalancer: true where the load balancer ends TLS." $service.type) -}}
{{- end -}}
{{- if and (eq $service.type "NodePort") $service.tlsByLoadBalancer (not $protected) (not $service.annotations) -}}
{{- fail "gateway.service.tlsByLoadBalancer is for load balancers, and a NodePort alone has none. Set gateway.tls.secretName." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled is true, and ingress.hosts is empty. Give at least one host name." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not (or .Values.ingress.tls .Values.ingress.tlsByController $gateway.allowInsecureConnections)) -}}
{{- fail "The Ingress has no TLS: API keys and answers would cross the network in plain text. Set ingress.tls, or ingress.tlsByController: true where the controller has a certificate of its own." -}}
{{- end -}}
{{- if and $service.loadBalancerSourceRanges (ne $service.type "LoadBalancer") -}}
{{- fail "gateway.service.loadBalancerSourceRanges does nothing without type: LoadBalancer. Use networkPolicy.clients." -}}
{{- end -}}
{{- end -}}

{{/* (dict "of" "gateway" "role" <values>) */}}
{{- define "dunlin.checks.role" -}}
{{- $limits := .role.resources.limits -}}
{{- if and (not .role.memoryBytes) (lt (include "dunlin.mib" $limits.memory | int64) 512) -}}
{{- fail (printf "%s: resources.limits.memory is %s. It must be at least 512Mi: 300 MiB are for the process, the rest for queries." .of $limits.memory) -}}
{{- end -}}
{{- if .role.memoryBytes -}}
{{- if gt (int64 .role.memoryBytes) (mul (include "dunlin.mib" $limits.memory | int64) 1048576) -}}
{{- fail (printf "%s: memoryBytes is more than resources.limits.memory (%s). The pod would be killed for its memory before queries spill." .of $limits.memory) -}}
{{- end -}}
{{- end -}}
{{- $disk := index $limits "ephemeral-storage" -}}
{{- if $disk -}}
{{- if lt (include "dunlin.mib" $disk | int64) (include "dunlin.mib" .role.spillSize | int64) -}}
{{- fail (printf "%s: spillSize %s is more than resources.limits.ephemeral-storage (%s). The pod would be evicted before its disk is full." .of .role.spillSize $disk) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.gateway" -}}
{{- $gateway := .Values.gateway -}}
{{- include "dunlin.checks.role" (dict "of" "gateway" "role" $gateway) -}}
{{- $drain := regexFind "drain_ms[ \\t]*=[ \\t]*[0-9_]+" .Values.config | regexFind "[0-9_]+$" | replace "_" "" | default "20000" | int64 -}}
{{- $needed := add $gateway.preStopSeconds (div (add $drain 999) 1000) 5 | int -}}
{{- if lt (int $gateway.terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "gateway.terminationGracePeriodSeconds is %d. It must be at least %d: preStopSeconds, then %d ms for answers under way ([gateway] drain_ms), and 5 s to end." (int $gateway.terminationGracePeriodSeconds) $needed $drain) -}}
{{- end -}}
{{- if and $gateway.autoscaling.enabled (gt (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) -}}
{{- fail "gateway.autoscaling: minReplicas is more than maxReplicas." -}}
{{- end -}}
{{- if and $gateway.minZones (ne $gateway.spreadZones "DoNotSchedule") -}}
{{- fail "gateway.minZones does nothing without gateway.spreadZones: DoNotSchedule." -}}
{{- end -}}
{{- if and .Values.monitoring.serviceMonitor.enabled (not .Values.monitoring.metrics) -}}
{{- fail "monitoring.serviceMonitor.enabled is true, and monitoring.metrics is false: there would be nothing to scrape." -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.pools" -}}
{{- $seen := dict -}}
{{- range (include "dunlin.pools" . | fromYamlArray) -}}
{{- $of := printf "workers.pools[%s]" .name -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "workers.pools has two pools named %q." .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- if eq .image.tag "latest" -}}
{{- fail (printf "%s: image.tag is `latest`, which is another image tomorrow. Give a version, or a digest." $of) -}}
{{- end -}}
{{- include "dunlin.checks.role" (dict "of" $of "role" .) -}}
{{- $needed := add (div (add (default 20000 .graceMs) 999) 1000) 5 | int -}}
{{- if lt (int .terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "%s: terminationGracePeriodSeconds is %d. It must be at least %d: the grace of tasks under way (graceMs), and 5 s to give back the others." $of (int .terminationGracePeriodSeconds) $needed) -}}
{{- end -}}
{{- include "dunlin.checks.scaling" (dict "root" $ "of" $of "scaling" .autoscaling) -}}
{{- end -}}
{{- end -}}

{{/* Whether the text has pools of its own: "true" or nothing. */}}
{{- define "dunlin.checks.textHasPools" -}}
{{- if regexMatch "(?m)^[ \\t]*(\\[+[ \\t]*routing[ \\t]*\\.[ \\t]*pools[ \\t]*\\]+|(routing[ \\t]*\\.[ \\t]*)?pools[ \\t]*=)" (include "dunlin.checks.uncommented" .Values.config) -}}true{{- end -}}
{{- end -}}

{{/* Which queries run where. A text in configSecret may have pools that the chart does not see. */}}
{{- define "dunlin.checks.queries" -}}
{{- $routed := include "dunlin.routingPools" . | fromYamlArray -}}
{{- if and $routed (include "dunlin.checks.textHasPools" .) -}}
{{- fail "config has [[routing.pools]], and workers.pools has queries, from which the chart writes them. Keep one of them: move name, from_bytes and from_rows into queries of workers.pools (pool, fromBytes, fromRows)." -}}
{{- end -}}
{{- $known := dict -}}
{{- range $routed -}}
{{- $_ := set $known .name . -}}
{{- end -}}
{{- range .Values.workers.pools -}}
{{- $of := printf "workers.pools[%s]" .name -}}
{{- with .queries -}}
{{- if and (eq .pool "*") (or (hasKey . "fromBytes") (hasKey . "fromRows")) -}}
{{- fail (printf "%s: queries.pool is \"*\", which is every pool, so fromBytes and fromRows mean nothing. Give them where queries names one pool." $of) -}}
{{- end -}}
{{- $pool := . -}}
{{- range $bound := list "fromBytes" "fromRows" -}}
{{- if and (ne $pool.pool "*") (hasKey $pool $bound) -}}
{{- if ne (get $pool $bound | int64) (get (get $known $pool.pool) $bound | int64) -}}
{{- fail (printf "%s: queries.%s is %d, and another entry of the pool %q says %d. Say the same, or say it once." $of $bound (get $pool $bound | int64) $pool.pool (get (get $known $pool.pool) $bound | int64)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $at, $early := $routed -}}
{{- range $late := slice $routed (int (add1 $at)) -}}
{{- if and (or (hasKey $early "fromBytes") (hasKey $early "fromRows")) (include "dunlin.checks.covers" (list $late $early "fromBytes")) (include "dunlin.checks.covers" (list $late $early "fromRows")) -}}
{{- fail (printf "workers.pools: the pool %q has no higher bounds than %q, which stands before it. The last one that a query reaches runs it, so %q would get none by its size. Put the pool with the higher bounds after the other." $late.name $early.name $early.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .Values.gateway.workgroups -}}
{{- if and .pool (not (hasKey $known .pool)) (not $.Values.configSecret.name) (not (include "dunlin.checks.textHasPools" $)) -}}
{{- fail (printf "gateway.workgroups: the queries of %q run in the pool %q, and no entry of workers.pools has queries.pool: %s." .name .pool .pool) -}}
{{- end -}}
{{- end -}}
{{- range include "dunlin.pools" . | fromYamlArray -}}
{{- if and (include "dunlin.countsOwn" (dict "root" $ "pool" .)) (eq .autoscaling.kind "keda") $.Values.workers.signal.query (not .autoscaling.query) -}}
{{- fail (printf "workers.pools[%s]: workers.signal.query counts the tasks of all pools. Count those of this one in autoscaling.query, e.g. max(dunlin_pool_tasks{pool=%q})." .name (include "dunlin.queries" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether every query that reaches a bound of the earlier pool reaches the same one of the later: "true" or nothing.
     (list later earlier "fromBytes") */}}
{{- define "dunlin.checks.covers" -}}
{{- $late := index . 0 -}}
{{- $early := index . 1 -}}
{{- $bound := index . 2 -}}
{{- if not (hasKey $early $bound) -}}true
{{- else if hasKey $late $bound -}}
{{- if le (get $late $bound | int64) (get $early $bound | int64) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.scaling" -}}
{{- $scaling := .scaling -}}
{{- if ne $scaling.kind "none" -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "%s: autoscaling.minReplicas is more than maxReplicas." .of) -}}
{{- end -}}
{{- if not .root.Values.monitoring.metrics -}}
{{- fail (printf "%s: autoscaling needs the gateways' metrics, and monitoring.metrics is false." .of) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $scaling.kind "keda") (not .root.Values.workers.signal.prometheusAddress) -}}
{{- fail (printf "%s: autoscaling.kind is keda, and workers.signal.prometheusAddress is empty. KEDA must know where Prometheus is." .of) -}}
{{- end -}}
{{- if and (eq $scaling.kind "hpa") (lt (int $scaling.minReplicas) 1) -}}
{{- fail (printf "%s: autoscaling.kind is hpa, which cannot start from zero. Set minReplicas to 1 or more, or kind: keda." .of) -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.checks.network" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if $policy.enabled -}}
{{- if and .Values.traces.endpoint (not $policy.traces) -}}
{{- fail "traces.endpoint is set, and networkPolicy.traces is empty: the policy would stop the traces. Name the collector's peers and ports there." -}}
{{- end -}}
{{- range $list := list "dns" "store" "credentials" "issuer" "traces" -}}
{{- range (index $policy $list) -}}
{{- if eq (empty .cidr) (and (empty .namespaceSelector) (empty .podSelector)) -}}
{{- fail (printf "networkPolicy.%s: each peer needs either cidr, or namespaceSelector or podSelector." $list) -}}
{{- end -}}
{{- if and .except (not .cidr) -}}
{{- fail (printf "networkPolicy.%s: except needs cidr." $list) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (or $policy.monitoringNamespace $policy.monitoringNamespaceLabels) -}}
{{- fail "networkPolicy.monitoringNamespace is empty, which would mean all namespaces. Metrics are for one only: name the namespace of Prometheus." -}}
{{- end -}}
{{- end -}}
{{- end -}}
