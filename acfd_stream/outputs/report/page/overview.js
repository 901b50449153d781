// The whole video in one strip: number of faces, shot starts, playhead, and the range of the lanes.

class Overview {
  constructor(root, episode, seek) {
    this.root = root;
    this.episode = episode;
    this.seek = seek;
    [this.canvas, this.window, this.head, this.tip] = ["canvas", ".window", ".playhead", ".tip"].map((name) => root.querySelector(name));
    this.isShown = new Uint8Array(episode.tracks.length).fill(1);
    root.setAttribute("aria-valuemax", Math.round(episode.end - episode.begin));
    root.addEventListener("pointerdown", (event) => this.drag(event));
    root.addEventListener("pointermove", (event) => this.point(event));
    root.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  timeAt(event) {
    const { left, width } = this.root.getBoundingClientRect();
    const share = Math.max(0, Math.min(1, (event.clientX - left) / width));
    return this.episode.begin + share * (this.episode.end - this.episode.begin);
  }

  share(time) {
    return Math.max(0, Math.min(1, (time - this.episode.begin) / (this.episode.end - this.episode.begin)));
  }

  drag(event) {
    if (event.button !== 0) return;
    this.root.setPointerCapture(event.pointerId);
    this.isDragged = true;
    this.root.addEventListener("pointerup", () => { this.isDragged = false; }, { once: true });
    this.root.addEventListener("pointercancel", () => { this.isDragged = false; }, { once: true });
    this.seek(this.timeAt(event));
  }

  point(event) {
    const time = this.timeAt(event);
    this.tip.hidden = false;
    this.tip.textContent = clock(time - this.episode.begin);
    this.tip.style.left = `${this.share(time) * 100}%`;
    if (this.isDragged) this.seek(time);
  }

  setShown(isShown) {
    this.isShown = isShown;
    this.draw();
  }

  setTime(time) {
    this.head.style.left = `${this.share(time) * 100}%`;
    this.root.setAttribute("aria-valuenow", Math.round(time - this.episode.begin));
    this.root.setAttribute("aria-valuetext", clock(time - this.episode.begin));
  }

  setView({ from, to }) {
    const isAll = from <= this.episode.begin && to >= this.episode.end;
    this.window.hidden = isAll;
    this.window.style.left = `${this.share(from) * 100}%`;
    this.window.style.width = `${(this.share(to) - this.share(from)) * 100}%`;
  }

  draw() {
    const { width, height } = this.root.getBoundingClientRect();
    if (width < 2) return;
    const ratio = window.devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.scale(ratio, ratio);
    const floor = height - 12;
    const parts = Math.max(1, Math.round(width));
    const counts = this.episode.density(parts, this.isShown);
    const most = Math.max(2, ...counts);
    pen.fillStyle = colour("--idle");
    pen.fillRect(0, floor, width, 1);
    pen.fillStyle = colour("--area");
    counts.forEach((count, x) => pen.fillRect(x, floor - (count / most) * (floor - 4), 1, (count / most) * (floor - 4)));
    this.drawShots(pen, colour("--soft"), width, height);
  }

  drawShots(pen, colour, width, height) {
    pen.fillStyle = colour;
    pen.globalAlpha = Math.max(0.3, Math.min(1, width / this.episode.shots.length / 8)); // many marks become a shade
    for (const frame of this.episode.shots) {
      pen.fillRect(Math.round(this.share(this.episode.times[frame]) * (width - 1)), height - 8, 1, 8);
    }
  }
}
