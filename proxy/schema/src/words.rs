//! Settings that are one of a few words.

use crate::text::by_text;

/// An enum whose variants are words: `FromStr`, `Display`, serde, schema, and an error that lists the words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ } allowed $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::Invalid;

            fn from_str(text: &str) -> Result<Self, crate::Invalid> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err(crate::Invalid::new(text, $allowed)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        by_text!($name, $allowed, {"type": "string", "enum": [$($word),+]});
    };
}

words! {
    /// Whether each request is a line of the access log.
    AccessLog {
        Off = "off",
        /// A line of JSON on stdout, and by OTLP where logs are exported.
        On = "on",
    } allowed "on or off"
}

words! {
    /// Which kernel interface moves the bytes.
    IoDriver {
        /// Tries `io_uring`, falls back to `epoll`, and says which and why.
        Auto = "auto",
        Epoll = "epoll",
        IoUring = "io_uring",
        /// A kernel thread polls the submission queue; it costs CPU while idle.
        IoUringSqpoll = "io_uring-sqpoll",
    } allowed "auto, epoll, io_uring or io_uring-sqpoll"
}

words! {
    /// Whether plain clients are let in where TLS is spoken.
    TlsMode {
        /// TLS only.
        Required = "required",
        /// The first byte decides; plain connections are counted.
        Permissive = "permissive",
    } allowed "required or permissive"
}

words! {
    /// Whether a TLS client is asked for a certificate. One that it shows must come from an authority of `clientCa`.
    ClientCertificates {
        /// It is not asked.
        Off = "off",
        /// It is asked and may have none.
        Optional = "optional",
        /// It is asked, and without one the handshake fails.
        Required = "required",
    } allowed "off, optional or required"
}

words! {
    /// What is told to the app of who asked: X-Forwarded-*, Forwarded, Via.
    Forwarded {
        /// Ours is appended to what came.
        Append = "append",
        /// What came is removed, ours is set.
        Replace = "replace",
        /// Nothing is added, what came stays.
        Off = "off",
    } allowed "append, replace or off"
}

words! {
    /// The protocol spoken to the app.
    UpstreamProtocol {
        /// The port's appProtocol, else h2c for gRPC, else HTTP/1.1.
        Auto = "auto",
        Http1 = "http1",
        Http2 = "http2",
    } allowed "auto, http1 or http2"
}

words! {
    /// Whether TLS is spoken to the app. It is on loopback: `off` is all there is.
    UpstreamTls {
        Off = "off",
    } allowed "off (the app is reached in the clear, on loopback)"
}

words! {
    /// What a client that closes its sending side means by it.
    HalfClose {
        /// It has left: its upstream work is cancelled.
        Leave = "leave",
        /// It still reads: it gets its answer.
        Keep = "keep",
    } allowed "leave or keep"
}

words! {
    /// Whether the concurrency limit sheds.
    ConcurrencyMode {
        Enforce = "enforce",
        /// Counts what it would shed, sheds nothing.
        Observe = "observe",
    } allowed "enforce or observe"
}

words! {
    /// Whether an upgrade, an event stream or a long gRPC stream goes on holding its permit.
    LongLived {
        Release = "release",
        Hold = "hold",
    } allowed "release or hold"
}

words! {
    /// What identical concurrent GETs may share.
    CoalescingMode {
        /// What two identical concurrent GETs may share, also where the response says nothing of freshness.
        Identical = "identical",
        /// Only what HTTP explicitly lets a shared cache reuse.
        Cacheable = "cacheable",
        /// Joins nothing, counts what `identical` would have shared.
        Observe = "observe",
        Off = "off",
    } allowed "identical, cacheable, observe or off"
}

words! {
    /// Whether requests with credentials are coalesced.
    Credentials {
        /// Authorization, Cookie and Proxy-Authorization keep a request alone.
        Off = "off",
        /// They are compared byte for byte.
        Identical = "identical",
    } allowed "identical or off"
}

words! {
    /// Which writes a joined read must be younger than.
    ReadAfterWrite {
        /// Any write to the same app.
        Upstream = "upstream",
        /// A write to the same URI.
        Path = "path",
        Off = "off",
    } allowed "upstream, path or off"
}

words! {
    /// What becomes of the followers when the app answers 5xx.
    OnError {
        /// They get it too.
        Share = "share",
        /// Each asks for itself.
        Release = "release",
    } allowed "share or release"
}

words! {
    /// Who gets a `Cache-Status` field that tells of coalescing.
    StatusHeader {
        Off = "off",
        Followers = "followers",
        All = "all",
    } allowed "off, followers or all"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn every_word_is_read_and_named<T>(all: &[T], word: fn(T) -> &'static str)
    where
        T: Copy
            + std::fmt::Debug
            + PartialEq
            + std::str::FromStr<Err = crate::Invalid>
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let Err(refusal) = "x".parse::<T>() else { panic!("`x` is no word") };
        for &value in all {
            assert_eq!(word(value).parse::<T>().unwrap(), value);
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value);
            assert!(refusal.to_string().contains(word(value)), "{refusal} must name {}", word(value));
        }
    }

    #[test]
    fn every_word_survives_a_round_trip_and_is_named_by_the_refusal() {
        every_word_is_read_and_named(IoDriver::ALL, IoDriver::word);
        every_word_is_read_and_named(TlsMode::ALL, TlsMode::word);
        every_word_is_read_and_named(ClientCertificates::ALL, ClientCertificates::word);
        every_word_is_read_and_named(Forwarded::ALL, Forwarded::word);
        every_word_is_read_and_named(UpstreamProtocol::ALL, UpstreamProtocol::word);
        every_word_is_read_and_named(UpstreamTls::ALL, UpstreamTls::word);
        every_word_is_read_and_named(HalfClose::ALL, HalfClose::word);
        every_word_is_read_and_named(ConcurrencyMode::ALL, ConcurrencyMode::word);
        every_word_is_read_and_named(LongLived::ALL, LongLived::word);
        every_word_is_read_and_named(CoalescingMode::ALL, CoalescingMode::word);
        every_word_is_read_and_named(Credentials::ALL, Credentials::word);
        every_word_is_read_and_named(ReadAfterWrite::ALL, ReadAfterWrite::word);
        every_word_is_read_and_named(OnError::ALL, OnError::word);
        every_word_is_read_and_named(StatusHeader::ALL, StatusHeader::word);
    }

    #[test]
    fn false_means_off_where_off_is_a_word() {
        assert_eq!(serde_json::from_str::<Forwarded>("false").unwrap(), Forwarded::Off);
        assert!(serde_json::from_str::<Forwarded>("true").is_err());
        assert!(serde_json::from_str::<IoDriver>("false").is_err());
    }
}
