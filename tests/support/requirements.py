"""What specifications demand of an edge, each with the test that holds it: rows of `docs/reference/requirements.md`.

A row says what a MUST asks in our words, and only where it applies: to a server and a gateway, not to clients, proxies
and caches. What a library does is a row too, if it can be seen from outside. Put a row here only if its test fails
where the requirement is broken.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple


class Row(NamedTuple):
    """One requirement. `test` is FILE::FUNCTION below `tests`."""

    section: str
    demands: str
    test: str


_HEADS: Final = "unit/test_connection_heads.py::"
_REFUSED: Final = _HEADS + "test_what_is_no_request_is_refused_and_nothing_after_it_is_read"
_PARSE: Final = "unit/test_http_parse.py::"
_RULES: Final = "e2e/test_http_rules.py::"
_SMUGGLING: Final = "attack/test_http_smuggling.py::"
_CGI: Final = "e2e/test_cgi_rules.py::"

REQUIREMENTS: Final[Mapping[str, Sequence[Row]]] = {
    "RFC 9110, HTTP Semantics": (
        Row(
            "2.5",
            "a request of another major version is refused",
            _RULES + "test_methods_of_proxies_are_refused_and_unknown_ones_are_not_implemented",
        ),
        Row(
            "4.2.1",
            "an http URI without a host, or with a user, is invalid",
            _SMUGGLING + "test_a_target_whose_authority_is_none",
        ),
        Row("5.3", "fields of one name are joined in their order", _PARSE + "test_a_repeated_header_is_one_variable"),
        Row("5.3", "several Set-Cookie fields stay apart", _PARSE + "test_hop_by_hop_and_our_own_fields_are_dropped"),
        Row("5.5", "CR, LF and NUL in a field's value are refused, from clients", _REFUSED),
        Row("5.5", "and from guests", _PARSE + "test_whatever_a_guest_says_never_opens_a_second_line"),
        Row(
            "6.5.1",
            "trailers are not merged into the head",
            _HEADS + "test_trailers_do_not_change_a_head_that_was_judged",
        ),
        Row("6.6.1", "answers have Date", _CGI + "test_a_header_block"),
        Row(
            "7.2",
            "the service that is asked is the one that Host or the target names",
            _SMUGGLING + "test_the_host_that_a_guest_sees_is_the_one_that_led_to_it",
        ),
        Row(
            "7.6.1",
            "fields that Connection names go no further, to guests",
            _PARSE + "test_what_connection_names_stays_here",
        ),
        Row("7.6.1", "nor to clients", _PARSE + "test_hop_by_hop_and_our_own_fields_are_dropped"),
        Row(
            "7.8",
            "a protocol that was offered and is not taken changes nothing",
            _RULES + "test_an_offer_that_is_not_taken_is_answered_with_the_whole_body_and_the_connection_goes_on",
        ),
        Row(
            "7.8",
            "Upgrade is ignored in HTTP/1.0, and where Connection does not name it",
            _HEADS + "test_what_is_no_offer",
        ),
        Row(
            "8.6",
            "no Content-Length with 204; with 304 and HEAD only that of a 200 to GET",
            _PARSE + "test_the_length_of_an_answer",
        ),
        Row(
            "8.6",
            "a Content-Length that is none, or differs from another, is refused",
            _SMUGGLING + "test_a_body_whose_end_two_could_see_in_two_places",
        ),
        Row("9.1", "GET and HEAD are supported", _RULES + "test_HEAD_is_answered_with_the_fields_of_GET"),
        Row(
            "9.3.2", "no content in an answer to HEAD, a guest's", _CGI + "test_HEAD_has_the_fields_of_GET_and_no_body"
        ),
        Row(
            "9.3.2", "nor in a refusal", "unit/test_answers.py::test_a_refusal_of_HEAD_is_that_of_GET_without_its_body"
        ),
        Row(
            "9.3.6",
            "what follows a CONNECT that is refused is not read",
            _HEADS + "test_a_tunnel_is_refused_and_nothing_in_it_is_read",
        ),
        Row(
            "10.1.1",
            "100 or a final status at once where a client waits",
            _RULES + "test_a_body_that_is_wanted_is_asked_for_and_the_connection_goes_on",
        ),
        Row(
            "10.1.1",
            "no 100 after a final status, which says whether the connection ends",
            _RULES + "test_a_final_status_comes_without_100_and_says_that_the_connection_ends",
        ),
        Row(
            "10.1.1",
            "Expect is ignored in HTTP/1.0",
            _RULES + "test_who_does_not_wait_gets_no_100_and_who_speaks_HTTP_1_0_neither",
        ),
        Row(
            "11.6.1",
            "401 has WWW-Authenticate",
            "unit/test_answers.py::test_a_refusal_of_HEAD_is_that_of_GET_without_its_body",
        ),
        Row(
            "15.3.6", "205 has no content", _RULES + "test_answers_that_have_no_body_have_none_and_the_next_is_in_step"
        ),
        Row(
            "15.4.5", "304 has no content", _RULES + "test_answers_that_have_no_body_have_none_and_the_next_is_in_step"
        ),
        Row(
            "15.5.6",
            "405 has Allow",
            _RULES + "test_methods_of_proxies_are_refused_and_unknown_ones_are_not_implemented",
        ),
    ),
    "RFC 9112, HTTP/1.1": (
        Row("2.2", "a bare CR in a head is refused", _REFUSED),
        Row("2.2", "white space before the first field is refused", _REFUSED),
        Row("3", "a target that is too long is 414", _RULES + "test_limits_of_a_head_are_named"),
        Row(
            "3.2",
            "no Host in HTTP/1.1, several, or one that is malformed is 400, at each listener",
            _RULES + "test_each_door_wants_one_host",
        ),
        Row(
            "3.2",
            "the same with any target and any kind of malformed host",
            _SMUGGLING + "test_a_host_that_is_none_or_more_than_one",
        ),
        Row(
            "3.2.2",
            "absolute-form is taken, and its authority goes before Host",
            "unit/test_routes.py::test_a_host_and_a_target_lead_to_a_service",
        ),
        Row(
            "3.2.4",
            "asterisk-form is for OPTIONS alone",
            _RULES + "test_the_server_as_a_whole_may_be_asked_for_its_options_alone",
        ),
        Row("5.1", "white space between a field's name and the colon is 400", _REFUSED),
        Row("5.2", "a folded line of a request is 400", _REFUSED),
        Row("5.2", "one of a guest becomes a space", _CGI + "test_a_header_block"),
        Row("6.1", "no Transfer-Encoding to HTTP/1.0", _RULES + "test_an_answer_says_in_one_way_where_it_ends"),
        Row("6.1", "nor with 204", _RULES + "test_answers_that_have_no_body_have_none_and_the_next_is_in_step"),
        Row("6.1", "Transfer-Encoding in HTTP/1.0, or with Content-Length, ends the connection", _REFUSED),
        Row(
            "6.2",
            "no Content-Length where there is a Transfer-Encoding",
            _RULES + "test_an_answer_says_in_one_way_where_it_ends",
        ),
        Row(
            "6.3",
            "a coding that is not understood, or chunked not last, is refused and ends the connection",
            _SMUGGLING + "test_a_body_whose_end_two_could_see_in_two_places",
        ),
        Row(
            "6.3",
            "a length that is none is 400 and ends the connection",
            _SMUGGLING + "test_a_body_whose_end_two_could_see_in_two_places",
        ),
        Row(
            "7.1",
            "chunks are parsed, their extensions ignored, sizes beyond any integer refused",
            _HEADS + "test_chunks_are_what_they_say_or_the_body_is_broken",
        ),
        Row(
            "9.3",
            "the whole body is read, or the connection ends",
            "unit/test_connection.py::test_an_answer_before_the_body_lets_the_client_finish_sending",
        ),
        Row(
            "9.3.2",
            "pipelined requests are answered in their order",
            "e2e/test_edge_requests.py::test_pipelined_requests_are_answered_in_order",
        ),
        Row(
            "9.6",
            "after a request with close, and its answer, nothing is read",
            _RULES + "test_nothing_is_read_after_the_last_request_of_a_connection",
        ),
    ),
    "RFC 3875, CGI/1.1": (
        Row(
            "3.3",
            "the program that is run is the one of the request's service",
            "e2e/test_cgi.py::test_a_cgi_program_serves_pages",
        ),
        Row(
            "4.1.2",
            "CONTENT_LENGTH is there if and only if there is a body, of chunks too",
            _CGI + "test_a_body_in_chunks_has_a_length",
        ),
        Row(
            "4.1.3",
            "CONTENT_TYPE is there if there is a body, and its type was said",
            _PARSE + "test_a_type_without_a_body_is_a_field_and_no_variable_of_the_body",
        ),
        Row(
            "4.1.4 to 4.1.17",
            "GATEWAY_INTERFACE, QUERY_STRING, REMOTE_ADDR, REQUEST_METHOD, SCRIPT_NAME, SERVER_NAME, SERVER_PORT, "
            "SERVER_PROTOCOL and SERVER_SOFTWARE are there",
            _CGI + "test_the_variables_that_must_be_set_are",
        ),
        Row("4.1.5", "PATH_INFO is decoded", _PARSE + "test_the_target_is_there_as_it_came_and_its_parts"),
        Row(
            "4.1.7, 4.1.13",
            "QUERY_STRING and SCRIPT_NAME are empty where there is none",
            _CGI + "test_variables_are_set_where_nothing_was_said",
        ),
        Row("4.1.16", "SERVER_PROTOCOL is that of the request", _CGI + "test_variables_are_set_where_nothing_was_said"),
        Row(
            "4.1.18",
            "a field that came several times is one variable",
            _CGI + "test_the_variables_that_must_be_set_are",
        ),
        Row(
            "4.2",
            "the body is there without its transfer coding, all of it",
            _CGI + "test_a_body_in_chunks_is_read_whole_and_one_that_is_too_large_needs_a_length",
        ),
        Row(
            "4.2",
            "a program need not read its body",
            _CGI + "test_a_program_that_does_not_read_its_body_answers_all_the_same",
        ),
        Row("4.3.3", "a body in answer to HEAD is dropped", _CGI + "test_HEAD_has_the_fields_of_GET_and_no_body"),
        Row("5", "a whole answer (NPH) is taken", _CGI + "test_a_header_block"),
        Row(
            "6.1",
            "an answer that is none is an error",
            _CGI + "test_what_is_no_header_block_is_a_bad_gateway_and_its_publisher_is_told",
        ),
        Row(
            "6.2.2",
            "a path alone in Location is answered in place of the program",
            "e2e/test_cgi.py::test_a_path_in_place_of_an_answer_is_answered_by_the_edge",
        ),
        Row("6.2.3", "a URI in Location is a 302", _CGI + "test_a_header_block"),
        Row("6.3", "lines end with LF or CR LF", _CGI + "test_a_header_block"),
        Row("6.3.3", "Status is the status of the answer", _CGI + "test_a_header_block"),
        Row("6.3.4", "fields that concern the connection do not pass", _CGI + "test_a_header_block"),
    ),
}
