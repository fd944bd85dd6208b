// Keeps the page as it stands: fetches it anew every few seconds and changes what differs, in place, so that focus,
// selection, open tables and the place on the page stay. Survives a server that restarts. What bears data-keep is left.
"use strict";

const QUICK_MS = 1500; // while a run is watched
const CALM_MS = 5000;
const PATIENCE_MS = 10000;

// Times come as UTC, which is what stays where no script runs; here they become those of the reader.
const names = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });
const two = (number) => String(number).padStart(2, "0");

function zoneOf(date) {
  return names.formatToParts(date).find((part) => part.type === "timeZoneName").value;
}

function clock(date) {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function localise(root) {
  for (const time of root.querySelectorAll("time[data-as]")) {
    const date = new Date(time.dateTime);
    const stamp = `${clock(date)} ${zoneOf(date)}`;
    if (time.dataset.as === "title") time.title = stamp;
    else if (time.dataset.as === "stamp") time.textContent = stamp;
    else if (time.dataset.as === "clock") time.textContent = clock(date);
    else time.textContent = `${date.toLocaleDateString("en-GB", { weekday: "short" })} ${two(date.getHours())}:${two(date.getMinutes())}`;
  }
  for (const zone of root.querySelectorAll(".zone")) zone.textContent = zoneOf(new Date());
}

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

// A page that shows a form of its own, or no state at all, has nothing to fetch anew.
function isStill() {
  return document.querySelector(".sign-in, [data-still]") !== null;
}

function tell(words) {
  const stale = document.getElementById("stale");
  if (stale.textContent !== words) stale.textContent = words;
  stale.hidden = !words;
  document.documentElement.toggleAttribute("data-stale", Boolean(words));
}

async function refresh() {
  const answer = await fetch(location.href, {
    cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (answer.type === "opaqueredirect" || answer.status === 401 || answer.status === 403) {
    tell("Your sign-in at the proxy has ended. Reload this page to sign in again. What you see is from before.");
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = fresh.getElementById("main");
  if (!main) throw new Error(String(answer.status));
  if (!answer.ok) {
    tell(`${fresh.querySelector("h1").textContent}. What you see is from before.`);
    return;
  }
  document.title = fresh.title;
  localise(fresh);
  for (const id of ["at", "say", "main", "foot"]) morph(document.getElementById(id), fresh.getElementById(id));
  tell("");
  document.dispatchEvent(new Event("refreshed"));
}

let timer;

async function poll() {
  clearTimeout(timer);
  if (document.hidden || isStill()) return;
  try {
    await refresh();
  } catch {
    tell("syncd does not answer. What you see is from before; it goes on by itself.");
  }
  const quick = document.querySelector("[data-running], [data-stale]");
  clearTimeout(timer);
  timer = setTimeout(poll, quick ? QUICK_MS : CALM_MS);
}

localise(document);
document.getElementById("zone").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.addEventListener("visibilitychange", poll);
timer = setTimeout(poll, QUICK_MS);
