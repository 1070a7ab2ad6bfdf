//! Content-Length and Transfer-Encoding: wherever two parsers could see different ends of a body, the request is refused
//! (RFC 9112 sections 6.1 to 6.3, RFC 9110 section 8.6). What would be a second request if the proxy chose wrong is in the bytes.

use crate::refused;

refused! {
    content_length_then_transfer_encoding: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    transfer_encoding_then_content_length: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    content_length_zero_with_transfer_encoding: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    content_length_with_transfer_encoding_on_get: 400, "RFC 9112 6.1",
        b"GET /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    content_length_with_an_unknown_coding: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\nhello";

    two_equal_content_lengths: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello";
    two_different_content_lengths: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!";
    two_content_lengths_in_different_case: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\ncontent-length: 0\r\n\r\nhello";
    content_length_with_an_equal_list: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello";
    content_length_with_a_different_list: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5,6\r\n\r\nhello!";
    content_length_with_a_trailing_comma: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5,\r\n\r\nhello";
    content_length_below_zero: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello";
    content_length_minus_zero: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n";
    content_length_with_a_plus: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello";
    content_length_in_hex: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello";
    content_length_with_a_hex_digit: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: a\r\n\r\nhellohello";
    content_length_with_a_fraction: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello";
    content_length_with_an_exponent: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5e0\r\n\r\nhello";
    content_length_with_an_underscore: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 0_5\r\n\r\nhello";
    content_length_that_is_empty: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n";
    content_length_that_is_blank: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length:  \r\n\r\n";
    content_length_with_a_space_in_it: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhellohello";
    content_length_with_a_vertical_tab: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b5\r\n\r\nhello";
    content_length_with_a_semicolon: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 5;\r\n\r\nhello";
    content_length_with_quotes: 400, "RFC 9110 8.6", b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello";
    content_length_with_digits_beyond_ascii: 400, "RFC 9110 8.6",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\nhello";
    content_length_one_over_64_bits: 400, "RFC 9110 8.6",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nhello";
    content_length_that_overflows_to_five: 400, "RFC 9110 8.6",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello";
    content_length_of_forty_digits: 400, "RFC 9110 8.6",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999999999999999999999999\r\n\r\nhello";
    content_length_with_letters_on_get: 400, "RFC 9110 8.6", b"GET /CASE HTTP/1.1\r\nHost: a\r\nContent-Length: none\r\n\r\n";
    content_length_twice_in_http_10: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello";

    chunked_twice: 400, "RFC 9112 6.1", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n";
    chunked_twice_on_two_lines: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    chunked_then_gzip: 400, "RFC 9112 6.3", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n";
    chunked_then_gzip_on_two_lines: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n";
    chunked_then_identity: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n";
    chunked_then_identity_on_two_lines: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: identity\r\n\r\n0\r\n\r\n";
    identity_alone: 400, "RFC 9112 6.3", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n";
    gzip_alone: 400, "RFC 9112 6.3", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n";
    gzip_then_chunked: 501, "RFC 9112 6.1", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    gzip_then_chunked_on_two_lines: 501, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    unknown_coding_then_chunked: 501, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: cow, chunked\r\n\r\n0\r\n\r\n";
    transfer_encoding_in_http_10: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    transfer_encoding_in_http_10_with_keep_alive: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    transfer_encoding_that_is_empty: 400, "RFC 9112 6.1", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n";
    coding_with_a_letter_before_chunked: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n";
    coding_with_a_letter_after_chunked: 400, "RFC 9112 6.3",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n";
    chunked_with_a_parameter: 400, "RFC 9112 7.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n";
    chunked_with_a_semicolon: 400, "RFC 9112 7.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;\r\n\r\n0\r\n\r\n";
    chunked_in_quotes: 400, "RFC 9112 6.1", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n";
    chunked_in_single_quotes: 400, "RFC 9112 6.1", b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n";
    chunked_with_a_tab_in_it: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n";
    chunked_with_a_word_after_it: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked foo\r\n\r\n0\r\n\r\n";
    chunked_after_a_vertical_tab: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n";
    chunked_before_a_vertical_tab: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n";
    chunked_after_a_nul: 400, "RFC 9110 5.5",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \0chunked\r\n\r\n0\r\n\r\n";
    chunked_after_a_comma: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n";
    chunked_with_a_byte_beyond_ascii: 400, "RFC 9112 6.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\xff\r\n\r\n0\r\n\r\n";
    transfer_encoding_with_a_tab_before_the_colon: 400, "RFC 9112 5.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n";
    transfer_encoding_with_a_leading_space_in_its_line: 400, "RFC 9112 5.2",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    transfer_encoding_after_a_bare_cr: 400, "RFC 9112 2.2",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nX: y\r\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
}
