"""Text, numbers and JSON, made safe and readable for an HTML page."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from importlib import resources
from string import Template

# C0 and C1 controls, and the marks that turn the direction of a whole line around.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_IN_SCRIPT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def asset(name: str) -> str:
    """Return the text of one of the files beside this module, with plain line ends."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def template(name: str) -> Template:
    """Return one of the files beside this module as a template."""
    return Template(asset(name))


def printable(text: str) -> str:
    """Return `text` with what cannot be shown written out: controls, lone surrogates."""
    encodable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], encodable)


def escape(text: str) -> str:
    """Return `text` for use between tags and inside quoted attributes."""
    return html.escape(printable(text), quote=True)


def embed(value: object) -> str:
    """Return `value` as JSON that no HTML parser can mistake for markup."""
    compact = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return compact.translate(_IN_SCRIPT)


def base64_text(data: bytes) -> str:
    """Return `data` in base 64."""
    return base64.b64encode(data).decode("ascii")


def hash_source(text: str) -> str:
    """Return the Content-Security-Policy source that allows exactly this inline text."""
    return f"sha256-{base64_text(hashlib.sha256(text.encode('utf-8')).digest())}"


def number(value: float, digits: int = 2) -> str:
    """Return `value` with a true minus sign, and without a sign where it rounds to zero."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """Return a share from 0 to 1 as a percentage; a little is never shown as nothing.

    NaN, the probability of what has none, is shown as nothing at all.
    """
    if math.isnan(share):
        return ""
    if 0 < share < 0.0005:
        return "< 0.1\N{NO-BREAK SPACE}%"
    return f"{number(100 * share, 1)}\N{NO-BREAK SPACE}%"
