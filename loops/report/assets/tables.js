"use strict";
/* Tables that can be sorted, copied and saved. */
Basin.table = (place, { caption, columns, rows, name, rowClass, limit = 200 }) => {
  const { el, number, copy, save, csv, say } = Basin;
  let sorted = { key: null, falling: false };
  let shown = limit;
  let current = rows;

  const plain = (row, column) => {
    const value = column.value ? column.value(row) : row[column.key];
    return value === undefined ? null : value;
  };
  const text = (row, column) =>
    typeof plain(row, column) === "number" ? number(plain(row, column), column.digits ?? null) : String(plain(row, column) ?? "–");

  const head = el(
    "tr",
    {},
    columns.map((column) => {
      const button = el("button", { type: "button", on: { click: () => sort(column) } }, column.title);
      return el("th", { scope: "col", class: column.number ? "number" : null, "data-key": column.key }, button);
    }),
  );
  const body = el("tbody");
  const more = el("button", { type: "button", class: "more", on: { click: () => { shown += 500; fill(); } } }, "Show more");
  const table = el("table", {}, el("caption", {}, caption), el("thead", {}, head), body);
  const all = () => [columns.map((column) => column.title), ...ordered().map((row) => columns.map((column) => plain(row, column)))];
  const tools = el(
    "p",
    { class: "tools" },
    el("button", { type: "button", on: { click: () => copy(all().map((row) => row.join("\t")).join("\n")) } }, "Copy table"),
    el("button", { type: "button", on: { click: () => save(`${name}.csv`, csv(all()), "text/csv") } }, "CSV"),
  );
  place.replaceChildren(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table), more, tools);

  function sort(column) {
    const falling = sorted.key === column.key ? !sorted.falling : Boolean(column.number);
    sorted = { key: column.key, falling };
    for (const cell of head.children) {
      if (cell.dataset.key === column.key) cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    say(`Sorted by ${column.title}, ${falling ? "descending" : "ascending"}.`);
    fill();
  }

  function ordered() {
    const column = columns.find((each) => each.key === sorted.key);
    if (!column) return current;
    const sign = sorted.falling ? -1 : 1;
    return [...current].sort((one, two) => {
      const [a, b] = [plain(one, column), plain(two, column)];
      if (a === null || b === null) return (a === null) - (b === null); // missing values come last
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    });
  }

  function fill() {
    const found = ordered();
    body.replaceChildren(
      ...found.slice(0, shown).map((row) =>
        el(
          "tr",
          { class: rowClass ? rowClass(row) : null },
          columns.map((column, at) => {
            const tag = at === 0 ? "th" : "td";
            const short = !column.show && text(row, column).length <= 24;
            const cell = el(tag, { scope: at === 0 ? "row" : null, class: column.number ? "number" : short ? "short" : null });
            if (column.show) cell.append(column.show(row));
            else if (column.number) cell.append(text(row, column));
            else cell.append(el("span", { dir: "auto" }, text(row, column)));
            return cell;
          }),
        ),
      ),
    );
    if (!found.length) body.append(el("tr", {}, el("td", { colspan: columns.length, class: "empty" }, "None.")));
    more.hidden = found.length <= shown;
    more.textContent = `Show more (${found.length - shown} left)`;
  }

  fill();
  return { set: (next) => { current = next; shown = limit; fill(); } };
};
