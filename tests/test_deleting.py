"""What its owner changes leaves a service green: its whole remaining suite, ruff and mypy.

Deleted is what the README says; edited is what an owner edits first. The default run takes the
service's own tests and ruff: each deletion alone, all other edits together. The whole form, with
each edit alone, is for make soak.
"""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bakes import baked, run
from tests.middlewares import MIDDLEWARES, Middleware
from tests.servers import write_bytecode

Edit = Callable[[Path], None]
OPTIONAL = ("proxy", "metrics", "user_agents", "authentication", "validation")
SETTINGS = {
    "TRUSTED_HOSTS": ["api.shop.test"],
    "API_KEYS": {"mobile": {"keys": ["5b" * 32], "scopes": ["orders:read"]}},
    "RATELIMIT_DEFAULT": "3 per hour",
    "CORS_ORIGINS": ["https://shop.test"],
    "CORS_PATH": "/v2/",
    "MAX_CONTENT_LENGTH": 10,
    "LOG_FORMAT": "json",
    "RATELIMIT_APPLICATION": "1 per hour",
    "RATELIMIT_ALLOW": ["127.0.0.0/8"],
    "RATELIMIT_STORAGE_URI": "redis://no-such-store.test:6379/0",
    "SECURITY_HTTPS": True,
    "APPLICATION_ROOT": "/shop",
}
POST_ROUTE = """

@api_blueprint.post("/pings")
def create_ping() -> tuple[dict[str, str], int]:
    return {"message": "created"}, 201
"""
PAGES = """from __future__ import annotations

from flask import Blueprint

pages_blueprint = Blueprint("pages", __name__)


@pages_blueprint.get("/")
@pages_blueprint.get("/<path:name>")
def page(name: str = "home") -> str:
    return f"<h1>{len(name)}</h1>"


@pages_blueprint.route("/contact/<int:number>", methods=["GET", "POST"])
def contact(number: int) -> str:
    return f"<p>{number}</p>"
"""


SITE = """from __future__ import annotations

from datetime import date

from flask import Blueprint, Response, redirect, request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as Redirection

pages_blueprint = Blueprint("pages", __name__)


class DayConverter(BaseConverter):
    def to_python(self, value: str) -> date:
        return date.fromisoformat(value)

    def to_url(self, value: date) -> str:
        return value.isoformat()


@pages_blueprint.before_app_request
def log_in() -> Redirection | None:
    return None if request.path == "/login" else redirect("/login")


@pages_blueprint.app_errorhandler(401)
def show_login(error: Exception) -> Redirection:
    return redirect("/login")


@pages_blueprint.after_app_request
def may_be_framed(response: Response) -> Response:
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@pages_blueprint.record
def add_days(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["day"] = DayConverter
    state.add_url_rule("/on/<day:day>", "on", on)


def on(day: date) -> str:
    return day.isoformat()
"""
PAGE_OF_ERRORS = "<html><a href={{ url_for('pages.on') }}>{{ status }} {{ title }}</a></html>"


def edit(path: Path, pattern: str, replacement: str, count: int) -> None:
    text, found = re.subn(pattern, replacement, path.read_text("utf-8"), flags=re.M)
    assert found == count, (path, pattern, found)
    path.write_text(text, "utf-8")


def delete(one: Middleware, service: Path) -> None:
    """What the README says: the file, its test, its import and its line in create_app()."""
    factory = service / "app" / "__init__.py"
    (service / "app" / "middleware" / f"{one.name}.py").unlink()
    (service / "tests" / "middleware" / f"test_{one.name}.py").unlink()
    edit(factory, rf".*\b{one.function}\b.*\n", "", 2)
    if one.name == "authentication":  # what it verifies tokens with goes too
        (service / "app" / "tokens.py").unlink()
        (service / "tests" / "test_tokens.py").unlink()
        edit(factory, r"^from app\.tokens import .*\n", "", 1)


def delete_all(names: tuple[str, ...], service: Path) -> None:
    for one in MIDDLEWARES:
        if one.name in names:
            delete(one, service)
    run([sys.executable, "-m", "ruff", "format", "--no-cache", "app/__init__.py"], service)


def replace_orders(service: Path) -> None:
    (service / "app" / "api" / "orders.py").unlink()
    (service / "tests" / "test_orders.py").unlink()
    edit(service / "app" / "api" / "__init__.py", r".*orders_blueprint.*\n", "", 2)


def add_post_route(service: Path) -> None:
    with (service / "app" / "api" / "ping.py").open("a", encoding="utf-8") as file:
        file.write(POST_ROUTE)


def add_pages(service: Path, pages: str = PAGES) -> None:
    (service / "app" / "api" / "pages.py").write_text(pages, "utf-8")
    blueprints = service / "app" / "api" / "__init__.py"
    line = "from app.api.pages import pages_blueprint\n"
    edit(blueprints, r"^(from app\.api\.ping import .*\n)", rf"{line}\1", 1)
    with blueprints.open("a", encoding="utf-8") as file:
        file.write("    app.register_blueprint(pages_blueprint)\n")


def add_site(service: Path) -> None:
    """A login before every view, a header of one's own, a converter, pages of one's own."""
    add_pages(service, SITE)
    (service / "app" / "templates" / "first_page.html").write_text("<h1>Welcome</h1>\n", "utf-8")
    (service / "app" / "templates" / "error.html").write_text(PAGE_OF_ERRORS, "utf-8")


def change(key: str, service: Path) -> None:
    config = service / "app" / "config.py"
    text = re.sub(rf"^    {key} = .*\n", "", config.read_text("utf-8"), flags=re.M)
    config.write_text(text, "utf-8")
    value = repr(SETTINGS[key]).replace("'", '"')
    edit(config, r"^class Config:\n", f"class Config:\n    {key} = {value}\n", 1)
    run([sys.executable, "-m", "ruff", "format", "--no-cache", config], service)


def set_in_code(service: Path) -> None:
    lines = "".join(f"    app.config[{key!r}] = {value!r}\n" for key, value in SETTINGS.items())
    factory = service / "app" / "__init__.py"
    edit(factory, r"^(    check_flask_settings\(app\.config\)\n)", lines + r"\1", 1)


def match_hosts(service: Path) -> None:
    own = 'host_matching=True, static_host="<host>"'
    edit(service / "app" / "__init__.py", r"Flask\(__name__\)", f"Flask(__name__, {own})", 1)
    edit(service / "app" / "api" / "ping.py", r'get\("/ping"', 'get("/ping", host="shop.test"', 1)


def change_all(service: Path) -> None:
    for key in SETTINGS:
        change(key, service)


EDITS: dict[str, Edit] = {
    **{f"without {one.name}": functools.partial(delete, one) for one in MIDDLEWARES},
    "without the optional ones": functools.partial(delete_all, OPTIONAL),
    "without any": functools.partial(delete_all, tuple(one.name for one in MIDDLEWARES)),
    "without orders": replace_orders,
    "a POST route more": add_post_route,
    "pages": add_pages,
    **{key: functools.partial(change, key) for key in SETTINGS},
}
TOGETHER: dict[str, list[Edit]] = {
    "every setting, route and page": [change_all, add_post_route, add_pages],
    "a login before every view": [add_site],
    "other settings without orders": [change_all, replace_orders],
    "pages without any middleware": [EDITS["without any"], add_pages],
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    service = baked(tmp_path_factory.mktemp("original") / "out")
    write_bytecode(service / "app")  # once, and not for each copy
    return service


@pytest.fixture
def service(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "service"))


def lint(service: Path) -> None:
    run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], service)
    run([sys.executable, "-m", "ruff", "format", "--no-cache", "--check", "."], service)


def suite(service: Path, *options: str, **env: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options]
    run(command, service, seconds=300, **env)


@pytest.mark.parametrize("name", [name for name in EDITS if name.startswith("without")])
def test_the_service_stays_itself(name: str, service: Path) -> None:
    EDITS[name](service)
    lint(service)
    suite(service, "tests/test_create_app.py", "tests/test_checks.py")


@pytest.mark.parametrize("name", TOGETHER)
def test_the_services_own_tests_stay_green(name: str, service: Path) -> None:
    for one in TOGETHER[name]:
        one(service)
    lint(service)
    only_collected = ("--deselect=tests/middleware", "--deselect=tests/serving")
    suite(service, *only_collected, "-k", "not in_any_order")


@pytest.mark.parametrize("one", [set_in_code, match_hosts])
def test_the_service_may_be_made_in_another_way(one: Edit, service: Path) -> None:
    one(service)
    suite(service, *(f"tests/test_{name}.py" for name in ("create_app", "fixtures", "errors")))


def test_a_test_of_ones_own_may_ask_for_a_status_alone(service: Path) -> None:
    own = service / "tests" / "api" / "test_ping.py"  # and so runs before the others
    own.parent.mkdir()
    ask = 'assert client.get("/api/ping").status_code == 200'
    own.write_text(f"def test_it_responds(client):\n    {ask}\n", "utf-8")
    engine = (f"tests/middleware/engine/test_{name}.py" for name in ("context", "records"))
    suite(service, "tests/api", *engine)


def test_what_is_set_in_the_shell_changes_no_test(service: Path) -> None:
    tests = ("test_errors.py", "test_create_app.py", "middleware/engine/test_limiter_commands.py")
    shell = {"FLASK_DEBUG": "1", "FLASK_CORS_ORIGINS": "https://shop.test", "FORCE_COLOR": "1"}
    suite(service, *(f"tests/{name}" for name in tests), **shell)


@pytest.mark.soak
@pytest.mark.parametrize("name", [*EDITS, *TOGETHER])
def test_the_whole_suite_and_mypy_stay_green(name: str, service: Path) -> None:
    for one in TOGETHER.get(name) or [EDITS[name]]:
        one(service)
    lint(service)
    cache = service.parent.parent / "mypy"  # shared: most files are the same
    run([sys.executable, "-m", "mypy", "--cache-dir", cache], service)
    suite(service)
