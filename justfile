# What CI runs.
check:
    .ci/run

# A small app, the proxy in front of it, live numbers.
demo:
    cargo run --release -p slipstream-proxy -- demo

# CPU for a request beside nginx, HAProxy and the floor: about four minutes.
bench:
    cargo build --release -p slipstream-proxy
    cargo run --release -p slipstream-compare

# 10 GB bodies to a slow reader: minutes each.
long:
    cargo test --release -p slipstream-tests -- --ignored body_of_10_gb
