// Sorting and filtering of tables, and opening of folded parts. Reads and rearranges what stands in the page; loads, stores and sends nothing.
// Without it every table is complete and in its own order.
"use strict";
(() => {
  const FILTER_FROM = 8; // rows from which a table can be filtered
  const SORT_FROM = 3;
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const ORDERS = { none: "ascending", ascending: "descending", descending: "none" };

  // First number of a cell, "−1.20 [−2.0, 0.1]" or "3.3×10⁻⁹" among them; not a number where it has none.
  function number(text) {
    const found = text.match(/([−+-]?)(\d[\d,]*(?:\.\d+)?)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?/);
    if (!found) return Number.NaN;
    const digits = [...(found[3] || "")].map((c) => (c === "⁻" ? "-" : SUPERSCRIPTS.indexOf(c))).join("");
    const size = Number(found[2].replaceAll(",", "")) * 10 ** Number(digits || 0);
    return "−-".includes(found[1] || "+") ? -size : size;
  }

  function compare(a, b, asText) {
    if (asText) return a.localeCompare(b, "en", { numeric: true });
    return number(a) - number(b);
  }

  // A copy of the rows in which each has a heading of its own: merged headings would not survive another order.
  function flattened(body) {
    const flat = body.cloneNode(true);
    let heading = null;
    for (const row of flat.rows) {
      const own = row.cells[0].tagName === "TH";
      if (own) heading = row.cells[0];
      else row.prepend(heading.cloneNode(true));
      row.classList.add("first");
    }
    for (const row of flat.rows) {
      row.cells[0].removeAttribute("rowspan");
      row.cells[0].setAttribute("scope", "row");
    }
    return flat;
  }

  // Arrow keys, Home and End lead from one heading to another.
  function move(event) {
    const buttons = [...event.currentTarget.querySelectorAll("button")];
    const here = buttons.indexOf(document.activeElement);
    const there = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (here < 0 || !buttons[there]) return;
    buttons[here].tabIndex = -1;
    buttons[there].tabIndex = 0;
    buttons[there].focus();
    event.preventDefault();
  }

  // What is wider than the screen fades at the side where it goes on, and only that can be reached by keyboard.
  function cue(region) {
    const over = region.scrollWidth - region.clientWidth;
    region.classList.toggle("more-right", over - region.scrollLeft > 4);
    region.classList.toggle("more-left", over > 4 && region.scrollLeft > 4);
    if (over > 1 || region.scrollHeight - region.clientHeight > 1) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
  }

  // The contents stand open beside the text where there is room, and fold away where there is none.
  function arrangeContents(wide) {
    document.querySelectorAll("details.contents").forEach((part) => { part.open = wide.matches; });
  }

  function prepare(table) {
    const merged = table.tBodies[0];
    const listing = table.tHead && table.tHead.rows[0].cells.length > 2; // of two columns it is a list of facts
    if (!listing || !merged || merged.rows.length < SORT_FROM) return;
    const flat = flattened(merged);
    const rows = [...flat.rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const columns = [...table.tHead.rows[0].cells];
    const state = { column: -1, order: "none", words: [] };
    const status = document.createElement("span");
    status.setAttribute("role", "status");

    function matching() {
      return rows.filter((_, i) => state.words.every((word) => texts[i].includes(word)));
    }

    function sorted(chosen) {
      if (state.order === "none") return chosen;
      const asText = columns[state.column].classList.contains("text") || state.column === 0;
      const cell = (row) => row.cells[state.column].textContent.trim();
      const known = (row) => (asText ? cell(row) !== "–" : !Number.isNaN(number(cell(row))));
      const sign = state.order === "ascending" ? 1 : -1;
      const order = (a, b) => sign * compare(cell(a), cell(b), asText);
      return [...chosen.filter(known).sort(order), ...chosen.filter((row) => !known(row))];
    }

    function show() {
      const untouched = state.order === "none" && state.words.length === 0;
      const chosen = sorted(matching());
      if (!untouched) flat.replaceChildren(...chosen);
      table.tBodies[0].replaceWith(untouched ? merged : flat);
      columns.forEach((th, i) => {
        if (i === state.column && state.order !== "none") th.setAttribute("aria-sort", state.order);
        else th.removeAttribute("aria-sort");
      });
      status.textContent = state.words.length ? `${chosen.length} of ${rows.length} rows` : "";
    }

    function sortBy(column) {
      state.order = ORDERS[state.column === column ? state.order : "none"];
      state.column = column;
      show();
    }

    columns.forEach((th, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      button.tabIndex = i ? -1 : 0; // one stop for a table: arrows lead from column to column
      button.addEventListener("click", () => sortBy(i));
      th.append(button);
    });
    columns[0].parentElement.addEventListener("keydown", move);
    if (rows.length >= FILTER_FROM) addFilter(table, status, (text) => {
      state.words = text.toLowerCase().split(/\s+/).filter(Boolean);
      show();
    });
  }

  function addFilter(table, status, filter) {
    const region = table.closest(".scroll");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const line = document.createElement("p");
    const name = region.getAttribute("aria-label");
    input.type = "search";
    input.setAttribute("aria-label", `Filter rows of the table ${name}`);
    input.autocomplete = "off";
    input.spellcheck = false;
    input.addEventListener("input", () => filter(input.value));
    label.append("Filter rows ", input);
    line.className = "filter";
    line.append(label, " ", status);
    region.before(line);
  }

  // A link into a folded part opens it.
  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target && target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
    if (target) target.scrollIntoView();
  }

  document.querySelectorAll(".scroll > table").forEach(prepare);
  const regions = new ResizeObserver((entries) => entries.forEach((entry) => cue(entry.target)));
  document.querySelectorAll(".scroll").forEach((region) => {
    region.addEventListener("scroll", () => cue(region), { passive: true });
    regions.observe(region);
  });
  const wide = window.matchMedia("(min-width: 76rem)");
  wide.addEventListener("change", arrangeContents);
  arrangeContents(wide);
  window.addEventListener("hashchange", unfold);
  if (location.hash) unfold();
  document.documentElement.classList.add("sortable");
})();
