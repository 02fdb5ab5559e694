"use strict";
/* Draws a table's scatter plot with Observable Plot, and writes numbers. `Draw` is used by board.js. */
const Draw = (() => {
  const minus = (text) => text.replace("-", "−");
  const plain = (text) => (Number(text) === 0 ? "0.000" : minus(text));
  const fixed = (value) => (value === null ? "–" : plain(value.toFixed(3)));
  const signed = (value) => (value >= 0.0005 ? "+" : "") + fixed(value);
  const bracket = ([, low, high], form = fixed) => (low === null ? "" : ` [${form(low)}, ${form(high)}]`);
  const measure = (three, form = fixed) => (three ? form(three[0]) + bracket(three, form) : "not measured");
  const NAMED = 60;  // submissions at most whose names stand beside their points
  const STYLE = { fontSize: "12px", fontFamily: "inherit" };

  /** The description of a point: lines of text. */
  function description(table, point, y, axis) {
    const { title } = table.scores[y];
    const lines = [
      point.kind,
      `${axis === "test" ? "test" : "robust"} accuracy ${measure(point[axis])}`,
      `${title} ${measure(point.scores[y])}`,
    ];
    if (point.advantages[y][0] !== null) lines.push(`advantage ${measure(point.advantages[y], signed)}`);
    if (point.pareto[y]) lines.push("Pareto");
    if (point.remarks.length) lines.push(point.remarks.join(", "));
    return lines;
  }

  /** The ends of an axis: every value and interval, and a margin. */
  function domain(triples) {
    const [low, high] = d3.extent(triples.flat().filter((v) => v !== null));
    const margin = (high - low || Math.abs(high) || 1) * 0.06;
    return [low - margin, high + margin];
  }

  /** Plot names its marks' groups, which have no role that could bear a name. */
  function unnamed(svg) {
    for (const group of svg.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label");
  }

  /** Names beside the points of submissions, where no other point or name is in the way. */
  function tags(svg, spots, width) {
    const taken = spots.map((s) => [s.x - 8, s.y - 8, s.x + 8, s.y + 8]);
    const layer = d3.select(svg).append("g").attr("aria-hidden", "true").attr("text-anchor", "start");
    for (const spot of spots.filter((s) => s.point.role === "submission").slice(-NAMED)) {
      const name = spot.point.name.slice(1, -1);
      const node = layer.append("text").attr("class", "tag").text(name.length > 28 ? `${name.slice(0, 27)}…` : name);
      const size = node.node().getComputedTextLength();
      const places = [[8, -7], [8, 15], [-8 - size, -7], [-8 - size, 15], [-size / 2, -14], [-size / 2, 23]];
      const free = places.map(([dx, dy]) => [spot.x + dx, spot.y + dy]).find(([x, y]) => x > 48 && x + size < width &&
        !taken.some((box) => x < box[2] && x + size > box[0] && y - 11 < box[3] && y + 3 > box[1]));
      if (!free) {
        node.remove();
        continue;
      }
      node.attr("x", free[0]).attr("y", free[1]).attr("data-of", spot.index);
      taken.push([free[0], free[1] - 11, free[0] + size, free[1] + 3]);
    }
  }

  /**
   * Draws a table's scatter into a box.
   * @returns {{svg: SVGElement, spots: Array}} The picture and where each model is: {index, x, y, node, point, lines}.
   */
  function scatter(box, table, y, axis) {
    const score = table.scores[y];
    const points = table.points.map((point, index) => ({ point, index, a: point[axis], b: point.scores[y] }))
      .filter((d) => d.a && d.b && !d.point.unranked)
      .sort((p, q) => d3.descending(p.point.role, q.point.role) || 0)  // references first, submissions on top
      .sort((p, q) => (p.point.role === "submission") - (q.point.role === "submission"));
    const width = Math.max(280, Math.min(960, box.clientWidth));
    const line = axis === "test" && score.line;
    const xs = domain(points.map((d) => d.a));
    const inside = line ? line.points.filter((p) => p[0] >= line.least && p[0] <= line.most) : [];
    const range = domain([...points.map((d) => d.b), ...(line ? line.points.map((p) => [p[1]]) : [])]), room = range[1] - range[0];
    const near = (v) => Math.max(range[0] - room, Math.min(range[1] + room, v));  // a wide band is cut, to leave room for the points
    const ys = domain([range, ...inside.map((p) => [near(p[2]), near(p[3])])]);
    const kind = (d) => (d.point.role === "submission" ? " of-submission" : "");
    const whiskers = points.filter((d) => d.a[1] !== null), bars = points.filter((d) => d.b[1] !== null);
    const tie = { fill: "none", stroke: "currentColor", strokeWidth: 1.25 };
    const marks = [
      Plot.gridX({ strokeOpacity: 0.08 }), Plot.gridY({ strokeOpacity: 0.08 }),
      line && Plot.areaY(line.points, { x: "0", y1: "2", y2: "3", fill: "var(--band)", clip: true }),
      line && Plot.line(line.points, { x: "0", y: "1", stroke: "var(--reference)", strokeDasharray: "2 4", clip: true }),
      line && Plot.line(inside, { x: "0", y: "1", stroke: "var(--reference)", strokeWidth: 1.75, clip: true }),
      Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: ys[0] < 0 && ys[1] > 0 ? 0.35 : 0, clip: true }),
      Plot.link(whiskers, { x1: (d) => d.a[1], x2: (d) => d.a[2], y1: (d) => d.b[0], y2: (d) => d.b[0], ...tie, className: "across" }),
      Plot.link(bars, { x1: (d) => d.a[0], x2: (d) => d.a[0], y1: (d) => d.b[1], y2: (d) => d.b[2], ...tie, className: "upright" }),
      Plot.dot(points, { x: (d) => d.a[0], y: (d) => d.b[0], r: (d) => ({ submission: 7, baseline: 5.5, reference: 4.5 })[d.point.role], sort: null,
        symbol: (d) => ({ submission: "diamond2", baseline: "triangle", reference: "circle" })[d.point.role], className: "points" }),
    ];
    const svg = Plot.plot({
      width, height: Math.round(Math.max(300, Math.min(480, width * 0.58))), style: STYLE, marks: marks.filter(Boolean),
      marginLeft: 56, marginRight: 16, marginTop: 34, marginBottom: 46,
      x: { domain: xs, label: axis === "test" ? "test accuracy →" : "robust accuracy →", labelArrow: "none", labelAnchor: "right", ticks: width < 500 ? 4 : 8 },
      y: { domain: ys, label: `${score.better > 0 ? "↑" : "↓"} ${score.title} (${score.better > 0 ? "higher" : "lower"} is better)`, labelArrow: "none", ticks: 7 },
      r: { type: "identity" }, symbol: { type: "identity" },
    });
    box.querySelector("svg")?.remove();
    box.prepend(svg);
    unnamed(svg);
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", `${score.title} against ${axis} accuracy, ${points.length} models`);
    for (const [name, from] of [["across", whiskers], ["upright", bars]]) {
      svg.querySelectorAll(`.${name} path`).forEach((node, i) => {
        node.setAttribute("class", `whisker${kind(from[i])}`);
        node.dataset.of = from[i].index;
      });
    }
    const nodes = svg.querySelectorAll(".points path, .points circle");
    const [atX, atY] = [svg.scale("x"), svg.scale("y")];
    const spots = points.map((d, i) => {
      const lines = description(table, d.point, y, axis);
      const node = nodes[i];
      node.setAttribute("class", `point ${d.point.role}`);
      node.setAttribute("role", "button");
      node.setAttribute("aria-label", `${d.point.name}: ${lines.join("; ")}`);
      Object.assign(node.dataset, { of: d.index, id: d.point.id });
      return { index: d.index, point: d.point, node, lines, x: atX.apply(d.a[0]), y: atY.apply(d.b[0]) };
    });
    tags(svg, spots, width);
    return { svg, spots };
  }

  return { scatter, fixed, signed };
})();
