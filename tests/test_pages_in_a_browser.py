"""Pages of the service in headless Chromium: what the headers stop and must not break."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.parts import require
from tests.servers import SERVICE, gunicorn

WSGI = '''
import os

from flask import Response, render_template_string, request

from app import create_app
from app.middleware.security import content_security_policy

app = create_app("production")
PAGE = """<!doctype html><title>nothing ran</title>
<img src="$OTHER/picture.svg">
<script nonce="[[ csp_nonce() ]]">
document.title = "ran";
onload = () => { document.title += document.images[0].naturalWidth ? ", seen" : ", unseen"; };
</script>""".replace("[[", "{" * 2).replace("]]", "}" * 2).replace("$OTHER", os.environ["OTHER"])


@app.get("/page")
def page():
    return render_template_string(PAGE)


@app.get("/pictures")
@content_security_policy(img_src=os.environ["OTHER"])
def pictures():
    return render_template_string(PAGE)


@app.get("/stored")
def stored():
    response = Response(render_template_string(PAGE), headers={"Cache-Control": "no-cache"})
    response.set_etag("1")
    app.logger.error("asked with %s", request.if_none_match)
    return response.make_conditional(request)
'''
PICTURE = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"


class OtherHost(BaseHTTPRequestHandler):
    """Serves a picture as most hosts do: without a word on who may embed it."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/svg+xml")
        self.send_header("Content-Length", str(len(PICTURE)))
        self.end_headers()
        self.wfile.write(PICTURE)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def other_host() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherHost) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"  # the pages are on localhost: another site
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def service(other_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "pages_wsgi.py").write_text(WSGI, encoding="utf-8")
    env = {"PYTHONPATH": str(folder), "OTHER": other_host}
    with gunicorn(SERVICE, target="pages_wsgi:app", env=env) as server:
        yield f"http://localhost:{server.port}"
        assert server.output().count('asked with \\"1\\"') == 1  # Chromium did revalidate


@pytest.fixture
def title_of(tmp_path: Path) -> Callable[[str], str]:
    """Opens a page in a Chromium that remembers, and returns the title it gave itself."""
    command = [str(require("chromium")), "--headless=new", "--no-sandbox", "--disable-gpu"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=5000", "--dump-dom"]

    def open_page(url: str) -> str:
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60)
        found = re.search("<title>(.*)</title>", done.stdout)
        assert found, done.stderr
        return found[1]

    return open_page


def test_another_hosts_picture_is_shown_where_the_view_allows_it_and_nowhere_else(
    service: str, title_of: Callable[[str], str]
) -> None:
    assert title_of(service + "/page") == "ran, unseen"
    assert title_of(service + "/pictures") == "ran, seen"


def test_a_page_from_the_browsers_cache_still_runs_its_scripts(
    service: str, title_of: Callable[[str], str]
) -> None:
    assert title_of(service + "/stored") == "ran, unseen"
    assert title_of(service + "/stored") == "ran, unseen"
