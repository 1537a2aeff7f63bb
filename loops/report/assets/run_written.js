"use strict";
/* Generated passages by round, with filters. */
Basin.onView("written", () => {
  const { data, el, chart } = Basin;
  const { rounds, written } = data;
  const { share, wrote, choice, KINDS, words } = Basin.run;
  const list = document.getElementById("written-list");
  if (!list) return;
  const PAGE = window.innerWidth < 640 ? 6 : 20;
  const rows = written.rounds.flatMap((found, index) => found.map((row) => ({ row, index, kind: written.texts[row[0]][0], text: written.texts[row[0]].slice(1, 3).join("") })));
  const kinds = [...new Set(rows.map((each) => each.kind))];
  const filter = { kind: kinds.includes("steered") ? "steered" : "all", round: "all", coherent: "all", low: 0, high: 1, text: "" };
  let shown = PAGE;

  const passes = (each) =>
    (filter.kind === "all" || each.kind === filter.kind) &&
    (filter.round === "all" || each.index === Number(filter.round)) &&
    (filter.coherent === "all" || String(each.row[2]) === filter.coherent) &&
    share(each.row[1]) >= filter.low && share(each.row[1]) <= filter.high &&
    (!filter.text || each.text.toLowerCase().includes(filter.text));
  const chosen = () => rows.filter(passes).sort((one, two) => two.index - one.index || two.row[1] - one.row[1]);

  const set = (name) => (value) => { filter[name] = value; shown = PAGE; update(); };
  const present = [...new Set(rows.map((each) => each.index))];
  const bound = (name, label) => {
    const input = el("input", { type: "number", min: 0, max: 1, step: 0.05, value: filter[name], id: `written-${name}`, on: { input: () => set(name)(input.value === "" ? (name === "low" ? 0 : 1) : Number(input.value)) } });
    return el("label", {}, label, input);
  };
  const search = el("input", { type: "search", id: "written-text", on: { input: () => set("text")(search.value.toLowerCase()) } });
  const kind = choice("Kind", [["all", "all"], ...kinds.map((each) => [each, KINDS[each] || each])], filter.kind, set("kind"));
  kind.select.id = "written-kind";
  const round = choice("Round", [["all", "all"], ...present.map((index) => [String(index), String(rounds[index])])], "all", set("round"));
  round.select.id = "written-round";
  const coherent = choice("Coherent", [["all", "all"], ["true", "yes"], ["false", "no"], ["null", "not measured"]], "all", set("coherent"));
  coherent.select.id = "written-coherent";
  document.getElementById("written-controls").append(
    kind.element, round.element, coherent.element, bound("low", "Membership from"), bound("high", "to"), el("label", {}, "Containing", search),
  );

  const LOOKS = { steered: ["purple", "diamond", -0.14], base: ["orange", "square", 0.14], degenerate: ["text", "x", 0] };
  const jitter = (number) => (((number * 0.618034) % 1) - 0.5) * 0.2;
  const drawn = chart(document.getElementById("written-figure"), {
    name: `${data.name}-written`, label: "Membership of generated passages, by round", tall: 300,
    traces: (colours) => kinds.map((each) => {
      const [colour, symbol, aside] = LOOKS[each] || ["blue", "circle", 0];
      const found = chosen().filter((one) => one.kind === each);
      return {
        x: found.map((one) => rounds[one.index] + aside + jitter(one.row[0])), y: found.map((one) => share(one.row[1])), name: KINDS[each] || each, mode: "markers", type: "scatter",
        marker: { color: colours[colour], symbol, size: 7, opacity: 0.7 }, hovertemplate: "%{y:.2f}<extra></extra>",
      };
    }),
    layout: (colours) => ({
      xaxis: { title: { text: "round" }, dtick: rounds.length > 16 ? undefined : 1 }, yaxis: { title: { text: "membership" }, range: [-0.03, 1.03] }, margin: { t: 8 },
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { color: colours.red, width: 2, dash: "dash" } }],
    }),
    rows: () => [["round", "kind", "membership", "coherent", "nats per token", "seed", "prompt", "text"], ...chosen().map(({ row, index, kind: each }) => [rounds[index], each, share(row[1]), row[2] === null ? "" : row[2] ? "yes" : "no", row[3], written.texts[row[0]][3], written.texts[row[0]][1], written.texts[row[0]][2]])],
  });

  const more = el("button", { type: "button", on: { click: () => { shown += PAGE; fill(chosen()); } } });
  function fill(found) {
    list.replaceChildren(el("div", { class: "grid" }, found.slice(0, shown).map((each) => el("div", { class: "card" }, wrote(each.row, each.index)))), more);
    more.hidden = found.length <= shown;
    more.textContent = `Show more (${found.length - shown} left)`;
  }
  let waiting = null;
  function update() {
    const found = chosen();
    document.getElementById("written-count").textContent = `${found.length} of ${rows.length} passages, newest round and highest membership first.`;
    fill(found);
    clearTimeout(waiting);
    waiting = setTimeout(drawn.redraw, 150);
  }
  update();
});
