"use strict";
/* The page's behaviour: theme, the choice of a score, sorting, filtering, links between plot and table. */
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const ROW = document.getElementById("row").content.querySelector("tr");
  const PAGE = 100;  // rows of a large table that are shown at a time
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

  /* Numbers sort by their values, missing ones last in both directions. */
  function ordering() {
    const compare = (sign) => (a, b) => Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0;
    const kinds = DataTable.ext.type.order;
    kinds["measure-pre"] = (value) => (value === "" || value === null ? NaN : Number(value));
    kinds["measure-asc"] = compare(1);
    kinds["measure-desc"] = compare(-1);
  }

  /* A model as the page's data have it, its name isolated by Unicode's marks where HTML's cannot be
     used, with numbers in place of integers: [value, low, high], or null. */
  function decoded(packed, index, table) {
    const [id, name, role, norm, kind, architecture, size, remarks, unranked, test, robust] = packed;
    const three = ([value, below, farther], unit) => (value === null ? null
      : below === null ? [value * unit, null, null]
      : [value * unit, (value - below) * unit, (value + below + farther) * unit]);
    const of = (use) => table.scores.map(({ columns, unit }) => use(columns.map((column) => column[index]), unit));
    return {
      id: `${table.anchor}-${id}`, href: `${table.folder}${id}${table.ending}`, name: `\u2068${name}\u2069`, kind, architecture: table.architectures[architecture],
      size: `${size[0].toLocaleString("en")} parameters${size[1] ? `, ${size[1]} multiply-adds` : ""}`,
      role: ["reference", "submission", "baseline"][role], norm: ["none", "l2", "linf"][norm], unranked: Boolean(unranked),
      remarks: remarks.map((i) => table.remarks[i]),
      test: three(test, table.unit), robust: three(robust, table.unit),
      scores: of((sent, unit) => three(sent, unit)),
      advantages: of((sent, unit) => three(sent.slice(3, 6), unit) ?? [null, null, null]),
      ranks: of(([, , , , , , best, worst]) => (best === null ? null : [best, worst])),
      pareto: of((sent) => Boolean(sent[8] & 1)),
      beats: of((sent) => Boolean(sent[8] & 2)),
      extrapolated: of((sent) => Boolean(sent[8] & 4)),
    };
  }

  /* One table with its plot, its choice of a score and its filters. */
  class Table {
    constructor(node, index) {
      this.node = node;
      this.data = DATA[index];
      this.data.points = this.data.points.map((packed, place) => decoded(packed, place, this.data));
      this.scatter = document.querySelector(`[data-scatter="${index}"]`);
      this.controls = document.querySelector(`[data-controls="${index}"]`);
      this.found = document.querySelector(`[data-found="${index}"]`);
      const choice = document.querySelector(`[data-choice="${index}"]`);
      [this.y, this.x] = ["y", "x"].map((axis) => choice?.querySelector(`[data-axis="${axis}"]`));
      this.spots = [];
      this.shown = new Set(this.data.points.keys());
      if (this.scatter) this.plot();
      this.sorting();
      this.filters();
      this.links();
      this.y?.addEventListener("change", () => this.choose());
    }

    get score() { return this.y ? Number(this.y.value) : 0; }

    sorting() {
      const best = (of) => (of ? of[0] : "");
      const columns = [
        ["Rank", (p) => { const ranks = p.ranks[this.score]; return ranks ? ranks[0] + ranks[1] / 1e6 : ""; }],
        ["Model", (p) => p.name],
        ["Architecture", (p) => p.architecture],
        ["Test accuracy", (p) => best(p.test)],
        ["Robust accuracy", (p) => best(p.robust)],
        ["Score", (p) => best(p.scores[this.score])],
        ["Advantage", (p) => best(p.advantages[this.score]) ?? ""],
        ["Marks", (p) => p.remarks.length],
      ];
      const text = new Set([1, 2]), long = this.data.points.length > 2 * PAGE;
      this.node.tBodies[0].replaceChildren();
      this.table = new DataTable(this.node, {
        data: this.data.points, deferRender: true, autoWidth: false, order: [], orderClasses: false, typeDetect: false,
        paging: long, pageLength: PAGE, info: false,
        layout: { topStart: null, topEnd: null, bottomStart: long ? "paging" : null, bottomEnd: null },
        columns: columns.map(([name, value], i) => ({
          data: (point, kind) => (kind === "display" ? "" : kind === "filter" && !text.has(i) ? "" : value(point)),
          type: text.has(i) ? "string" : "measure", ariaTitle: name, cellType: i === 1 ? "th" : "td",
          orderSequence: i > 2 ? ["desc", "asc", ""] : ["asc", "desc", ""],
        })),
        rowCallback: (row, point, _, __, at) => this.fill(row, point, at),
        language: { zeroRecords: "No model fits these filters.", emptyTable: "No model." },
      });
    }

    /* A row's cells, as the page's template has them. */
    fill(row, point, at) {
      const cells = [...ROW.cloneNode(true).cells], y = this.score;
      const measured = (cell, three, form, mark = "") => {
        const [value, interval] = cell.querySelectorAll("span, small");
        value.textContent = three && three[0] !== null ? form(three[0]) + mark : "–";
        interval.textContent = three && three[0] !== null && three[1] !== null ? `[${form(three[1])}, ${form(three[2])}]` : "";
      };
      const ranks = point.ranks[y];
      cells[0].textContent = !ranks ? "–" : ranks[0] === ranks[1] ? ranks[0] : `${ranks[0]}–${ranks[1]}`;
      const link = cells[1].querySelector("a");
      link.href = point.href;
      link.title = point.name;
      link.querySelector("bdi").textContent = point.name.slice(1, -1);
      cells[1].querySelector("small bdi").textContent = point.kind;
      cells[2].querySelector("bdi").textContent = point.architecture;
      cells[2].querySelector("bdi").title = point.architecture;
      cells[2].querySelector("small").textContent = point.size;
      measured(cells[3], point.test, Draw.fixed);
      measured(cells[4], point.robust, Draw.fixed);
      measured(cells[5], point.scores[y], Draw.fixed);
      measured(cells[6], point.advantages[y], Draw.signed, point.extrapolated[y] ? "*" : "");
      const badge = (kind, text) => {
        const node = document.createElement("span");
        node.className = `badge ${kind}`;
        node.textContent = text;
        cells[7].append(node, " ");
      };
      if (point.beats[y]) badge("beats", "beats the trade-off");
      if (point.pareto[y]) badge("pareto", "Pareto");
      for (const remark of point.remarks) badge("flag", remark);
      row.id = `row-${point.id}`;
      row.className = point.role;
      row.dataset.index = at;
      row.cells[1].scope = "row";
      cells.forEach((cell, i) => row.cells[i].replaceChildren(...cell.childNodes));
    }

    filters() {
      const get = (name) => this.controls.querySelector(`[data-filter="${name}"]`);
      const [search, role, norm, unflagged, clear] = ["search", "role", "norm", "unflagged", "clear"].map(get);
      const status = this.controls.querySelector(".count");
      this.table.search.fixed("filters", (_, point) => (!role.value || point.role === role.value)
        && (!norm.value || point.norm === norm.value) && (!unflagged.checked || !point.remarks.length));
      this.table.on("draw", () => {
        this.shown = new Set(this.table.rows({ search: "applied" }).indexes().toArray());
        const text = `${this.shown.size.toLocaleString("en")} of ${this.data.points.length.toLocaleString("en")} models fit`;
        if (status.textContent !== text) status.textContent = text;
        this.dim();
      });
      search.addEventListener("input", () => this.table.search(search.value).draw());
      for (const control of [role, norm, unflagged]) control.addEventListener("change", () => this.table.draw());
      clear.addEventListener("click", () => {
        for (const control of [search, role, norm]) control.value = "";
        unflagged.checked = false;
        this.table.search("").draw();
      });
      this.controls.hidden = false;
      this.table.draw();
    }

    /* Another score: the table is ordered by it, the best first, those without a rank last. */
    choose() {
      const { title, finding, better } = this.data.scores[this.score];
      this.found.textContent = finding;
      for (const node of this.node.querySelectorAll(".ordered")) node.textContent = title;
      const place = (p) => [p.unranked || !p.scores[this.score], -better * (p.scores[this.score]?.[0] ?? 0), -(p.test?.[0] ?? 0)];
      const places = new Map(this.data.points.map((p) => [p, place(p)]));
      this.data.points.sort((p, q) => {
        const [a, b] = [places.get(p), places.get(q)];
        return a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || (p.id < q.id ? -1 : 1);
      });
      this.table.clear().rows.add(this.data.points).order([]).draw();
      this.draw();
    }

    plot() {
      this.box = this.scatter.querySelector(".plot");
      this.tip = document.createElement("div");
      this.tip.className = "tip";
      this.tip.hidden = true;
      this.tip.setAttribute("aria-hidden", "true");
      this.box.append(this.tip);
      this.x.addEventListener("change", () => this.draw());
      let width = -1;
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
    }

    draw() {
      if (!this.scatter) return;
      const { spots } = Draw.scatter(this.box, this.data, this.score, this.x.value);
      this.spots = spots.sort((p, q) => p.x - q.x || p.y - q.y);
      const test = this.x.value === "test", score = this.data.scores[this.score];
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
      const svg = this.box.querySelector("svg");
      if (!svg) return null;
      const at = this.box.getBoundingClientRect(), x = event.clientX - at.left, y = event.clientY - at.top;
      const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
      const far = (s) => Math.hypot(s.x * scale - x, s.y * scale - y);
      const closest = d3.least(this.spots.filter((s) => this.shown.has(s.index)), far);
      return closest && far(closest) < 22 ? closest : null;
    }

    light(spot, tip = false) {
      if (spot === this.lit && !tip) return;
      this.lit?.node.classList.remove("on");
      spot?.node.classList.add("on");
      for (const row of this.node.tBodies[0].rows) row.classList.toggle("on", Boolean(spot) && Number(row.dataset.index) === spot.index);
      this.lit = spot;
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
      const at = this.table.rows({ order: "applied", search: "applied" }).indexes().indexOf(spot.index);
      if (this.data.points.length > 2 * PAGE) this.table.page(Math.floor(at / PAGE)).draw("page");
      const row = this.table.row(spot.index).node();
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

    links() {
      const spot = (event) => {
        const row = event.target.closest("tr[data-index]");
        return row ? this.spots.find((s) => s.index === Number(row.dataset.index)) : null;
      };
      for (const begin of ["pointerover", "focusin"]) this.node.addEventListener(begin, (event) => this.light(spot(event) ?? null));
      for (const end of ["pointerleave", "focusout"]) this.node.addEventListener(end, () => this.light(null));
    }
  }

  theme();
  ordering();
  document.querySelectorAll(".needs-script").forEach((node) => { node.hidden = false; });
  document.querySelectorAll("[data-table]").forEach((node) => new Table(node, Number(node.dataset.table)));
  tracks();
})();
