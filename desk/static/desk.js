// Keys, and messages about requests that fail. Pages work without it.
"use strict";

const press = (selector) => {
  const element = document.querySelector(selector);
  if (element) element.click();
  return Boolean(element);
};

const choose = (outcome) => {
  const radio = document.querySelector(`input[name=outcome][value=${outcome}]`);
  if (radio) { radio.checked = true; radio.focus(); }
};

const move = (step) => {
  const links = [...document.querySelectorAll("tr[data-row] td:first-child a")];
  const index = links.indexOf(document.activeElement);
  const next = links[Math.min(Math.max(index + step, 0), links.length - 1)];
  if (next) next.focus();
};

const KEYS = {
  n: () => press("#next") || location.assign("/queue"),
  q: () => location.assign("/queue"),
  z: () => press("#undo button"),
  f: () => choose("fraud"),
  l: () => choose("legitimate"),
  u: () => choose("unsure"),
  j: () => move(1),
  k: () => move(-1),
  "/": () => document.querySelector("#search")?.focus(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("textarea, select, input:not([type=radio]):not([type=checkbox]):not([type=range])");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

const problem = (shown, text) => {
  const element = document.querySelector("#problem");
  if (text) element.textContent = text;
  element.hidden = !shown;
};
document.addEventListener("htmx:sendError", () => problem(true, "The desk does not answer. Nothing was changed; try again."));
document.addEventListener("htmx:responseError", (event) => {
  const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
  problem(true, page.querySelector(".notice")?.textContent || "The desk cannot answer this.");
});
document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) problem(false); });
