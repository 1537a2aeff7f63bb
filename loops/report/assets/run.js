"use strict";
/* Helpers shared by the views of a run. */
Basin.run = (() => {
  const { data, el, number } = Basin;
  const { passages, written, rounds } = data;
  const cut = new Set(passages.cut);
  const KINDS = { steered: "steered", base: "base model", degenerate: "degenerate (over-steered)" };

  const share = (thousandths) => (thousandths === null || thousandths === undefined ? null : thousandths / 1000);
  const title = (at) => passages.documents[passages.document[at]][0];
  const author = (at) => passages.documents[passages.document[at]][1];
  const words = (text, count) => {
    const running = text.split(/\s+/);
    return running.slice(0, count).join(" ") + (running.length > count ? " …" : "");
  };

  /** A real passage, with what the topic and the concept of a round (by its index) make of it. */
  function real(at, index, { length = null, body = null } = {}) {
    const text = passages.texts[at] + (cut.has(at) ? " …" : "");
    const about = [
      author(at), `passage ${passages.position[at] + 1}`, `pointer ${number(share(passages.topic[at]), 2)}`,
      `pointer's claim ${number(share(passages.membership[0][at]), 2)}`, `membership ${number(share(passages.membership[index][at]), 2)} in round ${rounds[index]}`,
    ];
    return el(
      "article", { class: "passage" }, el("h4", {}, el("span", { dir: "auto" }, title(at))),
      el("p", { class: "meta" }, about.filter(Boolean).join(" · ")), body || el("p", { class: "text", dir: "auto" }, length ? words(text, length) : text),
    );
  }

  /** A written passage as the round at `index` has it: `row` is [text, membership, coherent, loss]. */
  function wrote(row, index, { length = null } = {}) {
    const [kind, prompt, text, seed] = written.texts[row[0]];
    const coherent = row[2] === null ? "coherence not measured" : row[2] ? "coherent" : "not coherent";
    const about = [
      `round ${rounds[index]}`, `membership ${number(share(row[1]), 2)}`, coherent, row[3] === null ? null : `${number(row[3], 2)} nats per token`, `seed ${seed}`,
    ];
    const body = el("p", { class: "text", dir: "auto" });
    if (length) body.append(words(prompt + text, length));
    else body.append(el("span", { class: "prompt" }, prompt), text);
    return el("article", { class: "passage" }, el("h4", {}, KINDS[kind] || kind), el("p", { class: "meta" }, about.filter(Boolean).join(" · ")), body);
  }

  /** A labelled choice; `options` are [value, text]. */
  function choice(label, options, value, changed) {
    const select = el("select", { on: { change: () => changed(select.value) } }, options.map(([key, text]) => el("option", { value: key, selected: key === value }, text)));
    return { element: el("label", {}, label, select), select };
  }

  return { share, title, author, words, real, wrote, choice, KINDS };
})();
