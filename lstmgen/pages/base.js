"use strict";
// Shared by the scripts of all pages.

const element = (id) => document.getElementById(id);

/** The page's data; see its Python file. */
const data = JSON.parse(element("data").textContent);

/** An element with a class and a text; the text is never interpreted as HTML. */
function create(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** A bar filled to a fraction. */
function bar(fraction, className = "bar") {
  const [made, fill] = [create("span", className), create("i", "")];
  fill.style.width = `${100 * fraction}%`;
  made.append(fill);
  return made;
}

/** The bytes of a text in base64. */
const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

const count = (number) => number.toLocaleString("en");
const percent = (fraction, digits = 0) => `${(100 * fraction).toFixed(digits)}%`;
