//! The kernel interface a case runs under, and the macro that runs it under both.

/// Which driver the proxy of a case is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    Epoll,
    IoUring,
}

impl Driver {
    /// The value of `--io-driver`.
    pub fn flag(self) -> &'static str {
        match self {
            Driver::Epoll => "epoll",
            Driver::IoUring => "io_uring",
        }
    }
}

/// Makes two tests of each function, `name::epoll` and `name::io_uring`.
///
/// The second needs a kernel and a sandbox that allow io_uring, so a plain `cargo test` leaves it out. What else a case needs is said
/// before the functions: `on_both_drivers! { needs "nginx"; fn ... }`; such cases are left out under both drivers.
#[macro_export]
macro_rules! on_both_drivers {
    (needs $what:literal; $($(#[doc = $doc:literal])* fn $name:ident($driver:ident: Driver) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[doc = $doc])*
            fn case($driver: $crate::Driver) $body

            #[test]
            #[ignore = concat!("needs ", $what)]
            fn epoll() {
                case($crate::Driver::Epoll);
            }

            #[test]
            #[ignore = concat!("needs io_uring, ", $what)]
            fn io_uring() {
                case($crate::Driver::IoUring);
            }
        }
    )+};
    ($($(#[doc = $doc:literal])* fn $name:ident($driver:ident: Driver) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $(#[doc = $doc])*
            fn case($driver: $crate::Driver) $body

            #[test]
            fn epoll() {
                case($crate::Driver::Epoll);
            }

            #[test]
            #[ignore = "needs io_uring"]
            fn io_uring() {
                case($crate::Driver::IoUring);
            }
        }
    )+};
}
