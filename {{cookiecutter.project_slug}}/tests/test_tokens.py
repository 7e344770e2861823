"""Signed tokens of an identity provider: whom app/tokens.py believes, and what it never fetches."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g, request
from werkzeug.test import TestResponse

from app.middleware.engine import key_sets
from app.tokens import token_verifier

pytest.importorskip("app.middleware.authentication", reason="the service goes without it")
jwt = pytest.importorskip("jwt", reason='pip install "PyJWT[crypto]>=2.12,<3"')
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: E402

from app.middleware.authentication import configure_authentication, require_scope  # noqa: E402

AUDIENCE = "https://api.example.com"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
FOREIGN_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)


def jwk(private: Any, kid: str, **members: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = jwt.algorithms.ECAlgorithm
    return {**json.loads(algorithm.to_jwk(private.public_key())), "kid": kid, **members}


class Issuer:
    """An identity provider on loopback: it serves `document` and keeps the paths it was asked."""

    def __init__(self) -> None:
        self.document: Any = {"keys": [jwk(RSA_KEY, "rsa", use="sig"), jwk(EC_KEY, "ec")]}
        self.status = 200
        self.asked: list[str] = []
        self.release = threading.Event()
        self.release.set()
        self.drips = False
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.release.wait(10)
                body = json.dumps(issuer.document).encode()
                self.send_response(issuer.status)
                while issuer.drips:  # never a silence, and never an end
                    self.flush_headers()
                    self.wfile.write(b"X-Drip: 1\r\n")
                    time.sleep(0.05)
                if issuer.status == 302:
                    self.send_header("Location", f"{issuer.name}/elsewhere")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.name = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def config(self, **config: Any) -> dict[str, Any]:
        return {
            "JWT_JWKS": f"{self.name}/jwks.json",
            "JWT_ISSUER": self.name,
            "JWT_AUDIENCE": AUDIENCE,
            **config,
        }

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": "ann",
            "scope": "orders:read orders:write",
            "iat": now,
            "exp": now + 300,
            **claims,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, key: Any = RSA_KEY, algorithm: str = "RS256", kid: Any = "rsa", **claims: Any
    ) -> str:
        return signed(self.claims(**claims), {"alg": algorithm, "kid": kid}, key)


def part(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def signed(claims: Any, header: dict[str, Any], key: Any) -> str:
    """A token with any header, signed by the algorithm that it names."""
    message = part({k: v for k, v in header.items() if v is not None}) + b"." + part(claims)
    algorithm = jwt.algorithms.get_default_algorithms()[header["alg"]]
    return (message + b"." + part(algorithm.sign(message, key))).decode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.release.set()
    issuer.server.shutdown()
    issuer.server.server_close()


def service(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update({"API_KEY_FAILURES": "1000 per minute", **config})
    configure_authentication(app, verify_token=token_verifier(app))

    @app.get("/whoami")
    def whoami() -> dict[str, Any]:
        return {"client": g.client, "scopes": sorted(g.scopes)}

    @app.get("/orders")
    @require_scope("orders:read")
    def orders() -> str:
        return "orders"

    return app


def get(app: Flask, token: str, path: str = "/whoami") -> TestResponse:
    return app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})


# -- who gets in -----------------------------------------------------------------------------------


def test_a_token_names_the_client_and_its_scopes(issuer: Issuer) -> None:
    response = get(service(**issuer.config()), issuer.token())
    assert response.get_json() == {"client": "ann", "scopes": ["orders:read", "orders:write"]}


def test_rsa_and_elliptic_keys_serve(issuer: Issuer) -> None:
    app = service(**issuer.config())
    assert get(app, issuer.token()).status_code == 200
    assert get(app, issuer.token(EC_KEY, "ES256", "ec")).status_code == 200


def test_a_token_without_the_scope_is_403(issuer: Issuer) -> None:
    response = get(service(**issuer.config()), issuer.token(scope="profile"), "/orders")
    assert response.status_code == 403
    assert 'error="insufficient_scope", scope="orders:read"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, ["a", "b"]),
        ({"scope": ""}, []),
        ({"scope": None}, []),
        ({"scope": None, "scp": "a b"}, ["a", "b"]),
        ({"scope": None, "scp": ["a", "b"]}, ["a", "b"]),
    ],
)
def test_scopes_are_read_as_providers_write_them(
    issuer: Issuer, claims: dict[str, Any], scopes: list[str]
) -> None:
    response = get(service(**issuer.config()), issuer.token(**claims))
    assert response.get_json()["scopes"] == scopes


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"sub": "auth0|5f7c"}, "auth0|5f7c"),
        ({"sub": None, "client_id": "batch"}, "batch"),
        ({"sub": None, "azp": "batch"}, "batch"),
    ],
)
def test_a_machine_without_a_subject_is_named_by_its_client_id(
    issuer: Issuer, claims: dict[str, Any], name: str
) -> None:
    assert get(service(**issuer.config()), issuer.token(**claims)).get_json()["client"] == name


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE, "https://other.example.com"]])
def test_the_audience_may_be_one_of_several(issuer: Issuer, audience: Any) -> None:
    assert get(service(**issuer.config()), issuer.token(aud=audience)).status_code == 200


def test_clocks_may_differ_by_the_leeway(issuer: Issuer) -> None:
    app, now = service(**issuer.config(JWT_LEEWAY="30")), int(time.time())
    assert get(app, issuer.token(exp=now - 10)).status_code == 200
    assert get(app, issuer.token(nbf=now + 10, iat=now + 10)).status_code == 200


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_types_of_access_tokens_are_accepted(issuer: Issuer, kind: str) -> None:
    token = signed(issuer.claims(), {"alg": "RS256", "kid": "rsa", "typ": kind}, RSA_KEY)
    assert get(service(**issuer.config()), token).status_code == 200


def test_a_key_id_is_needed_only_where_there_are_two_keys(issuer: Issuer) -> None:
    app = service(**issuer.config())
    assert get(app, issuer.token(kid=None)).status_code == 200
    issuer.document = {"keys": [jwk(RSA_KEY, "rsa"), jwk(FOREIGN_KEY, "next")]}
    app = service(**issuer.config())
    assert get(app, issuer.token(kid=None)).status_code == 401
    assert get(app, issuer.token(FOREIGN_KEY, kid="next")).status_code == 200


def test_keys_and_tokens_serve_side_by_side(issuer: Issuer) -> None:
    key = "k" * 43
    keys = {"mobile": {"keys": [hashlib.sha256(key.encode()).hexdigest()]}}
    app = service(**issuer.config(API_KEYS=keys))
    assert get(app, key).get_json()["client"] == "mobile"
    assert get(app, issuer.token()).get_json()["client"] == "ann"


def test_keys_in_a_file_need_no_network(tmp_path: Path, issuer: Issuer) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(issuer.document))
    app = service(**issuer.config(JWT_JWKS=str(path)))
    assert get(app, issuer.token()).status_code == 200
    assert issuer.asked == []


# -- who does not ----------------------------------------------------------------------------------


def attacks(issuer: Issuer) -> dict[str, str]:
    """Tokens that a service must refuse, by what is wrong with them."""
    claims, now = issuer.claims(), int(time.time())
    public = RSA_KEY.public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    def bare(header: Any, body: Any = claims, signature: bytes = b"") -> str:
        return b".".join([part(header), part(body), signature]).decode()

    def hs256(secret: bytes) -> str:
        message = part({"alg": "HS256", "kid": "rsa"}) + b"." + part(claims)
        return (message + b"." + part(hmac.digest(secret, message, "sha256"))).decode()

    def header(**members: Any) -> str:
        return signed(claims, {"alg": "RS256", "kid": "rsa", **members}, RSA_KEY)

    def foreign(**members: Any) -> str:
        return signed(claims, {"alg": "RS256", "kid": "rsa", **members}, FOREIGN_KEY)

    good = issuer.token()
    head, _, signature = good.split(".")
    return {
        "none": bare({"alg": "none", "kid": "rsa"}),
        "None": bare({"alg": "None", "kid": "rsa"}),
        "none, signed by another": bare({"alg": "none"}, signature=signature.encode()),
        "no algorithm": bare({"kid": "rsa"}),
        "algorithm is a list": bare({"alg": ["RS256"], "kid": "rsa"}),
        "algorithm is null": bare({"alg": None, "kid": "rsa"}),
        "HS256 with the public key as PEM": hs256(pem),
        "HS256 with the public key, stripped": hs256(pem.strip()),
        "HS256 with the public key as DER": hs256(der),
        "HS256 with the JWK": hs256(json.dumps(jwk(RSA_KEY, "rsa")).encode()),
        "HS256 with the modulus": hs256(jwk(RSA_KEY, "rsa")["n"].encode()),
        "HS256 with nothing": hs256(b""),
        "an algorithm not configured": issuer.token(algorithm="RS512"),
        "PS256 of the same key": issuer.token(algorithm="PS256"),
        "ES256 naming the RSA key": issuer.token(EC_KEY, "ES256", "rsa"),
        "RS256 naming the elliptic key": issuer.token(kid="ec"),
        "another signer": foreign(),
        "no signature": good.rpartition(".")[0] + ".",
        "a signature of zeros": f"{head}.{part(claims).decode()}.{'A' * 342}",
        "an elliptic signature of zeros": bare(
            {"alg": "ES256", "kid": "ec"}, signature=part(b"\0" * 64)
        ),
        "claims exchanged": f"{head}.{part({**claims, 'sub': 'root'}).decode()}.{signature}",
        "wrong issuer": issuer.token(iss="https://evil.example.com"),
        "issuer with a slash": issuer.token(iss=issuer.name + "/"),
        "issuer is a part": issuer.token(iss=issuer.name[:-1]),
        "issuer is a list": issuer.token(iss=[issuer.name]),
        "no issuer": issuer.token(iss=None),
        "wrong audience": issuer.token(aud="https://other.example.com"),
        "audience is a part": issuer.token(aud=AUDIENCE[:-1]),
        "audience is empty": issuer.token(aud=[]),
        "no audience": issuer.token(aud=None),
        "expired": issuer.token(exp=now - 31),
        "no expiry": issuer.token(exp=None),
        "expiry is text": issuer.token(exp="never"),
        "expiry is infinite": issuer.token(exp=float("inf")),
        "expiry is not a number": issuer.token(exp=float("nan")),
        "expiry is a list": issuer.token(exp=[now + 300]),
        "expiry is a number as text": issuer.token(exp=str(now + 300)),
        "expiry is true": issuer.token(exp=True),
        "valid since a number as text": issuer.token(nbf=str(now - 300)),
        "valid since true": issuer.token(nbf=True),
        "issued at a number as text": issuer.token(iat=str(now - 300)),
        "issued at true": issuer.token(iat=True),
        "not yet valid": issuer.token(nbf=now + 60),
        "issued in the future": issuer.token(iat=now + 600),
        "nobody": issuer.token(sub=None),
        "subject is empty": issuer.token(sub=""),
        "subject is a number": issuer.token(sub=7),
        "subject splits a line": issuer.token(sub="ann\nroot"),
        "subject is huge": issuer.token(sub="a" * 256),
        "scope is a number": issuer.token(scope=7),
        "scopes are numbers": issuer.token(scope=None, scp=[7]),
        "unknown kid": issuer.token(kid="unknown"),
        "kid with a path": foreign(kid="../../../../dev/null"),
        "kid with a URL": foreign(kid=f"{issuer.name}/kid"),
        "kid with SQL": foreign(kid="x' UNION SELECT 'key"),
        "kid is a list": foreign(kid=["rsa"]),
        "kid is a mapping": foreign(kid={"rsa": 1}),
        "kid is empty": foreign(kid=""),
        "jku": foreign(kid="evil", jku=f"{issuer.name}/jku"),
        "x5u": foreign(kid="evil", x5u=f"{issuer.name}/x5u"),
        "its own key": foreign(jwk=jwk(FOREIGN_KEY, "rsa")),
        "its own certificate": foreign(x5c=[part(der).decode()]),
        "crit": header(crit=["exp"], exp=1),
        "crit that is empty": header(crit=[]),
        "crit is text": header(crit="b64"),
        "b64": header(b64=False, crit=["b64"]),
        "a logout token": header(typ="logout+jwt"),
        "an event token": header(typ="secevent+jwt"),
        "type is a list": header(typ=["JWT"]),
        "huge": issuer.token(extra="x" * 9000),
        "deeply nested": bare(b"[" * 5000),
        "deeply nested claims": signed([[[[]]]] * 9, {"alg": "RS256", "kid": "rsa"}, RSA_KEY),
        "header is a list": bare([]),
        "header is not JSON": bare(b"header"),
        "claims are a list": signed([1], {"alg": "RS256", "kid": "rsa"}, RSA_KEY),
        "claims are not JSON": signed(b"claims", {"alg": "RS256", "kid": "rsa"}, RSA_KEY),
        "claims are not UTF-8": signed(b"\xff" * 40, {"alg": "RS256", "kid": "rsa"}, RSA_KEY),
        "an encrypted token": good + ".e30.e30",
        "two parts": good.rpartition(".")[0],
        "dots": "." * 40,
        "no base64": "a.b." + "c" * 41,
        "padding": good + "=",
        "a quoted token": f'"{good}"',
        "garbage": "\xfc" * 60,
    }


def test_every_attack_is_401_and_nothing_else_is_fetched(issuer: Issuer) -> None:
    app = service(**issuer.config(PROPAGATE_EXCEPTIONS=True))
    assert get(app, issuer.token()).status_code == 200
    accepted = {}
    for name, token in attacks(issuer).items():
        environ = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        response = app.test_client().get("/whoami", environ_overrides=environ)
        if (
            response.status_code != 401
            or "invalid_token" not in response.headers["WWW-Authenticate"]
        ):
            accepted[name] = response.status_code
    assert accepted == {}
    assert set(issuer.asked) == {"/jwks.json"}
    assert len(issuer.asked) == 1  # an unknown key id right after a read asks for no other


@pytest.mark.filterwarnings("ignore")  # production only warns of a short key, we refuse it
@pytest.mark.parametrize(
    "key",
    [
        jwk(WEAK_KEY, "rsa"),
        jwk(RSA_KEY, "rsa", use="enc"),
        jwk(RSA_KEY, "rsa", alg="RS512"),
        jwk(RSA_KEY, "rsa", alg="RSA-OAEP"),
        jwk(RSA_KEY, "rsa", key_ops=["encrypt"]),
        jwk(RSA_KEY, "rsa", key_ops=None),
        jwk(RSA_KEY, "rsa", key_ops=5),
        jwk(RSA_KEY, "rsa", e=None),
        jwk(RSA_KEY, "rsa", n="AA"),
        {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "rsa", "n": "AQAB"},
        {"kty": "RSA", "kid": "rsa", "n": 7, "e": 7},
    ],
)
def test_keys_that_are_not_for_this_are_left(issuer: Issuer, key: dict[str, Any]) -> None:
    issuer.document = {"keys": [key, None, 7, jwk(EC_KEY, "ec")]}
    app = service(**issuer.config())
    signer = WEAK_KEY if key["kty"] == "RSA" and len(str(key["n"])) < 200 else RSA_KEY
    assert get(app, issuer.token(signer)).status_code == 401
    assert get(app, issuer.token(EC_KEY, "ES256", "ec")).status_code == 200


def test_a_token_of_another_algorithm_fetches_nothing(issuer: Issuer) -> None:
    app, tokens = service(**issuer.config()), attacks(issuer)
    for name in ("none", "HS256 with the public key as PEM", "an algorithm not configured"):
        assert get(app, tokens[name]).status_code == 401
    assert issuer.asked == []


def test_the_verifier_itself_reads_no_token_over_8192_characters(issuer: Issuer) -> None:
    app = Flask(__name__)
    app.config.update(issuer.config())
    verify = token_verifier(app)
    assert verify is not None
    assert verify(issuer.token(extra="x" * 5000)) is not None
    assert verify(issuer.token(extra="x" * 9000)) is None


def test_forged_tokens_are_limited_as_wrong_keys_are_and_valid_ones_never(issuer: Issuer) -> None:
    app = service(**issuer.config(API_KEY_FAILURES="3 per hour"))
    forged = [get(app, issuer.token(FOREIGN_KEY, sub=f"u{n}")).status_code for n in range(5)]
    assert forged == [401, 401, 401, 429, 429]
    for name in ("ann", "bob"):  # both for the first time from this address
        assert get(app, issuer.token(sub=name)).get_json()["client"] == name


def test_a_thousand_expired_tokens_are_no_guesses(issuer: Issuer) -> None:
    app = service(**issuer.config(API_KEY_FAILURES="1 per hour"))
    expired = issuer.token(exp=int(time.time()) - 300)
    assert {get(app, expired).status_code for _ in range(1000)} == {401}
    assert get(app, issuer.token()).status_code == 200


@pytest.mark.parametrize(
    ("claims", "reason", "sentence"),
    [
        ({"exp": 1}, "expired_token", "The token has expired."),
        ({"nbf": 2**40}, "early_token", "The token is not valid yet."),
        ({"iat": 2**40}, "early_token", "The token is not valid yet."),
        ({"aud": "billing"}, "foreign_token", "not for this service: aud is another one."),
        ({"iss": "https://evil.example.com"}, "foreign_token", "not for this service: iss is"),
    ],
)
def test_a_genuine_token_that_is_not_for_here_or_now_is_told_so(
    issuer: Issuer, claims: dict[str, Any], reason: str, sentence: str
) -> None:
    app = service(**issuer.config(API_KEY_FAILURES="1 per hour"))
    events: list[Any] = []
    app.teardown_request(lambda _: events.append(request.environ["security_event"]))
    for _ in range(3):
        response = get(app, issuer.token(**claims))
        assert (response.status_code, sentence in response.text) == (401, True)
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert events[0] == {"event": "authn_failed", "reason": reason}


def test_the_log_names_the_setting_that_refuses_a_genuine_token(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="app.tokens")
    app = service(**issuer.config(JWT_ISSUER="https://login.example.com/"))
    assert get(app, issuer.token()).status_code == 401
    assert caplog.messages == [
        f"token_refused: iss is '{issuer.name}', JWT_ISSUER says ['https://login.example.com/']"
    ]


# -- the provider's keys ---------------------------------------------------------------------------


def test_a_new_key_is_found_without_a_restart(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = service(**issuer.config())
    assert get(app, issuer.token()).status_code == 200
    issuer.document["keys"].append(jwk(FOREIGN_KEY, "next"))
    monkeypatch.setattr(key_sets, "RETRY_SECONDS", 0.0)
    app = service(**issuer.config())
    assert get(app, issuer.token()).status_code == 200
    issuer.document["keys"].append(jwk(WEAK_KEY, "third"))
    assert get(app, issuer.token(FOREIGN_KEY, kid="next")).status_code == 200
    assert get(app, issuer.token(kid="fourth")).status_code == 401
    assert len(issuer.asked) == 3


def test_a_withdrawn_key_stops_serving_when_the_keys_are_old(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "RETRY_SECONDS", 0.0)
    app = service(**issuer.config())
    assert get(app, issuer.token()).status_code == 200
    issuer.document["keys"].pop(0)
    assert get(app, issuer.token()).status_code == 200
    verifier = app.extensions["authentication"].identification.verify_token
    verifier.keys.max_age = -1
    assert get(app, issuer.token()).status_code == 401


@pytest.mark.parametrize(
    ("status", "document"),
    [(500, {}), (404, {}), (302, {}), (200, "no JWKS"), (200, {"keys": 7}), (200, [])],
)
def test_the_keys_we_have_serve_while_the_provider_is_ill(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, status: int, document: Any
) -> None:
    monkeypatch.setattr(key_sets, "RETRY_SECONDS", 0.0)
    app = service(**issuer.config())
    assert get(app, issuer.token()).status_code == 200
    app.extensions["authentication"].identification.verify_token.keys.max_age = -1
    issuer.status, issuer.document = status, document
    assert get(app, issuer.token()).status_code == 200
    assert issuer.asked == ["/jwks.json"] * 2  # a redirect is not followed


def test_a_provider_that_drips_its_headers_holds_nobody(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "FETCH_SECONDS", 0.2)
    monkeypatch.setattr(key_sets, "RETRY_SECONDS", 0.0)
    app = service(**issuer.config())
    issuer.drips = True
    assert [get(app, issuer.token()).status_code for _ in range(3)] == [503] * 3
    assert len(issuer.asked) == 1  # it is not asked again while it still drips
    issuer.drips = False
    response = app.extensions["authentication"].identification.verify_token.keys._response
    wait([response], timeout=10)
    assert get(app, issuer.token()).status_code == 200


def test_before_the_first_keys_it_is_503_and_no_fault_of_the_caller(issuer: Issuer) -> None:
    issuer.status = 500
    app = service(**issuer.config(API_KEY_FAILURES="1 per hour"))
    responses = [get(app, issuer.token()) for _ in range(5)]
    assert {response.status_code for response in responses} == {503}
    assert responses[0].headers["Retry-After"] == "10"
    assert len(issuer.asked) == 1


def test_the_keys_are_read_once_however_many_callers_wait_for_them(issuer: Issuer) -> None:
    issuer.release.clear()
    app, token = service(**issuer.config()), issuer.token()
    with ThreadPoolExecutor(8) as threads:
        responses = [threads.submit(get, app, token) for _ in range(8)]
        while not issuer.asked:
            time.sleep(0.01)
        issuer.release.set()
    assert [response.result().status_code for response in responses] == [200] * 8
    assert len(issuer.asked) == 1


# -- configuration ---------------------------------------------------------------------------------


def test_without_keys_to_verify_with_it_is_off() -> None:
    app = Flask(__name__)
    assert token_verifier(app) is None
    app.config["JWT_JWKS"] = ""  # an empty variable in the environment
    assert token_verifier(app) is None


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ({"JWT_ISSUER": None}, "JWT_ISSUER: None is missing although JWT_JWKS is set"),
        ({"JWT_AUDIENCE": ""}, "JWT_AUDIENCE: '' is missing although JWT_JWKS is set"),
        (
            {"JWT_AUDIENCE": 7},
            "JWT_AUDIENCE: 7 is not a list, .*; for example https://api.example.com",
        ),
        ({"JWT_JWKS": None}, "JWT_JWKS: None is missing although JWT_ISSUER is set"),
        ({"JWT_JWKS": " "}, "JWT_JWKS: ' ' is missing although JWT_ISSUER is set"),
        ({"JWT_ISSUER": [""]}, r"JWT_ISSUER: \[''\] is empty; for example https://login.example"),
        ({"JWT_JWKS": ["a.json", "b.json"]}, "JWT_JWKS: .* is not text"),
        ({"JWT_REQUIRED_CLAIMS": "access"}, "JWT_REQUIRED_CLAIMS: 'access' is not a mapping"),
        ({"JWT_REQUIRED_CLAIMS": {"a": 1}}, "JWT_REQUIRED_CLAIMS: 1 is not text, or a list of t"),
        ({"JWT_REQUIRED_CLAIMS": {"a": []}}, r"JWT_REQUIRED_CLAIMS: \[\] is not text, or a list"),
        ({"JWT_REQUIRED_CLAIMS": {"aud": "b"}}, "JWT_REQUIRED_CLAIMS: 'aud' is not for this key"),
        ({"JWT_SCOPE_CLAIMS": {"a": 1}}, "JWT_SCOPE_CLAIMS: .* is not a list"),
        ({"JWT_TIER_CLAIM": ["tier"]}, "JWT_TIER_CLAIM: .* is not text"),
        ({"JWT_JWKS": "http://login.example.com/jwks"}, "JWT_JWKS: .* is not https"),
        ({"JWT_JWKS": "file:///etc/passwd"}, "JWT_JWKS: .* is not https"),
        ({"JWT_JWKS": "https:///jwks"}, "JWT_JWKS: .* is not https"),
        *[
            ({"JWT_JWKS": f"https://{rest}"}, "^JWT_JWKS: is not a URL .*; for example https:")
            for rest in ("[::1/jwks", "h:port/", "h:0/", "h:65536/", "u:p@h/", "h/a b", "h\u00e9/")
        ],
        ({"JWT_JWKS": "/nowhere/jwks.json"}, "JWT_JWKS: .* cannot be read: No such file"),
        ({"JWT_JWKS": __file__}, "JWT_JWKS: .* is not a JWK Set"),
        ({"JWT_ALGORITHMS": "HS256"}, "JWT_ALGORITHMS: 'HS256' is not one of RS256"),
        ({"JWT_ALGORITHMS": "RS256,none"}, "JWT_ALGORITHMS: 'none' is not one of RS256"),
        ({"JWT_ALGORITHMS": []}, r"JWT_ALGORITHMS: \[\] is empty; for example RS256, ES256"),
        ({"JWT_ALGORITHMS": [["RS256"]]}, "JWT_ALGORITHMS: .* is not text"),
        ({"JWT_LEEWAY": -1}, "JWT_LEEWAY: -1 is not a number of seconds"),
        ({"JWT_LEEWAY": "soon"}, "JWT_LEEWAY: 'soon' is not a number of seconds"),
        ({"JWT_LEEWAY": True}, "JWT_LEEWAY: True is not a number of seconds"),
        ({"JWT_LEEWAY": 301}, "JWT_LEEWAY: 301 is not a number of seconds from 0 to 300"),
        ({"JWT_LEEWAY": "9" * 5000}, "JWT_LEEWAY: '9{1,90}... is not a number of seconds"),
        ({"JWT_JWKS_MAX_AGE": 86401}, "JWT_JWKS_MAX_AGE: 86401 .* from 1 to 86400"),
        ({"JWT_JWKS_MAX_AGE": 0}, "JWT_JWKS_MAX_AGE: 0 is not a number of seconds"),
    ],
)
def test_a_wrong_key_refuses_to_start_and_says_what_to_write(
    config: dict[str, Any], remedy: str
) -> None:
    app = Flask(__name__)
    app.config.update(
        {
            "JWT_JWKS": "https://login.example.com/jwks.json",
            "JWT_ISSUER": "https://login.example.com",
            "JWT_AUDIENCE": AUDIENCE,
            **config,
        }
    )
    with pytest.raises(ValueError, match=f"^{remedy}"):
        token_verifier(app)


def test_a_setting_for_tokens_without_their_keys_is_refused() -> None:
    app = Flask(__name__)
    app.config["JWT_LEEWAY"] = 10
    with pytest.raises(ValueError, match=r"^JWT_JWKS: None is missing although JWT_LEEWAY is set"):
        token_verifier(app)


def test_a_file_that_is_not_a_key_set_refuses_to_start_in_one_line(
    tmp_path: Path, issuer: Issuer
) -> None:
    path = tmp_path / "jwks.json"
    for text in ("[" * 100_000, '{"keys": 5}', "keys", ""):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"JWT_JWKS: .* is not a JWK Set: ") as error:
            service(**issuer.config(JWT_JWKS=str(path)))
        assert len(str(error.value)) < 500


def test_a_file_without_a_usable_key_refuses_to_start(tmp_path: Path, issuer: Issuer) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}))
    with pytest.raises(ValueError, match=r"JWT_JWKS: .* has no public key for RS256, ES256"):
        service(**issuer.config(JWT_JWKS=str(path)))
