"use strict";
/* The map of topics, and the selected topic's words, passages and documents. */
(() => {
  const { el, number } = Basin;
  const browser = Basin.topics;
  const { data, state, index } = browser;
  const place = (id) => document.getElementById(id);
  const WORD = /[\p{L}]+(?:['’][\p{L}]+)?/gu;
  const AT_ONCE = 3; // passages; the rest opens on demand
  const SHOWN = 30; // words
  let lambda = 6;
  let map = null;
  let bars = null;

  const vocabulary = (word) => data.vocabulary[word];
  const relevance = (topic, word) => {
    const here = browser.given(topic, word);
    return Math.log(here) - (1 - lambda / 10) * Math.log(browser.wordShares[word]);
  };

  browser.begin = () => {
    const all = data.topics;
    const largest = Math.max(...all.map((topic) => topic.share));
    const colour = (topic, colours) => (topic.number === state.topic ? colours.orange : colours.blue);
    map = Basin.chart(place("topics-map"), {
      name: "topics-map",
      label: "Map of the topics",
      tall: 430,
      traces: (colours) => {
        const most = Math.max(...all.map((topic) => browser.mass(topic.number, state.known)), 1e-12);
        return [{
          type: "scatter",
          mode: "markers+text",
          x: all.map((topic) => topic.x),
          y: all.map((topic) => topic.y),
          text: all.map((topic) => String(topic.number)),
          customdata: all.map((topic) => topic.number),
          hovertext: all.map((topic) => `<b>Topic ${topic.number}</b>, ${(100 * topic.share).toFixed(1)} % of the text<br>${Basin.literal(topic.words.join(" "))}`),
          hoverinfo: "text",
          textfont: { color: colours.text, size: 14 },
          marker: {
            size: all.map((topic) => 14 + 60 * Math.sqrt(topic.share / largest)),
            color: all.map((topic) => colour(topic, colours)),
            opacity: all.map((topic) => (state.known.length ? 0.15 + 0.6 * (browser.mass(topic.number, state.known) / most) : 0.5)),
            line: { color: all.map((topic) => (topic.number === state.topic ? colours.text : colours.line)), width: all.map((topic) => (topic.number === state.topic ? 3 : 1)) },
          },
        }];
      },
      layout: () => ({
        showlegend: false,
        hovermode: "closest",
        margin: { l: 10, r: 10, t: 10, b: 10 },
        xaxis: { showticklabels: false, zeroline: true, range: range("x") },
        yaxis: { showticklabels: false, zeroline: true, scaleanchor: "x", range: range("y") },
      }),
      rows: () => [["Topic", "Across", "Up", "Share", "Words"], ...all.map((topic) => [topic.number, topic.x, topic.y, topic.share, topic.words.join(" ")])],
      ready: (drawn) => drawn.on("plotly_click", (event) => browser.select(event.points[0].customdata)),
    });
    bars = Basin.chart(place("topic-bars"), {
      name: "topic-words",
      label: "Words of the topic",
      tall: 640,
      traces: (colours) => {
        const words = chosen();
        const bar = (name, color, value, opacity) => ({
          type: "bar", orientation: "h", name, y: words.map(vocabulary), x: words.map(value), marker: { color, opacity },
          customdata: words.map((word) => [vocabulary(word), (100 * browser.laid(state.topic, word)).toFixed(0)]),
          hovertemplate: "%{x:.0f} times; %{customdata[1]} % assigned to this topic<extra>%{y}</extra>",
        });
        return [bar("all occurrences", colours.grey, total, 0.45), bar("assigned to this topic", colours.blue, here, 1)];
      },
      layout: () => ({
        barmode: "overlay",
        bargap: 0.25,
        legend: { orientation: "h", y: 1.06 },
        margin: { l: 110, r: 10, t: 30, b: 40 },
        xaxis: { title: { text: "expected occurrences" } },
        yaxis: { autorange: "reversed", type: "category", dtick: 1 },
      }),
      rows: () => [
        ["Word", "Assigned to the topic", "All occurrences", "p(word | topic)", "Share assigned to the topic", "Relevance"],
        ...chosen().map((word) => [
          vocabulary(word), here(word), total(word), browser.given(state.topic, word), browser.laid(state.topic, word), relevance(state.topic, word),
        ]),
      ],
      ready: (drawn) => drawn.on("plotly_click", (event) => browser.search(event.points[0].customdata[0])),
    });
  };

  /** The most relevant words of the selected topic. */
  const chosen = () => {
    const values = data.vocabulary.map((_, word) => relevance(state.topic, word));
    return [...values.keys()].sort((one, two) => values[two] - values[one] || one - two).slice(0, SHOWN);
  };
  // The prior's counts of seed words are no occurrences.
  const seeded = (word) => data.seeded[word] ?? 0;
  const total = (word) => Math.max(browser.wordShares[word] * data.expected_words - seeded(word), 0);
  const here = (word) => Math.max(browser.given(state.topic, word) * data.topic_shares[state.topic] * data.expected_words - (state.topic === 0 ? seeded(word) : 0), 0);

  function range(axis) {
    const values = data.topics.map((topic) => topic[axis]);
    const spread = Math.max(...data.topics.map((topic) => topic.x)) - Math.min(...data.topics.map((topic) => topic.x)) || 1;
    return [Math.min(...values) - spread * 0.15, Math.max(...values) + spread * 0.15];
  }

  /** A passage as nodes, with the topic's words marked. */
  function marked(text, topic) {
    const nodes = [];
    let end = 0;
    for (const match of text.matchAll(WORD)) {
      const word = index.get(browser.plain(match[0]));
      const share = word === undefined ? 0 : browser.laid(topic, word);
      if (share < 0.25) continue;
      nodes.push(text.slice(end, match.index), el("mark", { class: share >= 0.5 ? "strong" : null }, match[0]));
      end = match.index + match[0].length;
    }
    return [...nodes, text.slice(end)];
  }

  browser.listeners.push((topic) => {
    map?.redraw();
    bars?.redraw();
    place("topic-lambda-value").textContent = `λ = ${(lambda / 10).toFixed(1)}`;
    const passages = topic.passages.map((passage) =>
      el(
        "article",
        { class: "typical" },
        el("h5", { dir: "auto" }, passage.title),
        el("p", { class: "quiet" }, `topic weight ${number(passage.weight, 2)}; passage ${passage.position + 1} of its document`),
        el("p", { class: "text", dir: "auto" }, marked(passage.text, topic.number)),
      ),
    );
    const more = passages.slice(AT_ONCE);
    place("topic-passages").replaceChildren(
      ...passages.slice(0, AT_ONCE),
      ...(more.length ? [el("details", {}, el("summary", {}, `${more.length} more`), more)] : []),
    );
  });

  place("topic-lambda").addEventListener("input", (event) => {
    lambda = Math.round(10 * Number(event.target.value));
    place("topic-lambda-value").textContent = `λ = ${(lambda / 10).toFixed(1)}`;
    bars?.redraw();
  });
})();
