"""Tokens as identity providers write them, by their documentation, and the settings for each."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g

REASON = "the service goes without it"
authentication = pytest.importorskip("app.middleware.authentication", reason=REASON)
tokens = pytest.importorskip("app.tokens", reason=REASON)
jwt = pytest.importorskip("jwt", reason='pip install "PyJWT[crypto]>=2.12,<3"')
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NOW = int(time.time())
TIMES = {"iat": NOW, "nbf": NOW, "exp": NOW + 3600}

TENANT = "8c2f6a3e-91f0-4d67-9d8a-7b1f6f2c1d10"
POOL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE"
REALM = "https://sso.example.com/realms/shop"

# By provider: what to set, the claims of an access token, and who it then is and may do what.
PROVIDERS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, list[str]]]] = {
    "Auth0": (  # the issuer ends with a slash
        {
            "JWT_ISSUER": "https://shop.eu.auth0.com/",
            "JWT_AUDIENCE": "https://api.example.com",
        },
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "auth0|507f1f77bcf86cd799439020",
            "aud": ["https://api.example.com", "https://shop.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile orders:read",
        },
        ("auth0|507f1f77bcf86cd799439020", ["openid", "orders:read", "profile"]),
    ),
    "Auth0 with RBAC": (
        {
            "JWT_ISSUER": "https://shop.eu.auth0.com/",
            "JWT_AUDIENCE": "https://api.example.com",
            "JWT_SCOPE_CLAIMS": "permissions",
        },
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "my_client_id@clients",
            "aud": "https://api.example.com",
            "azp": "my_client_id",
            "gty": "client-credentials",
            "scope": "everything",
            "permissions": ["orders:read", "orders:write"],
        },
        ("my_client_id@clients", ["orders:read", "orders:write"]),
    ),
    "Amazon Cognito": (  # its access tokens have no aud
        {
            "JWT_ISSUER": POOL,
            "JWT_REQUIRED_CLAIMS": {
                "token_use": "access",
                "client_id": ["1example23456789", "2example3456789"],
            },
        },
        {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["testers"],
            "iss": POOL,
            "version": 2,
            "client_id": "1example23456789",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "token_use": "access",
            "scope": "orders/read aws.cognito.signin.user.admin",
            "username": "jane",
        },
        ("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", ["aws.cognito.signin.user.admin", "orders/read"]),
    ),
    "Microsoft Entra ID, for a user": (
        {
            "JWT_ISSUER": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "JWT_AUDIENCE": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
        },
        {
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "azpacr": "0",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "scp": "orders.read orders.write",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": TENANT,
            "ver": "2.0",
        },
        ("HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ", ["orders.read", "orders.write"]),
    ),
    "Microsoft Entra ID, for a service": (  # application permissions are roles
        {
            "JWT_ISSUER": [
                f"https://sts.windows.net/{TENANT}/",
                f"https://login.microsoftonline.com/{TENANT}/v2.0",
            ],
            "JWT_AUDIENCE": ["api://orders", "6e74172b-be56-4843-9ff4-e66a39bb12e3"],
            "JWT_SCOPE_CLAIMS": "scp,roles",
        },
        {
            "aud": "api://orders",
            "iss": f"https://sts.windows.net/{TENANT}/",
            "appid": "f6b0e7a5-0b1c-4b5e-8f3e-3c1d2f4a5b6c",
            "idtyp": "app",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "roles": ["Orders.Read.All"],
            "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "tid": TENANT,
            "ver": "1.0",
        },
        ("690222be-ff1a-4d56-abd1-7e4f7d38e474", ["Orders.Read.All"]),
    ),
    "Keycloak": (  # its ID tokens are signed by the same keys, with typ "ID"
        {
            "JWT_ISSUER": REALM,
            "JWT_AUDIENCE": "orders",
            "JWT_REQUIRED_CLAIMS": {"typ": "Bearer"},
            "JWT_SCOPE_CLAIMS": "scope,realm_access.roles,resource_access.orders.roles",
        },
        {
            "jti": "onrtac:5a0a8b2e",
            "iss": REALM,
            "aud": ["orders", "account"],
            "sub": "f1888f4d-5172-4359-be0c-af338505d86c",
            "typ": "Bearer",
            "azp": "web",
            "realm_access": {"roles": ["offline_access"]},
            "resource_access": {"orders": {"roles": ["clerk"]}, "account": {"roles": ["view"]}},
            "scope": "email profile",
            "preferred_username": "jane",
        },
        ("f1888f4d-5172-4359-be0c-af338505d86c", ["clerk", "email", "offline_access", "profile"]),
    ),
    "Google": (  # for services: its ID tokens, since its access tokens are not signed tokens
        {
            "JWT_ISSUER": "https://accounts.google.com,accounts.google.com",
            "JWT_AUDIENCE": "https://orders.example.com",
            "JWT_REQUIRED_CLAIMS": {"azp": ["117855698573985698573"]},
        },
        {
            "aud": "https://orders.example.com",
            "azp": "117855698573985698573",
            "email": "batch@shop.iam.gserviceaccount.com",
            "email_verified": True,
            "iss": "https://accounts.google.com",
            "sub": "117855698573985698573",
        },
        ("117855698573985698573", []),
    ),
}

# Tokens of the same provider, under the same settings, that are for something else.
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("Auth0", {"iss": "https://shop.eu.auth0.com"}),
    ("Auth0", {"aud": "https://shop.eu.auth0.com/userinfo"}),
    ("Amazon Cognito", {"token_use": "id", "aud": "1example23456789"}),
    ("Amazon Cognito", {"client_id": "3example456789"}),
    ("Amazon Cognito", {"client_id": None}),
    ("Microsoft Entra ID, for a user", {"aud": "00000003-0000-0000-c000-000000000000"}),
    (
        "Microsoft Entra ID, for a user",
        {"iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"},
    ),
    ("Keycloak", {"typ": "ID"}),
    ("Keycloak", {"aud": "account"}),
    ("Google", {"azp": "222855698573985698573"}),
]


def service(path: Path, settings: dict[str, Any]) -> Flask:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    path.write_text(json.dumps({"keys": [{**jwk, "kid": "1", "use": "sig"}]}), encoding="utf-8")
    app = Flask(__name__)
    app.config.update(JWT_JWKS=str(path), **settings)
    authentication.configure_authentication(app, verify_token=tokens.token_verifier(app))
    app.get("/whoami")(lambda: {"client": g.client, "scopes": sorted(g.scopes)})
    return app


def ask(app: Flask, claims: dict[str, Any]) -> Any:
    present = {name: value for name, value in {**TIMES, **claims}.items() if value is not None}
    token = jwt.encode(present, KEY, "RS256", headers={"kid": "1"})
    return app.test_client().get("/whoami", headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_access_tokens_of_a_provider_are_understood(name: str, tmp_path: Path) -> None:
    settings, claims, (client, scopes) = PROVIDERS[name]
    response = ask(service(tmp_path / "jwks.json", settings), claims)
    assert response.get_json() == {"client": client, "scopes": scopes}


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_settings_may_come_as_text_from_the_environment(name: str, tmp_path: Path) -> None:
    settings, claims, _ = PROVIDERS[name]
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in settings.items()}
    assert ask(service(tmp_path / "jwks.json", texts), claims).status_code == 200


@pytest.mark.parametrize(("name", "change"), OTHERS)
def test_what_the_provider_signed_for_something_else_is_refused(
    name: str, change: dict[str, Any], tmp_path: Path
) -> None:
    settings, claims, _ = PROVIDERS[name]
    app = service(tmp_path / "jwks.json", settings)
    assert ask(app, {**claims, **change}).status_code == 401
    assert ask(app, claims).status_code == 200


def test_a_token_may_name_the_tier_of_its_limits(tmp_path: Path) -> None:
    settings, claims, _ = PROVIDERS["Keycloak"]
    app = service(tmp_path / "jwks.json", {**settings, "JWT_TIER_CLAIM": "shop.tier"})
    tiers: list[Any] = []
    app.teardown_request(lambda _: tiers.append(g.caller.tier))
    for tier in ("gold", None, ["gold"], 7):
        assert ask(app, {**claims, "shop": {"tier": tier}}).status_code == 200
    assert tiers == ["gold", None, None, None]
