"""A self-contained web page from a template, a style sheet and scripts that lie in a package.

The page loads nothing, and the browser runs no script but these: the page names their hash. Data goes in as JSON.

Knows: how the parts become one file. Does not know: what any page shows.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Any


def fill_page(package: str, name: str, scripts: Sequence[str], data: Any, **values: object) -> str:
    """Return a page.

    Args:
        package: where its parts lie.
        name: of the template, NAME.html, and of the style sheet, NAME.css.
        scripts: the names of the scripts, in their order.
        data: what the scripts find as JSON.
        values: what else fills the template, as HTML.
    """

    def read(file: str) -> str:
        return files(package).joinpath(file).read_text(encoding="utf-8")

    style, script = read(f"{name}.css"), "".join(map(read, scripts))
    return Template(read(f"{name}.html")).substitute(
        values,
        data=_json(data),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """Return JSON in ASCII that HTML cannot take for a tag."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
