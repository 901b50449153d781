// The result as typed arrays, with queries: the frame at a time, and the faces of a frame.

const NO_CHARACTER = 8; // the colour of tracks without one, after those of the others

const at = (id) => document.getElementById(id);

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place += 1) bytes[place] = binary.charCodeAt(place);
  return bytes;
}

function clock(seconds, tenths = 1) {
  const unit = 10 ** tenths;
  const whole = Math.max(0, Math.round(seconds * unit)) / unit;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const end = rest.toFixed(tenths).padStart(tenths ? tenths + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${end}` : `${minutes}:${end}`;
}

const span = (seconds) => (seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds, 0));

function element(name, className = "", ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

class Episode {
  constructor(data) {
    this.video = data.video;
    this.size = { height: data.size[0], width: data.size[1] };
    this.isWhole = data.isWhole;
    this.times = new Float64Array(bytesOf(data.times).buffer);
    this.firstFace = new Uint32Array(bytesOf(data.firstFace).buffer);
    this.boxSteps = data.boxSteps;
    this.boxes = new Int16Array(bytesOf(data.boxes).buffer);
    this.trackOf = new Uint32Array(bytesOf(data.trackOf).buffer);
    this.isFilled = bytesOf(data.isFilled);
    this.scores = new Uint16Array(bytesOf(data.scores).buffer); // ten thousandths
    this.shots = data.shots;
    this.frames = this.times.length;
    this.begin = this.frames ? this.times[0] : 0;
    this.end = this.begin + Math.max(data.duration, 0.001);
    this.tracks = data.tracks.map((track, row) => this.trackWithTimes(track, row, data.thumbnails));
  }

  trackWithTimes(track, row, thumbnails) {
    const last = track.spans.at(-1)[1];
    return {
      ...track, row, colour: track.id % NO_CHARACTER, character: null, thumbnail: thumbnails[track.id] ?? null,
      times: track.spans.map(([first, final]) => [this.times[first], this.endOf(final)]),
      begin: this.times[track.spans[0][0]], end: this.endOf(last), lastFrame: last,
    };
  }

  // When a frame ends.
  endOf(frame) {
    return frame + 1 < this.frames ? this.times[frame + 1] : this.end;
  }

  // The frame shown at `time`; -1 outside the result. Players round times, so a frame that starts within a
  // millisecond counts.
  frameAt(time) {
    if (time >= this.end) return -1;
    let [low, high] = [0, this.frames];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time + 0.001) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  shotAt(frame) {
    let [low, high] = [0, this.shots.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.shots[middle] <= frame) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  // Faces of a frame: their track, whether the detector saw them, the box in pixels of the video, and the score.
  facesOf(frame) {
    if (frame < 0 || frame >= this.frames) return [];
    const faces = [];
    for (let face = this.firstFace[frame]; face < this.firstFace[frame + 1]; face += 1) {
      const box = [0, 1, 2, 3].map((corner) => this.boxes[face * 4 + corner] / this.boxSteps);
      faces.push({ track: this.tracks[this.trackOf[face]], isFilled: this.isFilled[face] === 1, box, score: this.scores[face] / 1e4 });
    }
    return faces;
  }

  // Seconds with a face × faces in `parts` equal parts of the time, of the tracks for which `isShown` holds: means.
  density(parts, isShown) {
    const sums = new Float64Array(parts);
    const step = (this.end - this.begin) / parts;
    for (let frame = 0; frame < this.frames; frame += 1) {
      let faces = 0;
      for (let face = this.firstFace[frame]; face < this.firstFace[frame + 1]; face += 1) faces += isShown[this.trackOf[face]];
      if (faces) spread(sums, (this.times[frame] - this.begin) / step, (this.endOf(frame) - this.begin) / step, faces);
    }
    return sums;
  }
}

// Add `weight` to every part of `sums` by how much of it lies between `from` and `to`.
function spread(sums, from, to, weight) {
  for (let part = Math.max(0, Math.floor(from)); part < Math.min(sums.length, to); part += 1) {
    sums[part] += weight * Math.max(0, Math.min(to, part + 1) - Math.max(from, part));
  }
}

// What a box, a button or a lane calls a track.
const labelOf = (track) => track.character?.label ?? `${track.id}`;

// A small picture of a track or a character, or its number where there is none.
function thumb(track) {
  if (!track.thumbnail) return element("span", `thumb t${track.colour}`, `${track.id}`);
  const image = element("img", `thumb t${track.colour}`);
  image.src = track.thumbnail;
  image.alt = "";
  image.decoding = "async";
  return image;
}
