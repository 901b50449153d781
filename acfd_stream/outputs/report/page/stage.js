// Draws the boxes of exactly the frame on screen.

const BOX_COLOURS = ["#4c8dff", "#f0883a", "#1fb8a3", "#a184f5", "#ec5f9e", "#76b852", "#d6a522", "#3db3d8", "#aab0bd"];

class Stage {
  constructor(root, episode, pick) {
    this.root = root;
    this.episode = episode;
    this.canvas = at("boxes");
    this.frame = -1;
    this.isOn = true;
    this.hasPicture = true;
    this.hidden = null; // Uint8Array by track: 1 if a filter hides it
    this.picked = null; // a track or a character
    this.pointed = null;
    this.canvas.addEventListener("click", (event) => pick(this.hit(event)));
    root.style.setProperty("--shape", episode.size.width / episode.size.height);
    new ResizeObserver(() => this.fit()).observe(root);
  }

  // Picture and canvas share one rectangle: the largest with the video's aspect ratio in the stage.
  fit() {
    const { width: wide, height: high } = this.root.getBoundingClientRect();
    const { width, height } = this.episode.size;
    const scale = Math.min(wide / width, high / height);
    const place = { left: (wide - width * scale) / 2, top: (high - height * scale) / 2, width: width * scale, height: height * scale };
    for (const node of [at("video"), this.canvas]) {
      for (const [name, value] of Object.entries(place)) node.style[name] = `${value}px`;
      node.style.objectFit = "fill";
    }
    const ratio = window.devicePixelRatio || 1;
    this.scale = scale;
    this.ratio = ratio;
    this.canvas.width = Math.round(place.width * ratio);
    this.canvas.height = Math.round(place.height * ratio);
    this.draw();
  }

  show(frame) {
    this.frame = frame;
    this.draw();
  }

  faces() {
    return this.episode.facesOf(this.frame).filter(({ track }) => !this.hidden?.[track.row]);
  }

  draw() {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.isOn || !this.scale) return;
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const faces = this.faces();
    if (!this.hasPicture) for (const face of faces) this.drawFace(pen, face);
    for (const face of faces) this.drawBox(pen, face);
    for (const face of faces) this.drawLabel(pen, face);
  }

  // Without a video: the track's thumbnail, which is 1.5 times as large as the face's box.
  drawFace(pen, { track, box: [x1, y1, x2, y2] }) {
    if (!track.thumbnail) return;
    track.image ??= Object.assign(new Image(), { src: track.thumbnail, onload: () => this.draw() });
    if (!track.image.complete) return;
    const side = Math.max(x2 - x1, y2 - y1) * 1.5 * this.scale;
    const [x, y] = [((x1 + x2) / 2) * this.scale, ((y1 + y2) / 2) * this.scale];
    pen.globalAlpha = 0.8;
    pen.drawImage(track.image, x - side / 2, y - side / 2, side, side);
    pen.globalAlpha = 1;
  }

  drawBox(pen, { track, isFilled, box }) {
    const [x1, y1, x2, y2] = box.map((value) => value * this.scale);
    const [isPicked, isPointed] = [this.picked, this.pointed].map((one) => one !== null && (one === track || one === track.character));
    pen.setLineDash(isFilled ? [6, 5] : []);
    pen.beginPath();
    pen.roundRect(x1, y1, Math.max(1, x2 - x1), Math.max(1, y2 - y1), Math.min(6, (x2 - x1) / 4));
    pen.lineWidth = isPicked || isPointed ? 6 : 4;
    pen.strokeStyle = "rgb(0 0 0 / 35%)";
    pen.stroke();
    pen.lineWidth = isPicked || isPointed ? 4 : 2;
    pen.strokeStyle = BOX_COLOURS[track.colour];
    pen.stroke();
    if (isPicked) {
      pen.fillStyle = `${BOX_COLOURS[track.colour]}26`;
      pen.fill();
    }
  }

  drawLabel(pen, { track, box }) {
    const [x1, y1] = box.map((value) => value * this.scale);
    pen.font = "600 12px system-ui, sans-serif";
    const text = labelOf(track);
    const width = pen.measureText(text).width + 10;
    const left = Math.max(0, Math.min(x1 - 1, this.canvas.width / this.ratio - width));
    const top = y1 >= 18 ? y1 - 18 : Math.max(0, y1);
    pen.fillStyle = BOX_COLOURS[track.colour];
    pen.beginPath();
    pen.roundRect(left, top, width, 17, 4);
    pen.fill();
    pen.fillStyle = "#0b0c10";
    pen.fillText(text, left + 5, top + 13);
  }

  // The smallest box under the pointer.
  hit(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - left) / this.scale, (event.clientY - top) / this.scale];
    const area = ({ box: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    const under = this.faces().filter(({ box: [x1, y1, x2, y2] }) => x >= x1 && x <= x2 && y >= y1 && y <= y2);
    return under.sort((one, other) => area(one) - area(other))[0]?.track ?? null;
  }
}
