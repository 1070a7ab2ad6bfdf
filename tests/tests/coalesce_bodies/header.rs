//! R15: what an answer says of coalescing (`Cache-Status`, RFC 9211).

use slipstream_tests::{Client, Driver, Response, on_both_drivers};

use crate::scene::{COLLAPSED, HELD, OK, PATIENT, Scene, UNSHAREABLE, answers, get};

/// One leader and two followers.
fn flight(driver: Driver, coalescing: &str, answer: &'static str) -> Vec<Response> {
    let scene = Scene::under(driver, &format!("coalescing: {{joinWindow: 1m, {coalescing}}}"), answer);
    let mut clients = scene.flight(2);
    scene.open(HELD);
    answers(&mut clients)
}

fn said(responses: &[Response]) -> Vec<String> {
    responses.iter().map(|response| response.fields.joined("cache-status")).collect()
}

const OF_THE_APP: &str = "HTTP/1.1 200 OK\r\nCache-Status: OriginCache; hit; ttl=1100\r\nCache-Status: \"CDN, here\"; fwd=uri-miss\r\n\
     Content-Length: 2\r\n\r\nok";
const ITS_FIELD: &str = "OriginCache; hit; ttl=1100, \"CDN, here\"; fwd=uri-miss";
const LEADS: &str = "slipstream; fwd=uri-miss";

/// A leader is no follower: it was sent on, and waited for nobody.
fn tells_of_a_leader(said: &str) -> bool {
    said.starts_with(LEADS) && said != COLLAPSED
}

on_both_drivers! {
    fn r15_followers_are_told_and_the_leader_is_not(driver: Driver) {
        assert_eq!(said(&flight(driver, "statusHeader: followers", OK)), ["", COLLAPSED, COLLAPSED]);
    }

    fn r15_followers_are_told_by_default(driver: Driver) {
        assert_eq!(said(&flight(driver, "mode: identical", OK)), ["", COLLAPSED, COLLAPSED]);
    }

    /// RFC 9211 section 2: the cache nearest to the user comes last.
    fn r15_what_the_app_says_is_kept_and_comes_first(driver: Driver) {
        let with_ours = format!("{ITS_FIELD}, {COLLAPSED}");
        assert_eq!(said(&flight(driver, "statusHeader: followers", OF_THE_APP)), [ITS_FIELD, &with_ours, &with_ours]);
    }

    fn r15_off_says_nothing_to_anybody(driver: Driver) {
        assert_eq!(said(&flight(driver, "statusHeader: off", OK)), ["", "", ""]);
        assert_eq!(said(&flight(driver, "statusHeader: off", OF_THE_APP)), [ITS_FIELD; 3]);
    }

    fn r15_all_tells_the_leader_too(driver: Driver) {
        let said = said(&flight(driver, "statusHeader: all", OK));
        assert!(tells_of_a_leader(&said[0]), "{said:?}");
        assert_eq!(said[1..], [COLLAPSED, COLLAPSED]);
    }

    fn r15_all_tells_who_was_alone_too(driver: Driver) {
        let scene = Scene::under(driver, "coalescing: {statusHeader: all}", OK);
        let said = said(&[scene.proxy.client().get("/alone")]);
        assert!(tells_of_a_leader(&said[0]), "{said:?}");
    }

    fn r15_who_waited_in_vain_is_told_why(driver: Driver) {
        const VARIES: &str = "HTTP/1.1 200 OK\r\nVary: *\r\nContent-Length: 2\r\n\r\nok";
        for (answer, outcome) in [(UNSHAREABLE, "unshareable"), (VARIES, "vary")] {
            let in_vain = format!("slipstream; fwd=uri-miss; collapsed=?0; detail={outcome}");
            assert_eq!(said(&flight(driver, "mode: identical", answer)), ["", &in_vain, &in_vain]);
        }
    }

    fn r15_off_says_nothing_to_who_waited_in_vain(driver: Driver) {
        assert_eq!(said(&flight(driver, "statusHeader: off", UNSHAREABLE)), ["", "", ""]);
    }

    /// A route has its own.
    fn r15_a_route_may_say_less_than_the_policy(driver: Driver) {
        let route = |path: &str, word: &str| format!("{{match: {{path: {path}}}, coalescing: {{statusHeader: '{word}'}}}}");
        let policy = format!("{PATIENT}\nroutes: [{}, {}]", route("/held-quiet", "off"), route("/held-all", "all"));
        let scene = Scene::under(driver, &policy, OK);
        for (target, expected) in [("/held-quiet", ["", ""]), (HELD, ["", COLLAPSED])] {
            let mut clients = scene.flight_of(&get(target), 1);
            scene.open(target);
            assert_eq!(said(&answers(&mut clients)), expected, "{target}");
        }
        let mut clients = scene.flight_of(&get("/held-all"), 1);
        scene.open("/held-all");
        assert!(tells_of_a_leader(&said(&answers(&mut clients))[0]));
    }

    /// Where nothing was joined there is nothing to tell.
    fn r15_requests_that_follow_nobody_say_nothing(driver: Driver) {
        let scene = Scene::answering(driver, OK);
        let mut client = scene.proxy.client();
        let mut all: Vec<Response> = (0..3).map(|_| client.get("/alone")).collect();
        client.send("POST /alone HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
        all.push(client.response());
        assert_eq!(said(&all), ["", "", "", ""]);
    }

    /// An answer of our own is nobody's answer that was shared.
    fn r15_answer_of_our_own_says_not_that_it_was_shared(driver: Driver) {
        let policy = format!("{PATIENT}\ntimeouts: {{responseHeaders: 1s}}");
        let scene = Scene::under(driver, &policy, OK);
        let mut clients: Vec<Client> = scene.flight(2);
        let responses = answers(&mut clients);
        assert!(responses.iter().all(|response| response.status == 504), "{responses:?}");
        assert!(!said(&responses).iter().any(|said| said == COLLAPSED), "{responses:?}");
        scene.open(HELD);
    }
}
