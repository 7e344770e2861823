"""Seeded random requests, as bytes, on real servers: no 5xx, no hang, no server that stops.

A failure prints the number of the request; `raw_request(SEED, number)` makes it again.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from tests.raw_http import Answer, Hang, ask, chunks
from tests.servers import SERVICE, Server, granian, gunicorn, waitress

SEED = 20260102
FEW, MANY = 1_500, 100_000
AT_ONCE = 4
SERVERS: dict[str, Callable[..., AbstractContextManager[Server]]] = {
    "gunicorn-sync": lambda **options: gunicorn(SERVICE, "--worker-class", "sync", **options),
    "gunicorn-gthread": lambda **options: gunicorn(SERVICE, **options),
    "waitress": waitress,
    "granian": granian,
}
# What a server may say by itself, before the service is asked: a transfer coding, a version of
# HTTP or a method that it does not implement (RFC 9110 sections 15.6.2 and 15.6.6).
OF_THE_SERVER = (501, 505)
KEY = b"k" * 43
ENV = {
    "FLASK_TRUSTED_PROXIES": "1",
    "FLASK_TRUSTED_HOSTS": "localhost,.shop.test",
    "FLASK_CORS_ORIGINS": "https://app.shop.test,https://*.shop.test",
    "FLASK_RATELIMIT_DEFAULT": "1000000000 per hour",
    "FLASK_API_KEY_FAILURES": "999999 per second",
    "FLASK_MAX_CONTENT_LENGTH": "2000",
    "FLASK_MAX_FORM_PARTS": "10",
    "FLASK_MAX_FORM_MEMORY_SIZE": "1000",
    "FLASK_REQUEST_CONTENT_TYPES": '{"PATCH": ["application/merge-patch+json"]}',
    "FLASK_BLOCKED_USER_AGENTS": "sqlmap",
    "FLASK_CHECKS_SILENCED": "I001",
}
APPLICATION = f"""
import hashlib, json, os
from flask import request
from app import create_app
from app.middleware.authentication import public

digest = hashlib.sha256({KEY!r}).hexdigest()
client = {{"keys": [digest], "scopes": ["orders:read", "orders:write"]}}
os.environ["FLASK_API_KEYS"] = json.dumps({{"fuzz": client}})
app = create_app("production")

@app.route("/api/raw", methods=["GET", "POST", "PUT", "DELETE"])
@public
def raw():
    return {{"length": len(request.get_data())}}

@app.route("/api/json", methods=["POST", "PATCH"])
@public
def json_body():
    return {{"echo": request.get_json()}}

@app.post("/api/form")
@public
def form():
    names = [*request.form, *request.files]
    return {{"fields": names, "values": list(request.form.values())}}

@app.get("/api/text/<path:text>")
@public
def text(text):
    return {{"text": text, "args": request.args, "cookies": request.cookies}}
"""


# Requests


def raw_request(seed: int, number: int) -> tuple[bytes, bool]:
    """The bytes of a request, and whether it is complete as far as we know.

    Half of them are wild already as HTTP, so that few pass the server; the others are well formed
    and wild in what they say.
    """
    rng = random.Random(f"{seed}:{number}")
    is_wild = rng.random() < 0.4
    method, path, kind = rng.choice(ROUTES)
    if rng.random() < 0.25:
        method, path, kind = rng.choice(METHODS), target(rng, is_wild), rng.choice(KINDS)
    body, framing = some_body(rng, kind, is_wild)
    lines = [start_line(rng, method, path, is_wild), *some_fields(rng, is_wild), *framing]
    if not is_wild:
        return b"\r\n".join(lines) + b"\r\n\r\n" + body, True
    if rng.random() < 0.1:
        rng.shuffle(lines)
    request = rng.choice([b"\r\n"] * 20 + [b"\n", b"\r"]).join(lines) + b"\r\n\r\n" + body
    return (request, True) if rng.random() < 0.4 else (mutated(rng, request), False)


METHODS = [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS"]
PATHS = [b"/health", b"/ready", b"/api/ping", b"/api/raw", b"/api/text/a", b"/api/orders/"]
PATHS += [b"/api/json", b"/api/form", b"/api/orders"] * 2
KINDS = [b"json", b"form", b"multipart", b"bytes", b""]
ROUTES = [
    (b"POST", b"/api/json", b"json"),
    (b"POST", b"/api/json", b"json"),
    (b"POST", b"/api/orders", b"json"),
    (b"POST", b"/api/form", b"form"),
    (b"POST", b"/api/form", b"multipart"),
    (b"PUT", b"/api/raw", b"bytes"),
    (b"GET", b"/api/text/%ff%00?a=%ff", b""),
    (b"GET", b"/api/orders", b""),
]


def start_line(rng: random.Random, method: bytes, path: bytes, is_wild: bool) -> bytes:
    version = b"HTTP/1.1"
    if is_wild and rng.random() < 0.2:
        method = rng.choice(ODD_METHODS)
    if is_wild and rng.random() < 0.2:
        version = rng.choice([b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9", b"", b"http/1.1"])
    return b" ".join([method, path, version])


def target(rng: random.Random, is_wild: bool) -> bytes:
    path = rng.choice(PATHS)
    if rng.random() < 0.2:
        path = b"/api/text/" + b"".join(rng.choice(ODD_PATHS) for _ in range(rng.randint(1, 4)))
    if is_wild and rng.random() < 0.1:
        path = rng.choice([*ODD_TARGETS, path[1:]])
    if rng.random() < 0.3:
        path += b"?" + b"&".join(rng.choice(ODD_TEXT) for _ in range(rng.randint(1, 4)))
    return path


ODD_METHODS = [b"get", b"TRACE", b"CONNECT", b"PRI", b"X" * 100, b"G\xffT", b"", b"\x00", b"QUERY"]
ODD_TARGETS = [b"*", b"http://localhost/health", b"//evil.test", b"/" * 2000, b"", b"a:b"]
ODD_PATHS = [b"%00", b"%ff", b"%2e%2e/", b"../", b"%", b"%zz", b"%0d%0a", b"\xc3\xa9", b"\xff"]
ODD_PATHS += [
    b"a" * 300,
    b";x=1",
    b"%F0%9F%98%80",
    b"//",
    b"%2f",
    b"\\",
    b"'",
    b"%ed%a0%80",
    b"%u0041",
]
ODD_TEXT = [
    b"a=1",
    b"a",
    b"=",
    b"%00=%00",
    b"a[]=1",
    b"%ff",
    b"a=%",
    b"\xff\xfe",
    b"a=" + b"b" * 500,
]
ODD_TEXT += [b"a=\xf0\x9f\x98\x80", b"%ed%a0%80=1", b"a=1;b=2", b"__proto__=1", b"a+b=c%20d"]
ODD_VALUES = [b"", b"\xff\xfe", b"a" * 3000, b"\t", b"%0d%0a", b"a, b", b'"', b"0", b"\xc3\xa9"]
ODD_VALUES += [b"-1", b"9" * 40, b"NaN", b"null", b"*", b"=", b";", b",", b"\x85", b"\xed\xa0\x80"]
WILD_VALUES = [
    b"\x00",
    b"\x7f",
    b"a\x0bb",
    b"a\rb",
    b"a\nb",
    b"a\r\n b",
    b"a\r\n\tb: c",
    b"\x1b[0m",
]
ALMOST_ALWAYS_AS_LISTED = (b"Host", b"Expect", b"X-API-Key", b"X-Forwarded-Host")
WILD_NAMES = [b"\xff", b"A B", b" folded", b"", b"a\x00b", b"Content_Length", b"X_API_Key", b"Host"]
LENGTHS = [
    b"0",
    b"1",
    b"10",
    b"30",
    b"2001",
    b"-1",
    b"+1",
    b"1,1",
    b"0x10",
    b"1e3",
    b"9" * 30,
    b"",
    b"\xb2",
]
CODINGS = [
    b"chunked",
    b"Chunked",
    b"gzip, chunked",
    b"identity",
    b"chunked, chunked",
    b"x",
    b" chunked",
    b"",
]
TYPES = [
    b"application/json",
    b"application/json; charset=utf-8",
    b"application/json; charset=latin-1",
]
TYPES += [
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=b",
    b"multipart/form-data",
]
TYPES += [
    b"multipart/form-data; boundary=\xff",
    b"text/plain",
    b"application/merge-patch+json",
    b"/",
    b";",
]
TYPES += [
    b"application/json; charset=\xff",
    b"a/b; c=" + b"d" * 1000,
    b'application/json; charset="',
]
BAD_CHUNKS = [b"zz\r\n\r\n", b"-1\r\n\r\n", b"1\r\nabc\r\n0\r\n\r\n", b"", b"ffff\r\nab", b"0\r\n"]
FIELDS: dict[bytes, list[bytes]] = {
    b"Host": [b"localhost"] * 60
    + [b"", b"evil.test", b"a.shop.test:80", b"[::1]", b"a b", b"\xff", b"a" * 300],
    b"User-Agent": [b"curl/8", b"sqlmap/1", b"SQLMAP\xff"],
    b"X-Forwarded-For": [
        b"203.0.113.7",
        b"[::1]:80",
        b"unknown",
        b"1.2.3.4, 5.6.7.8",
        b"," * 500,
        b"::ffff:1.2.3.4",
    ],
    b"X-Forwarded-Proto": [b"https", b"http", b"javascript", b"https,http"],
    b"X-Forwarded-Host": [b"a.shop.test"] * 9
    + [b"evil.test", b"localhost:99999", b"a:b:c", b"[::1"],
    b"Forwarded": [b"for=1.2.3.4;proto=https", b"for="],
    b"Origin": [
        b"https://app.shop.test",
        b"https://a.shop.test",
        b"null",
        b"https://evil.test",
        b"https://[::1",
    ],
    b"Access-Control-Request-Method": [b"POST", b"", b"G\xffT"],
    b"Access-Control-Request-Headers": [b"x-api-key", b"," * 100],
    b"X-Request-ID": [b"abcdefgh", b"a" * 65, b"a b", b"\xff" * 9],
    b"traceparent": [b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"00-0-0-0", b"ff-\xff"],
    b"X-API-Key": [KEY] * 12 + [KEY + b"x", b"short"],
    b"Authorization": [
        b"Bearer " + KEY,
        b"bearer " + KEY,
        b"Bearer",
        b"Basic \xff",
        b"Bearer a.b.c",
        b"Digest a=b",
    ],
    b"Cookie": [b"session=x", b"__Host-session=.eJ.x.y", b"a=b; =; c", b"\xff=\xff", b"a" * 3000],
    b"Accept": [b"text/html", b"*/*;q=2", b"application/json;q=\xff", b"," * 200],
    b"Range": [b"bytes=0-1", b"bytes=-", b"bytes=9" + b"9" * 40],
    b"If-None-Match": [b"*", b'W/"a"', b'"'],
    b"If-Modified-Since": [b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 99 Foo 99999999999 99:99:99"],
    b"Expect": [b"100-continue"] * 9 + [b"200-ok"],
    b"Connection": [b"close", b"keep-alive", b"upgrade", b"Host"],
    b"Upgrade": [b"websocket", b"h2c"],
    b"Content-Encoding": [b"gzip", b"identity"],
    b"X-Forwarded-Prefix": [b"/x"],
    b"X-HTTP-Method-Override": [b"DELETE"],
    b"Max-Forwards": [b"0"],
    b"If-Range": [b"x"],
}


def some_fields(rng: random.Random, is_wild: bool) -> list[bytes]:
    chosen = [b"Host"] * (not is_wild or rng.random() < 0.9)
    chosen += [b"X-API-Key"] * (rng.random() < 0.5)
    chosen += rng.choices(list(FIELDS), k=rng.choice([0, 1, 2, 3, 5, 8]))
    if is_wild:
        chosen += rng.choices(WILD_NAMES, k=rng.choice([0, 0, 0, 1]))
        chosen += [b"X-Many"] * rng.choice([0] * 99 + [200])
    fields = []
    for name in chosen:
        values = FIELDS.get(name, ODD_VALUES)
        if name not in ALMOST_ALWAYS_AS_LISTED and rng.random() < 0.2:
            values = ODD_VALUES
        if is_wild and rng.random() < 0.05:
            values = WILD_VALUES
        separator = rng.choice([b":", b" : ", b""]) if is_wild and rng.random() < 0.03 else b": "
        fields.append(name + separator + rng.choice(values))
    return fields


def some_body(rng: random.Random, kind: bytes, is_wild: bool) -> tuple[bytes, list[bytes]]:
    """A body, and the fields that frame it."""
    if not kind:
        return b"", []
    content_type, make = CONTENTS[kind]
    body = make(rng)
    fields = [b"Content-Type: " + (content_type if rng.random() < 0.8 else rng.choice(TYPES))]
    if is_wild and rng.random() < 0.5:
        fields += [b"Content-Length: " + rng.choice(LENGTHS)] * rng.choice([0, 1, 1, 2])
        fields += [b"Transfer-Encoding: " + rng.choice(CODINGS)] * rng.choice([0, 0, 1, 2])
    elif rng.random() < 0.6:
        fields.append(b"Content-Length: %d" % (len(body) + rng.choice([0] * 9 + [1])))
    else:
        cuts = sorted(rng.randint(0, len(body)) for _ in range(rng.randint(0, 3)))
        pairs = zip([0, *cuts], [*cuts, len(body)], strict=True)
        body = chunks(*(body[start:end] for start, end in pairs if start < end))
        body = body[:-5] + rng.choice([body[-5:]] * 9 + BAD_CHUNKS)
        fields.append(b"Transfer-Encoding: chunked")
    return body, fields


def some_json(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b'{"item": "tea", "quantity": 2}',
            json.dumps(
                {
                    "item": rng.choice("\x00\u00e9\ud800"),
                    "quantity": rng.choice([-1, 1e308, 10**40]),
                }
            ).encode(),
            b"[" * rng.choice([5, 99, 101, 1500]) + b"]" * 99,
            b'{"a":' * 400,
            rng.choice(
                [
                    b"NaN",
                    b"[1e999]",
                    b"-Infinity",
                    b"1" * 1900,
                    b"null",
                    b'""',
                    b"[]",
                    b"\xef\xbb\xbf1",
                ]
            ),
            rng.choice(
                [
                    b'{"a":1,"a":2}',
                    b'"\\ud800"',
                    b'{"\\udfff":1}',
                    b'"\xff"',
                    b"{}{}",
                    b"[1,]",
                    b"'a'",
                ]
            ),
            '{"a": "\u00e9"}'.encode(rng.choice(["utf-8", "latin-1", "utf-16", "utf-32-le"])),
        ]
    )


def some_form(rng: random.Random) -> bytes:
    return b"&".join(rng.choice(ODD_TEXT) for _ in range(rng.choice([1, 3, 9, 15])))


def some_multipart(rng: random.Random) -> bytes:
    parts = []
    for _ in range(rng.choice([0, 1, 3, 12])):
        name = rng.choice(
            [
                b'"a"',
                b'""',
                b"a",
                b'"\xff"',
                b"*=utf-8''%ff",
                b'"a"; filename="\xff\x00"',
                b'"' + b"a" * 400,
            ]
        )
        head = b"Content-Disposition: form-data; name=" + name
        if rng.random() < 0.3:
            head += b"\r\nContent-Type: " + rng.choice([*TYPES, b"text/plain; charset=no-such"])
        parts.append(b"--b\r\n" + head + b"\r\n\r\n" + rng.choice(ODD_VALUES) + b"\r\n")
    return b"".join(parts) + rng.choice([b"--b--\r\n"] * 3 + [b"--b--", b"--b", b""])


def some_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.choice([1, 30, 1999, 2000, 2001, 70_000]))


CONTENTS: dict[bytes, tuple[bytes, Callable[[random.Random], bytes]]] = {
    b"json": (b"application/json", some_json),
    b"form": (b"application/x-www-form-urlencoded", some_form),
    b"multipart": (b"multipart/form-data; boundary=b", some_multipart),
    b"bytes": (b"text/plain", some_bytes),
}


def mutated(rng: random.Random, request: bytes) -> bytes:
    data = bytearray(request)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, width = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 8, 40])
        change = rng.randrange(5)
        if change == 0:
            del data[at : at + width]
        elif change == 1:
            data[at:at] = rng.randbytes(width)
        elif change == 2:
            data[at:at] = data[max(0, at - width) : at] * 2
        elif change == 3:
            data[at : at + 1] = rng.choice(
                [b"\x00", b"\r", b"\n", b"\r\n", b" ", b":", b"\xff", b"\x80", b"0"]
            )
        else:
            del data[at:]
    return bytes(data)


# What is promised


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("raw")
    (folder / "raw.py").write_text(APPLICATION, encoding="utf-8")
    env = {
        **ENV,
        "PYTHONPATH": str(folder),
        "FLASK_SECURITY_LOG_FILE": str(folder / "security.log"),
    }
    with SERVERS[request.param](target="raw:app", env=env) as running:
        yield running


def send(server: Server, number: int) -> tuple[int, Answer | Hang]:
    request, is_complete = raw_request(SEED, number)
    # Granian drops the response of a client that has closed its side: leave it open where we can.
    half_close = not (is_complete and is_framed(request))
    try:
        return number, ask(server.port, request, half_close=half_close)
    except Hang as hang:
        return number, hang


def is_framed(request: bytes) -> bool:
    """Whether any server can tell that the request is at its end, so that it responds at once."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    framing = [line for line in lines if line.startswith((b"Content-Length", b"Transfer-Encoding"))]
    if any(line.startswith((b"Expect", b"Connection", b"Upgrade", b" ")) for line in lines):
        return False
    if not lines[0].endswith(b"HTTP/1.1") or b"\n" in head.replace(b"\r\n", b""):
        return False
    if framing == [b"Transfer-Encoding: chunked"]:
        return is_whole(body)
    return framing == ([b"Content-Length: %d" % len(body)] if body else [])


def is_whole(chunked: bytes) -> bool:
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        if not re.fullmatch(rb"[0-9a-f]{1,8}", size):
            return False
        length = int(size, 16)
        if length == 0:
            return rest == b"\r\n"
        if rest[length : length + 2] != b"\r\n":
            return False
        chunked = rest[length + 2 :]
    return False


def fuzz(server: Server, amount: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    wrong = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, response in pool.map(lambda number: send(server, number), range(amount)):
            if isinstance(response, Hang):
                wrong.append((number, str(response)))
                continue
            statuses[response.status] += 1
            if response.status >= 500 and response.status not in OF_THE_SERVER:
                wrong.append((number, repr(response.raw[:300])))
    assert wrong == []
    assert ask(server.port, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").status in (200, 0)
    log = server.output()
    assert not re.search('"status":5(?!01)', log)  # 501 is the server's
    assert "Traceback" not in log
    return statuses


def test_every_request_gets_a_response_and_none_is_5xx(server: Server) -> None:
    statuses = fuzz(server, FEW)
    assert {200, 400, 401, 403, 404, 405, 413, 415} <= set(statuses), statuses


@pytest.mark.soak
def test_no_response_to_a_hundred_thousand_requests_is_5xx(server: Server) -> None:
    print(sorted(fuzz(server, MANY).items()))
