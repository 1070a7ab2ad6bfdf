//! The end of a proxy: `slipstream-proxy drain`, signals, and what becomes of whom is there meanwhile.

mod command;
mod grace;
mod load;
mod phases;
mod signals;

use slipstream_tests::{App, Client, Driver, Event, Origin, Proxy, Response, Running};

/// A proxy whose drain takes this long, in front of `app`: no case waits for an end that is not its subject.
fn proxy(driver: Driver, app: &impl Origin, drain: &str) -> Running {
    Proxy::in_front_of(app).driver(driver).config(&format!("drain: {{{drain}}}")).start()
}

/// Neither a delay nor a grace that ends within a case.
const LONG: &str = "delay: 10m, grace: 24h";

/// The listeners close at once, and requests have all the time they want.
const NO_DELAY: &str = "delay: 0s, grace: 24h";

fn admin(proxy: &Running, target: &str) -> Response {
    Client::plain(proxy.admin()).get(target)
}

/// Waits until the proxy is in `phase`.
fn wait_for(proxy: &Running, phase: &str) {
    let label = format!("phase=\"{phase}\"");
    proxy.metrics_until(phase, |metrics| metrics.sum_where("slipstream_phase", &label) == 1);
}

/// Answers `/held` when the event is raised, everything else at once.
fn holding() -> (App, Event) {
    let go = Event::new();
    let raised = go.clone();
    let app = App::scripted(move |mut conn| {
        while let Some(request) = conn.request() {
            if request.target == "/held" {
                raised.wait("the case lets the answer go");
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (app, go)
}

/// A client whose request the app has, and does not answer.
fn held(proxy: &Running, app: &App) -> Client {
    let mut client = proxy.client();
    client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n");
    app.wait_to_see("/held");
    client
}

/// The answer is whole, says that it is the last, and is.
fn last_answer(client: &mut Client) {
    let response = client.response();
    assert_eq!((response.status, response.text().as_str(), response.keeps()), (200, "ok", false), "{response:?}");
    client.expect_close();
}

fn ends_in_order(proxy: Running) {
    let exit = proxy.wait_for_exit();
    assert_eq!(exit.code(), 0, "{}", exit.stderr);
    assert!(exit.stderr.contains("no request was broken off"), "{}", exit.stderr);
}
