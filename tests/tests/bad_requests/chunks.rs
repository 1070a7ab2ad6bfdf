//! Chunked bodies (RFC 9112 section 7.1): sizes, extensions, data, trailers. The head is well-formed, so the app may have it already.

use slipstream_tests::on_both_drivers;

use crate::refused_in_body;

/// Longer than any head the proxy takes (`limits.headBytes` is 64 KiB by default).
const TOO_LONG: usize = 80 << 10;

refused_in_body! {
    chunk_size_with_a_letter_beyond_f: 400, "RFC 9112 7.1", b"g\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_letter_after_it: 400, "RFC 9112 7.1", b"5h\r\nhello\r\n0\r\n\r\n";
    chunk_size_that_is_empty: 400, "RFC 9112 7.1", b"\r\nhello\r\n0\r\n\r\n";
    chunk_size_that_is_only_an_extension: 400, "RFC 9112 7.1", b";a=b\r\nhello\r\n0\r\n\r\n";
    chunk_size_of_17_f: 400, "RFC 9112 7.1", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n";
    chunk_size_one_over_64_bits: 400, "RFC 9112 7.1", b"10000000000000000\r\nhello\r\n0\r\n\r\n";
    chunk_size_that_overflows_to_five: 400, "RFC 9112 7.1", b"10000000000000005\r\nhello\r\n0\r\n\r\n";
    chunk_size_below_zero: 400, "RFC 9112 7.1", b"-5\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_plus: 400, "RFC 9112 7.1", b"+5\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_hex_prefix: 400, "RFC 9112 7.1", b"0x5\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_fraction: 400, "RFC 9112 7.1", b"5.0\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_an_underscore: 400, "RFC 9112 7.1", b"0_5\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_space_before_it: 400, "RFC 9112 7.1", b" 5\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_space_after_it: 400, "RFC 9112 7.1", b"5 \r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_tab_after_it: 400, "RFC 9112 7.1", b"5\t\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_nul_after_it: 400, "RFC 9112 7.1", b"5\0\r\nhello\r\n0\r\n\r\n";
    chunk_size_with_a_byte_beyond_ascii: 400, "RFC 9112 7.1", b"5\xff\r\nhello\r\n0\r\n\r\n";
    chunk_size_that_ends_in_a_bare_lf: 400, "RFC 9112 2.2, 7.1", b"5\nhello\r\n0\r\n\r\n";
    chunk_size_that_ends_in_a_bare_cr: 400, "RFC 9112 2.2, 7.1", b"5\rhello\r\n0\r\n\r\n";
    chunk_size_that_ends_in_two_crs: 400, "RFC 9112 2.2, 7.1", b"5\r\r\nhello\r\n0\r\n\r\n";
    second_chunk_size_with_a_letter_beyond_f: 400, "RFC 9112 7.1", b"5\r\nhello\r\nxyz\r\nhello\r\n0\r\n\r\n";

    chunk_data_without_crlf_after_it: 400, "RFC 9112 7.1", b"5\r\nhello0\r\n\r\n";
    chunk_data_with_a_bare_lf_after_it: 400, "RFC 9112 7.1", b"5\r\nhello\n0\r\n\r\n";
    chunk_data_with_a_bare_cr_after_it: 400, "RFC 9112 7.1", b"5\r\nhello\r0\r\n\r\n";
    chunk_data_with_lf_and_cr_after_it: 400, "RFC 9112 7.1", b"5\r\nhello\n\r0\r\n\r\n";
    chunk_data_longer_than_its_size: 400, "RFC 9112 7.1", b"5\r\nhello!\r\n0\r\n\r\n";
    chunk_data_shorter_than_its_size: 400, "RFC 9112 7.1", b"5\r\nhel\r\n0\r\n\r\n";

    chunk_extension_with_a_control_byte: 400, "RFC 9112 7.1.1", b"5;a\x01b\r\nhello\r\n0\r\n\r\n";
    chunk_extension_with_a_nul: 400, "RFC 9112 7.1.1", b"5;a\0\r\nhello\r\n0\r\n\r\n";
    chunk_extension_with_a_del: 400, "RFC 9112 7.1.1", b"5;a\x7f\r\nhello\r\n0\r\n\r\n";
    chunk_extension_with_a_bare_lf: 400, "RFC 9112 7.1.1", b"5;a\nhello\r\n0\r\n\r\n";
    chunk_extension_with_a_bare_lf_in_quotes: 400, "RFC 9112 7.1.1", b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n";
    chunk_extension_with_a_bare_cr: 400, "RFC 9112 7.1.1", b"5;a\rb\r\nhello\r\n0\r\n\r\n";
    chunk_extension_without_bound: 400, "RFC 9112 7.1.1", &[b"5;a=", "b".repeat(TOO_LONG).as_bytes(), b"\r\nhello\r\n0\r\n\r\n"].concat();

    last_chunk_with_a_bare_lf: 400, "RFC 9112 7.1", b"0\n\r\n";
    last_chunk_with_a_hex_prefix: 400, "RFC 9112 7.1", b"0x0\r\n\r\n";
    last_chunk_below_zero: 400, "RFC 9112 7.1", b"-0\r\n\r\n";
    last_chunk_with_a_space_after_it: 400, "RFC 9112 7.1", b"0 \r\n\r\n";

    trailer_without_a_colon: 400, "RFC 9112 7.1.2", b"5\r\nhello\r\n0\r\nX\r\n\r\n";
    trailer_with_an_empty_name: 400, "RFC 9112 7.1.2", b"5\r\nhello\r\n0\r\n: y\r\n\r\n";
    trailer_with_a_space_before_the_colon: 400, "RFC 9112 5.1", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n";
    trailer_with_a_leading_space: 400, "RFC 9112 5.2", b"5\r\nhello\r\n0\r\n X: y\r\n\r\n";
    trailer_that_is_folded: 400, "RFC 9112 5.2", b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n";
    trailer_with_a_parenthesis_in_its_name: 400, "RFC 9110 5.1", b"5\r\nhello\r\n0\r\nX(y: z\r\n\r\n";
    trailer_with_a_nul: 400, "RFC 9110 5.5", b"5\r\nhello\r\n0\r\nX: y\0\r\n\r\n";
    trailer_with_a_bare_cr: 400, "RFC 9110 5.5", b"5\r\nhello\r\n0\r\nX: y\rz\r\n\r\n";
    trailer_that_ends_in_a_bare_lf: 400, "RFC 9112 2.2", b"5\r\nhello\r\n0\r\nX: y\n\r\n";
    trailers_that_end_in_a_bare_lf: 400, "RFC 9112 2.2", b"5\r\nhello\r\n0\r\nX: y\r\n\n";
    no_trailers_and_a_bare_lf: 400, "RFC 9112 2.2", b"5\r\nhello\r\n0\r\n\n";
    trailer_content_length: 400, "RFC 9110 6.5.1", b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n";
    trailer_transfer_encoding: 400, "RFC 9110 6.5.1", b"5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n";
    trailer_host: 400, "RFC 9110 6.5.1", b"5\r\nhello\r\n0\r\nHOST: b\r\n\r\n";
    trailers_over_the_limit_in_fields: 431, "RFC 6585 5", &[b"0\r\n", "X: y\r\n".repeat(1000).as_bytes(), b"\r\n"].concat();
    trailers_over_the_limit_in_bytes: 431, "RFC 6585 5", &[b"0\r\nX: ", "y".repeat(TOO_LONG).as_bytes(), b"\r\n\r\n"].concat();
}

on_both_drivers! {
    /// RFC 9112 section 8: an incomplete body, ended by FIN. No answer is due, but the app must not take it for whole.
    fn body_shorter_than_its_length(driver: Driver) {
        let case = crate::SHARED.on(driver, "body_shorter_than_its_length");
        let mut client = case.proxy.client();
        client.send(case.marked(b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"));
        case.app.wait_to_see(&case.marker);
        client.half_close();
        client.rest();
        case.app.assert_never_whole(&case.marker);
    }

    /// RFC 9112 section 8, ended by RST.
    fn body_shorter_than_its_length_then_reset(driver: Driver) {
        let case = crate::SHARED.on(driver, "body_shorter_than_its_length_then_reset");
        let mut client = case.proxy.client();
        client.send(case.marked(b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello"));
        case.app.wait_to_see(&case.marker);
        client.reset();
        case.app.assert_never_whole(&case.marker);
    }

    /// RFC 9112 section 8: a chunked body is incomplete without its last chunk.
    fn chunked_body_without_its_last_chunk(driver: Driver) {
        let case = crate::SHARED.on(driver, "chunked_body_without_its_last_chunk");
        let mut client = case.proxy.client();
        client.send(case.marked(b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
        case.app.wait_to_see(&case.marker);
        client.half_close();
        client.rest();
        case.app.assert_never_whole(&case.marker);
    }

    /// RFC 9112 section 7.1: the last chunk ends the body only with the trailers' empty line.
    fn chunked_body_without_its_last_line(driver: Driver) {
        let case = crate::SHARED.on(driver, "chunked_body_without_its_last_line");
        let mut client = case.proxy.client();
        client.send(case.marked(b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"));
        case.app.wait_to_see(&case.marker);
        client.half_close();
        client.rest();
        case.app.assert_never_whole(&case.marker);
    }

    /// RFC 9112 section 8: a head that was cut off is no request.
    fn head_cut_off_by_fin(driver: Driver) {
        let case = crate::SHARED.on(driver, "head_cut_off_by_fin");
        let mut client = case.proxy.client();
        client.send(case.marked(b"GET /CASE HTTP/1.1\r\nHost: a\r\n"));
        client.half_close();
        client.rest();
        assert!(!case.app.saw(&case.marker));
    }
}
