"""The packages of docs/extensions.md, each set up as its own documentation shows it."""

# mypy: disable-error-code="misc, name-defined, untyped-decorator"

from __future__ import annotations

import functools
import importlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, abort, redirect, render_template_string, request, session

Names = dict[str, Any]
FORM = """<!doctype html><title>form</title><form method="post">{{ form.csrf_token }}
{{ form.text }}<button>Send</button></form>"""
NONCE = """<!doctype html><title>cached</title><script nonce="{{ csp_nonce() }}"></script>"""
SCRIPTS_OF = "https://cdn.jsdelivr.net/npm/swagger-ui-dist/"  # as their documentation has it


def package(name: str) -> Any:
    return importlib.import_module(name)


def no_names() -> Names:
    return {}


@dataclass(frozen=True)
class Package:
    """How a package is set up.

    :param begin: makes what create_app() has to know; returns names.
    :param set_up: after create_app(); may add to the names.
    """

    modules: tuple[str, ...]
    set_up: Callable[[Flask, Names], None] = lambda app, names: None
    begin: Callable[[], Names] = no_names
    settings: Names = field(default_factory=dict)


def flask_wtf(app: Flask, names: Names) -> None:
    names["CSRFProtect"] = package("flask_wtf").CSRFProtect
    wtforms = package("wtforms")

    class Form(package("flask_wtf").FlaskForm):
        text = wtforms.StringField()

    @app.route("/form", methods=["GET", "POST"])
    def form() -> Any:
        form = Form()
        if form.validate_on_submit():
            return redirect(f"/api/ping?{form.text.data}", 303)
        return render_template_string(FORM, form=form)


def flask_login(app: Flask, names: Names) -> None:
    login = package("flask_login")

    class User(login.UserMixin):
        id = "ann"

    manager = login.LoginManager(app)
    manager.user_loader(lambda user_id: User() if user_id == "ann" else None)

    @app.post("/login")
    def log_in() -> Any:
        login.login_user(User(), remember=True)
        return {"in": True}

    @app.get("/me")
    @login.login_required
    def me() -> Any:
        return {"me": login.current_user.id}


def flask_session(app: Flask, names: Names) -> None:
    folder = tempfile.mkdtemp(prefix="sessions-")
    app.config["SESSION_CACHELIB"] = package("cachelib").FileSystemCache(folder)
    package("flask_session").Session(app)
    names["sessions"] = Path(folder)

    @app.route("/basket", methods=["GET", "POST"])
    def basket() -> Any:
        if request.method == "POST":
            session["basket"] = ["tea"]
        return {"basket": session.get("basket")}


def flask_sqlalchemy(app: Flask, names: Names) -> None:
    db = names["db"] = package("flask_sqlalchemy").SQLAlchemy(app)

    class Row(db.Model):
        id = db.Column(db.Integer, primary_key=True)
        text = db.Column(db.String(50), nullable=False)

    @app.route("/rows", methods=["GET", "POST"])
    def rows() -> Any:
        if request.method == "POST":
            db.session.add(Row(text=request.json["text"]))
            db.session.commit()
        return {"rows": [row.text for row in db.session.query(Row)]}

    @app.get("/rows/broken")
    def half_a_row() -> Any:
        db.session.add(Row())
        db.session.commit()

    with app.app_context():
        db.create_all()


def flask_migrate(app: Flask, names: Names) -> None:
    db = package("flask_sqlalchemy").SQLAlchemy(app) if "db" not in names else names["db"]
    names["db"] = db
    package("flask_migrate").Migrate(app, db)

    class Migrated(db.Model):
        id = db.Column(db.Integer, primary_key=True)

    @app.get("/migrated")
    def migrated() -> Any:
        return {"count": db.session.query(Migrated).count()}


def flask_caching(app: Flask, names: Names) -> None:
    cache = package("flask_caching").Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    calls: list[None] = []

    def counted() -> int:
        calls.append(None)
        return len(calls)

    remembered = cache.memoize()(counted)

    @app.get("/cached")
    @cache.cached()
    def cached() -> Any:
        return {"calls": counted()}

    @app.get("/cached/page")
    def page() -> Any:
        return render_template_string(NONCE) + str(remembered())


def flask_compress(app: Flask, names: Names) -> None:
    package("flask_compress").Compress(app)
    app.add_url_rule("/big", "big", lambda: {"big": "tea" * 1000})


def flask_mail(app: Flask, names: Names) -> None:
    mail = names["mail"] = package("flask_mail").Mail(app)
    app.extensions["mail"].suppress = True  # it is recorded, and not sent

    @app.post("/mail")
    def send() -> Any:
        mail.send_message("Tea", recipients=["ann@example.com"], body="It is out.")
        return {"sent": True}


def flask_babel(app: Flask, names: Names) -> None:
    folder = Path(tempfile.mkdtemp(prefix="translations-"))
    catalogue = package("babel.messages.catalog").Catalog(locale="de")
    catalogue.add("Tea is out.", "Der Tee ist aus.")
    target = folder / "de" / "LC_MESSAGES"
    target.mkdir(parents=True)
    with (target / "messages.mo").open("wb") as file:
        package("babel.messages.mofile").write_mo(file, catalogue)
    babel = package("flask_babel")
    babel.Babel(
        app,
        default_translation_directories=str(folder),
        locale_selector=lambda: request.accept_languages.best_match(["en", "de"]),
    )
    app.add_url_rule("/translated", "translated", lambda: babel.gettext("Tea is out."))


@functools.cache
def schema() -> Any:
    marshmallow = package("marshmallow")
    return marshmallow.Schema.from_dict(
        {"name": marshmallow.fields.String(required=True)}, name="Pet"
    )


def flask_smorest(app: Flask, names: Names) -> None:
    limiter = package("app.extensions").limiter
    pets = package("flask_smorest").Blueprint("pets", "pets", url_prefix="/pets")

    @pets.post("/")
    @pets.arguments(schema())
    @pets.response(201, schema())
    def add(pet: Any) -> Any:
        return pet

    @pets.get("/missing")
    def missing() -> Any:
        package("flask_smorest").abort(404, message="No such pet.")

    @pets.get("/once")
    @limiter.limit("1 per hour")
    def once() -> Any:
        return {}

    names["api"].register_blueprint(pets)


def flask_restx(app: Flask, names: Names) -> None:
    limiter = package("app.extensions").limiter
    restx = package("flask_restx")
    api = restx.Api(app, prefix="/restx", doc="/doc/")
    model = api.model("Pet", {"name": restx.fields.String(required=True)})

    @api.route("/pets")
    class Pets(restx.Resource):
        @api.expect(model, validate=True)
        def post(self) -> Any:
            return api.payload, 201

        def get(self) -> Any:
            abort(409, "Not now.")

        def patch(self) -> Any:
            raise RuntimeError("a bug")

        @limiter.limit("1 per hour")
        def put(self) -> Any:
            return {}


def flasgger(app: Flask, names: Names) -> None:
    package("flasgger").Swagger(app)

    @app.get("/documented")
    def documented() -> Any:
        """Says that it is documented.
        ---
        responses:
          200:
            description: that it is
        """
        return {"documented": True}


def apiflask(app: Any, names: Names) -> None:
    @app.post("/checked")
    @app.input(schema(), location="json")
    @app.output(schema(), status_code=201)
    def checked(json_data: Any) -> Any:
        return json_data

    @app.get("/checked/missing")
    def missing() -> Any:
        package("apiflask").abort(404, "No such thing.", headers={"X-Own": "1"})


def flask_socketio(app: Flask, names: Names) -> None:
    names["SocketIO"] = package("flask_socketio").SocketIO


def flask_sock(app: Flask, names: Names) -> None:
    @package("flask_sock").Sock(app).route("/echo")
    def echo(ws: Any) -> None:
        ws.send(ws.receive())


def opentelemetry(app: Flask, names: Names) -> None:
    trace = package("opentelemetry.sdk.trace")
    export = package("opentelemetry.sdk.trace.export")
    memory = package("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    names["spans"] = memory.InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(names["spans"]))
    names["instrumentor"] = package("opentelemetry.instrumentation.flask").FlaskInstrumentor()
    names["instrumentor"].instrument_app(app, tracer_provider=provider)


def begin_sentry() -> Names:
    sentry = package("sentry_sdk")
    events: list[Any] = []

    class Transport(sentry.transport.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            if event := envelope.get_event():
                events.append(event)

    sentry.init(dsn="http://key@localhost/1", transport=Transport)
    return {"events": events}


def sentry(app: Flask, names: Names) -> None:
    app.add_url_rule("/broken", "broken", lambda: str(1 / 0))


def prometheus(app: Flask, names: Names) -> None:
    client = package("prometheus_client")
    exporter = package("prometheus_flask_exporter").PrometheusMetrics
    registry = client.CollectorRegistry()  # of one test; by default there is one per process
    names["PrometheusMetrics"] = lambda app, **options: exporter(app, registry=registry, **options)


SMOREST = {
    "API_TITLE": "Pets",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.0.3",
    "OPENAPI_URL_PREFIX": "/spec",
    "OPENAPI_SWAGGER_UI_PATH": "/ui",
    "OPENAPI_SWAGGER_UI_URL": SCRIPTS_OF,
}
DATABASE = {"SQLALCHEMY_DATABASE_URI": "sqlite://"}

PACKAGES = {
    "Flask-WTF": Package(("flask_wtf",), flask_wtf),
    "Flask-Login": Package(("flask_login",), flask_login),
    "Flask-Session": Package(
        ("flask_session", "cachelib"), flask_session, settings={"SESSION_TYPE": "cachelib"}
    ),
    "Flask-SQLAlchemy": Package(("flask_sqlalchemy",), flask_sqlalchemy, settings=DATABASE),
    "Flask-Migrate": Package(("flask_migrate",), flask_migrate, settings=DATABASE),
    "Flask-Caching": Package(("flask_caching",), flask_caching),
    "Flask-Compress": Package(("flask_compress",), flask_compress),
    "Flask-Mail": Package(
        ("flask_mail",), flask_mail, settings={"MAIL_DEFAULT_SENDER": "shop@example.com"}
    ),
    "Flask-Babel": Package(("flask_babel", "babel"), flask_babel),
    "flask-smorest": Package(
        ("flask_smorest",),
        flask_smorest,
        lambda: {"api": package("flask_smorest").Api()},
        SMOREST,
    ),
    "Flask-RESTX": Package(("flask_restx",), flask_restx),
    "flasgger": Package(("flasgger",), flasgger),
    "APIFlask": Package(
        ("apiflask",), apiflask, lambda: {"APIFlask": package("apiflask").APIFlask}
    ),
    "Flask-SocketIO": Package(("flask_socketio",), flask_socketio),
    "flask-sock": Package(("flask_sock", "simple_websocket"), flask_sock),
    "sentry-sdk": Package(("sentry_sdk",), sentry, begin_sentry),
    "opentelemetry-instrumentation-flask": Package(
        ("opentelemetry.instrumentation.flask", "opentelemetry.sdk"), opentelemetry
    ),
    "prometheus-flask-exporter": Package(("prometheus_flask_exporter",), prometheus),
}
