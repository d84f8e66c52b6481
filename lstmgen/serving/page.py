"""The page that the server shows at `/`.

Knows: HTML, the interface's addresses. Does not know: HTTP.
"""

import json
from html import escape

from lstmgen.serving.completions import Served

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>lstmgen: {name}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
pre {{ padding: 1rem; overflow-x: auto; border: 1px solid color-mix(in srgb, currentColor 25%, transparent); }}
</style>
<h1>{name}</h1>
<p>A recurrent network that writes text. A token is one {unit}; the model knows {symbols}.</p>
<ul>
<li><code>POST /v1/completions</code>: OpenAI's interface, with streaming</li>
<li><code>GET /v1/models</code>: the model</li>
<li><a href="/openapi.json"><code>GET /openapi.json</code></a>: every field, its bounds and its default</li>
</ul>
<pre>curl {address}/v1/completions -H 'Content-Type: application/json' \\
  -d '{body}'</pre>
<pre>from openai import OpenAI

client = OpenAI(base_url="{address}/v1", api_key="none")
print(client.completions.create(model={model}, prompt="The ", max_tokens=200).choices[0].text)</pre>
</html>
"""


def page(served: Served, address: str) -> str:
    """The page of a served model, HTML; `address` is the beginning of the server's URLs."""
    return _PAGE.format(
        name=escape(served.name),
        unit=served.vocabulary.unit,
        symbols=len(served.vocabulary),
        address=escape(address),
        body=escape(json.dumps({"prompt": "The ", "max_tokens": 200})),
        model=escape(json.dumps(served.name)),
    )
