"""What app/errors.py promises."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, request
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    HTTPException,
    NotFound,
    TooManyRequests,
    Unauthorized,
)

from app.errors import configure_errors

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
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


def problem(answer: Any) -> dict[str, Any]:
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    members: dict[str, Any] = answer.json
    return members


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 418, 429, 502, 503])
def test_every_refusal_is_a_problem_with_its_own_words(status: int) -> None:
    app = service()
    app.add_url_rule("/refused", "refused", lambda: abort(status, "Because of that."))
    answer = app.test_client().get("/refused")
    assert answer.status_code == status
    assert problem(answer)["type"] == "about:blank"
    assert problem(answer)["detail"] == "Because of that."


def test_unknown_paths_and_methods_are_problems_and_keep_their_headers() -> None:
    client = service().test_client()
    assert problem(client.get("/nowhere"))["title"] == "Not Found"
    answer = client.post("/")
    assert problem(answer)["title"] == "Method Not Allowed"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_refusal_keeps_the_headers_that_it_needs() -> None:
    asked = Unauthorized(www_authenticate=WWWAuthenticate("bearer", {"realm": "api"}))
    answer = service(asked).test_client().get("/")
    assert answer.headers["WWW-Authenticate"] == "Bearer realm=api"
    assert answer.headers.getlist("Content-Type") == ["application/problem+json"]
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
            self.problem["status"] = 200  # a mistake: it is the answer's that counts
            self.headers = {"RateLimit": '"a";r=0;t=7'}

    answer = service(QuotaExceeded()).test_client().get("/")
    assert answer.status_code == 429
    assert problem(answer)["type"] == "https://example.com/quota"
    assert problem(answer)["violated-policies"] == ["a"]
    assert answer.headers["RateLimit"] == '"a";r=0;t=7'


def test_the_request_id_is_a_member_where_there_is_one() -> None:
    client = service().test_client()
    assert "request_id" not in problem(client.get("/nowhere"))
    answer = client.get("/nowhere", environ_overrides={"request_id": "0123456789abcdef"})
    assert problem(answer)["request_id"] == "0123456789abcdef"


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, OSError, UnicodeError])
def test_an_unhandled_exception_shows_nothing_of_itself(kind: type[Exception]) -> None:
    answer = service(kind(SECRET)).test_client().get("/")
    assert problem(answer)["title"] == "Internal Server Error"
    assert "swordfish" not in answer.text and kind.__name__ not in answer.text


def test_a_500_raised_by_hand_shows_nothing_either() -> None:
    app = service()
    app.add_url_rule("/broken", "broken", lambda: abort(500, SECRET))
    assert "swordfish" not in app.test_client().get("/broken").text


def test_a_missing_form_field_does_not_name_what_the_code_looked_for() -> None:
    app = service()

    @app.post("/form")
    def form() -> str:
        return request.form["internal_name"]

    answer = app.test_client().post("/form")
    assert problem(answer)["status"] == 400
    assert "internal_name" not in answer.text


def test_an_answer_that_the_service_built_itself_is_not_touched() -> None:
    own = Response("own", 404, {"X-Own": "1"})
    for error in (NotFound(response=own), HTTPException(response=own)):
        answer = service(error).test_client().get("/")
        assert (answer.status_code, answer.text, answer.headers["X-Own"]) == (404, "own", "1")


def test_a_redirect_stays_a_redirect() -> None:
    app = service()
    app.add_url_rule("/folder/", "folder", lambda: "in it")
    answer = app.test_client().get("/folder")
    assert (answer.status_code, answer.location) == (308, "http://localhost/folder/")


def test_a_head_request_gets_the_head_alone() -> None:
    answer = service(Forbidden()).test_client().head("/")
    assert (answer.status_code, answer.data) == (403, b"")
    assert answer.mimetype == "application/problem+json"


def with_page(folder: Path, text: str) -> dict[str, Any]:
    (folder / "templates").mkdir()
    (folder / "templates" / "error.html").write_text(text, encoding="utf-8")
    return {"root_path": str(folder)}


def test_a_browser_gets_the_page_of_the_service_and_a_program_json(tmp_path: Path) -> None:
    page = "<h1>[[ status ]] [[ title ]]</h1><p>[[ detail ]] [[ request_id ]]"
    page = page.replace("[[", "{" * 2).replace("]]", "}" * 2)
    client = service(BadRequest("<b>no</b>"), **with_page(tmp_path, page)).test_client()
    answer = client.get("/", headers=BROWSER, environ_overrides={"request_id": "an-id"})
    assert answer.mimetype == "text/html"
    assert answer.text == "<h1>400 Bad Request</h1><p>&lt;b&gt;no&lt;/b&gt; an-id"
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        answer = client.get("/", headers={"Accept": accept})
        assert problem(answer)["detail"] == "<b>no</b>"
        assert answer.headers["Vary"] == "Accept"


def test_without_a_page_a_browser_gets_json_too() -> None:
    answer = service(BadRequest()).test_client().get("/", headers=BROWSER)
    assert problem(answer)["status"] == 400
    assert "Vary" not in answer.headers


@pytest.mark.parametrize("error", [NotFound(), RuntimeError(SECRET)])
def test_a_page_that_fails_itself_leaves_a_500_in_json(error: Exception, tmp_path: Path) -> None:
    broken = "{" + "{ 1 // 0 }" + "}"
    answer = service(error, **with_page(tmp_path, broken)).test_client().get("/", headers=BROWSER)
    assert problem(answer)["status"] == 500
    assert "swordfish" not in answer.text


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

    app.wsgi_app.inner = layer  # type: ignore[attr-defined]


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
    answer = app.test_client().get("/", environ_overrides={"request_id": "an-id"})
    assert answer.status_code == 500
    assert problem(answer)["request_id"] == "an-id"
    assert "swordfish" not in answer.text


@pytest.mark.parametrize("headers", [{"X-Name": "\u0431" + SECRET}, {"X-\u0431": SECRET}])
def test_a_header_that_no_server_can_send_is_a_500_problem_and_the_body_is_closed(
    headers: dict[str, str],
) -> None:
    app = service()
    closed = []

    def index() -> Response:
        answer = Response("fine", headers=headers)
        answer.call_on_close(lambda: closed.append(True))
        return answer

    app.view_functions["index"] = index
    answer = app.test_client().get("/")
    assert problem(answer)["status"] == 500
    assert "swordfish" not in str(answer.headers) + answer.text
    assert closed == [True]
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(UnicodeEncodeError):
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

    app.wsgi_app.inner = inner  # type: ignore[attr-defined]
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
    answer = app.test_client().get("/", buffered=False)
    pieces = iter(answer.response)
    assert (next(pieces), made) == (b"a", ["a"])
    assert (next(pieces), made) == (b"b", ["a", "b"])
    answer.close()
    assert made == ["a", "b", "closed"]


def test_a_layer_that_is_added_later_sees_what_is_answered_here() -> None:
    app = service()
    raises_in_teardown(app)
    seen = []

    class Later:
        def __init__(self, wsgi_app: Any) -> None:
            self.wsgi_app = wsgi_app

        def __call__(self, environ: Any, start_response: Any) -> Any:
            def start(status: str, *rest: Any) -> Any:
                seen.append(status)
                return start_response(status, *rest)

            return self.wsgi_app(environ, start)

    holder: Any = app
    while hasattr(holder.wsgi_app, "wsgi_app"):
        holder = holder.wsgi_app
    holder.wsgi_app = Later(holder.wsgi_app)
    app.test_client().get("/")
    assert seen == ["500 INTERNAL SERVER ERROR"]
