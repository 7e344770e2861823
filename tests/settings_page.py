"""docs/settings.md, made of the docstrings: `python -m tests.settings_page` writes it."""

from __future__ import annotations

from tests.middlewares import MIDDLEWARES, TOKENS, Middleware, read
from tests.servers import SERVICE, TEMPLATE

CHECKS = read(SERVICE / "app" / "checks" / "__init__.py")  # no middleware either
FIRST_PAGE = read(SERVICE / "app" / "first_page.py")
WITH_KEYS = (*MIDDLEWARES, TOKENS, CHECKS, FIRST_PAGE)

PAGE = TEMPLATE / "docs" / "settings.md"
HEAD = """# Settings

Made from the docstrings of the files by `python -m tests.settings_page`.

Any key is set in `app/config.py`, or as `FLASK_<KEY>` in the environment or `.env` (JSON, or text):
`FLASK_CORS_ORIGINS=https://app.example.com,https://*.example.com`. A value that cannot be used is
refused at start, by a message that names the key, the value and the remedy. So is a value of one of
Flask's own keys with which Flask could not go on (`SESSION_COOKIE_*`, `PERMANENT_SESSION_LIFETIME`,
`SERVER_NAME` and others).

Besides: `APP_CONFIG` (`development`, `testing` or `production`, for `wsgi.py`), `FLASK_SECRET_KEY`
(at least 32 characters in production), and those of gunicorn.conf.py
([deployment.md](deployment.md)).
"""


def section(one: Middleware) -> str:
    rows = "".join(
        f"| `{key}` | {cell(default)} | {cell(meaning)} |\n"
        for key, (default, meaning) in one.keys.items()
    )
    where = one.path.relative_to(TEMPLATE).as_posix().partition("/")[2]
    first = one.docstring.partition("\n\n")[0].replace("\n", " ")
    table = f"| key | default | meaning (unit) |\n|---|---|---|\n{rows}"
    return f"\n## {where}\n\n{first}\n\n{table}"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def page() -> str:
    return HEAD + "".join(map(section, WITH_KEYS))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
