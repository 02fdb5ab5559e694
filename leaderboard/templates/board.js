"use strict";
/* The page's behaviour: theme, sorting, filtering, links between plot and table, curves drawn when seen. */
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const later = (run) => { let id = 0; return () => { cancelAnimationFrame(id); id = requestAnimationFrame(run); }; };

  /* Theme: the system's until the button is pressed, then the button's until the page is closed. */
  function theme() {
    const button = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const say = () => { button.textContent = dark() ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; say(); });
    system.addEventListener("change", say);
    say();
  }

  /* Which track is in view. */
  function tracks() {
    const links = new Map([...document.querySelectorAll(".tracks a")].map((a) => [a.hash.slice(1), a]));
    const sections = [...document.querySelectorAll(".track")];
    const mark = later(() => {
      const seen = sections.findLast((s) => s.getBoundingClientRect().top < innerHeight / 3);
      for (const [id, link] of links) {
        if (seen && seen.id === id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    });
    addEventListener("scroll", mark, { passive: true });
    mark();
  }

  /* A link into a collapsed section opens it. */
  function targets() {
    const open = () => {
      const target = [...document.querySelectorAll("[id]")].find((node) => `#${node.id}` === location.hash);
      const details = target && target.querySelector(":scope > details");
      if (details) details.open = true;
    };
    addEventListener("hashchange", open);
    open();
  }

  /* Numbers sort by their raw values, missing ones last in both directions. */
  function ordering() {
    const compare = (sign) => (a, b) => Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0;
    const kinds = DataTable.ext.type.order;
    kinds["measure-pre"] = (value) => (value === "" || value === null ? NaN : Number(value));
    kinds["measure-asc"] = compare(1);
    kinds["measure-desc"] = compare(-1);
  }

  /* One table with its plot and its filters. */
  class Table {
    constructor(node, index) {
      this.node = node;
      this.data = DATA.tables[index];
      this.rows = [...node.tBodies[0].rows];
      this.scatter = document.querySelector(`[data-scatter="${index}"]`);
      this.controls = document.querySelector(`[data-controls="${index}"]`);
      this.spots = [];
      this.shown = new Set(this.rows.map((_, i) => i));
      this.sorting();
      this.filters();
      if (this.scatter) this.plot();
      this.rowLinks();
    }

    sorting() {
      const heads = [...this.node.tHead.querySelectorAll("th[data-says]")];
      const width = this.node.tBodies[0].rows[0].cells.length;
      const text = new Set([1, 2]);
      this.table = new DataTable(this.node, {
        paging: false, info: false, autoWidth: false, order: [], orderClasses: false, typeDetect: false,
        layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
        columns: Array.from({ length: width }, (_, i) => ({
          type: text.has(i) ? "html" : "measure", ariaTitle: heads[i].dataset.says,
          orderSequence: i > 3 ? ["desc", "asc", ""] : ["asc", "desc", ""],
        })),
        language: { zeroRecords: "No model fits these filters.", emptyTable: "No model." },
      });
    }

    filters() {
      const get = (name) => this.controls.querySelector(`[data-filter="${name}"]`);
      const [search, role, norm, pareto, unflagged, clear] = ["search", "role", "norm", "pareto", "unflagged", "clear"].map(get);
      const status = this.controls.querySelector(".count");
      this.table.search.fixed("filters", (_, __, index) => {
        const row = this.table.row(index).node().dataset;
        return (!role.value || row.role === role.value) && (!norm.value || row.norm === norm.value)
          && (!pareto.checked || row.pareto !== "0") && (!unflagged.checked || row.flags === "0");
      });
      this.table.on("draw", () => {
        this.shown = new Set(this.table.rows({ search: "applied" }).nodes().toArray().map((row) => Number(row.dataset.index)));
        const text = `${this.shown.size} of ${this.rows.length} models shown`;
        if (status.textContent !== text) status.textContent = text;
        this.dim();
      });
      search.addEventListener("input", () => this.table.search(search.value).draw());
      for (const control of [role, norm, pareto, unflagged]) control.addEventListener("change", () => this.table.draw());
      clear.addEventListener("click", () => {
        for (const control of [search, role, norm]) control.value = "";
        for (const control of [pareto, unflagged]) control.checked = false;
        this.table.search("").draw();
      });
      this.controls.hidden = false;
      this.table.draw();
    }

    plot() {
      this.scatter.hidden = false;
      this.box = this.scatter.querySelector(".plot");
      [this.y, this.x] = ["y", "x"].map((axis) => this.scatter.querySelector(`[data-axis="${axis}"]`));
      this.tip = document.createElement("div");
      this.tip.className = "tip";
      this.tip.hidden = true;
      this.tip.setAttribute("aria-hidden", "true");
      this.box.append(this.tip);
      const draw = () => this.draw();
      this.y.addEventListener("change", draw);
      this.x.addEventListener("change", draw);
      let width = 0;
      new ResizeObserver(later(() => {
        if (this.box.clientWidth === width) return;
        width = this.box.clientWidth;
        this.draw();
      })).observe(this.box);
      this.box.addEventListener("pointermove", (event) => this.light(this.nearest(event), true));
      this.box.addEventListener("pointerleave", () => this.light(null));
      this.box.addEventListener("click", (event) => { const spot = this.nearest(event); if (spot) this.go(spot); });
      this.box.addEventListener("keydown", (event) => this.key(event));
      this.box.addEventListener("focusin", (event) => this.light(this.spots.find((s) => s.node === event.target), true));
      this.box.addEventListener("focusout", () => this.light(null));
      draw();
    }

    draw() {
      const { spots } = Draw.scatter(this.box, this.data, Number(this.y.value), this.x.value);
      this.spots = spots.sort((p, q) => p.x - q.x || p.y - q.y);
      const test = this.x.value === "test", score = this.data.scores[this.y.value];
      for (const item of this.scatter.querySelectorAll(".over-test")) item.hidden = !test;
      const explained = score.line && score.line.explained !== null ? `, explains ${Math.round(100 * score.line.explained)} percent of their variance` : "";
      const fitted = score.line ? `${score.line.n} networks${explained}` : "";
      const line = test && score.line ? ` The reference line, through ${fitted}.` : "";
      for (const item of this.scatter.querySelectorAll(".fitted")) item.textContent = fitted ? ` (through ${fitted})` : " (too few networks for this score)";
      this.scatter.querySelector(".described").textContent =
        `A scatter plot of ${score.title}, where ${score.better > 0 ? "higher" : "lower"} is better, over ${this.x.value} accuracy: ${spots.length} models.${line}`;
      this.tip.hidden = true;
      this.dim();
    }

    /* Points of filtered rows fade and cannot be focused; of the others, one takes the Tab key. */
    dim() {
      const visible = this.spots.filter((s) => this.shown.has(s.index));
      for (const spot of this.spots) {
        const off = !this.shown.has(spot.index);
        if (off) { spot.node.setAttribute("aria-hidden", "true"); spot.node.removeAttribute("tabindex"); }
        else { spot.node.removeAttribute("aria-hidden"); spot.node.setAttribute("tabindex", spot === visible[0] ? "0" : "-1"); }
      }
      for (const part of this.box?.querySelectorAll("[data-of]") ?? []) part.classList.toggle("off", !this.shown.has(Number(part.dataset.of)));
    }

    nearest(event) {
      const at = this.box.getBoundingClientRect(), x = event.clientX - at.left, y = event.clientY - at.top;
      const scale = this.box.querySelector("svg").getBoundingClientRect().width / this.box.querySelector("svg").viewBox.baseVal.width;
      const far = (s) => Math.hypot(s.x * scale - x, s.y * scale - y);
      const closest = d3.least(this.spots.filter((s) => this.shown.has(s.index)), far);
      return closest && far(closest) < 22 ? closest : null;
    }

    light(spot, tip = false) {
      for (const s of this.spots) s.node.classList.toggle("on", s === spot);
      this.rows.forEach((row, i) => row.classList.toggle("on", Boolean(spot) && spot.index === i));
      if (!this.tip) return;
      this.tip.hidden = !(spot && tip);
      if (this.tip.hidden) return;
      const name = document.createElement("b");
      name.textContent = spot.point.name;
      this.tip.replaceChildren(name, ...spot.lines.flatMap((line, i) => (i ? [document.createElement("br"), line] : [line])));
      const room = this.box.clientWidth - this.tip.offsetWidth;
      this.tip.style.left = `${Math.max(0, Math.min(room, spot.x + 14))}px`;
      const above = spot.y - this.tip.offsetHeight - 14;
      this.tip.style.top = `${above > 0 ? above : spot.y + 14}px`;
    }

    go(spot) {
      const row = this.rows[spot.index];
      row.scrollIntoView({ block: "center", inline: "nearest" });
      row.querySelector("a").focus({ preventScroll: true });
      this.light(spot);
    }

    key(event) {
      const visible = this.spots.filter((s) => this.shown.has(s.index)), at = visible.findIndex((s) => s.node === event.target);
      if (at < 0) return;
      const step = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: visible.length - 1 }[event.key];
      if (step !== undefined) {
        const next = visible[(step + visible.length) % visible.length];
        for (const s of visible) s.node.setAttribute("tabindex", s === next ? "0" : "-1");
        next.node.focus();
      } else if (event.key === "Enter" || event.key === " ") this.go(visible[at]);
      else if (event.key === "Escape") this.tip.hidden = true;
      else return;
      event.preventDefault();
    }

    rowLinks() {
      const spot = (row) => this.spots.find((s) => s.index === this.rows.indexOf(row));
      for (const row of this.rows) {
        row.addEventListener("pointerenter", () => this.light(spot(row)));
        row.addEventListener("pointerleave", () => this.light(null));
        row.addEventListener("focusin", () => this.light(spot(row)));
        row.addEventListener("focusout", () => this.light(null));
      }
    }
  }

  /* Curves are drawn when they come into view, or all of them for a print. */
  function curves() {
    const boxes = new Set(document.querySelectorAll("[data-curves]"));
    const draw = (box) => {
      if (!boxes.delete(box)) return;
      watch.unobserve(box);
      Draw.curves(box, DATA.curves[box.dataset.curves]);
    };
    const watch = new IntersectionObserver((seen) => seen.filter((s) => s.isIntersecting).forEach((s) => draw(s.target)), { rootMargin: "300px" });
    for (const box of boxes) { box.hidden = false; watch.observe(box); }
    addEventListener("beforeprint", () => [...boxes].filter((box) => box.clientWidth).forEach(draw));
  }

  theme();
  tracks();
  ordering();
  document.querySelectorAll("[data-table]").forEach((node) => new Table(node, Number(node.dataset.table)));
  curves();
  targets();
  document.querySelectorAll(".needs-script").forEach((node) => { node.hidden = false; });
})();
