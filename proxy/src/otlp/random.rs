//! Chance: the name of an instance, and waits that differ from those of other proxies.

use std::time::Duration;

use rustls::crypto::aws_lc_rs;

/// From the system's source, by way of the one provider of cryptography. `None`: it has none to give.
fn bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::default_provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A UUID of version 4 (RFC 9562 section 5.4).
pub(super) fn uuid() -> Option<String> {
    let mut number = u128::from_be_bytes(bytes()?);
    number = number & !(0xf << 76) | 0x4 << 76;
    number = number & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{number:032x}");
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// Half of `wait` to one and a half of it.
pub(super) fn about(wait: Duration) -> Duration {
    let share = u32::from_be_bytes(bytes().unwrap_or([0x80, 0, 0, 0]));
    wait.mul_f64(0.5 + f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_vary_about_what_is_asked() {
        let wait = Duration::from_secs(2);
        let all: Vec<Duration> = (0..100).map(|_| about(wait)).collect();
        assert!(all.iter().all(|wait| (Duration::from_secs(1)..=Duration::from_secs(3)).contains(wait)));
        assert!(all.iter().any(|wait| *wait != all[0]));
    }

    #[test]
    fn uuid_is_of_version_4_and_new_each_time() {
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, other);
        let lens: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lens, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4", "{one}");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
