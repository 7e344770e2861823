"""What validation.py promises. Travels with it: any package, one import to change."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from flask import Blueprint, Flask, request
from flask.json.provider import DefaultJSONProvider, JSONProvider
from flask.views import MethodView
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from app.middleware.validation import (  # the one line to change in another package
    body_limit,
    configure_request_validation,
)

FORM = "application/x-www-form-urlencoded"


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    configure_request_validation(app)

    @app.route("/json", methods=["GET", "POST", "PATCH"])
    def json_view() -> Any:
        return {"got": request.get_json()}, 201

    @app.post("/form")
    def form_view() -> Any:
        return dict(request.form), 201

    @app.post("/raw")
    def raw_view() -> Any:
        return {"length": len(request.get_data())}, 201

    @app.post("/unread")
    def unread_view() -> Any:
        return {}, 201

    @app.teardown_request
    def keep(_: BaseException | None) -> None:
        app.extensions["event"] = request.environ.get("security_event")

    return app


def send(
    app: Flask,
    path: str,
    body: bytes,
    content_type: str | None = "application/json",
    method: str = "POST",
    **environ: Any,
) -> TestResponse:
    return app.test_client().open(
        path, method=method, data=body, content_type=content_type, environ_overrides=environ
    )


def chunked(app: Flask, path: str, body: bytes, content_type: str = "application/json") -> int:
    """As a server hands a chunked body over: without a length, and with an end."""
    terminated: dict[str, Any] = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    terminated["HTTP_TRANSFER_ENCODING"] = "chunked"
    return send(app, path, body, content_type, **terminated).status_code


# Off until configured


def test_nothing_happens_until_a_key_is_set() -> None:
    app = service()
    assert not app.before_request_funcs
    assert type(app.json) is DefaultJSONProvider
    assert send(app, "/json", b"[NaN]").status_code == 201


@pytest.mark.parametrize(
    "config",
    [
        {"TRUSTED_HOSTS": "localhost"},
        {"MAX_CONTENT_LENGTH": 100},
        {"MAX_FORM_PARTS": 3},
        {"MAX_FORM_MEMORY_SIZE": "100"},
        {"REQUEST_CONTENT_TYPES": {"POST": "application/json"}},
    ],
)
def test_any_key_turns_it_on(config: dict[str, Any]) -> None:
    assert send(service(**config), "/json", b"[NaN]").status_code == 400


# Lengths


@pytest.mark.parametrize("path", ["/json", "/raw", "/form", "/unread"])
def test_a_declared_body_over_the_limit_is_refused_before_the_view_runs(path: str) -> None:
    app = service(MAX_CONTENT_LENGTH=10)
    assert send(app, path, b"[1,2,3,4,5]").status_code == 413
    event = {"event": "body_refused", "reason": "too_large", "limit": 10}
    assert app.extensions["event"] == event


@pytest.mark.parametrize("limit", [None, 1000])
def test_a_view_may_set_a_lower_limit_as_in_flask(limit: int | None) -> None:
    app = service(MAX_CONTENT_LENGTH=limit, MAX_FORM_PARTS=10)

    @app.post("/small")
    def small() -> dict[str, int]:
        request.max_content_length = 9
        return {"length": len(request.get_data())}

    assert send(app, "/small", b"[1,2,3,4]").get_json() == {"length": 9}
    assert send(app, "/small", b"[1,2,3,4,5]").status_code == 413
    assert chunked(app, "/small", b"[1,2,3,4,5]") == 413


def test_the_limit_holds_where_a_stream_is_read_after_the_request() -> None:
    app = service(MAX_CONTENT_LENGTH=9)
    kept = []

    @app.post("/keep")
    def keep() -> str:
        kept.append(request.stream)
        return "kept"

    assert chunked(app, "/keep", b"[1,2,3,4,5]") == 200
    with pytest.raises(RequestEntityTooLarge):
        kept[0].read()


def test_a_body_at_the_limit_is_taken() -> None:
    app = service(MAX_CONTENT_LENGTH=9)
    assert send(app, "/json", b"[1,2,3,4]").status_code == 201
    assert chunked(app, "/json", b"[1,2,3,4]") == 201


@pytest.mark.parametrize("surplus", [b" ", b" " * 8192, b" " * 200_000])
def test_a_chunked_body_over_the_limit_is_413_and_never_cut(surplus: bytes) -> None:
    app = service(MAX_CONTENT_LENGTH=9)
    assert chunked(app, "/json", b"[1,2,3,4]" + surplus) == 413
    assert chunked(app, "/raw", b"[1,2,3,4]" + surplus) == 413


def test_a_body_shorter_than_declared_is_400_though_it_would_parse() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    for terminated in ({}, {"wsgi.input_terminated": True}):
        environ: dict[str, Any] = {"CONTENT_LENGTH": "100", **terminated}
        for path in ("/json", "/raw"):
            assert send(app, path, b"[1,2,3,4]", **environ).status_code == 400
        assert send(app, "/form", b"a=1&b=2", FORM, **environ).status_code == 400
    assert app.extensions["event"] == {"event": "body_refused", "reason": "cut_short"}


def test_what_follows_the_declared_length_is_not_read() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    response = send(app, "/json", b"[1][2]", CONTENT_LENGTH="3")
    assert response.get_json() == {"got": [1]}


@pytest.mark.parametrize("error", [OSError, ValueError, ConnectionResetError, TimeoutError])
def test_a_connection_that_breaks_is_400(error: type[Exception]) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise error("gone")

    app = service(MAX_CONTENT_LENGTH=1000)
    environ = {"wsgi.input": Broken(), "CONTENT_LENGTH": "9"}
    response = app.test_client().post("/raw", environ_overrides=environ)
    assert response.status_code == 400


@pytest.mark.parametrize(
    "length", ["1,1", "-1", "+1", "1.0", "0x1", "1 1", "one", "9" * 19, "\xb2"]
)
def test_a_length_that_is_not_a_number_is_400(length: str) -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    assert send(app, "/unread", b"1", CONTENT_LENGTH=length).status_code == 400


def test_a_body_with_two_ways_to_end_is_400() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    for coding in ("chunked", "gzip", "identity", "chunked, chunked", ""):
        environ: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": coding, "wsgi.input_terminated": True}
        assert send(app, "/unread", b"1", **environ).status_code == 400


def test_a_chunked_body_that_the_server_cannot_end_is_411() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert send(app, "/raw", b"1", **environ).status_code == 411


def test_where_the_server_hides_that_chunks_broke_off_only_what_shows_its_end_is_taken() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    granian: dict[str, Any] = {"SERVER_SOFTWARE": "Granian", "wsgi.input_terminated": True}
    granian |= {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    form = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--'
    multipart = "multipart/form-data; boundary=b"
    assert send(app, "/json", b'{"a": 1}', **granian).status_code == 201
    assert send(app, "/json", b'{"a": 1', **granian).status_code == 400
    assert send(app, "/form", form, multipart, **granian).status_code == 201
    assert send(app, "/form", form[:-2], multipart, **granian).status_code == 400
    assert send(app, "/form", b"a=1", FORM, **granian).status_code == 411
    assert send(app, "/raw", b"a,b", "text/csv", **granian).status_code == 411


@pytest.mark.parametrize("path", ["/json", "/raw"])
@pytest.mark.parametrize("document", [b"123", b"12 ", b'{"a": 1}, {"b": 2', b"[1, 2", b'"a'])
def test_where_cuts_are_hidden_json_must_end_with_a_bracket(path: str, document: bytes) -> None:
    """A number that broke off is another number."""
    granian: dict[str, Any] = {"SERVER_SOFTWARE": "Granian", "wsgi.input_terminated": True}
    granian |= {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    app = service(MAX_CONTENT_LENGTH=1000)
    assert send(app, path, document, **granian).status_code == 400
    assert app.extensions["event"] == {"event": "body_refused", "reason": "broke_off"}
    whole = b" [" + b"1" * 100 + b"] \n"
    assert send(app, path, whole, **granian).status_code == 201


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_in_http_2_a_body_without_any_header_is_checked_like_others(method: str) -> None:
    app = service(MAX_CONTENT_LENGTH=10, REQUEST_CONTENT_TYPES={method: "application/json"})
    http_2: dict[str, Any] = {"SERVER_PROTOCOL": "HTTP/2.0", "SERVER_SOFTWARE": "Granian"}
    http_2 |= {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}

    def status(body: bytes, content_type: str | None = "application/json") -> int:
        return send(app, "/json", body, content_type, method, **http_2).status_code

    assert status(b"[1,2,3,4]") == 201
    assert status(b"[1,2,3,4, 5]") == 413
    assert status(b"[1,2,3") == 400
    assert status(b"[1]", "text/csv") == 411
    assert status(b"a", None) == 411
    app = service(REQUEST_CONTENT_TYPES={method: "text/csv"})
    assert status(b"[1]") == 415


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_in_http_2_no_body_is_no_body(method: str) -> None:
    app = service(MAX_CONTENT_LENGTH=10, REQUEST_CONTENT_TYPES={method: "text/csv"})

    @app.route("/any", methods=[method])
    def any_view() -> Any:
        return {"length": len(request.get_data())}

    http_2 = {"SERVER_PROTOCOL": "HTTP/2.0", "SERVER_SOFTWARE": "Granian", "CONTENT_LENGTH": ""}
    response = send(app, "/any", b"", None, method, **http_2, **{"wsgi.input_terminated": True})
    assert (response.status_code, response.get_json()) == (200, {"length": 0})


def test_a_chunked_body_in_http_1_0_is_400() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    environ: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    environ["CONTENT_LENGTH"] = ""
    assert send(app, "/raw", b"1", SERVER_PROTOCOL="HTTP/1.1", **environ).status_code == 201
    assert send(app, "/raw", b"1", SERVER_PROTOCOL="HTTP/1.0", **environ).status_code == 400
    assert app.extensions["event"] == {"event": "body_refused", "reason": "framing"}


def test_a_request_without_a_body_passes() -> None:
    app = service(MAX_CONTENT_LENGTH=10, REQUEST_CONTENT_TYPES={"POST": "application/json"})
    client = app.test_client()
    assert client.post("/unread").status_code == 201
    assert client.get("/nowhere").status_code == 404


def test_a_view_may_take_more_or_less_than_the_others() -> None:
    app = service(MAX_CONTENT_LENGTH=100)

    @app.post("/upload")
    @body_limit(1000)
    def upload() -> Any:
        return {"length": len(request.get_data())}, 201

    @app.post("/tiny")
    @body_limit(1)
    def tiny() -> Any:
        return {}, 201

    assert send(app, "/upload", b"x" * 1000).status_code == 201
    assert send(app, "/upload", b"x" * 1001).status_code == 413
    assert chunked(app, "/upload", b"x" * 1000) == 201
    assert chunked(app, "/upload", b"x" * 1001) == 413
    assert send(app, "/tiny", b"xx").status_code == 413
    assert send(app, "/raw", b"x" * 101).status_code == 413


def test_a_blueprint_has_no_limit_of_its_own_and_says_so() -> None:
    limit: Any = body_limit(5)
    with pytest.raises(ValueError, match=r"^body_limit: 'api' is a blueprint; for example @body_"):
        limit(Blueprint("api", __name__))


def test_a_class_of_views_and_one_of_its_methods_have_limits_too() -> None:
    class OneMethod(MethodView):
        @body_limit(5)
        def post(self) -> Any:
            return {"length": len(request.get_data())}, 201

        def put(self) -> Any:
            return {"length": len(request.get_data())}, 201

    @body_limit(5)
    class EveryMethod(MethodView):
        def post(self) -> Any:
            return {}, 201

        @body_limit(50)
        def put(self) -> Any:
            return {}, 201

        @body_limit(1)
        def get(self) -> Any:
            return {}

    class Decorated(MethodView):
        decorators = [body_limit(5)]  # noqa: RUF012

        def post(self) -> Any:
            return {}, 201

    app = service(MAX_CONTENT_LENGTH=20)
    views: list[type[MethodView]] = [OneMethod, EveryMethod, Decorated]
    for view in views:
        app.add_url_rule(f"/{view.__name__}", view_func=view.as_view(view.__name__))
    for view in views:
        assert send(app, f"/{view.__name__}", b"x" * 5).status_code == 201
        assert send(app, f"/{view.__name__}", b"x" * 6).status_code == 413
    assert send(app, "/OneMethod", b"x" * 20, method="PUT").status_code == 201
    assert send(app, "/OneMethod", b"x" * 21, method="PUT").status_code == 413
    assert send(app, "/EveryMethod", b"x" * 50, method="PUT").status_code == 201
    assert send(app, "/EveryMethod", b"x" * 51, method="PUT").status_code == 413
    for method in ("GET", "HEAD"):
        assert send(app, "/EveryMethod", b"x", method=method).status_code == 200
        assert send(app, "/EveryMethod", b"xx", method=method).status_code == 413


def test_a_body_can_be_read_in_pieces() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)

    @app.post("/pieces")
    def pieces() -> Any:
        first = request.stream.read(3)
        line = request.stream.readline()
        return {"pieces": [p.decode() for p in (first, line, *request.stream)]}, 201

    response = send(app, "/pieces", b"abcde\nf\ng")
    assert response.get_json() == {"pieces": ["abc", "de\n", "f\n", "g"]}


# Forms


@pytest.mark.parametrize("kind", ["urlencoded", "multipart"])
def test_the_limits_of_forms_hold_for_both_kinds(kind: str) -> None:
    app = service(MAX_FORM_PARTS=3, MAX_FORM_MEMORY_SIZE=2000)

    def form(**fields: str) -> int:
        if kind == "multipart":
            return (
                app.test_client()
                .post("/form", data=fields, content_type="multipart/form-data")
                .status_code
            )
        return app.test_client().post("/form", data=fields).status_code

    assert form(a="1", b="2", c="3") == 201
    assert form(a="1", b="2", c="3", d="4") == 413
    assert form(a="x" * 1000) == 201
    assert form(a="x" * 2001) == 413


def test_a_chunked_form_over_its_limit_is_413() -> None:
    app = service(MAX_CONTENT_LENGTH=10_000, MAX_FORM_MEMORY_SIZE=50)
    assert chunked(app, "/form", b"a=" + b"x" * 48, FORM) == 201
    assert chunked(app, "/form", b"a=" + b"x" * 49, FORM) == 413


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"a=\xff", FORM),
        (b"a=1", "multipart/form-data"),
        (b"a=1", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n',
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        (b"a=1", "multipart/form-data; boundary=\xff"),
        *[
            (b"--x\r\nContent-Disposition: form-data" + rest + b"\r\n\r\n1\r\n--x--\r\n", multipart)
            for rest in (b"", b"; nam=a", b'; filename="a.txt"')  # the field has no name
            for multipart in ["multipart/form-data; boundary=x"]
        ],
    ],
)
def test_a_form_that_cannot_be_read_is_400_and_not_an_empty_form(
    body: bytes, content_type: str
) -> None:
    assert send(service(MAX_CONTENT_LENGTH=1000), "/form", body, content_type).status_code == 400


# Types


def test_a_type_that_the_method_does_not_take_is_415_and_says_what_it_takes() -> None:
    app = service(REQUEST_CONTENT_TYPES={"post": "application/json, text/csv"})
    response = send(app, "/raw", b"<a/>", "text/xml")
    assert response.status_code == 415
    assert (
        response.headers["Accept"]
        == response.headers["Accept-Post"]
        == "application/json, text/csv"
    )
    assert send(app, "/raw", b"1", None).status_code == 415
    assert send(app, "/raw", b"1", "").status_code == 415
    assert send(app, "/raw", b"1", "Application/JSON; charset=utf-8").status_code == 201
    assert send(app, "/raw", b"1", "text/csv").status_code == 201
    assert send(app, "/json", b"1", "text/xml", method="PATCH").status_code == 415  # by the view
    assert "Accept" not in send(app, "/json", b"1", "text/xml", method="PATCH").headers


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "UTF-32", "no-such-charset"])
def test_json_and_forms_in_another_charset_are_400(charset: str) -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    assert send(app, "/json", b"1", f"application/json; charset={charset}").status_code == 400
    assert send(app, "/json", b"1", f"application/a+json;Charset={charset}").status_code == 400
    assert send(app, "/form", b"a=1", f"{FORM}; charset={charset}").status_code == 400
    assert send(app, "/raw", b"1", f"text/plain; charset={charset}").status_code == 201


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8", "us-ascii"])
def test_utf_8_by_any_name_is_taken(charset: str) -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    assert send(app, "/json", b"1", f"application/json; charset={charset}").status_code == 201


# JSON


@pytest.mark.parametrize(
    "document",
    [
        b"NaN",
        b"[Infinity]",
        b'{"a": -Infinity}',
        b"1e999",
        b"[-1e999]",
        b'{"a": 1, "a": 2}',
        b'[{"b": {"a": 1, "a": 1}}]',
        b'{"\\u0061": 1, "a": 2}',
        b'"\\ud800"',
        b'"\\uDC00\\uD800"',
        b'{"\\udfff": 1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        '"é"'.encode("latin-1"),
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32-be"),
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"[" * 101 + b"]" * 101,
        b'{"a":' * 101 + b"1" + b"}" * 101,
        b"1" * 5000,
        b"",
        b" ",
        b"[1,]",
        b"'a'",
        b"{} {}",
        b"\x00",
        b'"a\nb"',
    ],
    ids=lambda document: ascii(document[:20]),
)
def test_what_is_not_json_everywhere_is_400(document: bytes) -> None:
    app = service(MAX_CONTENT_LENGTH=10_000_000)
    assert send(app, "/json", document).status_code == 400


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"null", None),
        (b"[1.5e300, -0.0]", [1.5e300, -0.0]),
        (b'{"a": 1, "b": {"a": 1}}', {"a": 1, "b": {"a": 1}}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        ('"\u00e9"'.encode(), "\u00e9"),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"12345678901234567890", 12345678901234567890),
        (b"[" + b"[]," * 500 + b"[]]", [[]] * 501),
    ],
    ids=lambda part: ascii(part)[:20],
)
def test_what_is_json_arrives(document: bytes, value: Any) -> None:
    response = send(service(MAX_CONTENT_LENGTH=10_000), "/json", document)
    assert response.status_code == 201
    assert response.get_json()["got"] == value


def test_a_hundred_levels_are_taken() -> None:
    app = service(MAX_CONTENT_LENGTH=10_000)
    assert send(app, "/json", b"[" * 100 + b"1" + b"]" * 100).status_code == 201
    assert send(app, "/json", b"[[]," + b"[" * 99 + b"1" + b"]" * 100).status_code == 201
    assert send(app, "/json", b"[[]," + b"[" * 100 + b"1" + b"]" * 101).status_code == 400


def test_the_client_is_told_what_is_wrong_with_its_json() -> None:
    response = send(service(MAX_CONTENT_LENGTH=1000), "/json", b'{"a": }')
    assert "not JSON: Expecting value: line 1 column 7" in response.text


@pytest.mark.parametrize("document", [b"", b"  \n"])
def test_the_client_is_told_that_its_json_is_empty(document: bytes) -> None:
    response = send(service(MAX_CONTENT_LENGTH=1000), "/json", document)
    assert response.status_code == 400
    assert "The body is empty; send a JSON document." in response.text


def test_bad_json_is_not_an_event_and_nothing_of_it_is_repeated() -> None:
    app = service(MAX_CONTENT_LENGTH=100_000)
    for document in (b"[1e" + b"9" * 5000 + b"]", b'{"secret": }', b"[" * 200):
        response = send(app, "/json", document)
        assert response.status_code == 400
        assert len(response.text) < 300
        assert "secret" not in response.text
        assert app.extensions["event"] is None


def test_silent_parsing_stays_silent() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)

    @app.post("/silent")
    def silent() -> Any:
        return {"got": request.get_json(silent=True)}

    assert send(app, "/silent", b"[NaN]").get_json() == {"got": None}
    assert send(app, "/silent", b"[1]", "text/plain").get_json() == {"got": None}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_a_response_that_would_not_be_json_is_not_sent(value: Any) -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    with app.app_context(), pytest.raises(ValueError, match="JSON"):
        app.json.dumps(value)


def test_the_json_settings_of_the_application_stay() -> None:
    class Own(DefaultJSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return "own" + super().dumps(obj, **kwargs)

    app = Flask(__name__)
    app.json = Own(app)
    app.json.sort_keys = False
    app.config["MAX_CONTENT_LENGTH"] = 1000
    configure_request_validation(app)
    assert app.json.dumps({"b": 1, "a": 2}) == 'own{"b": 1, "a": 2}'


def test_a_provider_of_another_library_is_left_alone() -> None:
    class Other(JSONProvider):
        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return json.loads(s)

    app = Flask(__name__)
    app.json = other = Other(app)
    app.config["MAX_CONTENT_LENGTH"] = 1000
    configure_request_validation(app)
    assert app.json is other


# Hosts


def test_only_trusted_hosts_get_a_response() -> None:
    app = service(TRUSTED_HOSTS="localhost, .Example.com")

    def status(host: str) -> int:
        return app.test_client().get("/nowhere", headers={"Host": host}).status_code

    for host in ("localhost", "LocalHost:8000", "EXAMPLE.com", "api.Example.COM"):
        assert status(host) == 404
    assert app.extensions["event"] is None
    for host in ("evil.com", "badexample.com", "localhost.evil.com", "a@b", "", "[::1]"):
        assert status(host) == 400
    assert app.extensions["event"] == {"event": "host_refused"}


def test_a_host_that_is_missing_or_no_name_is_400_and_not_a_500() -> None:
    app = service(MAX_CONTENT_LENGTH=1000)
    app.add_url_rule("/url", "url", lambda: request.url)

    def status(host: str | None, protocol: str = "HTTP/1.1") -> int:
        builder = EnvironBuilder("/url", environ_overrides={"SERVER_PROTOCOL": protocol})
        environ = builder.get_environ()
        environ["HTTP_HOST"] = host
        if host is None:
            del environ["HTTP_HOST"]
        return int(run_wsgi_app(app, environ)[1][:3])

    assert [status(host) for host in ("xn--", "api.XN--:80", None)] == [400] * 3
    assert [status(host) for host in ("xn--bcher-kva.test", "localhost", "")] == [200] * 3
    assert status(None, "HTTP/1.0") == 200


# Configuration


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (
            "TRUSTED_HOSTS",
            ["*", "https://a.test", "a.test:80", "a.test/", "a_b", ["a", 1], 7, "a b", "x" * 64],
        ),
        ("MAX_CONTENT_LENGTH", [0, -1, True, 1.5, "1MB", "9" * 5000, [1], "\u0663"]),
        ("MAX_FORM_MEMORY_SIZE", [0, "x"]),
        ("MAX_FORM_PARTS", [0, "x"]),
        (
            "REQUEST_CONTENT_TYPES",
            [
                "application/json",
                ["a/b"],
                {"POST": []},
                {"POST": "json"},
                {"POST": 1},
                {"P T": "a/b"},
                {"PSOT": "a/b"},
                {1: "a/b"},
            ],
        ),
    ],
)
def test_a_key_that_cannot_be_read_is_refused_at_start(key: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=rf"^{key}: .* is not .*; for example "):
            service(**{key: value})


@pytest.mark.parametrize("length", [0, -1, True, "1", 1.5])
def test_a_limit_of_a_view_that_is_not_a_length_is_refused(length: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^body_limit: .* is not a number of bytes; for example 1048576"
    ):
        body_limit(length)


def test_text_from_the_environment_is_understood() -> None:
    app = service(MAX_CONTENT_LENGTH="1000", MAX_FORM_PARTS="5", TRUSTED_HOSTS="a.test, .b.test")
    assert app.config["MAX_CONTENT_LENGTH"] == 1000
    assert app.config["MAX_FORM_PARTS"] == 5
    assert app.config["TRUSTED_HOSTS"] == ["a.test", ".b.test"]


def test_two_applications_have_limits_of_their_own() -> None:
    small, large = service(MAX_CONTENT_LENGTH=5), service(MAX_CONTENT_LENGTH=50)
    assert send(small, "/raw", b"1234567890").status_code == 413
    assert send(large, "/raw", b"1234567890").status_code == 201
