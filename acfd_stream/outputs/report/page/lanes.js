// One lane per track, or per character. Only visible rows are in the page, so that hundreds scroll as fast as ten.

const ROWS_AROUND = 6;
const STEPS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const LEAST_VIEW_SECONDS = 0.5;
const LEAST_SHOT_PIXELS = 12; // on average; closer lines are not drawn

// What rows of tracks say, and where a click beside a bar goes.
const TRACK_ROWS = {
  id: ({ id }) => `lane-${id}`,
  words: (track) => [`${track.id}`, span(track.seconds), track.character?.label ?? `${Math.round(track.size)} px`],
  spoken: (track) => `Track ${track.id}${track.character ? ` of ${track.character.label}` : ""}`,
  title: (track) => ` · ${Math.round(track.size)} px`,
  goal: (track) => track.begin,
};

class Lanes {
  // Calls act.pick(track, time) and act.point(track | null). `kind` is like TRACK_ROWS.
  constructor(root, episode, act, kind = TRACK_ROWS) {
    this.kind = kind;
    this.root = root;
    this.episode = episode;
    this.act = act;
    this.view = { from: episode.begin, to: episode.end };
    this.list = [];
    this.rows = new Map(); // track → its row in the page
    this.picked = null;
    [this.grid, this.scroll, this.body, this.line, this.empty] = [".grid", ".scroll", ".rows", ".playline", ".empty"].map((name) => root.querySelector(name));
    this.scroll.addEventListener("scroll", () => this.later(), { passive: true });
    window.addEventListener("scroll", () => this.later(), { passive: true });
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("pointerover", (event) => act.point(this.trackOf(event)));
    this.body.addEventListener("pointerleave", () => act.point(null));
    new ResizeObserver(() => this.refit()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.drawGrid());
  }

  show(list) {
    this.list = list;
    this.place = new Map(list.map((track, index) => [track, index]));
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.empty.hidden = list.length > 0;
    this.refit();
  }

  setView(view) {
    this.view = view;
    for (const [track, row] of this.rows) this.fill(row, track);
    this.drawGrid();
    this.setTime(this.time);
  }

  // The position of `time` in the view, 0 … 1.
  share(time) {
    return (time - this.view.from) / (this.view.to - this.view.from);
  }

  setTime(time) {
    this.time = time;
    const share = this.share(time);
    this.line.style.setProperty("--x", share < 0 || share > 1 ? "-9px" : `${share * this.width}px`);
  }

  pick(track) {
    for (const each of [this.picked, track]) this.rows.get(each)?.setAttribute("aria-selected", String(each === track));
    this.picked = track;
    const index = this.place?.get(track);
    if (index === undefined) this.scroll.removeAttribute("aria-activedescendant");
    else this.bring(index);
  }

  // While a video plays, the rows follow it, unless the pointer or the focus is on them.
  follow(track) {
    const index = this.place?.get(track);
    if (index !== undefined && !this.root.matches(":hover, :focus-within")) this.reach(index);
  }

  reach(index) {
    const top = index * this.rowHeight;
    const { scroll } = this;
    if (scroll.scrollHeight > scroll.clientHeight + 1) {
      if (top < scroll.scrollTop) scroll.scrollTop = top;
      else if (top + this.rowHeight > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + this.rowHeight - scroll.clientHeight;
    }
    this.render();
  }

  bring(index) {
    this.reach(index);
    this.scroll.setAttribute("aria-activedescendant", this.kind.id(this.list[index]));
  }

  refit() {
    this.rowHeight = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
    this.width = this.grid.getBoundingClientRect().width;
    this.body.style.height = `${this.list.length * this.rowHeight}px`;
    for (const [track, row] of this.rows) {
      row.style.top = `${this.place.get(track) * this.rowHeight}px`;
      this.fill(row, track);
    }
    this.drawGrid();
    this.setTime(this.time ?? this.episode.begin);
    this.render();
  }

  later() {
    this.isDue ||= requestAnimationFrame(() => { this.isDue = 0; this.render(); });
  }

  // Add visible rows to the page and remove the others.
  render() {
    if (!this.rowHeight) return;
    const [outer, inner] = [this.scroll, this.body].map((node) => node.getBoundingClientRect());
    const top = Math.max(outer.top, 0) - inner.top;
    const bottom = Math.min(outer.bottom, window.innerHeight) - inner.top;
    const first = Math.max(0, Math.floor(top / this.rowHeight) - ROWS_AROUND);
    const last = Math.min(this.list.length, Math.ceil(bottom / this.rowHeight) + ROWS_AROUND);
    const wanted = new Set(this.list.slice(first, Math.max(first, last)));
    const index = this.place?.get(this.picked);
    if (index !== undefined) wanted.add(this.picked); // screen readers take its name from the row
    for (const [track, row] of this.rows) if (!wanted.has(track)) { row.remove(); this.rows.delete(track); }
    for (const track of wanted) if (!this.rows.has(track)) this.add(track);
  }

  add(track) {
    const [name, seconds, more] = this.kind.words(track);
    const words = element("span", "words", element("b", "", name), element("span", "", seconds), element("span", "soft", more));
    const row = element("div", "row", element("span", "who", thumb(track), words), element("div", `lane t${track.colour}`));
    row.id = this.kind.id(track);
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(track === this.picked));
    row.setAttribute("aria-setsize", this.list.length);
    row.setAttribute("aria-posinset", this.place.get(track) + 1);
    row.setAttribute("aria-label", `${this.kind.spoken(track)}, on screen for ${span(track.seconds)} from ${clock(track.begin - this.episode.begin)}`);
    row.title = `${clock(track.begin - this.episode.begin)} – ${clock(track.end - this.episode.begin)}${this.kind.title(track)}`;
    row.style.top = `${this.place.get(track) * this.rowHeight}px`;
    this.fill(row, track);
    this.rows.set(track, row);
    this.body.append(row);
  }

  // Bars less than a pixel apart are one: a character of a film has thousands of stays.
  fill(row, track) {
    const bars = [];
    for (const [from, to] of track.times) {
      if (to <= this.view.from || from >= this.view.to) continue;
      const [left, right, last] = [Math.max(0, this.share(from)), Math.min(1, this.share(to)), bars.at(-1)];
      if (last && (left - last[1]) * this.width < 1) last[1] = Math.max(last[1], right);
      else bars.push([left, right]);
    }
    row.lastChild.replaceChildren(...bars.map(([left, right]) => {
      const bar = element("span", "bar");
      bar.style.left = `${left * 100}%`;
      bar.style.width = `${(right - left) * 100}%`;
      return bar;
    }));
  }

  trackOf(event) {
    const id = event.target.closest(".row")?.id;
    return id ? this.list.find((track) => this.kind.id(track) === id) ?? null : null;
  }

  // A click on a bar goes to that moment; elsewhere in a row, to the start of the track, or the next scene.
  click(event) {
    const track = this.trackOf(event);
    if (!track) return;
    const lane = event.target.closest(".lane")?.getBoundingClientRect();
    const time = lane ? this.view.from + ((event.clientX - lane.left) / lane.width) * (this.view.to - this.view.from) : null;
    const isInside = time !== null && track.times.some(([from, to]) => time >= from && time < to);
    this.act.pick(track, isInside ? time : this.kind.goal(track, time ?? this.time));
  }

  // Draws time marks and shot starts behind the rows.
  drawGrid() {
    const { width, height } = this.grid.getBoundingClientRect();
    if (width < 2) return;
    const ratio = window.devicePixelRatio || 1;
    [this.grid.width, this.grid.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const pen = this.grid.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    pen.scale(ratio, ratio);
    pen.fillStyle = style.getPropertyValue("--line").trim();
    const shots = this.episode.shots.map((frame) => this.share(this.episode.times[frame])).filter((share) => share > 0 && share <= 1);
    if (shots.length * LEAST_SHOT_PIXELS < width) for (const share of shots) pen.fillRect(Math.round(share * width), 18, 1, height);
    this.drawTimes(pen, style.getPropertyValue("--soft").trim(), width);
  }

  drawTimes(pen, colour, width) {
    const { from, to } = this.view;
    const most = Math.max(2, Math.floor(width / 90));
    const step = STEPS.find((each) => (to - from) / each <= most) ?? 14400;
    const begin = this.episode.begin;
    pen.fillStyle = colour;
    pen.font = "11px system-ui, sans-serif";
    for (let mark = Math.ceil((from - begin) / step); mark * step <= to - begin; mark += 1) {
      const x = this.share(begin + mark * step) * width;
      const text = clock(mark * step, step < 1 ? 2 : 0);
      const room = pen.measureText(text).width;
      pen.fillText(text, Math.max(0, Math.min(width - room, x - room / 2)), 14);
    }
  }
}
