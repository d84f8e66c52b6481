"""Assemble a page from its parts into one self-contained file.

The page loads nothing, and the browser runs no scripts but these, because the page names their hash. Data goes in as
JSON.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from lstmgen.printable import printable


def fill_page(
    name: str, title: str, data: Any = None, scripts: Sequence[str] = (), styles: Sequence[str] = (), **values: object
) -> str:
    """Return a page.

    Args:
        name: the name of the page: its template is NAME.html, its style sheet NAME.css.
        title: the title, as text.
        data: the data for the scripts, which becomes JSON.
        scripts: the names of the scripts after base.js, in order; a page without scripts has no data either.
        styles: the names of the style sheets between base.css and NAME.css.
        values: the template's values, as HTML.
    """
    style = "".join(map(_read, ("colors.css", "base.css", *styles, f"{name}.css")))
    policy, content = f"style-src {_hash(style)};", ""
    if scripts:
        script = "".join(map(_read, ("base.js", *scripts)))
        policy = f"script-src {_hash(script)};\n{policy}"
        content = f'<script type="application/json" id="data">{_json(data)}</script>\n<script>{script}</script>\n'
    values["title"] = visible(title)
    return fill("base", **values | {"policy": policy, "style": style, "body": fill(name, **values), "scripts": content})


def fill(template: str, **values: object) -> str:
    """Return a template, TEMPLATE.html, with these values, which are HTML."""
    return Template(_read(f"{template}.html")).substitute(values)


def visible(text: str) -> str:
    """Return text as one line of HTML, without characters that could hide or move other text."""
    return escape(printable(text, single_line=True))


def _read(file: str) -> str:
    return files("lstmgen.pages").joinpath(file).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """Return JSON in ASCII that contains nothing like an HTML tag."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
