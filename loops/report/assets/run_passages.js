"use strict";
/* Passages that entered and left, and disagreements between topic and concept. */
Basin.onView("changes", () => {
  const { data, el, chart, table } = Basin;
  const { rounds, exchange, passages } = data;
  const { share, title, words, choice } = Basin.run;
  if (rounds.length < 2) return;
  const moved = exchange.map((each, at) => (each && each.entered.length + each.left.length ? at : 0));
  let index = Math.max(...moved) || rounds.length - 1; // the newest in which anything moved
  const numbers = rounds.slice(1);
  const count = (name) => exchange.slice(1).map((each) => each[name].length);

  chart(document.getElementById("changes-figure"), {
    name: `${data.name}-changes`, label: "Passages that entered and left in every round", tall: 260,
    traces: (colours) => [
      { type: "bar", x: numbers, y: count("entered"), name: "entered", marker: { color: colours.green }, hovertemplate: "round %{x}: %{y} entered<extra></extra>" },
      { type: "bar", x: numbers, y: count("left").map((value) => -value), name: "left", marker: { color: colours.red, pattern: { shape: "/", fillmode: "overlay", fgcolor: colours.card } }, customdata: count("left"), hovertemplate: "round %{x}: %{customdata} left<extra></extra>" },
    ],
    layout: () => ({ barmode: "relative", xaxis: { title: { text: "round" }, dtick: rounds.length > 16 ? undefined : 1 }, yaxis: { title: { text: "passages" } }, margin: { t: 8 } }),
    rows: () => [["round", "entered", "left"], ...numbers.map((round, at) => [round, count("entered")[at], count("left")[at]])],
  });

  const columns = () => [
    { key: "title", title: "title", value: (at) => title(at) },
    { key: "before", title: `round ${rounds[index - 1]}`, number: true, digits: 2, value: (at) => share(passages.membership[index - 1][at]) },
    { key: "now", title: `round ${rounds[index]}`, number: true, digits: 2, value: (at) => share(passages.membership[index][at]) },
    { key: "claim", title: "pointer's claim", number: true, digits: 2, value: (at) => share(passages.membership[0][at]) },
    { key: "words", title: "first words", value: (at) => words(passages.texts[at], 30), show: (at) => text(at) },
  ];
  function text(at) {
    return el("details", {}, el("summary", { dir: "auto" }, words(passages.texts[at], 14)), el("p", { class: "text", dir: "auto" }, passages.texts[at]));
  }
  function fill() {
    for (const name of ["entered", "left"]) {
      const found = exchange[index][name];
      document.getElementById(`${name}-title`).textContent = `${name === "entered" ? "Entered" : "Left"} in round ${rounds[index]}: ${found.length}`;
      const place = document.getElementById(name);
      if (!found.length) { place.replaceChildren(el("p", { class: "quiet" }, "None.")); continue; }
      table(place, { caption: "Membership before and after, sorted by change", columns: columns(), rows: found, name: `${data.name}-round-${rounds[index]}-${name}`, limit: 25 });
    }
  }
  const pick = choice("Round", rounds.slice(1).map((round, at) => [String(at + 1), String(round)]), String(index), (value) => { index = Number(value); fill(); });
  document.getElementById("changes-controls").append(pick.element);
  fill();
});

Basin.onView("disagreements", () => {
  const { data, el } = Basin;
  const { real } = Basin.run;
  if (data.rounds.length < 2) return;
  const index = data.rounds.length - 1;

  /** The passage with its responsible words marked. Offsets count code points, as in Python. */
  function marked(at) {
    const letters = Array.from(data.passages.texts[at]);
    const body = el("p", { class: "text", dir: "auto" });
    let done = 0;
    for (const [begin, end, share] of data.responsibilities[at] || []) {
      body.append(letters.slice(done, begin).join(""), el("mark", { class: share >= 0.5 ? "strong" : null, title: `responsibility ${Math.round(share * 100)} %` }, letters.slice(begin, end).join("")));
      done = end;
    }
    body.append(letters.slice(done).join(""));
    return body;
  }

  for (const side of ["refused", "taken"]) {
    const place = document.getElementById(side);
    const found = data.disagreements[side];
    if (!found.length) place.append(el("p", { class: "quiet" }, "None."));
    let shown = 0;
    const more = el("button", { type: "button", on: { click: () => add(4) } }, "Show more");
    function add(count) {
      for (const at of found.slice(shown, shown + count)) more.before(el("div", { class: "card" }, real(at, index, { body: marked(at) })));
      shown += count;
      more.hidden = shown >= found.length;
    }
    place.append(more);
    add(4);
  }
});
