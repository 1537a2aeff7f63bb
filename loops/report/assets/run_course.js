"use strict";
/* Convergence: tracked numbers of every round, with their limits. */
Basin.onView("convergence", () => {
  const { data, el, chart } = Basin;
  const { rounds, series, limits } = data.course;
  const place = document.getElementById("course-charts");
  const known = (name) => series[name].some((value) => value !== null);
  const converged = rounds.filter((round, at) => series.drift[at] !== null && series.drift[at] < limits.drift);

  const CHARTS = [
    {
      name: "drift", title: "Drift", lines: [["drift", "drift", "blue"]], log: true,
      about: `Change of the memberships since the previous round (1 − soft Jaccard). The run stops after ${limits.patience} consecutive rounds under ${limits.drift}, from round ${Math.max(limits.minimum_rounds, limits.patience)} on. Such rounds are ringed.`,
      limits: [[limits.drift, "bound"]], ringed: converged,
    },
    {
      name: "contraction", title: "Contraction", lines: [["contraction", "contraction", "blue"]],
      about: "Drift divided by the previous drift. Below 1 every round moves the concept less than the one before.", limits: [[1, "contracting below"]],
    },
    {
      name: "agreement", title: "Agreement", range: [0, 1],
      lines: [["agreement", "steered", "purple", "diamond"], ["base_agreement", "base model", "orange", "square"], ["degenerate_agreement", "degenerate", "text", "x"]],
      about: "Mean membership of generated passages in the concept of their own round. Degenerate passages should have little.", limits: [],
    },
    {
      name: "coherence", title: "Coherence", range: [0, 1],
      lines: [["coherence", "steered", "purple", "diamond"], ["base_coherence", "base model", "orange", "none"]],
      about: "Share of generated passages that read as well as real text, by another language model. Under the line the run counts as collapsed.", limits: [[limits.coherence, "collapsed below"]],
    },
    {
      name: "size", title: "Size", lines: [["size", "mean membership of the real passages", "blue"]],
      about: "Share of the corpus in the concept. Outside the limits the run counts as collapsed to nothing or to everything.", limits: [[limits.smallest, "smallest"], [limits.largest, "largest"]], zero: true,
    },
  ];

  if (place) {
    for (const each of CHARTS) {
      if (!each.lines.some(([name]) => known(name))) continue;
      const figure = el("figure", {}, el("figcaption", {}, each.about));
      place.append(el("div", {}, el("h3", {}, each.title), figure));
      draw(figure, each);
    }
  }

  function draw(figure, each) {
    const lines = each.lines.filter(([name]) => known(name));
    const asked = each.limits.filter(([value]) => value !== null && value !== undefined);
    const least = Math.min(...lines.flatMap(([name]) => series[name].filter((value) => value > 0)));
    const positive = lines.every(([name]) => series[name].every((value) => value === null || value > 0));
    chart(figure, {
      name: `${data.name}-${each.name}`, label: `${each.title} by round`, tall: 260,
      traces: (colours) => [
        ...lines.map(([name, text, colour, symbol]) => ({
          x: rounds, y: series[name], name: text, mode: symbol === "none" ? "lines" : "lines+markers", line: { color: colours[colour], width: 2, dash: symbol === "none" ? "dot" : "solid" },
          marker: { symbol: symbol === "none" ? "circle" : symbol || "circle", size: 8 }, hovertemplate: "round %{x}: %{y:.3f}<extra></extra>", connectgaps: false,
        })),
        ...(each.ringed && each.ringed.length ? [{
          x: each.ringed, y: each.ringed.map((round) => series.drift[rounds.indexOf(round)]), name: "below the bound", mode: "markers", hoverinfo: "skip",
          marker: { symbol: "circle-open", size: 16, color: colours.green, line: { width: 3 } },
        }] : []),
      ],
      layout: (colours) => ({
        xaxis: { title: { text: "round" }, dtick: rounds.length > 16 ? undefined : 1, range: [Math.min(...rounds) - 0.4, Math.max(...rounds) + 0.4] },
        yaxis: { ...(each.log && positive ? (least < 1e-4 ? { dtick: 1, exponentformat: "power" } : { tickvals: [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] }) : {}), type: each.log && positive ? "log" : "linear", range: each.range ? [each.range[0] - 0.02, each.range[1] + 0.02] : undefined, rangemode: each.zero ? "tozero" : "normal" },
        showlegend: lines.length > 1 || Boolean(each.ringed && each.ringed.length), margin: { t: 12 },
        shapes: asked.map(([value]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: colours.red, width: 2, dash: "dash" } })),
        annotations: asked.map(([value, text]) => ({
          xref: "paper", x: 1, xanchor: "right", y: each.log && positive ? Math.log10(value) : value, yanchor: "bottom", showarrow: false, text: `${text} ${value.toPrecision(2).replace(/\.?0+$/, "")}`, font: { color: colours.red, size: 12 },
        })),
      }),
      rows: () => [["round", ...lines.map(([, text]) => text), ...asked.map(([, text]) => text)], ...rounds.map((round, at) => [round, ...lines.map(([name]) => series[name][at]), ...asked.map(([value]) => value)])],
    });
  }

  const COLUMNS = {
    drift: "drift", contraction: "contraction", size: "size", members: "members", agreement: "agreement", base_agreement: "agreement, base", coherence: "coherence",
    loss: "loss by another model (nats per token)", redundancy: "redundancy (nats)", redundancy_share: "redundancy share", mediation: "mediation (nats)", nats_per_token: "steering (nats per token)",
  };
  const columns = [{ key: "round", title: "round", number: true }, ...Object.entries(COLUMNS).filter(([key]) => known(key)).map(([key, title]) => ({ key, title, number: true, digits: key === "members" ? null : 3 }))];
  const rows = rounds.map((round, at) => ({ round, ...Object.fromEntries(Object.keys(COLUMNS).map((key) => [key, series[key][at]])) }));
  Basin.table(document.getElementById("course-table"), { caption: "Numbers of every round", columns, rows, name: `${data.name}-rounds` });
});
