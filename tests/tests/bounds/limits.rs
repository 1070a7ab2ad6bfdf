//! `limits` of the policy, each at n-1, n and n+1 (RFC 9112 sections 2.3 and 3, RFC 9110 section 15.5.14, RFC 6585 section 5).

use slipstream_tests::{App, Case, Client, Driver, Proxy, Response, Shared, on_both_drivers};

const HEAD_BYTES: usize = 2 << 10;
const HEAD_FIELDS: usize = 10;
const BODY_BYTES: usize = 10 << 10;

static SHARED: Shared = Shared::new(|driver| {
    let app = App::ok();
    let policy = "limits: {headBytes: 2KiB, headFields: 10, requestBodyBytes: 10KiB}";
    (Proxy::in_front_of(&app).driver(driver).policy(policy).start(), app)
});

/// A whole head of exactly `bytes` bytes.
fn head_of(case: &Case, bytes: usize) -> Vec<u8> {
    let bare = case.marked(b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n").len();
    case.marked(format!("GET /CASE HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(bytes - bare)).as_bytes())
}

/// A whole head with `fields` field lines.
fn head_with(case: &Case, fields: usize) -> Vec<u8> {
    case.marked(format!("GET /CASE HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields - 1)).as_bytes())
}

fn with_length(case: &Case, bytes: usize) -> Vec<u8> {
    case.marked(
        format!("POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{}", "y".repeat(bytes)).as_bytes(),
    )
}

/// A chunked body of `bytes` bytes in chunks of a KiB and a rest.
fn with_chunks(case: &Case, bytes: usize) -> Vec<u8> {
    let mut request = case.marked(b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut left = bytes;
    while left > 0 {
        let size = left.min(1 << 10);
        request.extend(format!("{size:x}\r\n{}\r\n", "y".repeat(size)).as_bytes());
        left -= size;
    }
    request.extend(b"0\r\n\r\n");
    request
}

/// `make` gives a request of a size; n-1 and n pass to the app, with the body they have.
fn passes(driver: Driver, name: &str, n: usize, make: fn(&Case, usize) -> Vec<u8>) {
    for size in [n - 1, n] {
        let case = SHARED.on(driver, &format!("{name}-{size}"));
        let mut client = case.proxy.client();
        client.send(make(&case, size));
        assert_eq!(client.response().status, 200, "{size}");
        let request = case.app.request_for(&case.marker);
        assert!(request.body.is_empty() || request.body.len() == size);
    }
}

fn refused(case: &Case, section: &str, status: u16, request: &[u8]) -> (Client, Response) {
    let mut client = case.proxy.client();
    client.offer(request);
    let response = client.response();
    case.assert_refusal(&mut client, &response, status, section);
    (client, response)
}

on_both_drivers! {
    fn head_of_as_many_bytes_as_allowed_passes(driver: Driver) {
        passes(driver, "head-bytes", HEAD_BYTES, head_of);
    }

    /// RFC 6585 section 5.
    fn head_of_one_byte_more_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "head_of_one_byte_more_is_refused");
        refused(&case, "RFC 6585 5", 431, &head_of(&case, HEAD_BYTES + 1));
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 6585 section 5: refused as soon as it is too large, its end never comes.
    fn head_without_an_end_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "head_without_an_end_is_refused");
        let mut request = head_of(&case, HEAD_BYTES * 2);
        request.truncate(HEAD_BYTES * 2 - 4);
        refused(&case, "RFC 6585 5", 431, &request);
        assert!(!case.app.saw(&case.marker));
    }

    fn head_of_as_many_fields_as_allowed_passes(driver: Driver) {
        passes(driver, "head-fields", HEAD_FIELDS, head_with);
    }

    /// RFC 6585 section 5.
    fn head_of_one_field_more_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "head_of_one_field_more_is_refused");
        refused(&case, "RFC 6585 5", 431, &head_with(&case, HEAD_FIELDS + 1));
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 9112 section 3: a request target longer than any the server wishes to parse.
    fn request_line_over_the_limit_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "request_line_over_the_limit_is_refused");
        let target = "y".repeat(HEAD_BYTES * 2);
        let request = case.marked(format!("GET /CASE{target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        refused(&case, "RFC 9112 3", 414, &request);
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 9112 section 3: refused as soon as it is too long, its end never comes.
    fn request_line_without_an_end_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "request_line_without_an_end_is_refused");
        let request = case.marked(format!("GET /CASE{}", "y".repeat(HEAD_BYTES * 2)).as_bytes());
        refused(&case, "RFC 9112 3", 414, &request);
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 6585 section 5: the line fits, the fields after it do not.
    fn fields_after_a_long_request_line_are_refused_as_fields(driver: Driver) {
        let case = SHARED.on(driver, "fields_after_a_long_request_line_are_refused_as_fields");
        let (target, value) = ("y".repeat(HEAD_BYTES / 2), "z".repeat(HEAD_BYTES / 2));
        let request = case.marked(format!("GET /CASE{target} HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n").as_bytes());
        refused(&case, "RFC 6585 5", 431, &request);
    }

    fn body_of_as_many_bytes_as_allowed_passes(driver: Driver) {
        passes(driver, "body-length", BODY_BYTES, with_length);
    }

    fn chunked_body_of_as_many_bytes_as_allowed_passes(driver: Driver) {
        passes(driver, "body-chunks", BODY_BYTES, with_chunks);
    }

    /// RFC 9110 section 15.5.14: known from the head, so the app sees nothing.
    fn body_of_one_byte_more_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "body_of_one_byte_more_is_refused");
        refused(&case, "RFC 9110 15.5.14", 413, &with_length(&case, BODY_BYTES + 1));
        assert!(!case.app.saw(&case.marker));
    }

    /// RFC 9110 section 15.5.14: known only when it comes, so the app may have seen a part.
    fn chunked_body_of_one_byte_more_is_refused(driver: Driver) {
        let case = SHARED.on(driver, "chunked_body_of_one_byte_more_is_refused");
        refused(&case, "RFC 9110 15.5.14", 413, &with_chunks(&case, BODY_BYTES + 1));
        case.app.assert_never_whole(&case.marker);
    }

    /// RFC 9110 section 15.5.14: a chunk that alone is over the limit is refused by its size line; its data never comes.
    fn chunk_over_the_limit_is_refused_by_its_size(driver: Driver) {
        let case = SHARED.on(driver, "chunk_over_the_limit_is_refused_by_its_size");
        let head = b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n";
        refused(&case, "RFC 9110 15.5.14", 413, &case.marked(head));
        case.app.assert_never_whole(&case.marker);
    }

    /// RFC 9110 sections 10.1.1 and 15.5.14: the refusal comes in the place of 100 Continue.
    fn expected_body_over_the_limit_is_refused_before_it_is_sent(driver: Driver) {
        let case = SHARED.on(driver, "expected_body_over_the_limit_is_refused_before_it_is_sent");
        let head = b"POST /CASE HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n";
        refused(&case, "RFC 9110 15.5.14", 413, &case.marked(head));
        assert!(!case.app.saw(&case.marker));
    }

    /// The reason survives a client that is still sending: what it sends is read and dropped, not answered by a reset.
    fn refusal_reaches_a_client_that_goes_on_sending(driver: Driver) {
        let case = SHARED.on(driver, "refusal_reaches_a_client_that_goes_on_sending");
        let mut request = with_length(&case, 200 << 10);
        let body = request.split_off(1 << 10);
        let mut client = case.proxy.client();
        client.offer(&request);
        client.offer(&body);
        let response = client.response();
        case.assert_refusal(&mut client, &response, 413, "RFC 9112 9.6");
    }

    /// The limit holds over all workers and listeners; who comes over it waits and is served when a place is free.
    fn connection_over_the_limit_waits_for_one_that_ends(driver: Driver) {
        let app = App::ok();
        let proxy = Proxy::in_front_of(&app).driver(driver).workers(2).policy("limits: {connections: 3}").start();
        let mut served: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
        for client in &mut served {
            assert_eq!(client.get("/served").text(), "ok");
        }
        let mut waiting = proxy.client();
        waiting.send("GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n");
        // All that could serve it has been through its loop once more.
        assert_eq!(served[0].get("/again").text(), "ok");
        assert!(!app.saw("/waiting"), "a fourth connection is served");
        assert_eq!(proxy.metrics().sum("slipstream_downstream_connections_open"), 3);
        drop(served.pop());
        assert_eq!(waiting.response().text(), "ok");
    }
}
