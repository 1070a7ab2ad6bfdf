//! Requests that RFC 9110 and 9112 do not allow, or that two parsers could read differently: each is refused with its status and a
//! reason, the connection ends, and the app sees no request. Each case names the section it comes from.
//!
//! All cases of a driver share one proxy. In the bytes, `CASE` stands for a text that no other case has; it finds the case in what
//! the app received.

mod chunks;
mod fields;
mod framing;
mod request_line;

use slipstream_tests::{App, Proxy, Shared};

static SHARED: Shared = Shared::new(|driver| {
    let app = App::ok();
    (Proxy::in_front_of(&app).driver(driver).start(), app)
});

/// Each line `name: status, section, bytes;` is a test under each driver: the request is refused before the app sees a byte of it.
macro_rules! refused {
    ($($(#[doc = $doc:literal])* $name:ident: $status:literal, $section:literal, $bytes:expr;)+) => {
        slipstream_tests::on_both_drivers! {$(
            $(#[doc = $doc])*
            fn $name(driver: Driver) {
                let case = $crate::SHARED.on(driver, stringify!($name));
                slipstream_tests::refused(&case, $section, $status, $bytes);
            }
        )+}
    };
}

/// Each line `name: status, section, bytes;` is two tests under each driver, with the bytes in the place of a chunked body: they come
/// with the head, and they come when the app has the head already. The app never sees a whole request.
macro_rules! refused_in_body {
    ($($(#[doc = $doc:literal])* $name:ident: $status:literal, $section:literal, $bytes:expr;)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            slipstream_tests::on_both_drivers! {
                $(#[doc = $doc])*
                fn with_the_head(driver: Driver) {
                    let case = $crate::SHARED.on(driver, concat!(stringify!($name), "-1"));
                    slipstream_tests::refused_in_body(&case, $section, $status, $bytes);
                }

                fn after_the_head(driver: Driver) {
                    let case = $crate::SHARED.on(driver, concat!(stringify!($name), "-2"));
                    slipstream_tests::refused_in_body_late(&case, $section, $status, $bytes);
                }
            }
        }
    )+};
}

pub(crate) use {refused, refused_in_body};
