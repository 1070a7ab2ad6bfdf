//! Field lines (RFC 9112 section 5), Host (RFC 9112 section 3.2), and fields whose own rules a proxy enforces.

use crate::refused;

refused! {
    folded_line: 400, "RFC 9112 5.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\n\r\n";
    folded_line_with_a_tab: 400, "RFC 9112 5.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: one\r\n\ttwo\r\n\r\n";
    folded_line_that_is_empty: 400, "RFC 9112 5.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: one\r\n \r\n\r\n";
    folded_host: 400, "RFC 9112 5.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\n .test\r\n\r\n";
    folded_transfer_encoding: 400, "RFC 9112 5.2",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n";
    space_before_the_first_field: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n";
    tab_before_the_first_field: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\n\tX: y\r\nHost: a\r\n\r\n";
    space_before_the_colon: 400, "RFC 9112 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n";
    tab_before_the_colon: 400, "RFC 9112 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX\t: y\r\n\r\n";
    space_before_the_colon_of_host: 400, "RFC 9112 5.1", b"GET /CASE HTTP/1.1\r\nHost : a\r\n\r\n";
    space_before_the_colon_of_content_length: 400, "RFC 9112 5.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello";
    space_before_the_colon_of_transfer_encoding: 400, "RFC 9112 5.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n";
    field_line_without_a_colon: 400, "RFC 9112 5", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX\r\n\r\n";
    second_request_line_among_the_fields: 400, "RFC 9112 5", b"GET /CASE HTTP/1.1\r\nGET /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    empty_field_name: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n";
    field_name_with_a_space: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n";
    field_name_with_a_parenthesis: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n";
    field_name_with_a_slash: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX/Y: z\r\n\r\n";
    field_name_with_a_quote: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\n\"X\": z\r\n\r\n";
    field_name_with_a_bracket: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX[0]: z\r\n\r\n";
    field_name_with_an_at_sign: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX@Y: z\r\n\r\n";
    field_name_with_a_comma: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX,Y: z\r\n\r\n";
    field_name_with_an_equals_sign: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX=Y: z\r\n\r\n";
    field_name_with_a_nul: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX\0: z\r\n\r\n";
    field_name_with_a_control_byte: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX\x08: z\r\n\r\n";
    field_name_with_a_del: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX\x7f: z\r\n\r\n";
    field_name_with_a_byte_beyond_ascii: 400, "RFC 9110 5.1", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX\xff: z\r\n\r\n";
    field_value_with_a_nul: 400, "RFC 9110 5.5", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n";
    field_value_with_a_bare_cr: 400, "RFC 9110 5.5", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n";
    field_value_with_a_bare_cr_and_a_field: 400, "RFC 9112 2.2",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\n";
    field_value_with_a_bare_lf: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: y\nZ: z\r\n\r\n";
    field_value_with_a_bare_lf_and_framing: 400, "RFC 9112 2.2",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    field_value_with_a_control_byte: 400, "RFC 9110 5.5", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: y\x01z\r\n\r\n";
    field_value_with_a_del: 400, "RFC 9110 5.5", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: y\x7fz\r\n\r\n";
    field_line_that_ends_in_two_crs: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\r\n\r\n";
    empty_line_of_a_bare_lf: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\n\n";
    empty_line_of_a_bare_cr: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n";

    host_that_is_missing: 400, "RFC 9112 3.2", b"GET /CASE HTTP/1.1\r\nX: y\r\n\r\n";
    host_that_is_missing_and_no_field_at_all: 400, "RFC 9112 3.2", b"GET /CASE HTTP/1.1\r\n\r\n";
    host_that_is_missing_with_absolute_form: 400, "RFC 9112 3.2", b"GET http://a/CASE HTTP/1.1\r\nX: y\r\n\r\n";
    two_equal_hosts: 400, "RFC 9112 3.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    two_different_hosts: 400, "RFC 9112 3.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    two_hosts_in_different_case: 400, "RFC 9112 3.2", b"GET /CASE HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: a\r\n\r\n";
    two_hosts_in_http_10: 400, "RFC 9112 3.2", b"GET /CASE HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n";
    two_hosts_with_absolute_form: 400, "RFC 9112 3.2", b"GET http://a/CASE HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
    host_that_is_empty: 400, "RFC 9112 3.2, RFC 9110 4.2.1", b"GET /CASE HTTP/1.1\r\nHost:\r\n\r\n";
    host_that_is_blank: 400, "RFC 9112 3.2, RFC 9110 4.2.1", b"GET /CASE HTTP/1.1\r\nHost:   \r\n\r\n";
    host_that_is_a_port_only: 400, "RFC 9110 4.2.1", b"GET /CASE HTTP/1.1\r\nHost: :80\r\n\r\n";
    host_with_a_space: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a b\r\n\r\n";
    host_with_a_list: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a, b\r\n\r\n";
    host_with_a_slash: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a/b\r\n\r\n";
    host_with_a_scheme: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: http://a\r\n\r\n";
    host_with_a_question_mark: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a?b\r\n\r\n";
    host_with_a_hash: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a#b\r\n\r\n";
    host_with_a_backslash: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a\\b\r\n\r\n";
    host_with_angle_brackets: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: <a>\r\n\r\n";
    host_with_userinfo: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: user@a\r\n\r\n";
    host_with_letters_as_port: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a:b\r\n\r\n";
    host_with_two_ports: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: a:1:2\r\n\r\n";
    host_with_an_open_bracket: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: [::1\r\n\r\n";
    host_with_letters_in_brackets: 400, "RFC 3986 3.2.2", b"GET /CASE HTTP/1.1\r\nHost: [hello]\r\n\r\n";
    host_with_a_byte_beyond_ascii: 400, "RFC 9110 7.2", b"GET /CASE HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n";
    host_that_is_invalid_with_absolute_form: 400, "RFC 9112 3.2", b"GET http://a/CASE HTTP/1.1\r\nHost: a b\r\n\r\n";

    expectation_other_than_100_continue: 417, "RFC 9110 10.1.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 0\r\n\r\n";
    expectation_with_a_value: 417, "RFC 9110 10.1.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nExpect: 100-continue=yes\r\nContent-Length: 0\r\n\r\n";
    expectation_beside_100_continue: 417, "RFC 9110 10.1.1",
        b"POST /CASE HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, a-miracle\r\nContent-Length: 0\r\n\r\n";

    max_forwards_with_letters: 400, "RFC 9110 7.6.2", b"OPTIONS /CASE HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n";
    max_forwards_below_zero: 400, "RFC 9110 7.6.2", b"OPTIONS /CASE HTTP/1.1\r\nHost: a\r\nMax-Forwards: -1\r\n\r\n";
    max_forwards_with_a_plus: 400, "RFC 9110 7.6.2", b"OPTIONS /CASE HTTP/1.1\r\nHost: a\r\nMax-Forwards: +1\r\n\r\n";
    max_forwards_that_is_empty: 400, "RFC 9110 7.6.2", b"OPTIONS /CASE HTTP/1.1\r\nHost: a\r\nMax-Forwards:\r\n\r\n";
    max_forwards_with_a_list: 400, "RFC 9110 7.6.2", b"OPTIONS /CASE HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1, 2\r\n\r\n";
    max_forwards_with_letters_on_trace: 400, "RFC 9110 7.6.2", b"TRACE /CASE HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1x\r\n\r\n";
}
