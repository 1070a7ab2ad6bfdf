//! Apps that misbehave, and the warm connections to them: what is no HTTP never reaches the client, what breaks off never looks like a
//! clean end, and a connection that went stale is not the client's problem.

mod absent;
mod broken;
mod garbage;
mod pool;

use slipstream_tests::{Driver, Origin, Proxy, Running};

/// A proxy with the default policy in front of `origin`.
fn proxy(driver: Driver, origin: &impl Origin) -> Running {
    Proxy::in_front_of(origin).driver(driver).start()
}
