//! Request lines: method, target, version, and what stands between them (RFC 9112 sections 2 and 3, RFC 9110 sections 4 and 9).

use crate::refused;

refused! {
    method_with_a_parenthesis: 400, "RFC 9110 9.1, 5.6.2", b"G(T /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    method_with_a_colon: 400, "RFC 9110 9.1, 5.6.2", b"GET: /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    method_with_a_slash: 400, "RFC 9110 9.1, 5.6.2", b"GET/ /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    method_with_a_quote: 400, "RFC 9110 9.1, 5.6.2", b"\"GET\" /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    method_with_a_control_byte: 400, "RFC 9110 9.1, 5.6.2", b"G\x01T /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    method_with_a_nul: 400, "RFC 9110 9.1, 5.6.2", b"G\0T /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    method_with_a_byte_beyond_ascii: 400, "RFC 9110 9.1, 5.6.2", b"G\xc9T /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    empty_method: 400, "RFC 9112 3.1", b" /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    space_before_the_method: 400, "RFC 9112 3", b" GET /CASE HTTP/1.1\r\nHost: a\r\n\r\n";

    target_with_a_byte_beyond_ascii: 400, "RFC 9112 3.2, RFC 3986 2", b"GET /CASE\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_control_byte: 400, "RFC 9112 3.2, RFC 3986 2", b"GET /CASE\x01 HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_an_escape_byte: 400, "RFC 9112 3.2, RFC 3986 2", b"GET /CASE\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_del: 400, "RFC 9112 3.2, RFC 3986 2", b"GET /CASE\x7f HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_nul: 400, "RFC 9112 3.2, RFC 3986 2", b"GET /CASE\0 HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_tab: 400, "RFC 9112 3.2", b"GET /CASE\tb HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_space: 400, "RFC 9112 3.2", b"GET /CASE b HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_vertical_tab: 400, "RFC 9112 3", b"GET /CASE\x0bHTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_fragment: 400, "RFC 9112 3.2.1", b"GET /CASE#part HTTP/1.1\r\nHost: a\r\n\r\n";
    target_with_a_fragment_in_absolute_form: 400, "RFC 9112 3.2.2", b"GET http://a/CASE#part HTTP/1.1\r\nHost: a\r\n\r\n";
    target_without_a_leading_slash: 400, "RFC 9112 3.2", b"GET CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    target_that_is_a_query_only: 400, "RFC 9112 3.2.1", b"GET ?CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    target_that_is_missing: 400, "RFC 9112 3", b"GET HTTP/1.1\r\nHost: a\r\nX: CASE\r\n\r\n";
    target_that_is_empty: 400, "RFC 9112 3", b"GET  HTTP/1.1\r\nHost: a\r\nX: CASE\r\n\r\n";
    asterisk_form_with_get: 400, "RFC 9112 3.2.4", b"GET * HTTP/1.1\r\nHost: a\r\nX: CASE\r\n\r\n";
    asterisk_form_with_post: 400, "RFC 9112 3.2.4", b"POST * HTTP/1.1\r\nHost: a\r\nX: CASE\r\nContent-Length: 0\r\n\r\n";
    asterisk_with_more_after_it: 400, "RFC 9112 3.2.4", b"OPTIONS *CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    authority_form_with_get: 400, "RFC 9112 3.2.3", b"GET a.test:443 HTTP/1.1\r\nHost: a.test\r\nX: CASE\r\n\r\n";
    authority_form_with_options: 400, "RFC 9112 3.2.3", b"OPTIONS a.test:443 HTTP/1.1\r\nHost: a.test\r\nX: CASE\r\n\r\n";
    absolute_form_with_userinfo: 400, "RFC 9110 4.2.4", b"GET http://user@a/CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_with_userinfo_and_password: 400, "RFC 9110 4.2.4", b"GET http://u:p@a/CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_with_ftp: 400, "RFC 9112 3.2.2", b"GET ftp://a/CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_with_file: 400, "RFC 9112 3.2.2", b"GET file:///CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_with_javascript: 400, "RFC 9112 3.2.2", b"GET javascript:CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_without_a_host: 400, "RFC 9110 4.2.1", b"GET http:///CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_without_slashes: 400, "RFC 9110 4.2.1", b"GET http:CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_with_letters_as_port: 400, "RFC 3986 3.2.3", b"GET http://a:CASE/ HTTP/1.1\r\nHost: a\r\n\r\n";
    absolute_form_with_an_open_bracket: 400, "RFC 3986 3.2.2", b"GET http://[::1/CASE HTTP/1.1\r\nHost: a\r\n\r\n";

    connect_is_not_implemented: 501, "RFC 9110 9.3.6", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nX: CASE\r\n\r\n";

    two_spaces_after_the_method: 400, "RFC 9112 3", b"GET  /CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    two_spaces_before_the_version: 400, "RFC 9112 3", b"GET /CASE  HTTP/1.1\r\nHost: a\r\n\r\n";
    space_after_the_version: 400, "RFC 9112 3", b"GET /CASE HTTP/1.1 \r\nHost: a\r\n\r\n";
    tab_after_the_method: 400, "RFC 9112 3", b"GET\t/CASE HTTP/1.1\r\nHost: a\r\n\r\n";
    tab_before_the_version: 400, "RFC 9112 3", b"GET /CASE\tHTTP/1.1\r\nHost: a\r\n\r\n";

    simple_request_of_http_09: 400, "RFC 9112 2.3, appendix C.1", b"GET /CASE\r\n";
    version_that_is_missing: 400, "RFC 9112 2.3", b"GET /CASE\r\nHost: a\r\n\r\n";
    version_that_is_empty: 400, "RFC 9112 2.3", b"GET /CASE \r\nHost: a\r\n\r\n";
    version_in_lower_case: 400, "RFC 9112 2.3", b"GET /CASE http/1.1\r\nHost: a\r\n\r\n";
    version_in_mixed_case: 400, "RFC 9112 2.3", b"GET /CASE Http/1.1\r\nHost: a\r\n\r\n";
    version_without_a_minor: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1\r\nHost: a\r\n\r\n";
    version_with_an_empty_minor: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1.\r\nHost: a\r\n\r\n";
    version_with_two_digits_of_minor: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1.10\r\nHost: a\r\n\r\n";
    version_with_a_leading_zero: 400, "RFC 9112 2.3", b"GET /CASE HTTP/01.1\r\nHost: a\r\n\r\n";
    version_with_three_numbers: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1.1.1\r\nHost: a\r\n\r\n";
    version_with_a_letter_after_it: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1.1x\r\nHost: a\r\n\r\n";
    version_with_a_letter_in_it: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1.x\r\nHost: a\r\n\r\n";
    version_with_a_comma: 400, "RFC 9112 2.3", b"GET /CASE HTTP/1,1\r\nHost: a\r\n\r\n";
    version_with_a_dash: 400, "RFC 9112 2.3", b"GET /CASE HTTP-1.1\r\nHost: a\r\n\r\n";
    version_of_another_protocol: 400, "RFC 9112 2.3", b"GET /CASE RTSP/1.0\r\nHost: a\r\n\r\n";
    version_2_0: 505, "RFC 9110 15.6.6", b"GET /CASE HTTP/2.0\r\nHost: a\r\n\r\n";
    version_3_0: 505, "RFC 9110 15.6.6", b"GET /CASE HTTP/3.0\r\nHost: a\r\n\r\n";
    version_1_2: 505, "RFC 9110 15.6.6", b"GET /CASE HTTP/1.2\r\nHost: a\r\n\r\n";
    version_0_9: 505, "RFC 9110 15.6.6", b"GET /CASE HTTP/0.9\r\nHost: a\r\n\r\n";
    version_9_9: 505, "RFC 9110 15.6.6", b"GET /CASE HTTP/9.9\r\nHost: a\r\n\r\n";
    preface_of_http_2: 505, "RFC 9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nCASE";

    all_line_ends_bare_lf: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\nHost: a\n\n";
    request_line_that_ends_in_a_bare_lf: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\nHost: a\r\n\r\n";
    request_line_that_ends_in_a_bare_cr: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\rHost: a\r\n\r\n";
    request_line_with_a_bare_cr_in_the_target: 400, "RFC 9112 2.2", b"GET /CASE\rb HTTP/1.1\r\nHost: a\r\n\r\n";
    request_line_that_ends_in_two_crs: 400, "RFC 9112 2.2", b"GET /CASE HTTP/1.1\r\r\nHost: a\r\n\r\n";
    client_hello_on_a_plain_port: 400, "RFC 9112 2.2", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03CASE\r\n\r\n";
    socks_greeting_on_an_http_port: 400, "RFC 9112 2.2", b"\x05\x01\x00CASE\r\n\r\n";
    response_instead_of_a_request: 400, "RFC 9112 2.1", b"HTTP/1.1 200 OK\r\nX: CASE\r\nContent-Length: 0\r\n\r\n";
}
