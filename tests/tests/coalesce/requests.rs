//! R1: which requests may join at all. And the modes, which say whether any does.

use slipstream_tests::on_both_drivers;

use crate::scene::{
    COLLAPSED, Scene, cache_status, counted, get, in_vain, ok, reply, request, unshareable, wait_until_counted,
};

const EQUAL_ONES: &str = "credentials: identical";

/// Two GETs for a target of their own, each with `lines`: neither waits for the other.
fn never_join(scene: &Scene, cases: &[&str]) {
    for (at, lines) in cases.iter().enumerate() {
        let target = format!("/apart-{at}-end");
        let ask = || scene.asking(get(&target, lines));
        scene.stays_apart(lines, &target, ask(), ask());
    }
}

fn join(scene: &Scene, cases: &[&str]) {
    for (at, lines) in cases.iter().enumerate() {
        let target = format!("/joined-{at}-end");
        let ask = || scene.asking(get(&target, lines));
        scene.joins(lines, &target, ask(), ask());
    }
}

/// Two identical GETs, and neither waits for the other.
fn joins_nothing(scene: &Scene, target: &str) {
    scene.stays_apart("a GET", target, scene.asking(get(target, "")), scene.asking(get(target, "")));
}

fn joins_as_usual(scene: &Scene, target: &str) {
    scene.joins("a GET", target, scene.asking(get(target, "")), scene.asking(get(target, "")));
}

on_both_drivers! {
    fn r01_identical_gets_share_one_request(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers));
            let mut flight = scene.flight("/a", 20);
            scene.answer_all("/a", ok());
            assert_eq!(flight.shares().status, 200);
            assert_eq!(scene.count("/a"), 1);
            wait_until_counted(&scene.proxy, "leader", "shared", 1);
            wait_until_counted(&scene.proxy, "follower", "shared", 20);
            let metrics = scene.rests(flight.clients());
            assert_eq!(metrics.sum("slipstream_upstream_requests_total"), 1);
        }
    }

    /// A flight is over with its answer: nothing is stored.
    fn r01_what_was_answered_is_not_there_for_the_next_request(driver: Driver) {
        let scene = Scene::on(driver);
        scene.answer_all("/a", reply("200 OK", "Cache-Control: public, max-age=3600"));
        let mut client = scene.proxy.client();
        for at in 1..=5 {
            let response = client.get("/a");
            assert_eq!((response.status, cache_status(&response).as_str()), (200, ""));
            assert_eq!(scene.count("/a"), at);
        }
        let metrics = scene.rests(1);
        assert_eq!((counted(&metrics, "leader", "shared"), counted(&metrics, "follower", "shared")), (0, 0));
    }

    fn r01_only_get_joins(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("readAfterWrite: off"));
        for method in ["HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "PURGE", "Get"] {
            let target = format!("/{method}-end");
            let ask = || scene.asking(request(method, &target, ""));
            scene.stays_apart(method, &target, ask(), ask());
        }
        scene.rests(0);
    }

    fn r01_head_never_joins_get(driver: Driver) {
        let scene = Scene::on(driver);
        let (get, head) = (|target| scene.asking(get(target, "")), |target| scene.asking(request("HEAD", target, "")));
        scene.stays_apart("HEAD beside GET", "/get-first", get("/get-first"), head("/get-first"));
        scene.stays_apart("GET beside HEAD", "/head-first", head("/head-first"), get("/head-first"));
    }

    fn r01_get_with_a_body_never_joins(driver: Driver) {
        let scene = Scene::on(driver);
        for (target, rest) in [
            ("/length", "Content-Length: 5\r\n\r\nhello"),
            ("/chunked", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ] {
            let ask = || scene.asking(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{rest}"));
            scene.stays_apart(rest, target, ask(), ask());
        }
    }

    fn r01_upgrades_never_join(driver: Driver) {
        never_join(&Scene::on(driver), &[
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        ]);
    }

    fn r01_expectations_never_join(driver: Driver) {
        never_join(&Scene::on(driver), &["Expect: 100-continue"]);
    }

    fn r01_range_requests_never_join(driver: Driver) {
        never_join(&Scene::on(driver), &["Range: bytes=0-4", "If-Range: \"v1\"\r\nRange: bytes=0-4", "If-Range: \"v1\"", "range: lines=1-2"]);
    }

    /// RFC 9111 section 5.2.1; directives are compared without case, and a list may be spread over lines.
    fn r01_requests_that_ask_for_a_fresh_answer_never_join(driver: Driver) {
        never_join(&Scene::on(driver), &[
            "Cache-Control: no-cache",
            "Cache-Control: no-store",
            "Cache-Control: max-age=0",
            "cache-control: No-Cache",
            "Cache-Control: max-stale=5,max-age=0",
            "Cache-Control: no-transform , no-store",
            "Cache-Control: max-age=60\r\nCache-Control: no-cache",
            "Pragma: no-cache",
            "Pragma: x, NO-CACHE",
        ]);
    }

    fn r01_requests_that_take_any_answer_join(driver: Driver) {
        join(&Scene::on(driver), &["Cache-Control: max-age=60", "Cache-Control: max-stale", "Cache-Control: no-transform", "Pragma: x"]);
    }

    fn r01_requests_with_credentials_never_join(driver: Driver) {
        never_join(&Scene::on(driver), &CREDENTIALS);
    }

    /// `Connection` does not make a cookie go away, and does not hide it (RFC 9110 section 7.6.1).
    fn r01_credentials_named_by_connection_never_join(driver: Driver) {
        let scene = Scene::on(driver);
        never_join(&scene, &["Connection: cookie\r\nCookie: a=b", "Connection: authorization\r\nAuthorization: Bearer a"]);
    }

    fn r01_requests_with_equal_credentials_join_where_that_is_asked_for(driver: Driver) {
        join(&Scene::set(driver, |setting| setting.coalescing(EQUAL_ONES)), &CREDENTIALS);
    }

    /// The last byte is enough; so is who has none.
    fn r01_requests_with_different_credentials_never_join(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing(EQUAL_ONES));
        for (at, lines) in CREDENTIALS.iter().enumerate() {
            for (other, what) in [(format!("{lines}x"), "longer"), (lines.replace('1', "2"), "other"), (String::new(), "none")] {
                let target = format!("/{at}-{what}-end");
                let ask = |lines: &str| scene.asking(get(&target, lines));
                scene.stays_apart(&format!("{what} than {lines}"), &target, ask(lines), ask(&other));
                let target = format!("/{at}-{what}-reversed-end");
                let ask = |lines: &str| scene.asking(get(&target, lines));
                scene.stays_apart(&format!("{lines} after {what}"), &target, ask(&other), ask(lines));
            }
        }
    }

    /// RFC 9112 appendix C: without `Connection`, the answer ends the connection; it is the same answer.
    fn r01_http_10_joins(driver: Driver) {
        let scene = Scene::on(driver);
        let old = |target: &str| scene.asking(format!("GET {target} HTTP/1.0\r\nHost: a\r\n\r\n"));
        let new = |target: &str| scene.asking(get(target, ""));
        scene.joins("1.0 behind 1.1", "/behind", new("/behind"), old("/behind"));
        scene.joins("1.0 before 1.1", "/before", old("/before"), new("/before"));
        scene.joins("1.0 with 1.0", "/with", old("/with"), old("/with"));
    }

    /// What every request is checked for holds for one that would join.
    fn r01_limits_hold_for_followers(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.policy("limits: {headBytes: 1KiB, headFields: 8}"));
        let mut flight = scene.flight("/a", 1);
        for lines in [format!("X-Request-Id: {}", "x".repeat(2000)), ["X-Request-Id: x"; 9].join("\r\n")] {
            assert_eq!(scene.ask(get("/a", &lines)).response().status, 431, "{lines}");
        }
        scene.answer_all("/a", ok());
        assert_eq!((flight.shares().status, scene.count("/a")), (200, 1));
    }

    fn mode_identical_is_the_default(driver: Driver) {
        let scene = Scene::on(driver);
        joins_as_usual(&scene, "/a");
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: identical"));
        joins_as_usual(&scene, "/a");
    }

    fn mode_off_joins_nothing_and_counts_nothing(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: off"));
        joins_nothing(&scene, "/a");
        let metrics = scene.rests(0);
        for role in ["leader", "follower", "alone"] {
            for outcome in ["shared", "unshareable", "observed", "pass"] {
                assert_eq!(counted(&metrics, role, outcome), 0, "{role} {outcome}");
            }
        }
    }

    fn mode_observe_joins_nothing_and_counts_what_would_be_shared(driver: Driver) {
        for workers in [1, 2] {
            let scene = Scene::set(driver, |setting| setting.workers(workers).coalescing("mode: observe"));
            joins_nothing(&scene, "/a");
            scene.proxy.metrics_until("it is counted", |metrics| {
                let name = "slipstream_coalesce_requests_total";
                metrics.has(name) && metrics.sum_where(name, "outcome=\"observed\"") > 0
            });
            assert_eq!(counted(&scene.rests(0), "follower", "shared"), 0);
        }
    }

    fn mode_observe_does_not_count_as_shared_what_would_not_be(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: observe"));
        let mut clients = [scene.lead("/a"), scene.lead("/a")];
        scene.answer_all("/a", unshareable());
        for client in &mut clients {
            assert_eq!((client.response().status, scene.count("/a")), (200, 2));
        }
        drop(clients);
        let metrics = scene.rests(0);
        for role in ["leader", "follower", "alone"] {
            assert_eq!((counted(&metrics, role, "observed"), counted(&metrics, role, "shared")), (0, 0), "{role}");
        }
    }

    /// Until the head of the answer the modes do not differ; then `cacheable` wants to be told that it may.
    fn mode_cacheable_shares_only_what_says_that_it_may_be_shared(driver: Driver) {
        let scene = Scene::set(driver, |setting| setting.coalescing("mode: cacheable"));
        let mut flight = scene.flight("/said", 3);
        scene.answer_all("/said", reply("200 OK", "Cache-Control: max-age=60"));
        assert_eq!((flight.shares().status, scene.count("/said")), (200, 1));
        let mut flight = scene.flight("/unsaid", 3);
        scene.answer_all("/unsaid", ok());
        let told: Vec<String> = flight.responses().iter().map(cache_status).collect();
        assert_eq!((told[0].as_str(), &told[1..]), ("", &[(); 3].map(|()| in_vain("unshareable"))[..]));
        assert_eq!(scene.count("/unsaid"), 4);
    }

    fn mode_is_set_by_flag(driver: Driver) {
        for mode in ["off", "observe", "cacheable", "identical"] {
            let scene = Scene::set(driver, |setting| setting.with(|proxy| proxy.flags(&["--coalesce", mode])));
            match mode {
                "off" | "observe" => joins_nothing(&scene, "/a"),
                _ => {
                    let mut flight = scene.flight("/a", 1);
                    scene.answer_all("/a", ok());
                    let told = cache_status(&flight.responses()[1]);
                    assert_eq!(told, if mode == "identical" { COLLAPSED.into() } else { in_vain("unshareable") }, "{mode}");
                }
            }
        }
    }

    fn mode_is_set_for_each_route(driver: Driver) {
        let routes = "routes: [{match: {path: /next-number}, coalescing: {mode: off}}, {match: {path: /queue}, coalescing: {mode: observe}}]";
        let scene = Scene::set(driver, |setting| setting.policy(routes));
        joins_nothing(&scene, "/next-number");
        joins_nothing(&scene, "/queue");
        joins_as_usual(&scene, "/nextnumber/s");
        let scene = Scene::set(driver, |setting| {
            setting.coalescing("mode: off").policy("routes: [{match: {path: /shared}, coalescing: {mode: identical}}]")
        });
        joins_as_usual(&scene, "/shared");
        joins_nothing(&scene, "/else");
    }

    /// Nobody waits for it, so it is answered while another with its key is held.
    fn mode_off_of_a_route_is_not_joined_from_elsewhere(driver: Driver) {
        let routes = "routes: [{match: {header: {name: x-request-id, value: alone}}, coalescing: {mode: off}}]";
        let scene = Scene::set(driver, |setting| setting.policy(routes));
        let alone = || scene.asking(get("/a", "X-Request-Id: alone"));
        scene.stays_apart("one that is off", "/a", scene.asking(get("/a", "")), alone());
    }
}

const CREDENTIALS: [&str; 4] = [
    "Authorization: Bearer token-1",
    "Cookie: session=1",
    "Proxy-Authorization: Basic eDox1",
    "authorization: Bearer token-1\r\ncookie: session=1",
];
