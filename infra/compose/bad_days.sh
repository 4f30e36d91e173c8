# Bad days in containers: a worker that is killed for memory, one whose disk is full, one whose image is older than the
# gateways, and a store that comes later than who needs it. infra/compose/try.sh reads this file, and calls `bad_days` when
# no worker of the compose file runs.
# shellcheck shell=bash disable=SC2154

# One task sorts all texts: some 300 MB, which it can spill.
readonly HUNGRY="select count(*) as n, max(place) as m, sum(length(text)) as bytes from (select l_comment as text, \
row_number() over (order by repeat(l_comment, 200), l_orderkey, l_linenumber) as place from lineitem) as t"
# The same rows, without a sort: a gateway can run it by itself.
readonly FRUGAL="select count(*) as n, count(*) as m, sum(length(l_comment)) as bytes from lineitem"
readonly SMALL_MEMORY=192m
# A task of narrow rows, which a small pool can only sort with a disk: about 100 MB.
readonly LONG="select count(*) as n, max(place) as m from (select row_number() over (order by md5(l_comment || cast(k as varchar)), \
l_orderkey, l_linenumber, k) as place from lineitem cross join (values (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), \
(13), (14), (15), (16)) as v(k)) as t"
readonly NARROW_POOL=67108864
readonly NARROW_DISK=4m

# A worker beside those of the compose file: NAME IMAGE OPTION…
extra_worker() {
  local name="$project-$1" image=$2
  shift 2
  podman run --detach --name "$name" --label "io.podman.compose.project=$project" --network "${project}_store" \
    --no-healthcheck --env-file "$folder/worker.env" --env DUNLIN_LOG_FORMAT=json \
    --volume "$CHECKOUT/infra/compose/dunlin.toml:/etc/dunlin/dunlin.toml:ro" --read-only --cap-drop all \
    --security-opt no-new-privileges --tmpfs /tmp:mode=1777,size=64m "$@" "$image" \
    --config /etc/dunlin/dunlin.toml --alive-file /tmp/alive --allow-insecure-connections >/dev/null
}
worker_image() { printf 'localhost/dunlin/worker:%s' "${DUNLIN_TAG:-local}"; }
remove_extra() { podman rm --force --volumes "$project-$1" >/dev/null 2>&1; }
extra_says() { podman logs "$project-$1" 2>&1 | grep -q "$2"; }

start_workers() {
  local name
  for name in $(of_service worker); do bring_back "$name" || return; done
}
stop_workers() {
  local name
  for name in $(of_service worker); do podman stop --time 40 "$name" >/dev/null 2>&1 || return; done
}

# STATEMENT FILE: submits it to the fleet. A client asks again if the answer is 503.
submitted() {
  [ "$(asked "$(url)/v1/queries" -H 'Prefer: wait=0' --output "$folder/$2" --write-out '%{http_code}' \
    -d "{\"sql\": \"$1\", \"settings\": {\"route\": \"fleet\", \"target_partitions\": 2}}")" = 202 ]
}
submit() { until_true "a query is accepted" submitted "$1" "$2" || wrong "$(head -c 300 "$folder/$2")"; }
status_is() { asked "$(url)/v1/queries/$(id_of "$folder/$1")" | grep -q "\"status\":\"$2\""; }
# FILE STATEMENT WHAT: the query has ended, and its rows are those of a gateway that runs the statement by itself.
right_rows() {
  local found expected
  until_true "the query $3" status_is "$1" SUCCEEDED || return
  found=$(asked -H 'Accept: text/csv' "$(url)/v1/queries/$(id_of "$folder/$1")/results")
  expected=$(asked -H 'Accept: text/csv' "$(url)/v1/sql" -d "{\"sql\": \"$2\", \"settings\": {\"route\": \"inline\"}}")
  [ -n "$expected" ] && [ "$found" = "$expected" ] || wrong "$3: $found, and not $expected"
}

# --- memory ------------------------------------------------------------------------------------------------------------
was_killed_for_memory() { [ "$(fact "$project-small" '{{.State.Status}} {{.State.ExitCode}}')" = "exited 137" ]; }

# The kernel kills the only worker in the middle of its task. A worker with more memory does the task again.
killed_for_memory() {
  extra_worker small "$(worker_image)" --volume /var/lib/dunlin --memory "$SMALL_MEMORY" --memory-swap "$SMALL_MEMORY" || return
  submit "$HUNGRY" hungry.json || return
  until_true "the small worker is killed for memory" was_killed_for_memory || return
  status_is hungry.json RUNNING || wrong "the query did not outlive its worker" || return
  start_workers && right_rows hungry.json "$FRUGAL" "ends on a worker with more memory" || return
  asked "$(url)/v1/queries/$(id_of "$folder/hungry.json")" |
    python3 -c 'import json, sys; s = json.load(sys.stdin)["summary"]; sys.exit(s["attempts"] <= s["tasks"])' ||
    wrong "no task was run again: the worker died without one" || return
  remove_extra small && stop_workers
}

# --- a full disk -------------------------------------------------------------------------------------------------------
full_disk() {
  local told
  extra_worker narrow "$(worker_image)" --tmpfs "/spill:mode=1777,size=$NARROW_DISK" --memory 1g \
    --env DUNLIN__WORKER__SPILL_DIR=/spill --env "DUNLIN__WORKER__MEMORY_BYTES=$NARROW_POOL" || return
  submit "$LONG" full.json && until_true "the query ends on a full disk" status_is full.json FAILED || return
  told=$(asked "$(url)/v1/queries/$(id_of "$folder/full.json")")
  case "$told" in *'"DISK_FULL"'*) ;; *) wrong "the query did not end DISK_FULL: $told" || return ;; esac
  remove_extra narrow
}

# --- an older image ------------------------------------------------------------------------------------------------------
build_of_gateways() {
  curl --silent --noproxy '*' --get "http://127.0.0.1:$DUNLIN_PROMETHEUS_PORT/api/v1/query" --data-urlencode 'query=dunlin_build_info' |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["result"][0]["metric"]["build"])'
}

# The image of another build: the same binary, in which the hash of the build is another one.
older_image() {
  local build=$1 known=${1:0:8} other context="$folder/older"
  other=$(python3 -c 'import sys; print(sys.argv[1][::-1])' "$known")
  mkdir -p "$context"
  strip -o "$context/dunlin-worker" "$bin_dir/dunlin-worker"
  cp "$context/dunlin-worker" "$context/same"
  LC_ALL=C sed -i "s/$known/$other/g" "$context/dunlin-worker"
  ! cmp -s "$context/dunlin-worker" "$context/same" || wrong "dunlin-worker does not have its build $build" || return
  rm -f -- "$context/same"
  printf 'FROM %s\nCOPY dunlin-worker /usr/bin/dunlin-worker\n' "$(worker_image)" >"$context/Dockerfile"
  podman build --quiet --format docker --pull=never --tag "$(worker_image)-older" "$context" >/dev/null
}

older_worker() {
  local build sql='select l_returnflag, count(*) as n from lineitem group by 1 order by 1'
  build=$(build_of_gateways) && older_image "$build" || return
  extra_worker older "$(worker_image)-older" --volume /var/lib/dunlin --memory 1g || return
  submit "$sql" older.json && until_true "the older worker leaves the query to others" extra_says older "a query is left to others" || return
  extra_says older "$build" || wrong "the older worker does not say which build the query needs" || return
  start_workers && right_rows older.json "$sql" "ends on a worker of its build" || return
  [ "$(fact "$project-older" '{{.State.Status}}')" = running ] || wrong "the older worker has ended" || return
  remove_extra older && podman rmi "$(worker_image)-older" >/dev/null 2>&1
}

# --- the store comes late --------------------------------------------------------------------------------------------------
has_ended_and_begun_again() { [ "$(fact "$1" '{{.RestartCount}}')" -gt "$2" ]; }
serves_again() { [ "$(asked --output /dev/null --write-out '%{http_code}' "$(url)/v1/sql" -d 'select count(*) from lineitem')" = 200 ]; }

# A gateway that starts without its store ends, and the engine starts it until the store is there. Who runs goes on.
late_store() {
  local store late running pid restarts
  store=$(of_service minio) late=$(of_service gateway-1) running=$(of_service gateway-2)
  pid=$(pid_of "$running")
  podman stop --time 40 "$late" "$store" >/dev/null 2>&1 || return
  restarts=$(fact "$late" '{{.RestartCount}}')
  podman start "$late" >/dev/null 2>&1
  until_true "$late ends without its store" has_ended_and_begun_again "$late" "$restarts" || return
  podman logs "$late" 2>&1 | grep -q 'the state store cannot be used' || wrong "$late does not say that its store is away" || return
  podman start "$store" >/dev/null 2>&1
  back_again "$late" && until_true "tables can be read again" serves_again || return
  [ "$(pid_of "$running")" = "$pid" ] || wrong "$running was started again, too"
}

bad_days() {
  step "a worker is killed for memory" killed_for_memory
  step "a worker's disk is full" full_disk
  step "a worker's image is older" older_worker
  step "the store comes late" late_store
}
