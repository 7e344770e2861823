"""What app/errors.py promises."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask, Response, abort, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    HTTPException,
    NotFound,
    TooManyRequests,
    Unauthorized,
    UnprocessableEntity,
)

from app.errors import configure_errors

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
OWN = ("X-Own", "1")
SECRET = "the password is swordfish"


def service(error: BaseException | None = None, **options: Any) -> Flask:
    """An application whose only view raises the error."""
    app = Flask(__name__, **options)
    app.logger.setLevel(logging.CRITICAL)  # expected here, and so not worth a line
    configure_errors(app)

    @app.get("/")
    def index() -> str:
        if error is not None:
            raise error
        return "fine"

    return app


def problem(response: Any) -> dict[str, Any]:
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == response.status_code
    members: dict[str, Any] = response.json
    return members


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 418, 429, 502, 503])
def test_every_refusal_is_a_problem_with_its_own_words(status: int) -> None:
    app = service()
    app.add_url_rule("/refused", "refused", lambda: abort(status, "Because of that."))
    response = app.test_client().get("/refused")
    assert response.status_code == status
    assert problem(response)["type"] == "about:blank"
    assert problem(response)["detail"] == "Because of that."


def test_unknown_paths_and_methods_are_problems_and_keep_their_headers() -> None:
    client = service().test_client()
    assert problem(client.get("/nowhere"))["title"] == "Not Found"
    response = client.post("/")
    assert problem(response)["title"] == "Method Not Allowed"
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_refusal_keeps_the_headers_that_it_needs() -> None:
    asked = Unauthorized(www_authenticate=WWWAuthenticate("bearer", {"realm": "api"}))
    response = service(asked).test_client().get("/")
    assert response.headers["WWW-Authenticate"] == "Bearer realm=api"
    assert response.headers.getlist("Content-Type") == ["application/problem+json"]
    assert (
        service(TooManyRequests(retry_after=7)).test_client().get("/").headers["Retry-After"] == "7"
    )


def test_an_exception_brings_its_own_members_and_headers() -> None:
    class QuotaExceeded(TooManyRequests):
        def __init__(self) -> None:
            super().__init__("Too many.")
            self.problem: dict[str, Any] = {
                "type": "https://example.com/quota",
                "violated-policies": ["a"],
            }
            self.problem["status"] = 200  # a mistake: it is the response's that counts
            self.headers = {"RateLimit": '"a";r=0;t=7'}

    response = service(QuotaExceeded()).test_client().get("/")
    assert response.status_code == 429
    assert problem(response)["type"] == "https://example.com/quota"
    assert problem(response)["violated-policies"] == ["a"]
    assert response.headers["RateLimit"] == '"a";r=0;t=7'


def test_members_that_json_does_not_know_are_text() -> None:
    error = Conflict()
    error.problem = {"order": UUID(int=5), "until": date(2026, 1, 2)}  # type: ignore[attr-defined]
    members = problem(service(error).test_client().get("/"))
    assert members["order"] == "00000000-0000-0000-0000-000000000005"
    assert (members["status"], members["until"]) == (409, "2026-01-02")


def test_what_abort_of_webargs_and_flask_smorest_tells_is_in_the_problem() -> None:
    error = UnprocessableEntity()
    error.data = {"messages": {"json": {"name": ["is missing"]}}, "headers": {"X-Own": "1"}}  # type: ignore[attr-defined]
    response = service(error).test_client().get("/")
    assert problem(response)["errors"] == {"json": {"name": ["is missing"]}}
    assert response.headers["X-Own"] == "1"
    error.data = {"message": "No such pet."}  # type: ignore[attr-defined]
    assert problem(service(error).test_client().get("/"))["detail"] == "No such pet."


def test_the_request_id_is_a_member_where_there_is_one() -> None:
    client = service().test_client()
    assert "request_id" not in problem(client.get("/nowhere"))
    response = client.get("/nowhere", environ_overrides={"request_id": "0123456789abcdef"})
    assert problem(response)["request_id"] == "0123456789abcdef"


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, OSError, UnicodeError])
def test_an_unhandled_exception_shows_nothing_of_itself(kind: type[Exception]) -> None:
    response = service(kind(SECRET)).test_client().get("/")
    assert problem(response)["title"] == "Internal Server Error"
    assert "swordfish" not in response.text and kind.__name__ not in response.text


def test_a_500_raised_by_hand_shows_nothing_either() -> None:
    app = service()
    app.add_url_rule("/broken", "broken", lambda: abort(500, SECRET))
    assert "swordfish" not in app.test_client().get("/broken").text


def test_a_missing_form_field_does_not_name_what_the_code_looked_for() -> None:
    app = service()

    @app.post("/form")
    def form() -> str:
        return request.form["internal_name"]

    response = app.test_client().post("/form")
    assert problem(response)["status"] == 400
    assert "internal_name" not in response.text


def test_a_response_that_the_service_built_itself_is_not_touched() -> None:
    own = Response("own", 404, {"X-Own": "1"})
    for error in (NotFound(response=own), HTTPException(response=own)):
        response = service(error).test_client().get("/")
        assert (response.status_code, response.text, response.headers["X-Own"]) == (404, "own", "1")


def test_a_redirect_stays_a_redirect() -> None:
    app = service()
    app.add_url_rule("/folder/", "folder", lambda: "in it")
    response = app.test_client().get("/folder")
    assert (response.status_code, response.location) == (308, "http://localhost/folder/")


def test_a_head_request_gets_the_head_alone() -> None:
    response = service(Forbidden()).test_client().head("/")
    assert (response.status_code, response.data) == (403, b"")
    assert response.mimetype == "application/problem+json"


def with_page(folder: Path, text: str) -> dict[str, Any]:
    (folder / "templates").mkdir()
    (folder / "templates" / "error.html").write_text(text, encoding="utf-8")
    return {"root_path": str(folder)}


def test_a_browser_gets_the_page_of_the_service_and_a_program_json(tmp_path: Path) -> None:
    page = "<h1>[[ status ]] [[ title ]]</h1><p>[[ detail ]] [[ request_id ]]"
    page = page.replace("[[", "{" * 2).replace("]]", "}" * 2)
    client = service(BadRequest("<b>no</b>"), **with_page(tmp_path, page)).test_client()
    response = client.get("/", headers=BROWSER, environ_overrides={"request_id": "an-id"})
    assert response.mimetype == "text/html"
    assert response.text == "<h1>400 Bad Request</h1><p>&lt;b&gt;no&lt;/b&gt; an-id"
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        response = client.get("/", headers={"Accept": accept})
        assert problem(response)["detail"] == "<b>no</b>"
        assert response.headers["Vary"] == "Accept"


def test_without_a_page_a_browser_gets_json_too() -> None:
    response = service(BadRequest()).test_client().get("/", headers=BROWSER)
    assert problem(response)["status"] == 400
    assert "Vary" not in response.headers


@pytest.mark.parametrize("error", [NotFound(), RuntimeError(SECRET)])
def test_a_page_that_fails_itself_leaves_a_500_in_json(error: Exception, tmp_path: Path) -> None:
    broken = "{" + "{ 1 // 0 }" + "}"
    response = service(error, **with_page(tmp_path, broken)).test_client().get("/", headers=BROWSER)
    assert problem(response)["status"] == 500
    assert "swordfish" not in response.text


def raises_in_teardown(app: Flask) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        raise RuntimeError(SECRET)


def raises_in_after_request(app: Flask) -> None:
    @app.after_request
    def after(response: Response) -> Response:
        raise RuntimeError(SECRET)


def raises_when_the_session_opens(app: Flask) -> None:
    class Broken(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: Any) -> Any:
            raise RuntimeError(SECRET)

    app.session_interface = Broken()


def raises_before_the_first_byte(app: Flask) -> None:
    def stream() -> Iterator[str]:
        raise RuntimeError(SECRET)
        yield ""

    app.view_functions["index"] = lambda: stream()


def raises_in_a_layer_inside(app: Flask) -> None:
    def layer(environ: Any, start_response: Any) -> Any:
        raise RuntimeError(SECRET)

    app.extensions["pipeline"].inner = layer


FAULTS = [
    raises_in_teardown,
    raises_in_after_request,
    raises_when_the_session_opens,
    raises_before_the_first_byte,
    raises_in_a_layer_inside,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_leaves_flask_is_a_500_problem_too(fault: Any) -> None:
    app = service()
    fault(app)
    response = app.test_client().get("/", environ_overrides={"request_id": "an-id"})
    assert response.status_code == 500
    assert problem(response)["request_id"] == "an-id"
    assert "swordfish" not in response.text


@pytest.mark.parametrize(
    "headers", [{"X-Name": "\u0431" + SECRET}, {"X-\u0431": SECRET}, {"X Name": SECRET}]
)
def test_a_header_that_no_server_can_send_is_a_500_problem_and_the_body_is_closed(
    headers: dict[str, str],
) -> None:
    app = service()
    closed = []

    def index() -> Response:
        response = Response("fine", headers=headers)
        response.call_on_close(lambda: closed.append(True))
        return response

    app.view_functions["index"] = index
    response = app.test_client().get("/")
    assert problem(response)["status"] == 500
    assert "swordfish" not in str(response.headers) + response.text
    assert closed == [True]
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(ValueError, match=r"latin-1|is not a name"):
        app.test_client().get("/")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("config", [{"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}])
def test_tests_and_the_debugger_see_the_exception_itself(
    fault: Any, config: dict[str, bool]
) -> None:
    app = service()
    fault(app)
    app.config.update(config)
    with pytest.raises(RuntimeError, match="swordfish"):
        app.test_client().get("/").get_data()


def test_the_exception_is_in_the_log_and_the_path_cannot_forge_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = service()
    raises_in_teardown(app)
    app.logger.setLevel(logging.ERROR)
    app.test_client().get("/%0D%0Aforged")
    (record,) = caplog.records
    assert record.exc_info and SECRET in str(record.exc_info[1])
    assert "\n" not in record.getMessage()


def test_the_head_goes_out_once_and_the_body_is_closed() -> None:
    app = service()
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            raise RuntimeError(SECRET)

        def close(self) -> None:
            closed.append(True)

    def inner(environ: Any, start_response: Any) -> Body:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body()

    app.extensions["pipeline"].inner = inner
    heads: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    body = app.wsgi_app(environ, lambda status, headers: heads.append(status))  # type: ignore
    assert b"".join(body)
    assert heads == ["500 INTERNAL SERVER ERROR"]
    assert closed == [True]


def test_a_stream_is_sent_piece_by_piece_and_closed_where_the_client_leaves() -> None:
    made: list[str] = []
    app = service()

    def stream() -> Iterator[str]:
        try:
            for piece in ("a", "b", "c"):
                made.append(piece)
                yield piece
        finally:
            made.append("closed")

    app.view_functions["index"] = lambda: stream()
    response = app.test_client().get("/", buffered=False)
    pieces = iter(response.response)
    assert (next(pieces), made) == (b"a", ["a"])
    assert (next(pieces), made) == (b"b", ["a", "b"])
    response.close()
    assert made == ["a", "b", "closed"]


def test_the_headers_of_all_middlewares_are_on_what_leaves_flask_too() -> None:
    app = service()
    raises_in_teardown(app)
    app.extensions["pipeline"].on_headers(lambda environ, status, headers: headers.append(OWN))
    response = app.test_client().get("/")
    assert (response.status_code, response.headers["X-Own"]) == (500, "1")


def test_a_script_of_another_origin_can_read_what_failed_under_the_debugger() -> None:
    app = service(RuntimeError("a bug"))
    app.debug = True
    fetch = {"Origin": "https://app.example.com", "Accept": "*/*"}
    response = app.test_client().get("/", headers=fetch)
    assert problem(response)["status"] == 500
    assert "RuntimeError: a bug" in problem(response)["traceback"][-1]
    with pytest.raises(RuntimeError):  # a person gets the debugger, after a form as well
        app.test_client().get("/", headers={**BROWSER, "Origin": "http://localhost"})
    app.debug = False
    assert "traceback" not in problem(app.test_client().get("/", headers=fetch))
