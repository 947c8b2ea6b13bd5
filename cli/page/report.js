"use strict";
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", () => {
  const PAGE = 100;
  const find = (id) => document.getElementById(id);
  const body = find("table").tBodies[0];
  const buttons = [...find("table").querySelectorAll("thead button")];
  const order = new Intl.Collator("en", { numeric: true });
  const rows = [...body.rows].map((row) => ({
    row,
    state: row.dataset.state,
    keys: [...row.querySelectorAll(":scope > [data-key]")].map((cell) => cell.dataset.key),
    text: row.textContent.toLowerCase(),
  }));
  let page = 0;
  let matching = rows;

  const number = (count) => count.toLocaleString("en");

  function show() {
    const pages = Math.max(1, Math.ceil(matching.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const first = page * PAGE;
    matching.forEach((each, place) => each.row.classList.toggle("later", place < first || place >= first + PAGE));
    const last = Math.min(first + PAGE, matching.length);
    find("count").textContent = matching.length
      ? `Showing ${number(first + 1)} to ${number(last)} of ${number(matching.length)} buckets`
        + (matching.length < rows.length ? `, of ${number(rows.length)} in all` : "")
      : `None of ${number(rows.length)} buckets matches`;
    find("page").textContent = `Page ${page + 1} of ${pages}`;
    find("before").disabled = page === 0;
    find("after").disabled = page === pages - 1;
  }

  function filter() {
    const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = find("state").value;
    matching = [];
    for (const each of rows) {
      const fits = (!state || each.state === state) && words.every((word) => each.text.includes(word));
      each.row.classList.toggle("out", !fits);
      if (fits) matching.push(each);
    }
    page = 0;
    show();
  }

  function sort(button) {
    const head = button.closest("th");
    const column = Number(button.dataset.column);
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    buttons.forEach((each) => each.closest("th").setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    rows.sort((one, other) => sign * order.compare(one.keys[column], other.keys[column])
      || order.compare(one.keys[0], other.keys[0]));
    rows.forEach((each) => each.row.classList.add("later"));
    body.append(...rows.map((each) => each.row));
    filter();
  }

  function reveal(id) {
    const target = id && find(id);
    if (target instanceof HTMLDetailsElement) {
      target.open = true;
      target.scrollIntoView();
      target.querySelector("summary").focus();
    }
  }

  buttons.forEach((button) => button.addEventListener("click", () => sort(button)));
  find("search").addEventListener("input", filter);
  find("state").addEventListener("change", filter);
  find("before").addEventListener("click", () => { page -= 1; show(); });
  find("after").addEventListener("click", () => { page += 1; show(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#f-']");
    if (link) {
      event.preventDefault();
      reveal(link.getAttribute("href").slice(1));
    }
  });
  reveal(location.hash.slice(1));

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")].filter((each) => !each.closest(".out"));
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
  show();
});
