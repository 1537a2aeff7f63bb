"use strict";
/* The topic browser: search, map, list and the selected topic. */
(() => {
  const { data, el, number, say, copy, onView } = Basin;
  const place = (id) => document.getElementById(id);
  const floats = (packed) => new Float32Array(Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)).buffer);
  const size = data.vocabulary.length;
  const given = floats(data.given_topic); // p(word | topic), a row a topic
  const index = new Map(data.vocabulary.map((word, at) => [word, at]));
  const percent = (value, digits = 1) => `${(100 * value).toFixed(digits)} %`;
  const state = { topic: 0, words: [], known: [], byWords: false };

  const browser = (Basin.topics = {
    data,
    index,
    state,
    wordShares: floats(data.word_shares),
    given: (topic, word) => given[topic * size + word],
    /** Share of a word's occurrences assigned to the topic. */
    laid: (topic, word) => (data.topic_shares[topic] * given[topic * size + word]) / browser.wordShares[word],
    /** A topic's probability on words. */
    mass: (topic, words) => words.reduce((sum, word) => sum + given[topic * size + word], 0),
    plain: (word) => word.toLowerCase().replaceAll("’", "'").replace(/'s$/, ""),
    listeners: [],
    search,
    select,
  });

  /** Topics by their probability on the searched words, or else by share. */
  function order() {
    const key = (topic) => (state.known.length ? browser.mass(topic.number, state.known) : topic.share);
    return [...data.topics].sort((one, two) => key(two) - key(one) || one.number - two.number);
  }

  function search(text) {
    place("topics-search").value = text;
    const words = [...new Set(text.split(/[\s,;]+/).map(browser.plain).filter(Boolean))];
    state.words = words;
    state.known = words.filter((word) => index.has(word)).map((word) => index.get(word));
    const unknown = words.filter((word) => !index.has(word));
    const best = order()[0];
    const sentences = [];
    if (state.known.length) {
      const mass = browser.mass(best.number, state.known);
      sentences.push(`Topic ${best.number} ranks first for ${words.filter((word) => index.has(word)).join(", ")}: ${percent(mass, 2)} of its words, ${held(best)}.`);
    }
    if (unknown.length) sentences.push(`Unknown to the model: ${unknown.join(", ")}.`);
    place("topics-status").textContent = sentences.join(" ");
    near(words);
    state.byWords = state.known.length > 0;
    if (state.known.length) select(best.number, false);
    else draw();
  }

  const held = (topic) => {
    const sure = new Set(topic.sure);
    return `${state.known.filter((word) => sure.has(word)).length} of ${state.words.length} among its ${topic.sure.length} most probable words`;
  };

  /** Suggest words of the model that begin like the last one. */
  function near(words) {
    const last = words.at(-1) || "";
    const stem = last.slice(0, Math.max(4, last.length - 1));
    const found = last.length < 3 ? [] : data.vocabulary.filter((word) => word.startsWith(stem) && !words.includes(word));
    found.sort((one, two) => browser.wordShares[index.get(two)] - browser.wordShares[index.get(one)]);
    const add = (word) => search([...words.filter((each) => index.has(each)), word].join(", "));
    place("topics-near").replaceChildren(
      ...(found.length ? ["Also in the model: "] : []),
      ...found.slice(0, 8).map((word) => el("button", { type: "button", "aria-label": `Also search for ${word}`, on: { click: () => add(word) } }, word)),
    );
  }

  function select(topic, announce = true) {
    state.topic = topic;
    draw();
    if (!announce) return;
    say(`Topic ${topic} is selected.`);
    const section = place("topic");
    if (section.getBoundingClientRect().top > window.innerHeight - 120) section.scrollIntoView({ block: "start" });
  }

  function list() {
    const sorted = order();
    const most = state.known.length ? browser.mass(sorted[0].number, state.known) : sorted[0].share;
    place("topics-order").textContent = state.known.length ? `Topics by ${state.words.filter((word) => index.has(word)).join(", ")}` : "Topics by share of the text";
    const focused = document.activeElement?.dataset?.topic;
    place("topics-list").replaceChildren(
      ...sorted.map((topic) => {
        const value = state.known.length ? browser.mass(topic.number, state.known) : topic.share;
        const what = state.known.length ? `${percent(value, 2)} of its words, ${held(topic)}` : `${percent(value)} of the text`;
        const picked = topic.number === data.picked && data.file ? ", the configured topic" : "";
        const wanted = new Set(state.known.map((word) => data.vocabulary[word]));
        const words = topic.words.flatMap((word) => [el("span", { class: wanted.has(word) ? "held" : null }, word), " "]);
        return el("li", {}, el(
          "button",
          { type: "button", "data-topic": topic.number, "aria-pressed": String(topic.number === state.topic), on: { click: () => select(topic.number) } },
          el("strong", {}, `${topic.number} `), words, el("br"), el("span", { class: "quiet" }, what + picked),
          el("span", { class: "bar", style: `width: ${most > 0 ? (100 * value) / most : 0}%` }),
        ));
      }),
    );
    if (focused !== undefined) place("topics-list").querySelector(`[data-topic="${focused}"]`)?.focus({ preventScroll: true });
  }

  /** The lines to copy: by number, or by the words that are searched for. */
  function lines(topic) {
    const words = state.known.map((word) => data.vocabulary[word]);
    const byWords = state.byWords && words.length > 0;
    const [before, after] = data.line_before;
    const line = byWords ? before + words.map((word) => JSON.stringify(word)).join(", ") + after : topic.line;
    const radio = (by, label, usable) =>
      el("label", {}, el("input", { type: "radio", name: "ways", checked: by === byWords, disabled: !usable, on: { change: () => { state.byWords = by; draw(); } } }), label);
    place("topic-ways").replaceChildren(radio(false, `by its number, ${topic.number}`, true), radio(true, words.length ? `by the words ${words.join(", ")}` : "by the searched words", words.length > 0));
    const best = order()[0].number;
    const where = data.file ? `Replace the section topics in ${data.file} by this.` : "Save this as mine.yaml, then run: basin run mine.yaml.";
    const other = byWords && best !== topic.number ? ` These words pick topic ${best}, not ${topic.number}.` : "";
    const fit = byWords ? "" : " The number is valid only for this corpus, seed and settings; another fit numbers its topics differently.";
    place("topic-where").textContent = where + other + fit;
    place("topic-line").textContent = line;
    const setting = byWords ? `'topics.words=${JSON.stringify(words)}'` : `topics.topic=${topic.number}`;
    const undo = byWords && data.by_number ? " --set topics.topic=null" : "";
    const command = data.file && `basin run ${quoted(data.file)} --set ${setting}${undo}`;
    const button = (label, text) => el("button", { type: "button", on: { click: (event) => copied(event.target, text) } }, label);
    place("topic-copies").replaceChildren(button("Copy the lines", line), ...(command ? [button("Copy the command", command), el("code", {}, command)] : []));
  }

  const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  async function copied(target, text) {
    const label = (target.dataset.label ??= target.textContent);
    await copy(text);
    target.textContent = "Copied";
    clearTimeout(target.timer);
    target.timer = setTimeout(() => (target.textContent = label), 3000);
  }

  function draw() {
    const topic = data.topics[state.topic];
    list();
    place("topic-title").textContent = `Topic ${topic.number}`;
    place("topic-words").textContent = topic.words.join(" ");
    place("topic-share").textContent = `${percent(topic.share)} of the text`;
    lines(topic);
    for (const listener of browser.listeners) listener(topic);
  }

  place("topics-form").addEventListener("submit", (event) => event.preventDefault());
  place("topics-search").addEventListener("input", (event) => {
    const { value } = event.target;
    search(value);
  });
  place("topics-clear").addEventListener("click", () => { search(""); place("topics-search").focus(); });

  onView("find", () => {
    browser.begin();
    if (data.words.length) search(data.words.join(", "));
    select(data.picked ?? order()[0].number, false);
  });
})();
