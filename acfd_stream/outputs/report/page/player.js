// Time runs here: the video's where the browser can play it, else a clock's. Times are those of the result (pts).

const NUDGE_SECONDS = 0.0005; // players round a time down to the frame before; this lands within the frame
const UNPLAYABLE = "This browser cannot play the video, or it is no longer beside this page. A report with --report-proxy has it inside.";

class Player {
  // `on` has frame(time): this moment is on screen; state(): something else changed.
  constructor(video, episode, on) {
    this.video = video;
    this.episode = episode;
    this.on = on;
    this.offset = 0; // seconds of the result at second 0 of the video
    this.stopAt = null;
    this.wanted = null; // where a seek goes that is under way
    this.clock = null; // {time, since}: there is no video
    this.time = episode.begin;
    this.reason = "";
  }

  open() {
    const { url, isInside, reason } = this.episode.video;
    if (isInside) this.load(URL.createObjectURL(new Blob([bytesOf(at("proxy").textContent)], { type: "video/mp4" })));
    else if (url) this.load(url);
    else this.useClock(reason);
    if (isInside) this.offset = this.episode.begin;
  }

  load(url) {
    const { video } = this;
    video.addEventListener("error", () => this.useClock(UNPLAYABLE));
    video.addEventListener("loadedmetadata", () => {
      if (!video.videoWidth) this.useClock(UNPLAYABLE);
      else if (!this.episode.isWhole && this.wanted === null) this.seek(this.time);
    });
    video.addEventListener("seeked", () => this.hasSought());
    for (const name of ["play", "pause", "volumechange", "ratechange", "loadeddata", "canplay"]) video.addEventListener(name, () => this.on.state());
    video.addEventListener("ended", () => this.on.state());
    video.hidden = false;
    video.src = url;
    this.watch();
  }

  get isPlaying() {
    return this.clock ? this.clock.since !== null : !this.video.paused && !this.video.ended;
  }

  get isMuted() {
    return this.video.muted;
  }

  // Called with every picture that comes on screen, with its own time where the browser tells it.
  watch() {
    const { video } = this;
    if (video.requestVideoFrameCallback) {
      const each = (_now, { mediaTime }) => {
        if (this.clock) return;
        this.calibrate(mediaTime);
        this.arrive(mediaTime + this.offset);
        video.requestVideoFrameCallback(each);
      };
      video.requestVideoFrameCallback(each);
      return;
    }
    const each = () => {
      if (this.clock) return;
      if (!video.seeking && video.readyState >= 2) this.arrive(video.currentTime + this.offset);
      requestAnimationFrame(each);
    };
    each();
  }

  // Some players count from 0 whatever the file says. The first picture of the file is the first frame of a whole
  // result; one that comes later than it should is another frame.
  calibrate(mediaTime) {
    if (this.isCalibrated) return;
    this.isCalibrated = true;
    const isFirst = this.episode.isWhole && this.video.currentTime === 0 && this.wanted === null;
    if (isFirst) this.offset = Math.max(0, this.episode.begin - mediaTime);
  }

  arrive(time) {
    if (this.wanted === null) this.time = time;
    const stopAt = this.stopAt ?? (this.episode.isWhole ? null : this.episode.end);
    if (stopAt !== null && this.isPlaying && time >= stopAt - 0.001) {
      this.pause();
      this.seek(stopAt - 0.002); // back from what came while the player was slow to stop
    }
    this.on.frame(time);
  }

  hasSought() {
    const again = this.again;
    this.again = this.wanted = null;
    if (again !== undefined && again !== null) this.seek(again, true);
    else requestAnimationFrame(() => requestAnimationFrame(() => this.settle()));
  }

  // A browser that is busy does not always tell of the picture that a seek brought; what a stopped one shows is known.
  settle() {
    if (!this.clock && this.wanted === null && this.video.paused && !this.video.seeking) this.on.frame(this.video.currentTime + this.offset);
  }

  seek(time, keepsStop = false) {
    if (!keepsStop) this.stopAt = null;
    const { begin, end, times } = this.episode;
    const frame = this.episode.frameAt(Math.min(time, end - 0.002));
    this.time = frame < 0 ? begin : times[frame]; // players are not sure of a frame near its end
    if (this.clock) {
      this.clock = { time: this.time, since: this.clock.since === null ? null : performance.now() };
      this.on.frame(this.time);
      return;
    }
    this.on.state();
    if (this.wanted !== null) { // one at a time: dragging asks for more than a decoder can give
      this.again = this.time;
      return;
    }
    this.wanted = this.time;
    this.isCalibrated ||= this.video.readyState > 0;
    this.video.currentTime = Math.max(0, this.time - this.offset + NUDGE_SECONDS);
  }

  async play(stopAt = null) {
    this.stopAt = stopAt;
    if (this.time >= this.episode.end - 0.05) this.seek(this.episode.begin, true);
    if (this.clock) {
      this.clock = { time: this.time, since: performance.now() };
      this.on.state();
      this.tick();
      return;
    }
    try {
      await this.video.play();
    } catch { /* paused at once, or not playable: the error event says so */ }
  }

  pause() {
    if (!this.clock) {
      this.video.pause();
      return;
    }
    this.clock = { time: this.time, since: null };
    this.on.state();
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  setRate(rate) {
    if (this.clock) this.clock = { time: this.time, since: this.clock.since === null ? null : performance.now() };
    this.rate = rate;
    this.video.playbackRate = rate;
  }

  toggleMuted() {
    this.video.muted = !this.video.muted;
  }

  useClock(reason) {
    if (this.clock) return;
    this.reason = reason;
    this.video.hidden = true;
    this.clock = { time: this.time, since: null };
    this.wanted = null;
    this.on.state();
    this.on.frame(this.time);
  }

  tick() {
    if (!this.clock || this.clock.since === null) return;
    const { begin, end } = this.episode;
    this.time = Math.max(begin, this.clock.time + ((performance.now() - this.clock.since) / 1000) * (this.rate ?? 1));
    if (this.time >= end) {
      this.time = end - 0.002;
      this.pause();
    }
    this.arrive(this.time);
    requestAnimationFrame(() => this.tick());
  }
}
