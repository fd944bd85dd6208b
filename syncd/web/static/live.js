// Every five seconds: fetch this page again and exchange the parts marked data-live that changed.
// A part that holds the keyboard's focus is left alone.
"use strict";

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
      part.replaceWith(document.adoptNode(next));
    }
  }
  // streams that came or went: only the whole page tells
  const ids = (page) => [...page.querySelectorAll("[data-live]")].map((part) => part.id).join();
  if (ids(fresh) !== ids(document)) location.reload();
}

async function poll() {
  try {
    await refresh();
    document.documentElement.removeAttribute("data-stale");
  } catch {
    document.documentElement.setAttribute("data-stale", "");
  }
  setTimeout(poll, 5000);
}

setTimeout(poll, 5000);
