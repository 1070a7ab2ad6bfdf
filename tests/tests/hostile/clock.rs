//! The time of day jumps while the proxy runs: by an hour and by ten years, forward and back. What it waits for is measured by the clock that does
//! not jump; what it says follows the one that does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slipstream_tests::{App, Certs, Client, NAME, Proxy, Running, Tls, eventually, nothing_is_left, on_both_drivers};
use tempfile::TempDir;

const HOUR_S: i64 = 3600;
const TEN_YEARS_S: i64 = 10 * 365 * 24 * HOUR_S;

/// Where the time of day is put, in seconds beside the true one.
const JUMPS: [i64; 5] = [HOUR_S, -HOUR_S, TEN_YEARS_S, -TEN_YEARS_S, 0];

/// The time of day of one proxy.
struct Clock {
    file: File,
    directory: TempDir,
}

impl Clock {
    fn true_one() -> Clock {
        let directory = TempDir::new().expect("a directory");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/clock.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(directory.path().join("clock.so"))
            .arg(source);
        assert!(
            compiler.status().expect("cc, which this workspace needs anyway").success(),
            "cc does not compile {source}"
        );
        let clock = Clock { file: File::create(directory.path().join("clock")).expect("a file"), directory };
        clock.set(0);
        clock
    }

    fn set(&self, beside_s: i64) {
        self.file.write_all_at(&beside_s.to_ne_bytes(), 0).expect("a file");
    }

    /// Puts `proxy` under this clock.
    fn over(&self, proxy: Proxy) -> Proxy {
        let path = |name| self.directory.path().join(name).into_os_string().into_string().expect("a path");
        proxy.env("LD_PRELOAD", &path("clock.so")).env("CLOCK_FILE", &path("clock"))
    }
}

/// What the proxy says that it is, in seconds since 1970.
fn date(proxy: &Running) -> i64 {
    let mut client = proxy.client();
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    let response = client.response();
    seconds(response.fields.get("date").expect("the proxy has a clock"))
}

/// Of an IMF-fixdate (RFC 9110 section 5.6.7).
fn seconds(date: &str) -> i64 {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = date.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else { panic!("{date}") };
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("{date}"));
    let month = MONTHS.iter().position(|name| *name == month).unwrap_or_else(|| panic!("{date}")) as i64 + 1;
    // Years that begin in March have their leap day last.
    let (year, month) = if month > 2 { (number(year), month - 3) } else { (number(year) - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + number(day) - 1 - 719_468;
    days * 24 * HOUR_S + number(hour) * HOUR_S + number(minute) * 60 + number(second)
}

fn assert_date(proxy: &Running, beside_s: i64) {
    eventually(&format!("its date is {beside_s} s beside the true one"), || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        ((date(proxy) - now - beside_s).abs() <= 2).then_some(())
    });
}

/// A head that stops at its beginning, and when it did.
fn stalled(proxy: &Running) -> (Client, Instant) {
    let mut client = proxy.client();
    let began = Instant::now();
    client.send("GET /half HTTP/1.1\r\nHo");
    (client, began)
}

on_both_drivers! {
    fn jump_of_the_clock_moves_dates_and_no_deadline(driver: Driver) {
        /// `requestHeaders`. Long enough that a jump, and what is looked at behind it, fits well within.
        const WAIT: Duration = Duration::from_secs(1);
        let app = App::ok();
        let (certs, clock) = (Certs::new(), Clock::true_one());
        let builder = Proxy::in_front_of(&app).driver(driver).tls(certs.leaf(&[NAME]));
        let proxy = clock.over(builder).policy("timeouts: {requestHeaders: 1s, connectionIdle: 30m}").start();
        let tls = Tls::to(NAME, &certs);
        let (mut plain, mut secret) = (proxy.client(), Client::tls(proxy.https(), &tls));
        assert_eq!((plain.get("/").text(), secret.get("/").text()), ("ok".into(), "ok".into()));
        assert_date(&proxy, 0);
        for jump in JUMPS {
            let (mut waiting, began) = stalled(&proxy);
            clock.set(jump);
            assert_date(&proxy, jump);
            // Connections are kept for half an hour of the clock that did not jump, to the client and to the app.
            assert_eq!((plain.get("/kept").text(), secret.get("/kept").text()), ("ok".into(), "ok".into()), "{jump}");
            // A ticket of another time is no failure, and those of this one are good.
            for _ in 0..2 {
                assert_eq!(Client::tls(proxy.https(), &tls).get("/new").text(), "ok", "{jump}");
            }
            // A wait from before the jump, and one from after it.
            let (mut later, began_later) = stalled(&proxy);
            for (client, began) in [(&mut waiting, began), (&mut later, began_later)] {
                assert_eq!(client.response().status, 408, "{jump}");
                // Two ticks of the proxy's timers less, for they may round either way.
                assert!(began.elapsed() >= WAIT - Duration::from_millis(10), "{jump}: early, after {:?}", began.elapsed());
            }
        }
        drop((plain, secret));
        let metrics = nothing_is_left(&proxy, 0);
        assert_eq!(metrics.sum_where("slipstream_timeouts_total", "timeout=\"requestHeaders\""), 2 * JUMPS.len() as u64);
        assert_eq!(metrics.sum("slipstream_timeouts_total"), 2 * JUMPS.len() as u64, "no other timer ran out");
        assert_eq!(metrics.sum("slipstream_faults_total"), 2 * JUMPS.len() as u64);
    }
}

#[test]
fn seconds_of_a_date_are_those_since_1970() {
    assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), 784_111_777);
    assert_eq!(seconds("Thu, 29 Feb 2024 12:00:00 GMT"), 1_709_208_000);
}
