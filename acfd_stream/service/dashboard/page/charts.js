// Charts of the last minutes as SVG: lines with gaps, stacked areas, and a cursor for pointer and keyboard.
// Colours come from the style sheet by class; nothing here writes a style attribute.

const NS = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, children = []) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const finite = (values) => values.filter((value) => value !== null && Number.isFinite(value));

// Round numbers that cover 0 … top in at most `most` steps.
function ticks(top, most = 4) {
  const raw = top / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw * 0.999);
  const found = [];
  for (let value = 0; value <= top * 1.0001; value += step) found.push(value);
  return found;
}

// The path of a line that breaks where there is no value; `x` of an index and `y` of a value are pixels.
function lineOf(values, x, y) {
  let path = "";
  let isOpen = false;
  values.forEach((value, index) => {
    if (value !== null) path += `${isOpen ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
    isOpen = value !== null;
  });
  return path;
}

// One chart. `options`: low and high of the axis (high may be a function of the data), `format` of a value, `unit`
// of the axis, `rule` (a value with its label), `isLog` (a function of the data's top), `stacked`.
export class Chart {
  constructor(figure, options) {
    this.figure = figure;
    this.options = options;
    this.keys = figure.querySelector(".keys");
    this.plot = svg("svg", { class: "plot", tabindex: "0", role: "img" });
    figure.append(this.plot);
    this.cursor = null; // index of the step that is looked at
    this.data = null;
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.moveTo(null));
    this.plot.addEventListener("blur", () => this.moveTo(null));
    this.plot.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  // `series`: [{name, label, values}], `end`: seconds since 1970 at the end of the last step, `step`: seconds.
  show(data) {
    this.data = data;
    this.draw();
  }

  get count() {
    return this.data.series[0]?.values.length ?? 0;
  }

  draw() {
    const { width, height } = this.plot.getBoundingClientRect();
    if (!this.data || width < 40 || height < 40) return;
    this.box = { left: 38, right: width - 10, top: 8, bottom: height - 18 };
    this.plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.scale();
    const clip = svg("clipPath", { id: `${this.figure.id}-clip` }, [
      svg("rect", { x: this.box.left, y: this.box.top - 3, width: this.box.right - this.box.left, height: this.box.bottom - this.box.top + 4 }),
    ]);
    this.plot.replaceChildren(clip, ...this.grid(), ...this.marks(), ...this.rule(), ...this.pointer());
    this.readOut();
  }

  scale() {
    const all = this.options.stacked ? this.stacks().at(-1)?.tops ?? [] : this.data.series.flatMap((each) => each.values);
    const top = Math.max(0, ...finite(all));
    this.high = this.options.high ? this.options.high(top) : top || 1;
    this.isLog = this.options.isLog ? this.options.isLog(top) : false;
    this.low = this.isLog ? 1 : this.options.low ? this.options.low(Math.min(...finite(all), Infinity)) : 0;
  }

  x(index) {
    return this.box.left + ((index + 0.5) / this.count) * (this.box.right - this.box.left);
  }

  y(value) {
    const { top, bottom } = this.box;
    const share = this.isLog
      ? Math.log(Math.max(value, this.low) / this.low) / Math.log(this.high / this.low)
      : (value - this.low) / (this.high - this.low);
    return bottom - share * (bottom - top);
  }

  stacks() {
    let below = new Array(this.count).fill(0);
    return this.data.series.map((each) => {
      const bottoms = below;
      below = bottoms.map((value, index) => value + (each.values[index] ?? 0));
      return { ...each, bottoms, tops: below };
    });
  }

  grid() {
    const { left, right, top, bottom } = this.box;
    const nodes = [];
    const most = Math.max(2, Math.floor((bottom - top) / 34));
    const values = this.isLog
      ? [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000].filter((value) => value <= this.high)
      : ticks(this.high - this.low, most).map((value) => this.low + value);
    for (const value of values) {
      const y = this.y(value);
      nodes.push(svg("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
      nodes.push(svg("text", { class: "axis", x: left - 6, y: y + 3.5, "text-anchor": "end" }, [this.options.tick(value)]));
    }
    return nodes.concat(this.minutes());
  }

  minutes() {
    const { left, right, bottom } = this.box;
    const span = this.count * this.data.step;
    const begin = this.data.end - span;
    const every = right - left < 260 ? 120 : 60;
    const nodes = [];
    for (let time = Math.ceil(begin / every) * every; time < this.data.end; time += every) {
      const x = left + ((time - begin) / span) * (right - left);
      if (x < left + 14 || x > right - 14) continue;
      const label = new Date(time * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
      nodes.push(svg("line", { class: "grid", x1: x, x2: x, y1: this.box.top, y2: bottom }));
      nodes.push(svg("text", { class: "axis", x, y: bottom + 14, "text-anchor": "middle" }, [label]));
    }
    return nodes;
  }

  rule() {
    const { rule } = this.options;
    const value = rule?.value();
    if (value == null || value > this.high || value < this.low) return [];
    const y = this.y(value);
    return [
      svg("line", { class: "rule", x1: this.box.left, x2: this.box.right, y1: y, y2: y }),
      svg("text", { class: "rule-label", x: this.box.right, y: y - 4, "text-anchor": "end" }, [rule.label(value)]),
    ];
  }

  marks() {
    const clip = { "clip-path": `url(#${this.figure.id}-clip)` };
    if (this.options.stacked) {
      return this.stacks().map((each) => svg("path", { class: `area ${each.name}`, d: this.area(each), ...clip }));
    }
    return [...this.data.series].reverse().flatMap((each) => {
      const line = svg("path", { class: `line ${each.name}`, d: lineOf(each.values, (index) => this.x(index), (value) => this.y(value)), ...clip });
      const dots = this.loneDots(each.values).map((index) =>
        svg("circle", { class: `dot ${each.name}`, cx: this.x(index), cy: this.y(each.values[index]), r: 1.6, ...clip }));
      return [line, ...dots];
    });
  }

  loneDots(values) {
    const has = (index) => values[index] !== null && values[index] !== undefined;
    return values.map((_, index) => index).filter((index) => has(index) && !has(index - 1) && !has(index + 1));
  }

  area({ bottoms, tops }) {
    const point = (value, index) => `${this.x(index).toFixed(1)} ${this.y(value).toFixed(1)}`;
    return `M${tops.map(point).join("L")}L${bottoms.map(point).reverse().join("L")}Z`;
  }

  pointer() {
    if (this.cursor === null) return [];
    const x = this.x(this.cursor);
    const dots = this.options.stacked ? [] : this.data.series
      .filter((each) => each.values[this.cursor] !== null)
      .map((each) => svg("circle", { class: `dot ${each.name}`, cx: x, cy: this.y(each.values[this.cursor]), r: 3 }));
    return [svg("line", { class: "cursor", x1: x, x2: x, y1: this.box.top, y2: this.box.bottom }), ...dots];
  }

  // The values at the cursor, or of the last step, beside the title.
  readOut() {
    const index = this.cursor ?? Math.max(0, this.count - 1);
    const time = new Date((this.data.end - (this.count - index) * this.data.step) * 1000);
    const shown = this.data.series.map((each) => [each, each.values[index] ?? null]);
    this.keys.replaceChildren(...shown.map(([each, value]) => {
      const key = document.createElement("span");
      key.className = `key ${each.name}`;
      key.textContent = `${each.label} ${value === null ? "–" : this.options.format(value)}`;
      return key;
    }));
    const when = document.createElement("span");
    when.className = "when";
    when.textContent = this.cursor === null ? "" : time.toLocaleTimeString([], { hour12: false });
    this.keys.append(when);
    const words = shown.map(([each, value]) => `${each.label} ${value === null ? "none" : this.options.format(value)}`);
    this.plot.setAttribute("aria-label", `${this.options.name} at ${time.toLocaleTimeString([], { hour12: false })}: ${words.join(", ")}`);
  }

  point(event) {
    if (!this.box) return;
    const { left } = this.plot.getBoundingClientRect();
    const share = (event.clientX - left - this.box.left) / (this.box.right - this.box.left);
    this.moveTo(Math.max(0, Math.min(this.count - 1, Math.floor(share * this.count))));
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15 }[event.key];
    if (event.key === "Escape") this.moveTo(null);
    if (steps === undefined || !this.data) return;
    event.preventDefault();
    this.moveTo(Math.max(0, Math.min(this.count - 1, (this.cursor ?? this.count - 1) + steps)));
  }

  moveTo(index) {
    if (this.cursor === index || !this.data) return;
    this.cursor = index;
    this.draw();
  }
}

// A small line without axes: the shape of the last minutes, and where the objective lies.
export function spark(values, objective) {
  const [width, height] = [110, 22];
  const top = Math.max(objective ? objective * 1.4 : 1, ...finite(values));
  const y = (value) => height - 2 - (value / top) * (height - 4);
  const x = (index) => (index / Math.max(1, values.length - 1)) * (width - 4) + 2;
  const nodes = objective ? [svg("line", { class: "rule", x1: 0, x2: width, y1: y(objective), y2: y(objective) })] : [];
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, [
    ...nodes, svg("path", { class: "line p95", d: lineOf(values, x, y) }),
  ]);
}
