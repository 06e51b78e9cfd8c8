// Searches in names and summaries: the exact name first, then prefixes, names that contain it, summaries.
"use strict";

(() => {
  const STEP = 50;
  const input = document.getElementById("q");
  const form = input.form;
  const list = document.getElementById("results");
  const status = document.getElementById("search-status");
  const more = document.getElementById("more");
  const root = list.dataset.root;
  let packages = null;
  let found = [];
  let shown = 0;

  function rank(name, summary, words) {
    // Every word has to be somewhere; where the whole query is in the name decides the place.
    const query = words.join(" ");
    if (name === query) return 0;
    if (name.startsWith(query)) return 1;
    if (name.includes(query)) return 2;
    if (words.every((word) => name.includes(word))) return 3;
    return words.every((word) => name.includes(word) || summary.includes(word)) ? 4 : -1;
  }

  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const groups = [[], [], [], [], []];
    for (const item of packages) {
      const place = rank(item.name, item.folded, words);
      if (place >= 0) groups[place].push(item);
    }
    return groups.flat();
  }

  function entry(item) {
    const line = document.createElement("li");
    const kind = list.dataset.pages;
    const name = document.createElement(kind === "none" ? "b" : "a");
    name.textContent = item.name;
    if (kind !== "none") {
      const place = encodeURIComponent(item.name);
      name.href = kind === "api" ? `${root}api/v1/packages/${place}.json` : `${root}packages/${place}/`;
    }
    line.append(name, ` ${item.version}`);
    if (item.summary) {
      const summary = document.createElement("span");
      summary.textContent = item.summary;
      line.append(" ", summary);
    }
    return line;
  }

  function showMore() {
    const next = found.slice(shown, shown + STEP);
    list.append(...next.map(entry));
    shown += next.length;
    more.hidden = shown >= found.length;
  }

  function show() {
    const text = input.value.trim();
    found = search(text);
    shown = 0;
    list.replaceChildren();
    list.hidden = !found.length;
    showMore();
    const count = found.length === 1 ? "1 package" : `${found.length.toLocaleString("en")} packages`;
    status.textContent = text ? (found.length ? `${count} found.` : `No package found for “${text}”.`) : "";
  }

  function remember() {
    const text = input.value.trim();
    // What was cut may end in half a character, which no address can hold.
    const query = encodeURIComponent(text.replace(/\p{Surrogate}/gu, ""));
    history.replaceState(null, "", text ? `?q=${query}` : location.pathname);
  }

  function links() {
    return [...list.querySelectorAll("a")];
  }

  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const places = [input, ...links()];
    const at = places.indexOf(document.activeElement);
    if (!step || at < 0 || places.length < 2) return;
    event.preventDefault();
    places[Math.min(Math.max(at + step, 0), places.length - 1)].focus();
  }

  input.value = (new URLSearchParams(location.search).get("q") ?? "").slice(0, 100);
  // Whoever comes from the front page's form goes on by the keyboard.
  if (input.value) input.focus({ preventScroll: true });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (packages) show();
    remember();
    links()[0]?.focus();
  });
  input.addEventListener("input", () => {
    if (packages) show();
    remember();
  });
  document.addEventListener("keydown", move);
  more.addEventListener("click", () => {
    const before = shown;
    showMore();
    links()[before]?.focus();
  });

  (async () => {
    status.textContent = "Loading the names…";
    try {
      const answer = await fetch(list.dataset.index);
      if (!answer.ok) throw new Error(String(answer.status));
      packages = (await answer.json()).map(([name, version, summary]) =>
        ({ name, version, summary, folded: summary.toLowerCase() }));
      show();
    } catch {
      status.textContent = "The names can’t be loaded. Below, all packages are listed by their first character.";
    }
  })();
})();
