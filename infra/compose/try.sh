# `scripts/compose try`: brings the stack up for real, uses it while containers die, and takes it down. scripts/compose reads
# this file, and has the functions that are not here. It runs under a name, ports and credentials of its own, so that a stack
# that is up already is left alone.
# shellcheck shell=bash disable=SC2034,SC2154

readonly TRY_VENV="$PWD/.tools/venv-compose"
readonly TRY_PIN="duckdb==2.0.1"
readonly TRY_SCALE=0.01
readonly PATIENCE=120

. infra/compose/bad_days.sh

try_began=$SECONDS
tpch_pid=""
volumes=()

free_ports() {
  python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}

# Waits until a command succeeds. What it prints is of no interest until the last time.
until_true() {
  local what=$1 deadline=$((SECONDS + PATIENCE))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      printf 'compose: not within %s s: %s\n' "$PATIENCE" "$what" >&2
      return 1
    fi
    sleep 0.3
  done
}

wrong() {
  printf 'compose: %s\n' "$*" >&2
  return 1
}

# --- before and after --------------------------------------------------------------------------------------------
try_tools() {
  if [ "$(cat "$TRY_VENV/pins" 2>/dev/null)" != "$TRY_PIN" ]; then
    [ -x "$TRY_VENV/bin/pip" ] || python3 -m venv "$TRY_VENV" || die "python3 -m venv failed; on Debian: apt-get install python3-venv"
    "$TRY_VENV/bin/pip" install --quiet "$TRY_PIN" || die "pip install $TRY_PIN failed"
    printf '%s\n' "$TRY_PIN" >"$TRY_VENV/pins"
  fi
}

# Everything goes, whatever happened.
try_end() {
  local status=$?
  trap - EXIT INT TERM
  [ -z "$tpch_pid" ] || kill "$tpch_pid" 2>/dev/null || true
  if [ "$status" -ne 0 ] && "$keep"; then
    say "the stack still runs: $PODMAN ps --filter label=io.podman.compose.project=$project"
    exit "$status"
  fi
  if [ "$status" -ne 0 ] && [ -x "$PODMAN" ]; then
    local name
    for name in $(containers 2>/dev/null); do show_logs "$name"; done
  fi
  [ ! -f "$folder/worker-key" ] || [ -z "$(left)" ] || take_down || true
  case "$folder" in */dunlin-compose.????????) rm -rf -- "$folder" ;; esac
  exit "$status"
}

url() { printf 'http://127.0.0.1:%s' "$DUNLIN_PORT"; }
asked() { curl --silent --noproxy '*' --max-time 100 -H "Authorization: Bearer $(cat "$folder/api-key")" "$@"; }
status_of() { curl --silent --noproxy '*' --max-time 20 --output /dev/null --write-out '%{http_code}' "$@"; }
pid_of() { fact "$1" '{{.State.Pid}}'; }
is_healthy() { [ -z "$(state_of "$1")" ]; }
is_another_process() { local pid && pid=$(pid_of "$1") && [ "$pid" != "$2" ] && [ "$pid" != 0 ]; }

# --- closed: who may do what -----------------------------------------------------------------------------------------
# What the processes really have, and not what was asked for.
restricted_process() {
  local name=$1 pid status
  pid=$(pid_of "$name")
  status=$(cat "/proc/$pid/status")
  case "$status" in *"CapEff:	0000000000000000"*) ;; *) wrong "$name has capabilities" || return ;; esac
  case "$status" in *"NoNewPrivs:	1"*) ;; *) wrong "$name may gain privileges" || return ;; esac
  case "$status" in *"Uid:	65532	65532"*) ;; *) wrong "$name does not run as 65532" || return ;; esac
  grep -q '^[^ ]* / [^ ]* ro[, ]' "/proc/$pid/mounts" || wrong "$name has a root that it can write to"
}

published_on_loopback() {
  local name
  for name in $(containers); do
    ! podman port "$name" 2>/dev/null | grep -v -- '-> 127\.0\.0\.1:' || wrong "$name is published on more than loopback" || return
  done
}

# A user of MinIO does what nothing of Dunlin does, and is refused.
denied() {
  local part=$1 what=$2 file="$folder/denied.env"
  shift 2
  (umask 077 && sed -n "s/^${part}_SECRET=\(.*\)/MC_HOST_store=http:\/\/dunlin-$(echo "$part" | tr '[:upper:]' '[:lower:]'):\1@minio:9000/p" "$folder/init.env" >"$file")
  local output
  output=$(podman run --rm --no-healthcheck --network "${project}_store" --env-file "$file" "localhost/dunlin/minio:${DUNLIN_TAG:-local}" \
    bash -c "$1" 2>&1) && wrong "the user of the $part may $what" && return 1
  rm -f -- "$file"
  case "$output" in *"Access Denied"* | *"Insufficient permissions"*) ;; *) wrong "whether the $part may $what is not known: $output" ;; esac
}

closed() {
  local name code
  published_on_loopback || return
  code=$(status_of "$(url)/v1/sql" -d 'select 1')
  [ "$code" = 401 ] || wrong "without a key the answer is $code, and not 401" || return
  code=$(status_of -H 'Authorization: Bearer dunlin_wrong' "$(url)/v1/sql" -d 'select 1')
  [ "$code" = 401 ] || wrong "with a wrong key the answer is $code, and not 401" || return
  code=$(status_of -H "Authorization: Bearer $(cat "$folder/api-key")" "$(url)/metrics")
  [ "$code" = 404 ] || wrong "clients get $code for /metrics, and not 404" || return
  for name in $(of_service gateway-1) $(of_service worker) $(of_service minio) $(of_service proxy); do
    restricted_process "$name" || return
  done
  denied WORKER "delete" "mc rm store/dunlin-tables/tpch/scale" &&
    denied WORKER "write a table" "echo x | mc pipe store/dunlin-tables/tpch/x" &&
    denied WORKER "submit a query" "echo x | mc pipe store/dunlin-state/state/q/ab/x/root" &&
    denied GATEWAY "delete a table" "mc rm store/dunlin-tables/tpch/scale" &&
    denied GATEWAY "write a table" "echo x | mc pipe store/dunlin-tables/tpch/x" &&
    denied SEED "read the state" "mc ls store/dunlin-state/state/"
}

# --- TPC-H, while containers die ----------------------------------------------------------------------------------------
answered() { [ "$(wc -l <"$folder/report.json.progress" 2>/dev/null || echo 0)" -ge "$1" ]; }
more_answers() {
  local now
  now=$(wc -l <"$folder/report.json.progress")
  until_true "$1 more answers, $2" answered $((now + $1))
}

# A machine that is lost, as far as a container can be: it is killed and stays away.
lose() {
  podman kill --signal KILL "$1" >/dev/null 2>&1 || wrong "$1 could not be killed"
}

bring_back() {
  podman start "$1" >/dev/null 2>&1 && back_again "$1"
}

back_again() {
  until_true "$1 is healthy again" is_healthy "$1" || return
  case "$1" in *gateway*) until_true "the proxy has $1 again" proxy_has "$1" ;; esac
}

proxy_has() {
  podman exec "$(of_service proxy)" /usr/local/bin/http-ready 8081 "/$(fact "$1" '{{index .Config.Labels "com.docker.compose.service"}}')"
}

# A process that dies by itself. The engine starts it again.
crash() {
  local pid
  pid=$(pid_of "$1")
  kill -KILL "$pid" && until_true "the engine starts $1 again" is_another_process "$1" "$pid" && back_again "$1"
}

deaths() {
  local first second workers
  first=$(of_service gateway-1) second=$(of_service gateway-2)
  read -r -a workers <<<"$(of_service worker | sort | tr '\n' ' ')"
  until_true "the first answers" answered 2 || return
  lose "$first" && more_answers 4 "without gateway-1" || return
  lose "${workers[0]}" && more_answers 4 "without gateway-1 and one worker" || return
  bring_back "$first" && bring_back "${workers[0]}" || return
  crash "$second" && crash "${workers[1]}" || return
  lose "${workers[0]}" && lose "${workers[1]}" && bring_back "${workers[0]}" && bring_back "${workers[1]}" || return
  more_answers 4 "after all workers were away"
}

tpch_while_containers_die() {
  local data status=0 deaths=0
  data=$(podman volume inspect --format '{{.Mountpoint}}' "${project}_tpch")
  DUNLIN_API_KEY=$(cat "$folder/api-key") "$TRY_VENV/bin/python" -B infra/compose/tpch.py --url "$(url)" --data "$data" \
    --dunlin "$bin_dir/dunlin" --report "$folder/report.json" --until "$folder/enough" &
  tpch_pid=$!
  deaths || deaths=1
  touch "$folder/enough"
  wait "$tpch_pid" || status=1
  tpch_pid=""
  [ "$status" -eq 0 ] && [ "$deaths" -eq 0 ]
}

# --- writing ----------------------------------------------------------------------------------------------------------------
# Workers write a table, with the permissions of their user, and it has the rows of its query.
written() {
  local answer
  answer=$(asked "$(url)/v1/sql" -H 'Prefer: wait=90' \
    -d "{\"sql\": \"create table flags with (partition_by = 'l_returnflag') as select * from lineitem\", \"settings\": {\"route\": \"fleet\"}}")
  case "$answer" in *'"rows":'*) ;; *) wrong "a table could not be made: $answer" || return ;; esac
  answer=$(asked "$(url)/v1/sql" -d 'select count(*) = (select count(*) from lineitem) as same from flags')
  case "$answer" in *'"same":true'*) ;; *) wrong "a table that was made has other rows: $answer" ;; esac
}

# --- smoke, metrics ---------------------------------------------------------------------------------------------------------
smoke() {
  local data
  data=$(podman volume inspect --format '{{.Mountpoint}}' "${project}_tpch")
  # Links are for clients that reach MinIO by its name in the private network.
  DUNLIN_API_KEY=$(cat "$folder/api-key") scripts/loadtest smoke --url "$(url)" --data "$data" --scale "$TRY_SCALE" \
    --bin "$bin_dir/dunlin" --no-links --out "$folder/smoke" >"$folder/smoke.log" 2>&1 || {
    tail -n 40 "$folder/smoke.log" >&2
    return 1
  }
  tail -n 3 "$folder/smoke.log"
}

prometheus_says() {
  curl --silent --noproxy '*' --get "http://127.0.0.1:$DUNLIN_PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=$1" |
    python3 -c 'import json, sys; sys.exit(not json.load(sys.stdin)["data"]["result"])'
}

# Prometheus reads both gateways, and they tell of the queries that were run.
metrics() {
  until_true "Prometheus reads both gateways" prometheus_says 'sum(up{job="dunlin"}) == 2' &&
    until_true "Prometheus knows queries that succeeded" prometheus_says 'sum(dunlin_queries_total{status="SUCCEEDED"}) > 0'
}

# --- SIGTERM ----------------------------------------------------------------------------------------------------------------
ended_well() {
  local code
  code=$(fact "$1" '{{.State.ExitCode}}')
  [ "$code" = 0 ] || wrong "$1 ended with $code after SIGTERM (137: it did not end within its grace period and was killed)" || { show_logs "$1" && return 1; }
}

# Whoever waits gets an answer, although the gateway that it waits at is asked to stop; a worker gives back what it cannot end.
stop_while_busy() {
  local name code client slow='select count(*) from lineitem a, lineitem b where a.l_comment < b.l_comment'
  slow="{\"sql\": \"$slow\", \"settings\": {\"route\": \"fleet\"}}"
  asked -X POST "$(url)/v1/queries" -H 'Prefer: wait=0' -d "$slow" --output "$folder/slow.json" || return
  asked "$(url)/v1/sql" -H 'Prefer: wait=90' -d "$slow" --output "$folder/waiting.json" --write-out '%{http_code}' >"$folder/waiting.code" &
  client=$!
  until_true "a task of the slow query runs" is_running "$folder/slow.json" || return
  for name in $(of_service gateway-1) $(of_service gateway-2); do
    podman stop --time 40 "$name" >/dev/null 2>&1
    ended_well "$name" && bring_back "$name" || return
  done
  wait "$client" || wrong "the client that waited was cut off" || return
  code=$(cat "$folder/waiting.code")
  [ "$code" = 202 ] || wrong "the client that waited got $code, and not 202: $(head -c 300 "$folder/waiting.json")" || return
  name=$(of_service worker | head -n 1)
  podman stop --time 40 "$name" >/dev/null 2>&1
  ended_well "$name" || return
  cancel "$folder/slow.json" && cancel "$folder/waiting.json" || return
  name=$(of_service worker | tail -n 1)
  podman stop --time 40 "$name" >/dev/null 2>&1
  ended_well "$name"
}

id_of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["query_id"])' "$1"; }
is_running() { asked "$(url)/v1/queries/$(id_of "$1")" | grep -q '"status":"RUNNING"'; }
cancel() {
  local status
  status=$(asked -X POST "$(url)/v1/queries/$(id_of "$1")/cancel")
  case "$status" in *'"CANCELLED"'*) ;; *) wrong "a query that runs could not be cancelled: $status" ;; esac
}

# --- nothing left ----------------------------------------------------------------------------------------------------------------
volumes_of_all() {
  local name
  for name in $(containers); do podman inspect --format '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}}{{"\n"}}{{end}}{{end}}' "$name"; done
}

nothing_left() {
  local volume
  [ -z "$(left)" ] || wrong "these are left: $(left)" || return
  # Volumes without a name have no label of the project.
  for volume in "${volumes[@]}"; do
    ! podman volume exists "$volume" || wrong "the volume $volume is left" || return
  done
  ! curl --silent --noproxy '*' --output /dev/null "$(url)/health" || wrong "something still answers at $(url)"
}

try() {
  folder=$(mktemp -d "${TMPDIR:-/tmp}/dunlin-compose.XXXXXXXX")
  project="dunlin-try-$$"
  trap try_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  engine_is_here
  read -r DUNLIN_PORT DUNLIN_S3_PORT DUNLIN_PROMETHEUS_PORT <<<"$(free_ports 3)"
  # Networks of its own, too.
  DUNLIN_NET="10.214.$((RANDOM % 250))"
  export DUNLIN_NET DUNLIN_PORT DUNLIN_S3_PORT DUNLIN_PROMETHEUS_PORT DUNLIN_TPCH_SCALE="$TRY_SCALE" DUNLIN_WORKERS=2
  profiles=(--profile metrics)
  step "tools" try_tools
  step "policies are those of terraform/" python3 -B infra/compose/policies.py --check
  step "images" build_images
  secrets
  step "start" start_all
  step "healthy" wait_healthy
  step "closed to others, and restricted" closed
  step "TPC-H while containers die" tpch_while_containers_die
  step "a table is written" written
  [ ! -x scripts/loadtest ] || step "k6 smoke" smoke
  step "metrics" metrics
  step "SIGTERM while busy" stop_while_busy
  bad_days
  mapfile -t volumes < <(volumes_of_all | sort -u)
  step "stop and remove" take_down
  step "nothing is left" nothing_left
  say "everything holds, in $((SECONDS - try_began)) s"
}
