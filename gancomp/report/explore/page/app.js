"use strict";
// The page of a searched space. Vega draws the points; this script filters and selects them.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text ?? "";
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// --- what is known of the subnets ---------------------------------------------------------------

const subnets = data.subnets.map((row) => Object.fromEntries(data.columns.map((name, at) => [name, row[at]])));
const byIndex = new Map(subnets.map((subnet) => [subnet.index, subnet]));
const winner = byIndex.get(data.winner);
const drawn = new Set(Object.keys(data.pictures.of).map(Number));

function quantity(count) {
  const [value, unit] = count >= 1e9 ? [count / 1e9, "G"] : count >= 1e6 ? [count / 1e6, "M"] : [count / 1e3, "k"];
  return `${value.toPrecision(3)} ${unit}`;
}
const scaled = (key) => {
  const most = Math.max(...subnets.map((subnet) => subnet[key]));
  return most >= 1e9 ? [1e-9, "G"] : most >= 1e6 ? [1e-6, "M"] : [1e-3, "k"];
};
const cost = (key, name, short) => {
  const [scale, unit] = scaled(key);
  return { key, name, short, scale, title: `${name} (${unit})`, higher: false, text: quantity };
};
const costs = [
  cost("macs", "MACs a picture, exact count", "MACs (exact)"),
  cost("macs_paper", "MACs a picture, the paper's convention", "MACs (paper's)"),
  cost("params", "Parameters", "Parameters"),
];
if (subnets.some((subnet) => subnet.latency !== null)) {
  const text = (value) => `${value.toPrecision(3)} ms`;
  costs.push({ key: "latency", name: "Latency", short: "Latency", scale: 1, title: "Latency of one picture (ms)", higher: false, text });
}
const metrics = data.metrics.map((metric) => ({
  ...metric,
  name: metric.head,
  title: `${metric.head} ${metric.arrow} on train-2 (${metric.direction} is better)`,
  text: (value) => (value * metric.scale).toFixed(metric.decimals).replace("-", "−"),
}));

// --- state --------------------------------------------------------------------------------------

let across = costs[0];
let up = metrics.find((metric) => metric.key === data.metric) ?? metrics[0];
const filters = data.space.map(() => null); // of each place the widths that pass, null: all
let shown = subnets; // those that pass, with both values
let front = [];
let cursor = 0; // the place on the front
let chosen = byIndex.get(fromAddress()) ?? winner ?? subnets[0];

function fromAddress() {
  const named = location.hash.slice(1);
  return subnets.find((subnet) => subnet.widths.join("_") === named)?.index;
}
const passes = (subnet, but = -1) => filters.every((filter, at) => at === but || !filter || filter.has(subnet.widths[at]));
const known = (subnet) => subnet[across.key] !== null && subnet[up.key] !== null;
const worth = (subnet) => (up.higher ? -subnet[up.key] : subnet[up.key]);

function frontOf(rows) {
  const found = [];
  for (const subnet of [...rows].sort((a, b) => a[across.key] - b[across.key] || worth(a) - worth(b) || a.index - b.index))
    if (!found.length || worth(subnet) < worth(found[found.length - 1])) found.push(subnet);
  return found;
}

// --- the plot -----------------------------------------------------------------------------------

const few = subnets.length < 500;
const axis = (orient, scale) => ({
  orient, scale, title: { signal: `${scale}Title` }, grid: true, gridColor: "#e6e6e6", domainColor: "#888", tickColor: "#888",
  labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal", tickCount: 6,
});
const at = (field, scale) => ({ scale, field });
const symbols = (name, size, extra) => ({
  type: "symbol", from: { data: name }, encode: { update: { x: at("x", "x"), y: at("y", "y"), size: { value: size }, ...extra } },
});
const view = new vega.View(
  vega.parse({
    padding: 6,
    autosize: { type: "fit", contains: "padding", resize: true },
    signals: ["xTitle", "yTitle", "xDomain", "yDomain"].map((name) => ({ name, value: name.endsWith("Domain") ? [0, 1] : "" })),
    data: ["off", "on", "has", "front", "winner", "chosen", "budget", "real"].map((name) => ({ name, values: [] })),
    scales: ["x", "y"].map((name) => ({
      name, type: "linear", zero: false, domain: { signal: `${name}Domain` }, range: name === "x" ? "width" : "height",
    })),
    axes: [axis("bottom", "x"), axis("left", "y")],
    marks: [
      {
        type: "rect", from: { data: "real" },
        encode: { update: { x: { value: 0 }, x2: { signal: "width" }, y: at("low", "y"), y2: at("high", "y"), fill: { value: "#009e73" }, fillOpacity: { value: 0.16 } } },
      },
      symbols("off", few ? 30 : 14, { fill: { value: "#e3e6e8" } }),
      symbols("on", few ? 44 : 18, { fill: { value: "#8b959c" }, fillOpacity: { value: 0.65 } }),
      symbols("has", few ? 60 : 40, { fill: { value: "#56b4e9" }, stroke: { value: "#0072b2" }, strokeWidth: { value: 1.2 } }),
      {
        type: "rule", from: { data: "budget" },
        encode: { update: { x: at("x", "x"), y: { value: 0 }, y2: { signal: "height" }, stroke: { value: "#1d2327" }, strokeDash: { value: [5, 3] } } },
      },
      {
        type: "line", from: { data: "front" },
        encode: { update: { x: at("x", "x"), y: at("y", "y"), stroke: { value: "#0072b2" }, strokeWidth: { value: 2 }, strokeOpacity: { value: 0.8 } } },
      },
      symbols("winner", 260, { shape: { value: "M0,-1L.24,-.31L.95,-.31L.38,.12L.59,.81L0,.4L-.59,.81L-.38,.12L-.95,-.31L-.24,-.31Z" }, fill: { value: "#d55e00" }, stroke: { value: "#fff" } }),
      {
        type: "rule", from: { data: "chosen" },
        encode: { update: { x: at("x", "x"), y: at("low", "y"), y2: at("high", "y"), stroke: { value: "#1d2327" }, strokeWidth: { value: 2 }, clip: { value: true } } },
      },
      symbols("chosen", 220, { stroke: { value: "#1d2327" }, strokeWidth: { value: 2.5 }, fill: { value: "transparent" } }),
    ],
  }),
  { renderer: "canvas", hover: false },
).initialize($("view"));

const point = (subnet) => ({ x: subnet[across.key] * across.scale, y: subnet[up.key] * up.scale });
function domainOf(values) {
  const [low, high] = values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
  const margin = 0.05 * (high - low) || 0.05 * Math.abs(high) || 1;
  return [low - margin, high + margin];
}

/** Redraw the points after a change of axis, filter or size. */
function draw() {
  const all = subnets.filter(known);
  shown = all.filter((subnet) => passes(subnet));
  front = frontOf(shown);
  cursor = Math.max(0, front.indexOf(chosen));
  view.signal("xTitle", across.title).signal("yTitle", up.title);
  view.signal("xDomain", domainOf(all.map((subnet) => subnet[across.key] * across.scale)));
  view.signal("yDomain", domainOf(all.map((subnet) => subnet[up.key] * up.scale)));
  view.data("off", shown.length === all.length ? [] : all.filter((subnet) => !passes(subnet)).map(point));
  view.data("on", shown.filter((subnet) => !drawn.has(subnet.index)).map(point));
  view.data("has", shown.filter((subnet) => drawn.has(subnet.index)).map(point));
  view.data("front", front.map(point));
  view.data("winner", winner && known(winner) ? [point(winner)] : []);
  view.data("budget", across.key === "macs" ? [{ x: data.budget * across.scale }].filter(({ x }) => x <= view.signal("xDomain")[1]) : []);
  drawReal();
  mark();
  const filtered = filters.some(Boolean);
  $("passing").textContent = filtered ? `${shown.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} subnets` : `${all.length.toLocaleString("en")} subnets`;
  $("all").hidden = !filtered;
  $("ring").hidden = true;
}

/** Show the scores of as many real pictures: as a band if it overlaps the points, and as text. */
function drawReal() {
  const band = data.bands[up.key];
  $("real").hidden = !band;
  view.data("real", []);
  if (!band) return;
  const [bottom, top] = view.signal("yDomain");
  const [low, high] = band.map((value) => Math.min(Math.max(value * up.scale, bottom), top));
  if (low < high) view.data("real", [{ low, high }]);
  const where = low < high ? "the band" : band[1] * up.scale <= bottom ? "below all points" : "above all points";
  $("real").textContent = `As many real pictures against other real ones: ${up.name} ${up.text(band[0])} to ${up.text(band[1])} (95%), ${where}.`;
}

/** Mark the chosen subnet, with its interval if known. */
function mark() {
  const [low, high] = ["low", "high"].map((end) => chosen[`${up.key}_${end}`]);
  const ends = low === null || low === undefined ? point(chosen) : null;
  const clipped = (value) => Math.min(Math.max(value * up.scale, view.signal("yDomain")[0]), view.signal("yDomain")[1]);
  view.data("chosen", known(chosen) ? [{ ...point(chosen), low: ends ? ends.y : clipped(low), high: ends ? ends.y : clipped(high) }] : []);
  view.run();
}

/** Position of a subnet in #plot, in pixels. */
function placeOf(subnet) {
  const { x, y } = point(subnet);
  const [left, top] = view.origin();
  return [view.scale("x")(x) + left, view.scale("y")(y) + top];
}

/** The shown subnet nearest to a position in #plot, if one is close enough. */
function nearestTo(left, top, reach) {
  let best = null;
  let distance = reach * reach;
  for (const subnet of shown) {
    const [x, y] = placeOf(subnet);
    const squared = (x - left) ** 2 + (y - top) ** 2;
    if (squared <= distance) [best, distance] = [subnet, squared];
  }
  return best;
}

function told(subnet) {
  return `${across.short} ${across.text(subnet[across.key])}, ${up.name} ${up.text(subnet[up.key])}`;
}

function showTip(subnet) {
  $("tip").hidden = !subnet;
  if (!subnet) return;
  $("tip").textContent = `${subnet.widths.join(", ")}: ${told(subnet)}`;
  const [left, top] = placeOf(subnet);
  const tip = $("tip");
  tip.style.left = `${Math.max(0, Math.min(left + 14, $("plot").clientWidth - tip.offsetWidth))}px`;
  tip.style.top = `${top > tip.offsetHeight + 16 ? top - tip.offsetHeight - 12 : top + 16}px`;
}

function showCursor() {
  const subnet = front[cursor];
  $("ring").hidden = !subnet;
  if (!subnet) return;
  const [left, top] = placeOf(subnet);
  Object.assign($("ring").style, { left: `${left}px`, top: `${top}px` });
  showTip(subnet);
  $("plot").setAttribute("aria-label", `on the front: ${told(subnet)}; Enter chooses it`);
}

const within = (event) => {
  const box = $("plot").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
$("plot").addEventListener("pointermove", (event) => {
  if (event.pointerType === "mouse") showTip(nearestTo(...within(event), 18));
});
$("plot").addEventListener("pointerleave", () => showTip(null));
$("plot").addEventListener("click", (event) => {
  const subnet = nearestTo(...within(event), event.pointerType === "touch" ? 36 : 18);
  if (subnet) choose(subnet);
});
$("plot").addEventListener("keydown", (event) => {
  const last = front.length - 1;
  const next = { ArrowLeft: cursor - 1, ArrowRight: cursor + 1, Home: 0, End: last }[event.key];
  if (event.key === "Enter" && front[cursor]) choose(front[cursor]);
  else if (next === undefined) return;
  else cursor = Math.max(0, Math.min(last, next));
  event.preventDefault();
  showCursor();
});
$("plot").addEventListener("blur", () => {
  $("ring").hidden = true;
  showTip(null);
});

function fit() {
  view.width($("plot").clientWidth).height($("plot").clientHeight).run();
  $("ring").hidden = true;
}
new ResizeObserver(fit).observe($("plot"));

// --- widths: histograms that filter ---------------------------------------------------------------

const bars = data.space.map((choices, place) => {
  const set = make("fieldset");
  set.append(make("legend", data.names[place] ? `${place + 1}. ${data.names[place]}` : `Width ${place + 1}`));
  const row = make("div", "", { class: "bars" });
  const own = choices.map((width) => {
    const bar = make("button", "", { type: "button" });
    bar.append(make("i"), make("span", width));
    bar.addEventListener("click", (event) => {
      if (event.detail === 0) toggle(place, width); // by the keyboard; pointers are followed below
    });
    row.append(bar);
    return bar;
  });
  brush(row, own, place);
  set.append(row);
  $("widths").append(set);
  return own;
});

function setFilter(place, widths) {
  filters[place] = widths.length === 0 || widths.length === data.space[place].length ? null : new Set(widths);
  draw();
  count();
}

function toggle(place, width) {
  const now = filters[place] ?? new Set(data.space[place]);
  setFilter(place, filters[place] ? data.space[place].filter((one) => now.has(one) !== (one === width)) : [width]);
}

/** Pressing a bar shows only its width, pressing again shows all; dragging over bars selects several. */
function brush(row, own, place) {
  let start = -1;
  let alone = false;
  let end = -1;
  const under = (event) => own.findIndex((bar) => {
    const box = bar.getBoundingClientRect();
    return event.clientX >= box.left - 2 && event.clientX < box.right + 2;
  });
  row.addEventListener("pointerdown", (event) => {
    start = end = under(event);
    if (start < 0) return;
    alone = filters[place]?.size === 1 && filters[place].has(data.space[place][start]);
    row.setPointerCapture(event.pointerId);
  });
  row.addEventListener("pointermove", (event) => {
    const here = start < 0 ? -1 : under(event);
    if (here < 0 || here === end) return;
    end = here;
    alone = false;
    setFilter(place, data.space[place].slice(Math.min(start, end), Math.max(start, end) + 1));
  });
  row.addEventListener("pointerup", () => {
    if (start >= 0 && start === end) setFilter(place, alone ? [] : [data.space[place][start]]);
    start = -1;
  });
  row.addEventListener("pointercancel", () => (start = -1));
}

/** For each width, the number of subnets that pass all other filters. */
function count() {
  data.space.forEach((choices, place) => {
    const counts = new Map(choices.map((width) => [width, 0]));
    for (const subnet of subnets)
      if (passes(subnet, place)) counts.set(subnet.widths[place], counts.get(subnet.widths[place]) + 1);
    const most = Math.max(1, ...counts.values());
    choices.forEach((width, at) => {
      const bar = bars[place][at];
      const subnetsHere = counts.get(width);
      bar.firstChild.style.height = `${(72 * subnetsHere) / most}%`;
      bar.setAttribute("aria-pressed", String(!filters[place] || filters[place].has(width)));
      bar.setAttribute("aria-label", `width ${place + 1}: ${width}, ${subnetsHere} subnets`);
      bar.title = `${width}: ${subnetsHere.toLocaleString("en")} subnets`;
      bar.classList.toggle("own", chosen.widths[place] === width);
    });
  });
}

// --- the chosen one -----------------------------------------------------------------------------

function choose(subnet) {
  chosen = subnet;
  history.replaceState(null, "", `#${subnet.widths.join("_")}`);
  cursor = Math.max(0, front.indexOf(subnet));
  mark();
  describe();
  count();
  showPictures();
}

function describe() {
  $("chosen-title").textContent = chosen.widths.join(", ");
  const badges = [
    chosen === winner && "the search's winner",
    front.includes(chosen) && "on the front",
    chosen.tied && `cannot be told from the best by ${metrics.find((metric) => metric.key === data.metric).name}`,
    chosen.macs > data.budget && "over the budget",
  ].filter(Boolean);
  $("badges").replaceChildren(...badges.map((text) => make("span", text)));
  const rows = costs.filter(({ key }) => chosen[key] !== null).map((one) => {
    const fewer = data.original[one.key] ? `${(data.original[one.key] / chosen[one.key]).toPrecision(3)}×` : "";
    return [one.short, one.text(chosen[one.key]), fewer, one.text(winner[one.key])];
  });
  for (const metric of metrics.filter(({ key }) => chosen[key] !== null)) {
    const [low, high] = [chosen[`${metric.key}_low`], chosen[`${metric.key}_high`]];
    const interval = low === null || low === undefined ? "" : `${metric.text(low)} to ${metric.text(high)}`;
    rows.push([`${metric.name} ${metric.arrow}`, metric.text(chosen[metric.key]), interval, metric.text(winner[metric.key])]);
  }
  const line = (cells, tag, own) => {
    const row = make("tr");
    row.append(...cells.map((text, at) => make(tag, text, own && at === 1 ? { class: "own" } : {})));
    return row;
  };
  $("scores").replaceChildren(
    line(["", "this one", "× fewer than the original; 95% interval", "winner"], "th"),
    ...rows.map((cells) => line(cells, "td", true)),
  );
  $("export").value = `${data.commands.export} --widths ${chosen.widths.join(",")}`;
}

function alongFront(step) {
  const sorted = front.filter((subnet) => (step > 0 ? subnet[across.key] > chosen[across.key] : subnet[across.key] < chosen[across.key]));
  const next = step > 0 ? sorted[0] : sorted[sorted.length - 1];
  if (next) choose(next);
}

$("to-winner").addEventListener("click", () => choose(winner));
$("cheaper").addEventListener("click", () => alongFront(-1));
$("dearer").addEventListener("click", () => alongFront(1));
$("export").addEventListener("focus", () => $("export").select());
$("copy").addEventListener("click", async () => {
  $("export").select();
  try {
    await navigator.clipboard.writeText($("export").value);
  } catch {
    document.execCommand("copy"); // where a page from a file may not use the clipboard
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});

// --- its pictures -------------------------------------------------------------------------------

const [height, width] = data.pictures.size;
const kinds = [["input", "input"], ["original", "original"], ["this", "this one"], ["winner", "winner"], ["target", "target"]]
  .filter(([kind]) => kind !== "target" || data.pictures.target);
const style = $("pictures").style;
style.setProperty("--set", `${Math.min(kinds.length * Math.min(Math.max(width, 64), 128) + 20, 640)}px`);
for (const kind of ["input", "original", "target"]) if (data.pictures[kind]) style.setProperty(`--${kind}`, `url(${data.pictures[kind]})`);
style.setProperty("--winner", `url(${data.pictures.of[data.winner]})`);
data.pictures.names.forEach((name, place) => {
  const set = make("div", "", { class: "set", title: name });
  for (const [kind, words] of kinds) {
    const figure = make("figure", "", { class: kind });
    const tile = make("div", "", { class: "tile", role: "img", "aria-label": `${name}: ${words}` });
    const last = data.pictures.names.length - 1;
    Object.assign(tile.style, {
      aspectRatio: `${width} / ${height}`,
      backgroundImage: `var(--${kind})`,
      backgroundPosition: `0 ${last ? (100 * place) / last : 0}%`,
    });
    figure.append(tile, make("figcaption", words));
    set.append(figure);
  }
  $("pictures").append(set);
});

/** The subnet with pictures whose widths are nearest by their ratios. */
function nearestDrawn(subnet) {
  const distance = (other) => other.widths.reduce((sum, own, at) => sum + Math.abs(Math.log(own / subnet.widths[at])), 0);
  return [...drawn].map((index) => byIndex.get(index)).reduce((a, b) => (distance(b) < distance(a) ? b : a));
}

function showPictures() {
  const from = drawn.has(chosen.index) ? chosen : nearestDrawn(chosen);
  style.setProperty("--this", `url(${data.pictures.of[from.index]})`);
  $("pictures").dataset.of = from.widths.join("_");
  for (const caption of document.querySelectorAll(".this figcaption")) caption.textContent = from === chosen ? "this one" : "nearest";
  $("nearest").hidden = from === chosen;
  if (from === chosen) return;
  const other = from.widths.filter((own, at) => own !== chosen.widths[at]).length;
  $("nearest").replaceChildren(
    make("span", `Of this subnet there are no pictures here. These are of the nearest that has some, ${from.widths.join(", ")} `
      + `(${other} of ${from.widths.length} widths differ). Its own come by `),
    make("code", `${data.commands.explore} --draw ${chosen.widths.join(",")}`),
  );
}

// --- start --------------------------------------------------------------------------------------

$("title").textContent = data.title;
$("subtitle").textContent = `${subnets.length.toLocaleString("en")} subnets of the once-for-all network, as the search scored them: on `
  + `${data.images.toLocaleString("en")} pictures of train-2, not fine-tuned. ${drawn.size} of them drew the validation pictures below.`;
$("pictures-note").textContent = `validation pictures, spread evenly, none selected${data.pictures.reduced ? "; reduced in size" : ""}`;
for (const [select, options, current, set] of [
  [$("x"), costs, across, (one) => (across = one)],
  [$("y"), metrics, up, (one) => (up = one)],
]) {
  select.append(...options.map((one) => make("option", one.name, { value: one.key })));
  select.value = current.key;
  select.addEventListener("change", () => {
    set(options.find((one) => one.key === select.value));
    draw();
    describe();
  });
}
$("all").addEventListener("click", () => {
  filters.fill(null);
  draw();
  count();
});
fit();
draw();
choose(chosen);
document.documentElement.dataset.ready = "true";
