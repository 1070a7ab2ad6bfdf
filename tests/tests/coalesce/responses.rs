//! R3: which answers are shared. R4: those who waited for one that is not are let go at once, and the next time nobody waits.

use std::collections::BTreeSet;
use std::time::Duration;

use slipstream_tests::{Client, Driver, Event, on_both_drivers};

use crate::scene::{
    COLLAPSED, Reply, Scene, cache_status, counted, followers, fresh_target, get, in_vain, let_pass, number, ok, reply,
    unshareable, wait_until_counted,
};

/// What came of an answer of which somebody else waited too.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Shared,
    /// The follower went to the app itself, with this for an outcome.
    Released(String),
}

fn released(outcome: &str) -> Decision {
    Decision::Released(outcome.into())
}

/// The app answers a flight of two, both with `lines`, by `reply`.
fn decide(scene: &Scene, target: &str, lines: &str, reply: Reply) -> Decision {
    let already = scene.following();
    let mut leader = scene.ask(get(target, lines));
    scene.wait_for(target, 1);
    let mut follower = scene.ask(get(target, lines));
    scene.wait_until_follow(already + 1);
    scene.answer_all(target, reply);
    let (one, other) = (leader.response(), follower.response());
    assert_eq!(cache_status(&one), "", "{target}");
    assert_eq!((one.status, one.text().is_empty()), (other.status, other.text().is_empty()), "{target}");
    scene.wait_until_follow(already);
    let told = cache_status(&other);
    if number(&one) == number(&other) {
        assert_eq!((told.as_str(), scene.count(target)), (COLLAPSED, 1), "{target}");
        return Decision::Shared;
    }
    assert_eq!(scene.count(target), 2, "{target}");
    let outcome = told.strip_prefix(&in_vain("")).unwrap_or_else(|| panic!("{target}: it does not say why: {told:?}"));
    released(outcome)
}

/// Each `(status, lines of the answer)` is decided in the same way.
fn all_are(scene: &Scene, decision: &Decision, answers: &[(&str, &str)]) {
    for (status, lines) in answers {
        let came = decide(scene, &fresh_target(), "", reply(status, lines));
        assert_eq!(came, *decision, "{status} {lines:?}");
    }
}

fn scene_of_mode_cacheable(driver: Driver) -> Scene {
    Scene::set(driver, |setting| setting.coalescing("mode: cacheable"))
}

fn ok_with<'l>(lines: &[&'l str]) -> Vec<(&'static str, &'l str)> {
    lines.iter().map(|lines| ("200 OK", *lines)).collect()
}

fn distinct(clients: &mut [Client]) -> BTreeSet<String> {
    clients.iter_mut().map(|client| number(&client.response())).collect()
}

const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

on_both_drivers! {
    fn r03_statuses_that_are_shared(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            all_are(&scene, &Decision::Shared, &[
                ("200 OK", ""),
                ("203 Non-Authoritative Information", ""),
                ("204 No Content", ""),
                ("300 Multiple Choices", ""),
                ("301 Moved Permanently", "Location: /b"),
                ("308 Permanent Redirect", "Location: /b"),
                ("404 Not Found", ""),
                ("405 Method Not Allowed", "Allow: PUT"),
                ("410 Gone", ""),
                ("414 URI Too Long", ""),
                ("501 Not Implemented", ""),
            ]);
            let validated = decide(&scene, "/validated", "If-None-Match: \"a\"", reply("304 Not Modified", "ETag: \"a\""));
            assert_eq!(validated, Decision::Shared);
        }
    }

    fn r03_statuses_that_are_not_shared(driver: Driver) {
        let scene = Scene::on(driver);
        all_are(&scene, &released("unshareable"), &[
            ("201 Created", ""),
            ("202 Accepted", ""),
            ("205 Reset Content", ""),
            ("206 Partial Content", "Content-Range: bytes 0-9/90"),
            ("226 IM Used", ""),
            ("302 Found", "Location: /b"),
            ("303 See Other", "Location: /b"),
            ("307 Temporary Redirect", "Location: /b"),
            ("400 Bad Request", ""),
            ("401 Unauthorized", "WWW-Authenticate: Basic realm=a"),
            ("402 Payment Required", ""),
            ("403 Forbidden", ""),
            ("406 Not Acceptable", ""),
            ("407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=a"),
            ("409 Conflict", ""),
            ("418 I'm a teapot", ""),
            ("421 Misdirected Request", ""),
            ("422 Unprocessable Content", ""),
            ("425 Too Early", ""),
            ("429 Too Many Requests", "Retry-After: 1"),
            ("451 Unavailable For Legal Reasons", ""),
            ("499 Its Own", ""),
        ]);
        scene.rests(0);
    }

    /// Whatever else the answer says of being public.
    fn r03_forbidden_statuses_are_not_shared_whatever_they_allow(driver: Driver) {
        let lines = "Cache-Control: public, max-age=60";
        for mode in ["mode: identical", "mode: cacheable"] {
            let scene = Scene::set(driver, |setting| setting.coalescing(mode));
            let statuses = ["401 Unauthorized", "403 Forbidden", "407 Proxy Authentication Required", "421 Misdirected Request", "425 Too Early", "429 Too Many Requests"];
            all_are(&scene, &released("unshareable"), &statuses.map(|status| (status, lines)));
        }
    }

    fn r03_answers_for_one_client_are_not_shared(driver: Driver) {
        let scene = Scene::on(driver);
        all_are(&scene, &released("unshareable"), &ok_with(&[
            "Set-Cookie: a=b",
            "set-cookie:",
            "Cache-Control: public, max-age=60\r\nSet-Cookie: a=b",
            "Cache-Control: private",
            "Cache-Control: no-store",
            "Cache-Control: no-cache",
            "Cache-Control: max-age=0",
            "Cache-Control: s-maxage=0",
            "Cache-Control: max-age=60, s-maxage=0",
            "Cache-Control: max-age=0, s-maxage=60",
            "cache-control: Public , PRIVATE",
            "Cache-Control: private=\"x-user\"",
            "Cache-Control: no-cache=\"set-cookie\", max-age=60",
            "Cache-Control: max-age=60\r\nCache-Control: private",
            "Cache-Control: public,,no-store",
            "Content-Type: text/event-stream",
            "Content-Type: Text/Event-Stream; charset=utf-8",
            "Content-Type: multipart/x-mixed-replace; boundary=x",
            "Content-Type: Multipart/X-Mixed-Replace;boundary=x",
        ]));
    }

    /// RFC 9111 section 5.3: what is no date is past.
    fn r03_answers_that_have_expired_are_not_shared(driver: Driver) {
        let scene = Scene::on(driver);
        let past = format!("Expires: {PAST}");
        all_are(&scene, &released("unshareable"), &ok_with(&[&past, "Expires: 0", "Expires: -1", "Expires: Sun, 06 Nov 1994"]));
        for (at, lines) in ["Cache-Control: max-age=60", "Cache-Control: s-maxage=60"].iter().enumerate() {
            let came = decide(&scene, &format!("/fresh-{at}-end"), "", reply("200 OK", &format!("{past}\r\n{lines}")));
            assert_eq!(came, Decision::Shared, "{lines}");
        }
        let came = decide(&scene, "/future", "", reply("200 OK", &format!("Expires: {FUTURE}")));
        assert_eq!(came, Decision::Shared);
    }

    /// Directives are words, not what they begin with or stand in (RFC 9111 section 5.2).
    fn r03_answers_that_say_nothing_against_it_are_shared(driver: Driver) {
        let scene = Scene::on(driver);
        let date = format!("Date: {PAST}");
        all_are(&scene, &Decision::Shared, &ok_with(&[
            "Cache-Control: max-age=1",
            "Cache-Control: s-maxage=5",
            "Cache-Control: public",
            "Cache-Control: must-revalidate, no-transform",
            "Cache-Control: privately, no-stores",
            "Content-Type: text/event-streams",
            "Content-Type: multipart/mixed; boundary=x",
            "X-Set-Cookie: a=b",
            "Age: 100",
            &date,
        ]));
    }

    fn r03_answer_that_varies_by_what_was_compared_is_shared(driver: Driver) {
        let scene = Scene::on(driver);
        all_are(&scene, &Decision::Shared, &ok_with(&[
            "Vary: Accept",
            "Vary: accept-encoding, Accept-Language,origin",
            "Vary: X-Whatever\r\nVary: user-agent",
            "Vary: Host",
            "Vary: X-Forwarded-For, X-Forwarded-Host, Forwarded",
            // R1 keeps out whoever has one of these.
            "Vary: Cookie, Authorization, Range, If-Range, Upgrade, Expect, Proxy-Authorization",
        ]));
    }

    /// Poisoning by an ignored field: the follower's own may ask for another answer.
    fn r03_answer_that_varies_by_what_was_ignored_is_not_shared(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("ignoreHeaders: [x-lang]"));
        all_are(&scene, &released("vary"), &ok_with(&[
            "Vary: X-Request-Id",
            "Vary: accept, TRACEPARENT",
            "Vary: Accept\r\nVary: via",
            "Vary: x-b3-traceid",
            "Vary: b3",
            "Vary: Date",
            "Vary: X-Lang",
            "Cache-Control: public, max-age=60\r\nVary: accept,x-lang",
        ]));
        let mut clients: Vec<Client> = Vec::new();
        for language in ["de", "fr"] {
            clients.push(scene.ask(get("/poison", &format!("X-Lang: {language}"))));
            scene.wait_for("/poison", 1);
        }
        scene.wait_until_follow(1);
        scene.answer_all("/poison", reply("200 OK", "Vary: X-Lang"));
        assert_eq!(distinct(&mut clients).len(), 2);
        assert!(scene.app.saw("X-Lang: fr") || scene.app.saw("x-lang: fr"), "the follower's own request goes to the app");
        wait_until_counted(&scene.proxy, "follower", "vary", 9);
    }

    /// RFC 9110 section 12.5.5.
    fn r03_answer_that_varies_by_anything_is_not_shared(driver: Driver) {
        let scene = Scene::on(driver);
        for lines in ["Vary: *", "Vary: accept, *", "Vary: accept\r\nVary: *"] {
            assert_ne!(decide(&scene, &fresh_target(), "", reply("200 OK", lines)), Decision::Shared, "{lines}");
        }
    }

    fn r03_mode_cacheable_shares_what_is_fresh(driver: Driver) {
        let scene = scene_of_mode_cacheable(driver);
        let (future, dated) = (format!("Expires: {FUTURE}"), format!("Date: {PAST}\r\nCache-Control: max-age=3155760000"));
        all_are(&scene, &Decision::Shared, &ok_with(&[
            "Cache-Control: max-age=60",
            "Cache-Control: s-maxage=60",
            "Cache-Control: public, max-age=60",
            "Cache-Control: max-age=1, s-maxage=600\r\nAge: 300",
            "Cache-Control: max-age=60\r\nAge: 10",
            "Cache-Control: max-age=60\r\nVary: Accept",
            &future,
            &dated,
        ]));
        for status in ["404 Not Found", "301 Moved Permanently", "410 Gone"] {
            let came = decide(&scene, &format!("/{}-end", &status[..3]), "", reply(status, "Cache-Control: max-age=60"));
            assert_eq!(came, Decision::Shared, "{status}");
        }
    }

    /// RFC 9111 sections 4.2.1 and 4.2.3; the shared lifetime goes before the other.
    fn r03_mode_cacheable_does_not_share_what_is_not_fresh(driver: Driver) {
        let scene = scene_of_mode_cacheable(driver);
        let (past, dated) = (format!("Expires: {PAST}"), format!("Date: {PAST}\r\nCache-Control: max-age=3600"));
        all_are(&scene, &released("unshareable"), &ok_with(&[
            "",
            "ETag: \"a\"",
            "Cache-Control: must-revalidate",
            "Cache-Control: max-age=60\r\nAge: 60",
            "Cache-Control: max-age=60\r\nAge: 6000",
            "Cache-Control: max-age=600, s-maxage=1\r\nAge: 30",
            "Cache-Control: max-age=0",
            "Cache-Control: max-age=x",
            "Cache-Control: public, max-age=60\r\nSet-Cookie: a=b",
            &past,
            &dated,
        ]));
    }

    /// What this mode does not compare is not enough for two clients.
    fn r03_mode_cacheable_does_not_share_what_varies_by_who_forwarded(driver: Driver) {
        let scene = scene_of_mode_cacheable(driver);
        for (at, name) in ["X-Forwarded-For", "X-Real-IP", "X-Request-Id"].iter().enumerate() {
            let lines = format!("Cache-Control: max-age=60\r\nVary: {name}");
            assert_eq!(decide(&scene, &format!("/vary-{at}-end"), "", reply("200 OK", &lines)), released("vary"), "{lines}");
        }
    }

    /// The answer is as old as the request, at least: RFC 9111 section 4.2.3.
    fn r03_mode_cacheable_counts_the_age_from_the_request(driver: Driver) {
        let scene = scene_of_mode_cacheable(driver);
        let mut flight = scene.flight("/a", 1);
        let_pass(Duration::from_millis(1200));
        scene.answer_all("/a", reply("200 OK", "Cache-Control: max-age=1"));
        let responses = flight.responses();
        assert_eq!((cache_status(&responses[1]), scene.count("/a")), (in_vain("unshareable"), 2));
    }

    /// RFC 9111 section 3.5.
    fn r03_mode_cacheable_shares_under_authorization_only_what_says_so(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: cacheable, credentials: identical"));
        for (lines, decision) in [
            ("max-age=60", released("unshareable")),
            ("max-age=60, public", Decision::Shared),
            ("max-age=60, must-revalidate", Decision::Shared),
            ("s-maxage=60", Decision::Shared),
        ] {
            let came = decide(&scene, &fresh_target(), "Authorization: Bearer a", reply("200 OK", &format!("Cache-Control: {lines}")));
            assert_eq!(came, decision, "{lines}");
        }
    }

    fn r04_unshareable_releases_all_followers(driver: Driver) {
        const FOLLOWERS: usize = 12;
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            let mut flight = scene.flight("/a", FOLLOWERS);
            scene.answer("/a", unshareable());
            // All of them are there before one of them is answered.
            scene.wait_for("/a", 1 + FOLLOWERS);
            assert!(flight.followers.iter().all(|client| !client.has_something()));
            scene.wait_until_follow(0);
            scene.answer_all("/a", unshareable());
            let responses = flight.responses();
            assert!(responses[1..].iter().all(|response| cache_status(response) == in_vain("unshareable")));
            let numbers: BTreeSet<String> = responses.iter().map(number).collect();
            assert_eq!((numbers.len(), scene.count("/a")), (1 + FOLLOWERS, 1 + FOLLOWERS));
            wait_until_counted(&scene.proxy, "follower", "unshareable", FOLLOWERS as u64);
            scene.rests(flight.clients());
        }
    }

    /// What the leader gets may last for ever.
    fn r04_followers_are_released_at_the_head(driver: Driver) {
        let [together, answered] = [Event::new(), Event::new()];
        let scripted = [together.clone(), answered.clone()];
        let scene = Scene::playing(driver, |setting| setting, move |mut conn| {
            if conn.request().is_none() {
                return;
            }
            if conn.number > 0 {
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown");
                return;
            }
            scripted[0].wait("the others follow");
            conn.send("HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 10\r\n\r\nhello");
            scripted[1].wait("the followers have their answers");
            conn.send("world");
        });
        let mut flight = scene.flight("/a", 3);
        together.raise();
        for follower in &mut flight.followers {
            assert_eq!(follower.response().text(), "own");
        }
        answered.raise();
        assert_eq!(flight.leader.as_mut().expect("it stays").response().text(), "helloworld");
    }

    fn r04_second_burst_waits_for_nothing(driver: Driver) {
        const FOLLOWERS: usize = 12;
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            let mut flight = scene.flight("/a", FOLLOWERS);
            for _ in 0..=FOLLOWERS {
                scene.answer("/a", unshareable());
            }
            flight.responses();
            let metrics = scene.rests(flight.clients());
            assert!(metrics.sum("slipstream_coalesce_pass_entries") > 0);
            // On the same connections, so on workers that know.
            for client in flight.leader.iter_mut().chain(&mut flight.followers) {
                client.send(get("/a", ""));
            }
            scene.wait_for("/a", 2 * (1 + FOLLOWERS));
            assert_eq!(followers(&scene.proxy.metrics()), 0);
            scene.answer_all("/a", ok());
            let responses = flight.responses();
            assert!(responses.iter().all(|response| cache_status(response).is_empty()));
            assert_eq!(responses.iter().map(number).collect::<BTreeSet<_>>().len(), 1 + FOLLOWERS);
            let metrics = scene.rests(flight.clients());
            let passed: u64 = ["leader", "follower", "alone"].iter().map(|role| counted(&metrics, role, "pass")).sum();
            assert_eq!(passed, 1 + FOLLOWERS as u64);
        }
    }

    /// Of the same path too, where something else that is compared differs.
    fn r04_pass_is_for_one_key(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.workers(1));
        let mut flight = scene.flight("/a", 1);
        scene.answer("/a", unshareable());
        scene.answer("/a", unshareable());
        assert_eq!(distinct(&mut flight.followers).len(), 1);
        let mut clients = vec![scene.ask(get("/a", "Accept: x"))];
        scene.wait_for("/a", 3);
        clients.push(scene.ask(get("/a", "Accept: x")));
        scene.wait_until_follow(1);
        scene.answer_all("/a", ok());
        assert_eq!((distinct(&mut clients).len(), scene.count("/a")), (1, 3));
        assert_eq!(decide(&scene, "/b", "", ok()), Decision::Shared);
    }

    /// It begins with 10 s.
    fn r04_pass_ends(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.workers(1));
        let mut flight = scene.flight("/a", 1);
        scene.answer("/a", unshareable());
        scene.answer("/a", unshareable());
        flight.responses();
        let_pass(Duration::from_millis(10_500));
        let mut flight = scene.flight("/a", 1);
        scene.answer_all("/a", ok());
        flight.shares();
        assert_eq!(scene.count("/a"), 3);
    }

    fn r04_released_followers_have_permits_of_their_own(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 100}"));
        let mut flight = scene.flight("/a", 8);
        assert_eq!(scene.proxy.metrics().sum("slipstream_permits_in_use"), 1);
        scene.answer("/a", unshareable());
        scene.wait_for("/a", 9);
        scene.proxy.metrics_until("each has a permit", |metrics| metrics.sum("slipstream_permits_in_use") == 8);
        scene.answer_all("/a", ok());
        assert_eq!(flight.responses().iter().map(number).collect::<BTreeSet<_>>().len(), 9);
        scene.rests(flight.clients());
    }

    fn r04_released_followers_wait_for_their_turn_where_permits_are_few(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("concurrency: {limit: 2, queue: {depth: 100, timeout: 10m}}"));
        let mut flight = scene.flight("/a", 8);
        scene.answer("/a", unshareable());
        scene.wait_for_queue(6);
        scene.wait_for("/a", 3);
        assert_eq!(scene.count("/a"), 3);
        scene.answer_all("/a", ok());
        assert_eq!(flight.responses().iter().map(number).collect::<BTreeSet<_>>().len(), 9);
        scene.rests(flight.clients());
    }

    /// Each key is new; it is the route that has shown that waiting is in vain.
    fn r04_route_that_shares_nothing_stops_waiting(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.workers(1));
        for at in 0..64 {
            assert_eq!(decide(&scene, &fresh_target(), "", unshareable()), released("unshareable"), "{at}");
        }
        scene.stays_apart("a new key", "/new", scene.asking(get("/new", "")), scene.asking(get("/new", "")));
        scene.rests(0);
    }

    fn r04_route_that_shares_enough_goes_on_waiting(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.workers(1));
        for at in 0..80 {
            // One in 16 is more than 5 %.
            let (reply, decision) = if at % 16 == 0 { (ok(), Decision::Shared) } else { (unshareable(), released("unshareable")) };
            assert_eq!(decide(&scene, &fresh_target(), "", reply), decision, "{at}");
        }
        scene.joins("a new key", "/new", scene.asking(get("/new", "")), scene.asking(get("/new", "")));
    }

    /// Nobody waited, so nothing was in vain.
    fn r04_flights_without_a_follower_do_not_stop_a_route(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.workers(1));
        scene.answer_all("/alone", unshareable());
        let mut client = scene.proxy.client();
        for at in 0..100 {
            assert_eq!(client.get(&format!("/alone-{at}")).status, 200);
        }
        scene.joins("a new key", "/new", scene.asking(get("/new", "")), scene.asking(get("/new", "")));
    }
}
