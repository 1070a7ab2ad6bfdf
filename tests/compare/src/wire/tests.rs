use super::*;

const PATH: &[u8] = b"/b/600/c17/r123";

fn answer(path: &[u8], bytes: u64) -> Vec<u8> {
    answer_with("", path, bytes)
}

/// With further field lines.
fn answer_with(fields: &str, path: &[u8], bytes: u64) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 200 OK\r\nserver: x\r\n{fields}Content-Length: {bytes}\r\n\r\n").into_bytes();
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

#[test]
fn path_of_a_herd_says_how_long_its_answer_takes() {
    let mut path = Vec::new();
    write_herd_path(&mut path, 600, Duration::from_millis(200), 7);
    assert_eq!(path, b"/b/600/d200/h7");
    assert_eq!((body_bytes_of(&path), delay_of(&path)), (Some(600), Some(Duration::from_millis(200))));
    for path in [PATH, b"/b/600", b"/b/600/d/h7", b"/b/600/dx/h7", b"/b/600/200/h7"] {
        assert_eq!(delay_of(path), None, "{}", String::from_utf8_lossy(path));
    }
}

#[test]
fn answers_one_behind_the_other_are_taken_whole_whatever_their_heads() {
    let (one, other) = (answer(PATH, 600), answer_with("cache-status: x\r\n", PATH, 600));
    let all = [&one, &other, &other, &one].map(Vec::as_slice).concat();
    let (mut model, mut rest) = (Vec::new(), all.as_slice());
    for expected in [&one, &other, &other, &one] {
        for cut in [0, 1, 60, expected.len() - 1] {
            assert_eq!(take_whole(&rest[..cut], PATH, &mut model), Ok(None), "cut at {cut}");
        }
        let taken = take_whole(rest, PATH, &mut model).expect("framed").expect("complete");
        assert_eq!((taken.0, Some(taken.1)), (expected.len(), RIGHT));
        rest = &rest[taken.0..];
    }
    assert!(rest.is_empty());
}

#[test]
fn changed_byte_is_seen_behind_a_right_answer_too() {
    let right = answer(PATH, 600);
    for at in right.len() - 600..right.len() {
        let mut model = Vec::new();
        assert_eq!(take_whole(&right, PATH, &mut model), Ok(RIGHT.map(|verdict| (right.len(), verdict))));
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        let wrong = Verdict { status: 200, body_right: false };
        assert_eq!(take_whole(&bytes, PATH, &mut model), Ok(Some((right.len(), wrong))), "byte {at}");
        assert_eq!(model, right, "what was wrong is no model");
    }
}

#[test]
fn whole_answer_to_another_request_of_another_length_or_status_is_wrong() {
    let (no_model, wrong) = (Vec::new, Verdict { status: 200, body_right: false });
    for bytes in [answer(b"/b/600/c17/r124", 600), answer(PATH, 599)] {
        assert_eq!(take_whole(&bytes, PATH, &mut no_model()), Ok(Some((bytes.len(), wrong))));
    }
    let refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let verdict = Verdict { status: 503, body_right: false };
    assert_eq!(take_whole(refused, PATH, &mut no_model()), Ok(Some((refused.len(), verdict))));
    assert!(take_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n", PATH, &mut no_model()).is_err());
    assert!(take_whole(&[b'H'; HEAD_BYTES_MAX + 1], PATH, &mut no_model()).is_err());
}
