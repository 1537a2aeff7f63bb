"use strict";
/* The shell of a page: data, views and element construction. Texts only ever become text nodes. */
const Basin = (() => {
  const data = JSON.parse(document.getElementById("basin-data").textContent);
  const views = [...document.querySelectorAll("main > section.view")];
  const links = [...document.querySelectorAll("[data-view]")];
  const waiting = new Map(); // view -> functions that draw it when it is first shown
  const listeners = []; // called with the view that is shown

  /** An element. `attributes` may hold `class`, `on` (listeners by event) and anything that setAttribute takes. */
  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") for (const [event, does] of Object.entries(value)) made.addEventListener(event, does);
      else made.setAttribute(name, value === true ? "" : String(value));
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  }

  /** A number as text; a dash if it is missing. */
  function number(value, digits = null) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    return typeof value === "number" && digits !== null ? value.toFixed(digits) : String(value);
  }

  /** Announce a text to screen readers. */
  function say(text) {
    document.getElementById("announcement").textContent = text;
  }

  /** Save a text as a file. */
  function save(name, text, type) {
    const address = URL.createObjectURL(new Blob([text], { type }));
    saveAddress(name, address);
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  function saveAddress(name, address) {
    const link = el("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    say(`Saved ${name}.`);
  }

  /** Copy a text; some browsers refuse the clipboard API to local files, so fall back to execCommand. */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say("Copied.");
  }

  /** Rows as comma-separated values. Formulas are escaped. */
  function csv(rows) {
    const cell = (value) => {
      let text = value === null || value === undefined ? "" : String(value);
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  /** Call `draw` when the view is first shown: a hidden view has no width. */
  function onView(id, draw) {
    waiting.set(id, [...(waiting.get(id) || []), draw]);
  }

  function show(id, focus) {
    const view = views.find((each) => each.id === id) || views[0];
    if (!view) return;
    for (const each of views) each.hidden = each !== view;
    for (const link of links) {
      if (link.dataset.view === view.id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const draw of waiting.get(view.id) || []) draw();
    waiting.delete(view.id);
    for (const listener of listeners) listener(view.id);
    if (focus) {
      window.scrollTo(0, 0);
      document.getElementById(`${view.id}-title`).focus({ preventScroll: true });
    }
  }

  /** The view that an address names: its own, or that of something inside it. */
  function addressed() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const view = target && target.closest("section.view");
    return view ? view.id : null;
  }

  window.addEventListener("hashchange", () => {
    if (addressed()) show(addressed(), true);
  });
  document.addEventListener("DOMContentLoaded", () => show(addressed(), false));

  return { data, el, number, say, save, saveAddress, copy, csv, onView, onShown: (listener) => listeners.push(listener) };
})();
