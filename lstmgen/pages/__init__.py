"""The web pages: `score --html`, `inspect --html`, `export --html`, and the page that `serve` shows.

A page is a template, a style sheet and scripts of its own on top of base.html, colors.css, base.css and base.js.
"""
