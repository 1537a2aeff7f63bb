"use strict";
/* The map: texts in a fixed plane, the topic's ellipse, the concept's boundary, with a slider over the rounds. */
Basin.onView("map", () => {
  const { data, el, chart, literal, say } = Basin;
  const { real, wrote, share } = Basin.run;
  const picture = data.map;
  if (!picture) return;
  const MOST = 2500; // marks of real passages: more of them are slow to draw and hide each other
  const RADIUS = 1.48; // of an ellipse that holds two thirds of a normal distribution
  const { rounds, passages, written } = data;
  let index = rounds.length - 1;
  let playing = null;
  let everything = false;

  const GROUPS = [
    { name: "real: neither", colour: "grey", size: 5, inside: false, claimed: false, opacity: 0.45 },
    { name: "real: topic and concept", colour: "blue", size: 7, inside: true, claimed: true, opacity: 0.8 },
    { name: "real: topic only", colour: "red", size: 7, inside: false, claimed: true, opacity: 0.8 },
    { name: "real: concept only", colour: "green", size: 7, inside: true, claimed: false, opacity: 0.8 },
  ];
  const WRITTEN = [
    { name: "generated: steered", kind: "steered", colour: "purple", symbol: "diamond", size: 10 },
    { name: "generated: base model", kind: "base", colour: "orange", symbol: "square", size: 8 },
    { name: "generated: degenerate", kind: "degenerate", colour: "text", symbol: "x", size: 8 },
  ];

  const isInside = (at, round) => passages.membership[round][at] >= 500;
  const group = (at) => GROUPS.findIndex((each) => each.inside === isInside(at, index) && each.claimed === isInside(at, 0));

  /** The real passages to draw: all that were ever members, and an even sample of the others. */
  const [drawn, thinned] = (() => {
    const all = passages.texts.map((_, at) => at);
    if (all.length <= MOST) return [all, false];
    const ever = all.filter((at) => passages.membership.some((round) => round[at] >= 500));
    const others = all.filter((at) => passages.membership.every((round) => round[at] < 500));
    const step = Math.max(1, Math.ceil(others.length / Math.max(300, MOST - ever.length)));
    return [[...ever, ...others.filter((_, place) => place % step === 0)], true];
  })();

  /** Axis ranges over all rounds, so that the frame stays fixed. */
  function frame() {
    const points = [...picture.real];
    picture.rounds.forEach(({ written: places }, round) =>
      (places || []).forEach((place, at) => written.texts[written.rounds[round][at][0]][0] !== "degenerate" && points.push(place)));
    return [0, 1].map((axis) => {
      const values = points.map((point) => point[axis]).filter((value) => value !== null);
      const [low, high] = [values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity)];
      const margin = (high - low || 1) * 0.05;
      return [low - margin, high + margin];
    });
  }

  function outline(ellipse) {
    const [x, y] = [[], []];
    for (let step = 0; step <= 72; step += 1) {
      const [c, s] = [RADIUS * Math.cos((step * Math.PI) / 36), RADIUS * Math.sin((step * Math.PI) / 36)];
      x.push(ellipse.mean[0] + ellipse.factor[0][0] * c + ellipse.factor[0][1] * s);
      y.push(ellipse.mean[1] + ellipse.factor[1][0] * c + ellipse.factor[1][1] * s);
    }
    return { x, y };
  }

  /** The part of the frame that is inside the boundary a x + b y + c >= 0, as a closed line, and the boundary itself. */
  function inner([a, b, c], [[left, right], [low, high]]) {
    const corners = [[left, low], [right, low], [right, high], [left, high]];
    const at = ([x, y]) => a * x + b * y + c;
    const kept = [];
    const line = [];
    corners.forEach((corner, place) => {
      const next = corners[(place + 1) % 4];
      if (at(corner) >= 0) kept.push(corner);
      if (at(corner) >= 0 !== at(next) >= 0) {
        const part = at(corner) / (at(corner) - at(next));
        const place = [corner[0] + part * (next[0] - corner[0]), corner[1] + part * (next[1] - corner[1])];
        kept.push(place);
        line.push(place);
      }
    });
    return [kept.length ? [...kept, kept[0]] : [], line];
  }

  function traces(colours) {
    const round = picture.rounds[index];
    const made = [];
    if (round.boundary && index > 0) {
      const [side, line] = inner(round.boundary, frame());
      const shared = { mode: "lines", hoverinfo: "skip", legendgroup: "boundary" };
      made.push({ ...shared, x: side.map((each) => each[0]), y: side.map((each) => each[1]), fill: "toself", showlegend: false, line: { width: 0 }, fillcolor: faint(colours.blue, 0.08) });
      made.push({ ...shared, x: line.map((each) => each[0]), y: line.map((each) => each[1]), name: "concept: boundary", line: { color: colours.blue, width: 3 } });
    }
    GROUPS.forEach((each, number) => {
      const points = (everything ? passages.texts.map((_, at) => at) : drawn).filter((at) => group(at) === number);
      made.push({
        x: points.map((at) => picture.real[at][0]), y: points.map((at) => picture.real[at][1]), customdata: points.map((at) => ["real", at]),
        mode: "markers", type: "scatter", hoverinfo: "none", name: index === 0 && each.inside ? "real: topic" : each.name,
        showlegend: index > 0 || each.inside === each.claimed,
        marker: { color: colours[each.colour], size: each.size, opacity: each.opacity, symbol: "circle" },
      });
    });
    for (const each of WRITTEN) {
      const rows = (written.rounds[index] || []).map((row, at) => [row, at]).filter(([row]) => written.texts[row[0]][0] === each.kind);
      if (!rows.length || !round.written) continue;
      made.push({
        x: rows.map(([, at]) => round.written[at][0]), y: rows.map(([, at]) => round.written[at][1]), customdata: rows.map(([, at]) => ["written", at]),
        mode: "markers", type: "scatter", hoverinfo: "none", name: each.name,
        marker: { color: colours[each.colour], size: each.size, symbol: each.symbol, line: { color: colours.card, width: 1 } },
      });
    }
    for (const [ellipse, name, colour, dash] of [
      [picture.topic, "topic: ellipse", "red", "solid"], [index > 0 ? round.ellipse : null, "concept: ellipse", "blue", "dot"],
    ]) {
      if (ellipse) made.push({ ...outline(ellipse), mode: "lines", hoverinfo: "skip", name, line: { color: colours[colour], width: 3, dash } });
    }
    return made;
  }

  function faint(colour, opacity) {
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${opacity})`;
  }

  function layout() {
    const [x, y] = frame();
    return {
      xaxis: { title: { text: literal(picture.titles[0]) }, range: x }, yaxis: { title: { text: literal(picture.titles[1]) }, range: y },
      uirevision: "map", hovermode: "closest", dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "pan", margin: { t: 10 },
    };
  }

  function rows() {
    const table = [["kind", "title", picture.titles[0], picture.titles[1], "pointer", "membership", "first words"]];
    passages.texts.forEach((text, at) =>
      table.push(["real", Basin.run.title(at), ...picture.real[at], share(passages.topic[at]), share(passages.membership[index][at]), Basin.run.words(text, 12)]));
    (written.rounds[index] || []).forEach((row, at) => {
      const [kind, prompt, text] = written.texts[row[0]];
      table.push([kind, "", ...((picture.rounds[index].written || [])[at] || [null, null]), null, share(row[1]), Basin.run.words(prompt + text, 12)]);
    });
    return table;
  }

  /** The passage of a mark. */
  const article = ([kind, at], length) => (kind === "real" ? real(at, index, { length }) : wrote(written.rounds[index][at], index, { length }));

  const tip = el("div", { class: "card tip", hidden: true, "aria-hidden": "true", id: "map-tip" });
  document.body.append(tip);
  function listen(place) {
    place.on("plotly_hover", ({ points, event }) => {
      if (!points[0].customdata) return;
      tip.replaceChildren(article(points[0].customdata, 45));
      tip.hidden = false;
      const aside = event.clientX > window.innerWidth / 2 ? event.clientX - tip.offsetWidth - 14 : event.clientX + 14; // not over what is inside
      const left = Math.min(aside, window.innerWidth - tip.offsetWidth - 8);
      const below = event.clientY + 14 + tip.offsetHeight < window.innerHeight;
      tip.style.left = `${Math.max(8, left)}px`;
      tip.style.top = `${Math.max(8, below ? event.clientY + 14 : event.clientY - tip.offsetHeight - 14)}px`;
    });
    place.on("plotly_unhover", () => (tip.hidden = true));
    place.on("plotly_click", ({ points }) => points[0].customdata && document.getElementById("map-chosen").replaceChildren(article(points[0].customdata)));
    Basin.onShown(() => (tip.hidden = true));
  }

  const slider = el("input", { type: "range", class: "range", id: "map-round", min: 0, max: rounds.length - 1, step: 1, value: index, on: { input: () => go(Number(slider.value)) } });
  const shown = el("output", { for: "map-round", id: "map-shown" });
  const play = el("button", { type: "button", id: "map-play", on: { click: () => (playing ? stop() : start()) } }, "Play");
  const controls = document.getElementById("map-controls");
  if (rounds.length > 1) controls.append(el("label", {}, "Round", slider), shown, play);
  if (thinned) {
    const box = el("input", { type: "checkbox", on: { change: () => { everything = box.checked; drawn_.redraw(); describe(); } } });
    controls.append(el("label", {}, box, "Draw all real passages (slow)"));
  }

  function describe() {
    const thin = thinned && !everything ? ` ${drawn.length} of ${passages.texts.length} real passages are drawn: all that were ever members, and an even sample of the others.` : "";
    document.getElementById("map-caption").textContent =
      `Each mark is a text: circles are real, diamonds are steered, squares are from the base model. On the shaded side membership in this plane is above one half.${thin}`;
    document.getElementById("map-about").textContent =
      `${picture.about} All rounds share the plane. Ellipses contain two thirds of a normal distribution fitted to the topic's claim or to the concept's memberships. The boundary is a logistic regression of the memberships on the two axes.`;
    shown.textContent = `${rounds[index]} of ${rounds.at(-1)}`;
    slider.setAttribute("aria-valuetext", `round ${rounds[index]} of ${rounds.at(-1)}`);
  }
  function go(next) {
    index = next;
    slider.value = String(next);
    tip.hidden = true;
    describe();
    return drawn_.redraw();
  }
  function stop() {
    clearTimeout(playing);
    playing = null;
    play.textContent = "Play";
  }
  function start() {
    play.textContent = "Stop";
    if (index === rounds.length - 1) index = -1;
    const step = async () => {
      await go(index + 1);
      if (index < rounds.length - 1 && playing) playing = setTimeout(step, 800);
      else { stop(); say(`Round ${rounds[index]}.`); }
    };
    playing = setTimeout(step, 0);
  }

  const drawn_ = chart(document.getElementById("map-figure"), {
    name: `${data.name}-map`, label: "Map of the texts in a plane; the table below has the same numbers", traces, layout, rows, ready: listen, tall: 560,
  });
  describe();
});
