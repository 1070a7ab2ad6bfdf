//! The code that workers share, built on loom's atomics and locks. tests/ runs it in every order in which threads may touch it.
//!
//! A crate of its own: `cfg(loom)` holds for every crate of a build, and tokio has no signals under it.

#[cfg(loom)]
#[path = "../../src/limits/permits.rs"]
pub mod permits;
