// Keeps the page as it stands: fetches it anew every few seconds and changes what differs, in place, so that focus,
// selection, open tables and the place on the page stay. Survives a server that restarts. What bears data-keep is left.
"use strict";

const QUICK_MS = 1500; // while a run is watched
const CALM_MS = 5000;
const PATIENCE_MS = 10000;

function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  morphChildren(old, fresh);
}

// Children with an id are found again wherever they moved to, the others by their place.
function morphChildren(old, fresh) {
  const wanted = new Set([...fresh.children].map((child) => child.id).filter(Boolean));
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  for (const [id, child] of named) {
    if (!wanted.has(id)) child.remove();
  }
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? named.get(child.id) : place && !place.id ? place : null;
    if (!same) {
      old.insertBefore(child, place);
      continue;
    }
    if (same !== place) old.insertBefore(same, place);
    place = same.nextSibling;
    morph(same, child);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function tell(words) {
  const stale = document.getElementById("stale");
  if (stale.textContent !== words) stale.textContent = words;
  stale.hidden = !words;
  document.documentElement.toggleAttribute("data-stale", Boolean(words));
}

async function refresh() {
  const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = fresh.getElementById("main");
  if (!main) throw new Error(String(answer.status));
  if (!answer.ok) {
    tell(`${fresh.querySelector("h1").textContent}. What you see is from before.`);
    return;
  }
  document.title = fresh.title;
  for (const id of ["at", "say", "main"]) morph(document.getElementById(id), fresh.getElementById(id));
  tell("");
  document.dispatchEvent(new Event("refreshed"));
}

let timer;

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    await refresh();
  } catch {
    tell("syncd does not answer. What you see is from before; it goes on by itself.");
  }
  const quick = document.querySelector("[data-running], [data-stale]");
  clearTimeout(timer);
  timer = setTimeout(poll, quick ? QUICK_MS : CALM_MS);
}

document.addEventListener("visibilitychange", poll);
timer = setTimeout(poll, QUICK_MS);
