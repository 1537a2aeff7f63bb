"use strict";
/* A passage token by token: evidence for the concept. */
Basin.onView("tokens", () => {
  const { data, el, chart, number } = Basin;
  const place = document.getElementById("tokens-text");
  if (!place) return;
  const GROUPS = { member: "most typical members", refused: "claimed by the topic, refused by the concept", taken: "missed by the topic, added by the concept", steered: "generated: steered", base: "generated: base model" };
  const HALF = 4; // of the running mean, tokens on either side
  let passage = data.tokens[0];

  const scale = (() => {
    const sizes = data.tokens.flatMap((each) => each.nats.map(Math.abs)).sort((a, b) => a - b);
    return sizes[Math.floor(sizes.length * 0.95)] || 1; // one colour scale for all passages
  })();

  const select = el("select", { id: "tokens-passage", on: { change: () => { passage = data.tokens[Number(select.value)]; update(); } } });
  for (const [kind, name] of Object.entries(GROUPS)) {
    const found = data.tokens.map((each, at) => [each, at]).filter(([each]) => each.kind === kind);
    if (found.length) select.append(el("optgroup", { label: name }, found.map(([each, at]) => el("option", { value: at }, `${number(mean(each.nats), 1)} nats: ${each.title}`))));
  }
  document.getElementById("tokens-controls").append(el("label", {}, "Passage", select));

  function mean(values) {
    return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  }
  function smooth(values) {
    return values.map((_, at) => mean(values.slice(Math.max(0, at - HALF), at + HALF + 1)));
  }
  /** The tokens' own letters. */
  function pieces() {
    const letters = Array.from(passage.text);
    let done = 0;
    const found = passage.ends.map((end) => {
      const piece = letters.slice(done, end).join("");
      done = Math.max(done, end);
      return piece;
    });
    return [found, letters.slice(done).join("")];
  }

  function update() {
    const [found, rest] = pieces();
    const ordered = passage.nats.map(Math.abs).sort((a, b) => b - a);
    const most = ordered[Math.floor(ordered.length * 0.08)] || Infinity;
    place.replaceChildren(
      ...found.map((piece, at) => {
        const value = passage.nats[at];
        const part = Math.min(1, Math.abs(value) / scale);
        const colour = value > 0 ? "--blue" : "--orange";
        return el("span", { title: `${number(value, 2)} nats`, class: Math.abs(value) > most ? "most" : null, style: `background: color-mix(in srgb, var(${colour}) ${Math.round(part * 42)}%, transparent)` }, piece);
      }),
      rest,
    );
    const smoothed = smooth(passage.nats);
    const best = smoothed.indexOf(Math.max(...smoothed));
    const stretch = found.slice(Math.max(0, best - HALF), best + HALF + 1).join("").trim();
    document.getElementById("tokens-sentence").replaceChildren(
      `The mean over ${passage.nats.length} tokens is ${number(mean(passage.nats), 1)} nats. The strongest evidence for the concept is at `, el("em", { dir: "auto" }, stretch), `, ${number(smoothed[best], 1)} nats.`,
    );
    drawn.redraw();
  }

  const drawn = chart(document.getElementById("tokens-figure"), {
    name: `${data.name}-tokens`, label: "Evidence of each token for the concept", tall: 280,
    traces: (colours) => [
      { x: passage.nats.map((_, at) => at + 1), y: passage.nats, mode: "markers", name: "token", marker: { color: colours.grey, size: 4 }, text: pieces()[0].map(Basin.literal), hovertemplate: "%{text}: %{y:.2f}<extra></extra>" },
      { x: passage.nats.map((_, at) => at + 1), y: smooth(passage.nats), mode: "lines", name: "mean over nine", line: { color: colours.blue, width: 3 }, hoverinfo: "skip" },
    ],
    layout: (colours) => ({
      xaxis: { title: { text: "token" } }, yaxis: { title: { text: "nats" } }, margin: { t: 8 },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { color: colours.red, width: 2, dash: "dash" } }],
    }),
    rows: () => [["token", "text", "nats"], ...pieces()[0].map((piece, at) => [at + 1, piece, passage.nats[at]])],
    ready: (chartPlace) => {
      chartPlace.on("plotly_hover", ({ points }) => place.children[points[0].pointNumber]?.classList.add("pointed"));
      chartPlace.on("plotly_unhover", () => place.querySelectorAll(".pointed").forEach((each) => each.classList.remove("pointed")));
    },
  });
  update();
});
