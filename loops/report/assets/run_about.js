"use strict";
/* Costs and settings of the run. */
Basin.onView("about", () => {
  const { data, chart, table } = Basin;
  const { rounds, costs } = data.course;
  const stages = [...new Set(costs.flatMap((each) => Object.keys(each)))].filter((stage) => stage !== "peak_gb");
  const PALETTE = ["blue", "orange", "green", "purple", "sky", "red", "yellow", "grey", "text"];
  const SHAPES = ["", "/", "x", "-", "|", "+", ".", "\\"];

  chart(document.getElementById("costs-figure"), {
    name: `${data.name}-costs`, label: "Seconds by stage and round", tall: 300,
    traces: (colours) => stages.map((stage, at) => ({
      type: "bar", x: rounds, y: costs.map((each) => each[stage] ?? 0), name: Basin.literal(stage),
      marker: { color: colours[PALETTE[at % PALETTE.length]], pattern: { shape: SHAPES[at % SHAPES.length], size: 6, solidity: 0.3, fillmode: "overlay", fgcolor: colours.card } }, hovertemplate: "round %{x}: %{y:.1f} s<extra>%{fullData.name}</extra>",
    })),
    layout: () => ({ barmode: "stack", xaxis: { title: { text: "round" }, dtick: rounds.length > 16 ? undefined : 1 }, yaxis: { title: { text: "seconds" } }, margin: { t: 8 } }),
    rows: () => [["round", ...stages.map((stage) => `${stage} (s)`), "all (s)", "peak memory (GB)"], ...rounds.map((round, at) => [
      round, ...stages.map((stage) => costs[at][stage] ?? null), stages.reduce((sum, stage) => sum + (costs[at][stage] ?? 0), 0), costs[at].peak_gb ?? null,
    ])],
  });

  const changed = data.settings.filter((each) => each.default !== "the same");
  const settings = table(document.getElementById("settings"), {
    caption: "The stored configuration", name: `${data.name}-settings`, rows: changed,
    columns: [{ key: "setting", title: "setting" }, { key: "value", title: "value" }, { key: "default", title: "default" }],
  });
  const which = document.getElementById("settings-which");
  which.addEventListener("change", () => settings.set(which.value === "all" ? data.settings : changed));
});
