"use strict";
/* The rounds measured against gold labels, which the loop never reads. */
Basin.onView("gold", () => {
  const { data, chart, table, literal } = Basin;
  const rows = data.gold.rows;
  const [main] = rows;
  const own = rows.filter((row) => row.concept === main.concept && row.corpus === main.corpus);
  const LINES = [["ap_concept", "concept, passage alone", "blue", "circle"], ["ap_concept_pooled", "concept, with its document", "green", "diamond"]];
  const FLAT = [["ap_topic", "topic, passage alone", "red", "dash"], ["ap_ceiling", "trained on labels, passage alone", "orange", "dot"], ["ap_topic_pooled", "topic, with its document", "red", "dashdot"], ["ap_ceiling_pooled", "trained on labels, with its document", "orange", "longdash"]];
  const has = ([key]) => own.some((row) => typeof row[key] === "number");

  chart(document.getElementById("gold-figure"), {
    name: `${data.name}-gold`, label: "Average precision against gold labels, by round", tall: 360,
    traces: (colours) => [
      ...LINES.filter(has).map(([key, name, colour, symbol]) => ({ x: own.map((row) => row.round), y: own.map((row) => row[key]), name, mode: "lines+markers", line: { color: colours[colour], width: 2 }, marker: { symbol, size: 8 }, hovertemplate: "round %{x}: %{y:.3f}<extra></extra>" })),
      ...FLAT.filter(has).map(([key, name, colour, dash]) => ({ x: own.map((row) => row.round), y: own.map((row) => row[key]), name, mode: "lines", line: { color: colours[colour], width: 2, dash }, hovertemplate: "%{y:.3f}<extra></extra>" })),
    ],
    layout: () => ({ xaxis: { title: { text: "round" }, dtick: own.length > 16 ? undefined : 1 }, yaxis: { title: { text: literal(`average precision, ${main.concept ?? "gold"}`) } } }),
    rows: () => [["round", ...[...LINES, ...FLAT].filter(has).map(([, name]) => name)], ...own.map((row) => [row.round, ...[...LINES, ...FLAT].filter(has).map(([key]) => row[key])])],
  });

  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  table(document.getElementById("gold-table"), {
    caption: "All measurements", name: `${data.name}-gold-all`, rows,
    columns: keys.map((key) => ({ key, title: key.replaceAll("_", " "), digits: rows.some((row) => typeof row[key] === "number" && !Number.isInteger(row[key])) ? 3 : null, number: rows.some((row) => typeof row[key] === "number") })),
  });
});
