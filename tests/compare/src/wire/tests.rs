use super::*;

const PATH: &[u8] = b"/b/600/c17/r123";

fn answer(path: &[u8], bytes: u64) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    let start = out.len();
    write_body_start(&mut out, path, bytes);
    let at = out.len() - start;
    out.extend_from_slice(&pattern(at as u64)[..bytes as usize - at]);
    out
}

const RIGHT: Option<Verdict> = Some(Verdict { status: 200, body_right: true });

#[test]
fn whole_answer_is_right() {
    assert_eq!(Answer::default().feed(&answer(PATH, 600), PATH), Ok(RIGHT));
}

#[test]
fn answer_in_any_two_pieces_is_right_and_the_reader_is_ready_for_the_next() {
    let bytes = answer(PATH, 600);
    let mut reader = Answer::default();
    for cut in 1..bytes.len() {
        assert_eq!(reader.feed(&bytes[..cut], PATH), Ok(None), "cut at {cut}");
        assert_eq!(reader.feed(&bytes[cut..], PATH), Ok(RIGHT), "cut at {cut}");
    }
}

#[test]
fn answer_byte_by_byte_is_right() {
    let bytes = answer(PATH, 600);
    let mut reader = Answer::default();
    let (last, before) = bytes.split_last().expect("not empty");
    for byte in before {
        assert_eq!(reader.feed(&[*byte], PATH), Ok(None));
    }
    assert_eq!(reader.feed(&[*last], PATH), Ok(RIGHT));
}

#[test]
fn answer_to_another_request_is_wrong() {
    let got = Answer::default().feed(&answer(b"/b/600/c17/r124", 600), PATH);
    assert_eq!(got, Ok(Some(Verdict { status: 200, body_right: false })));
}

#[test]
fn any_changed_body_byte_is_wrong() {
    let right = answer(PATH, 600);
    for at in right.len() - 600..right.len() {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        let got = Answer::default().feed(&bytes, PATH).expect("framed");
        assert_eq!(got.map(|v| v.body_right), Some(false), "byte {at}");
    }
}

#[test]
fn body_of_another_length_is_wrong() {
    let got = Answer::default().feed(&answer(PATH, 599), PATH);
    assert_eq!(got, Ok(Some(Verdict { status: 200, body_right: false })));
}

#[test]
fn status_other_than_200_is_reported() {
    let got = Answer::default().feed(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", PATH);
    assert_eq!(got, Ok(Some(Verdict { status: 503, body_right: false })));
}

#[test]
fn bytes_after_the_end_are_malformed() {
    let mut bytes = answer(PATH, 600);
    bytes.push(b'x');
    assert!(Answer::default().feed(&bytes, PATH).is_err());
}

#[test]
fn answers_that_are_not_ours_are_malformed() {
    for head in ["HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        assert!(Answer::default().feed(head.as_bytes(), PATH).is_err(), "{head}");
    }
    assert!(Answer::default().feed(&[b'H'; HEAD_BYTES_MAX + 1], PATH).is_err());
}

#[test]
fn body_shorter_than_its_path_is_a_part_of_the_path() {
    let mut out = Vec::new();
    write_body_start(&mut out, b"/b/3/c0/r0", 3);
    assert_eq!(out, b"/b/");
}

#[test]
fn request_head_gives_its_path_and_length() {
    let mut request = Vec::new();
    write_request(&mut request, PATH);
    assert_eq!(parse_request(&request), Ok(Some((PATH, request.len()))));
    assert_eq!(parse_request(&request[..request.len() - 1]), Ok(None));
    assert!(parse_request(b"POST / HTTP/1.1\r\n\r\n").is_err());
    assert!(parse_request(b"GET /\r\n\r\n").is_err());
}

#[test]
fn path_asks_for_a_body_length() {
    assert_eq!(body_bytes_of(PATH), Some(600));
    for path in ["/", "/b/", "/b/x/c0/r0", "/b/1234567890123456789/c", "/x/1/c"] {
        assert_eq!(body_bytes_of(path.as_bytes()), None, "{path}");
    }
    let mut path = Vec::new();
    write_path(&mut path, 600, 17, 123);
    assert_eq!(path, PATH);
}
