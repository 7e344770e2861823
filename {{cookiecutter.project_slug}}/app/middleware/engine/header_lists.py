"""Small changes to a list of response headers.

Standards: RFC 9110 12.5.5 (Vary).
"""

from __future__ import annotations

Headers = list[tuple[str, str]]


def has_header(headers: Headers, name: str) -> bool:
    """:param name: in lower case; its length spares most comparisons."""
    return any(len(given) == len(name) and given.lower() == name for given, _ in headers)


def vary_by(headers: Headers, name: str) -> None:
    """Or a shared cache hands one client's copy to another.

    :param name: of a request header, such as "Origin".
    """
    last = None
    for index, (given, value) in enumerate(headers):
        if len(given) == 4 and given.lower() == "vary":
            names = value.lower().replace(" ", "").split(",")
            if name.lower() in names or "*" in names:
                return
            last = index
    if last is None:
        headers.append(("Vary", name))
    else:
        headers[last] = ("Vary", f"{headers[last][1]}, {name}")
