"""Forms that are read whole and within their limits, or refused.

Werkzeug's parser, with MAX_FORM_MEMORY_SIZE and MAX_FORM_PARTS for urlencoded forms too, and 400
where it would hand over an empty form.
"""

from __future__ import annotations

import io
from typing import IO, Any

from flask import request
from werkzeug.exceptions import BadRequest
from werkzeug.formparser import FormDataParser

from .bodies import refuse_too_large

URLENCODED = "application/x-www-form-urlencoded"


class StrictFormParser(FormDataParser):
    """For Request.form_data_parser_class."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Any:
        if mimetype == URLENCODED:
            stream = self.within_limits(stream)
        self.silent = False
        try:
            rest, fields, files = super().parse(stream, mimetype, content_length, options)
            if None in fields or None in files:  # the name is missing (RFC 7578 section 4.2)
                for _, file in files.items(multi=True):
                    file.close()
                raise ValueError
            return rest, fields, files
        except ValueError:
            raise BadRequest(f"The body is not a readable {mimetype} form.") from None

    def within_limits(self, stream: IO[bytes]) -> IO[bytes]:
        limit, most = self.max_form_memory_size, self.max_form_parts
        body = stream.read() if limit is None else _read_up_to(stream, limit + 1)
        if limit is not None and len(body) > limit:
            refuse_too_large(request.environ, limit)
        if most is not None and body.count(b"&") >= most:
            refuse_too_large(request.environ, most, "A form may have at most {} fields.")
        return io.BytesIO(body)


def _read_up_to(stream: IO[bytes], size: int) -> bytes:
    """A raw stream may give less than is there."""
    parts = []
    while size > 0 and (part := stream.read(min(size, 65536))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
