"use strict";
/* Plotly charts, each also available as PNG, CSV and a table. The page contains Plotly compressed. */
(() => {
  const { el, save, saveAddress, csv, onShown } = Basin;
  const charts = [];
  let unpacked = null;

  /** Okabe and Ito's colour-blind-safe colours, and the page's own. */
  Basin.colours = () => {
    const style = getComputedStyle(document.documentElement);
    const names = ["text", "quiet", "line", "ground", "card", "orange", "sky", "green", "yellow", "blue", "red", "purple", "grey"];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };

  /** Escape a text for Plotly, which interprets some tags. */
  Basin.literal = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  async function unpack() {
    const holder = document.getElementById("basin-plotly");
    if (!holder) throw new Error("this page contains no charts");
    if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old");
    const bytes = Uint8Array.from(atob(holder.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = el("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    holder.remove();
  }

  /** Plotly, unpacked once. */
  Basin.plotly = () => (unpacked ??= unpack()).then(() => window.Plotly);

  /**
   * A chart in a figure element, with its buttons and its table.
   * `traces` and `layout` are called with the colours, again whenever these change; `rows` gives the header and the rows.
   * Returns `{ place, redraw }`; `ready` is called with the drawn element once.
   */
  Basin.chart = (figure, { name, label, traces, layout, rows, ready, tall = 380 }) => {
    const place = el("div", { class: "chart", role: "img", "aria-label": label, style: `height: ${tall}px` });
    const table = el("div");
    const details = el("details", { on: { toggle: () => details.open && fillTable() } }, el("summary", {}, "Show as a table"), table);
    const png = async () => {
      const Plotly = await Basin.plotly();
      saveAddress(`${name}.png`, await Plotly.toImage(place, { format: "png", width: 1200, height: 750, scale: 2 }));
    };
    const tools = el(
      "p",
      { class: "tools" },
      el("button", { type: "button", "aria-label": `Save ${name} as PNG`, on: { click: png } }, "PNG"),
      el("button", { type: "button", "aria-label": `Save ${name} as CSV`, on: { click: () => save(`${name}.csv`, csv(rows()), "text/csv") } }, "CSV"),
    );
    figure.prepend(place);
    figure.append(tools, details);
    let drawn = false;

    function fillTable() {
      const [header, ...found] = rows();
      const columns = header.map((title, at) => ({
        key: String(at), title, digits: found.some((row) => typeof row[at] === "number" && !Number.isInteger(row[at])) ? 3 : null, value: (row) => row[at], number: found.some((row) => typeof row[at] === "number"),
      }));
      Basin.table(table, { caption: label, columns, rows: found, name });
    }

    async function redraw() {
      try {
        const Plotly = await Basin.plotly();
        const colours = Basin.colours();
        const config = { displayModeBar: false, responsive: true, showTips: false };
        await Plotly.react(place, traces(colours), merged(base(colours), layout(colours)), config);
        if (!drawn && ready) ready(place);
        drawn = true;
        if (details.open) fillTable();
      } catch (problem) {
        place.classList.add("failed");
        place.textContent = `The chart cannot be drawn (${problem.message}); the table below has the same numbers.`;
      }
    }
    const made = { place, redraw };
    charts.push(made);
    redraw();
    return made;
  };

  function base(colours) {
    const axis = { gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line, automargin: true, title: { standoff: 8 } };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colours.text, family: "system-ui, sans-serif", size: window.innerWidth < 640 ? 11 : 13 },
      margin: { l: 48, r: 16, t: 24, b: 44 }, xaxis: axis, yaxis: axis, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
      hoverlabel: { bgcolor: colours.card, bordercolor: colours.line, font: { color: colours.text } },
    };
  }

  function merged(one, two) {
    const made = { ...one };
    for (const [key, value] of Object.entries(two)) {
      const both = value && typeof value === "object" && !Array.isArray(value) && made[key];
      made[key] = both ? merged(made[key], value) : value;
    }
    return made;
  }

  const redrawAll = () => charts.forEach((chart) => chart.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  onShown(() => charts.forEach(({ place }) => place.offsetParent && window.Plotly && place.data && window.Plotly.Plots.resize(place)));
})();
