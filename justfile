# Everything a contributor does. `just --list` shows it; scripts/setup installs just into .tools/venv.

export RUSTDOCFLAGS := "-D warnings"

_default:
    @just --list

# Check and install what the tests need
setup:
    scripts/setup

# Format all code
fmt:
    cargo fmt --all

# Format check, lints, docs without warnings
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo doc --workspace --no-deps

# Circles between files, imports through walls, files that are too long
house:
    scripts/house

# Everything that CI runs
test:
    scripts/test

# The same on a clean clone with empty caches, as a new machine would; minutes by step
bare:
    scripts/bare

# The two example programs
examples:
    cargo run --quiet --example query_in_process
    cargo run --quiet --example embedded_worker

# TPC-H on the fleet against single-process DataFusion: `just oracle 1` for scale 1
oracle scale="0.1":
    DUNLIN_ORACLE_SCALE={{ scale }} cargo test -p dunlin --test system oracle:: -- --nocapture

# Every plan shape: library, joins, random queries, DataFusion's own tests; `just exact --full`: all of each; `--far`: on a far store
exact mode="":
    scripts/exact {{ mode }}

# The same over MinIO, state and tables
oracle-s3:
    #!/usr/bin/env bash
    set -euo pipefail
    export DUNLIN_MINIO_RUN=.tools/minio-oracle.run
    exports=$(scripts/minio start)
    eval "$exports"
    trap 'scripts/minio stop' EXIT
    cargo test -p dunlin --test system oracle_s3:: -- --nocapture

# Mutated statements and bodies for some minutes, with a new seed: `just fuzz 60`, `just fuzz 1 42` for seed 42
fuzz minutes="10" seed="":
    DUNLIN_FUZZ_MINUTES={{ minutes }} DUNLIN_FUZZ_SEED={{ seed }} cargo test -p dunlin --test system fuzz:: -- --nocapture

# Statements that are too much in every way, through a real process: all of them, not only those of CI
monsters:
    DUNLIN_MONSTERS=all cargo test -p dunlin --test system monsters:: -- --nocapture

# The protocol as a model, in all states of larger worlds: some minutes, some GB of memory
model:
    cargo test --workspace --test model -- --include-ignored --nocapture

# Whole processes in simulated worlds with faults, deaths and cancels: `just sim 20000`, `just sim 1 4711` for one seed
sim seeds="500" first="0":
    DUNLIN_WORLD_SEEDS={{ seeds }} DUNLIN_WORLD_FIRST={{ first }} cargo test --workspace --test world every_answer -- --nocapture

# Everybody dies at each store request of each of five queries, before and after the store has done it
crash-points:
    DUNLIN_WORLD_POINTS=all cargo test --workspace --test world everybody_may_die -- --nocapture

# Breaks rules of the protocol in the code, one after the other, and tells whether simulated worlds notice
mutants *names:
    scripts/mutants {{ names }}

# TPC-H in a loop while real processes are killed and frozen, and MinIO is killed: `just chaos 1000` kills, on a folder and on MinIO
chaos kills="50":
    #!/usr/bin/env bash
    set -euo pipefail
    export DUNLIN_MINIO_RUN=.tools/minio-chaos.run DUNLIN_CHAOS_KILLS={{ kills }}
    exports=$(scripts/minio start)
    eval "$exports"
    trap 'scripts/minio stop' EXIT
    cargo test --workspace --test system chaos:: -- --nocapture --test-threads 1

# TPC-H while toxiproxy spoils the connections between all processes and MinIO
toxic:
    scripts/toxic

# Changed records, plans and rows for their decoders: `just fuzz-records 60` for an hour
fuzz-records minutes="1" seed="7":
    DUNLIN_FUZZ_MINUTES={{ minutes }} DUNLIN_FUZZ_SEED={{ seed }} cargo test --workspace --test world no_damaged -- --nocapture

# libFuzzer on what reads records, plans and slices, guided by the code that inputs reach: `just fuzz-coverage all 60`
fuzz-coverage target="all" minutes="10":
    scripts/fuzz {{ target }} {{ minutes }}

# Kill, freeze and restart real processes
survival:
    cargo test -p dunlin --test system survival:: -- --nocapture

# Fleet against single-process DataFusion, the 22 queries: `just bench --help` for its options
bench *args:
    cargo build --release -p dunlin
    cargo run --release -p dunlin --bin dunlin-bench -- {{ args }}

# The front beside a bare handler, DuckDB and DataFusion: `just bench-front --rows 1000000`
bench-front *args:
    cargo build --release --workspace
    cargo build --release --workspace --example front_load
    scripts/bench-front {{ args }}

# The same with the state on a far store: `just bench-far`, `just bench-far express --scale 10`
bench-far profile="s3" *args:
    #!/usr/bin/env bash
    set -euo pipefail
    export DUNLIN_MINIO_RUN=.tools/minio-bench.run
    exports=$(scripts/minio start)
    eval "$exports"
    trap 'scripts/minio stop' EXIT
    cargo build --release -p dunlin
    cargo run --release -p dunlin --bin dunlin-bench -- --far {{ profile }} {{ args }}

# The protocol with 1,000 workers and 100,000 tasks in simulated time; `just sim-fleet 300 20000 4 7`: 4 stages, seed 7
sim-fleet workers="1000" tasks="100000" stages="8" seed="1":
    #!/usr/bin/env bash
    set -euo pipefail
    export DUNLIN_FLEET_WORKERS={{ workers }} DUNLIN_FLEET_TASKS={{ tasks }}
    export DUNLIN_FLEET_STAGES={{ stages }} DUNLIN_FLEET_SEED={{ seed }}
    cargo test -p dunlin-worker --lib fleet::tests::a_fleet_at -- --ignored --nocapture

# What coordination costs on a store with the latencies of Amazon S3, in simulated time: requests a task, between stages, idle
bench-coordination:
    cargo test --workspace --lib what_coordination_costs -- --ignored --nocapture

# TPC-H data, a gateway, two workers, 22 queries
demo *args:
    cargo run --profile quick -- demo {{ args }}

# k6 over real processes and MinIO: `just loadtest smoke`, `just loadtest chaos --size full`
loadtest *args:
    scripts/loadtest {{ args }}

# Everything with MinIO in containers: `just compose up`, `just compose down`, `just compose try`
compose *args:
    scripts/compose {{ args }}

# Images: `just containers build`, `just containers sizes`, `just containers sbom`
containers *args:
    scripts/containers {{ args }}

# The Helm chart: `just helm check`; `just helm run` starts what is rendered as processes
helm *args:
    scripts/helm {{ args }}

# The API against its own description, with a real gateway: `just contract --examples 50` for more
contract *args:
    cargo build --workspace
    scripts/contract {{ args }}

# The page of the gateway: `just page check`, `just page try`, `just page dev`, `just page build`
page *args:
    scripts/page {{ args }}

# Real clients of the Postgres protocol against real processes: `just clients --only psql,jdbc` for some
clients *args:
    cargo build --workspace
    scripts/clients postgres {{ args }}

# Dashboards, rules, metrics: `just observability check`, `just observability live URL…`
observability *args:
    scripts/observability {{ args }}

# API documentation of all crates
docs:
    cargo doc --workspace --no-deps

# Rewrite the staged-plan snapshots after a wanted change; review the difference
plans:
    UPDATE_PLANS=1 cargo test -p dunlin --test system plans::
