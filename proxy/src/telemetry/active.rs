//! Requests in flight, by what is known of them at their head. One writer, as [`super::Counter`].

use super::Gauge;
use crate::http::Method;

/// Words of `url.scheme`, at `usize::from(is_tls)`.
pub const SCHEMES: [&str; 2] = ["http", "https"];

/// Requests that have a head and not their last byte yet. A cell for each scheme and method is 160 bytes, and a step up and one down for each request.
#[derive(Debug, Default)]
pub struct ActiveRequests([[Gauge; Method::ALL.len()]; SCHEMES.len()]);

impl ActiveRequests {
    pub fn rise(&self, method: Method, is_tls: bool) {
        self.0[usize::from(is_tls)][method as usize].rise();
    }

    pub fn fall(&self, method: Method, is_tls: bool) {
        self.0[usize::from(is_tls)][method as usize].fall();
    }

    pub fn now(&self, method: Method, is_tls: bool) -> u64 {
        self.0[usize::from(is_tls)][method as usize].now()
    }
}
