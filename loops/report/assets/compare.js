"use strict";
/* Runs side by side: tables, curves, overlap, differing passages and cost. */
(() => {
  const { data, el, number, onView } = Basin;
  const place = (id) => document.getElementById(id);
  const { names } = data;
  const order = ["blue", "orange", "green", "red", "purple", "sky", "yellow", "grey"];
  const dashes = ["solid", "dash", "dot", "dashdot"];
  const symbols = ["circle", "square", "diamond", "cross", "x", "triangle-up"];
  const column = (key, title, digits) => ({ key, title, digits, number: digits !== undefined });

  onView("sides", () => {
    const columns = [
      column("name", "Run"), column("round", "Round", 0), column("drift", "Drift", 3), column("agreement", "Agreement", 3), column("coherence", "Coherence", 3),
      column("size", "Size", 3), column("members", "Members", 0), column("passages", "Passages", 0), column("certified", "Certified"), column("minutes", "Minutes", 1), column("peak_gb", "Peak GB", 1),
    ];
    Basin.table(place("sides-table"), { caption: "The compared rounds", columns, rows: data.sides, name: "runs" });
  });

  onView("curves", () => {
    for (const [what, curves] of Object.entries(data.curves)) {
      if (curves.every((curve) => curve.every((value) => value === null))) continue;
      const about = { drift: "Drift: 1 − soft Jaccard with the previous round, on a log scale. Dotted: the bound for convergence.", agreement: "Agreement: mean membership of generated passages.", coherence: "Coherence: share of generated passages that read as well as real text; round 0 is the base model.", size: "Size: mean membership of the real passages." }[what];
      const figure = el("figure", {}, el("figcaption", {}, about));
      place("curves-charts").append(figure);
      const longest = Math.max(...curves.map((curve) => curve.length));
      Basin.chart(figure, {
        name: what,
        label: `${what} by round`,
        tall: 300,
        traces: (colours) =>
          curves.map((curve, at) => ({
            type: "scatter", mode: "lines+markers", name: Basin.literal(names[at]), x: curve.map((_, round) => round), y: curve,
            line: { color: colours[order[at % order.length]], dash: dashes[at % dashes.length], width: 2.5 },
            marker: { symbol: symbols[at % symbols.length], size: 8 },
          })),
        layout: (colours) => ({
          legend: { orientation: "h", y: 1.18 },
          xaxis: { title: { text: "round" }, dtick: Math.max(1, Math.ceil(longest / 10)) },
          yaxis: what === "drift" ? { type: "log" } : { rangemode: "tozero" },
          shapes: what !== "drift" ? [] : [...new Set(data.bounds)].map((bound) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: bound, y1: bound, line: { color: colours.quiet, dash: "dot" } })),
        }),
        rows: () => [["Round", ...names], ...Array.from({ length: longest }, (_, round) => [round, ...curves.map((curve) => curve[round] ?? null)])],
      });
    }
  });

  const pairOf = (one, two) => data.pairs.find((pair) => (pair.first === one && pair.second === two) || (pair.first === two && pair.second === one));

  function overlap() {
    const cell = (one, two) => {
      const pair = pairOf(one, two);
      const value = one === two ? 1 : pair.overlap;
      const shade = value === null ? 0 : Math.round(40 * value);
      const text = value === null ? "–" : number(value, 3);
      const made = el("td", { style: `background: color-mix(in srgb, var(--blue) ${shade}%, transparent)` }, one === two ? "1" : text);
      if (pair) made.append(el("br"), el("small", {}, pair.shared ? `${pair.shared} passages` : "nothing shared"));
      return made;
    };
    place("overlap").replaceChildren(
      el("thead", {}, el("tr", {}, el("td"), names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, names.map((name, one) => el("tr", {}, el("th", { scope: "row" }, name), names.map((_, two) => cell(one, two))))),
    );
  }

  function held(passage, names) {
    return el(
      "article",
      { class: "held" },
      el("h4", { dir: "auto" }, passage.title),
      el("p", { class: "quiet" }, `${names[0]} ${number(passage.first, 2)}, ${names[1]} ${number(passage.second, 2)}`),
      el("div", { class: "text", dir: "auto", tabindex: "0", role: "region", "aria-label": passage.title }, passage.text),
    );
  }

  function apart(pair) {
    const both = [names[pair.first], names[pair.second]];
    const sides = [["first", both[0], both[1], 0], ["second", both[1], both[0], 1]];
    place("apart-status").textContent = pair.shared
      ? `They share ${pair.shared} passages. Members of one run only are listed by difference, at most two of a document.`
      : "They share no passage.";
    for (const [side, holds, lacks, at] of sides) {
      const found = pair[`only_${side}`];
      place(`apart-${side}-title`).textContent = pair.shared ? `In ${holds} and not in ${lacks}: ${pair.counts[at]}` : "";
      place(`apart-${side}`).replaceChildren(...(found.length || !pair.shared ? found.map((passage) => held(passage, both)) : ["None."]));
    }
  }

  onView("apart", () => {
    overlap();
    const choice = el("select", { on: { change: () => apart(data.pairs[Number(choice.value)]) } }, data.pairs.map((pair, at) => el("option", { value: at }, `${names[pair.first]} and ${names[pair.second]}`)));
    place("apart-controls").append(el("label", {}, "Compare", choice));
    apart(data.pairs[0]);
  });

  onView("settings", () => {
    if (!data.differences.length) return;
    const columns = [column("setting", "Setting"), ...names.map((name, at) => ({ key: `value${at}`, title: name, value: (row) => row.values[at] }))];
    Basin.table(place("settings-table"), { caption: "Settings that differ", columns, rows: data.differences, name: "settings" });
  });

  onView("cost", () => {
    const stages = [...new Set(data.costs.flatMap((cost) => Object.keys(cost)))].filter((stage) => stage !== "peak_gb");
    Basin.chart(place("cost-figure"), {
      name: "cost",
      label: "Seconds by stage",
      tall: 130 + 50 * names.length,
      traces: (colours) => stages.map((stage, at) => ({ type: "bar", orientation: "h", name: stage, y: names.map(Basin.literal), x: data.costs.map((cost) => cost[stage] ?? 0), marker: { color: colours[order[at % order.length]], line: { color: colours.card, width: 1 }, pattern: { shape: at < order.length ? "" : "/" } } })),
      layout: () => ({ barmode: "stack", yaxis: { autorange: "reversed", type: "category" }, xaxis: { title: { text: "seconds" } }, legend: { orientation: "h", y: 1.25, traceorder: "normal" } }),
      rows: () => [["Run", ...stages, "Peak GB"], ...data.costs.map((cost, at) => [names[at], ...stages.map((stage) => cost[stage] ?? null), cost.peak_gb ?? null])],
    });
  });

  if (place("gold-table"))
    onView("gold", () => {
      const keys = Object.keys(data.gold[0]);
      Basin.table(place("gold-table"), { caption: "Average precision against gold labels, over passages", columns: keys.map((key, at) => column(key, key, at > 1 ? 3 : undefined)), rows: data.gold, name: "gold" });
    });
})();
