// Playback time: from the video if the browser can play it, else from a clock. Times are those of the result (pts).

const NUDGE_SECONDS = 0.0005; // players may round down to the previous frame; this stays within the frame
const UNPLAYABLE = "This browser cannot play the video, or it is no longer next to this page. With --report-proxy, a report has a small copy that plays.";

class Player {
  // Calls on.frame(time) for the time on screen, and on.state() for other changes.
  constructor(video, episode, on) {
    this.video = video;
    this.episode = episode;
    this.on = on;
    this.offset = 0; // seconds of the result at second 0 of the video
    this.stopAt = null;
    this.only = null; // [begin, end] of the parts to play, if not all
    this.wanted = null; // target of the current seek
    this.clock = null; // {time, since} if there is no video
    this.time = episode.begin;
    this.reason = "";
  }

  open() {
    const { url, isInside, proxy, reason } = this.episode.video;
    if (isInside) this.load(URL.createObjectURL(new Blob([bytesOf(at("proxy").textContent)], { type: "video/mp4" })));
    else if (url) this.load(url);
    else if (proxy) this.load(proxy);
    else this.useClock(reason);
    this.hasProxy = isInside || (!url && Boolean(proxy));
    if (this.hasProxy) this.offset = this.episode.begin;
  }

  // Go on with the small copy beside the page, if there may be one.
  fail() {
    const { proxy, reason } = this.episode.video;
    if (this.hasProxy || !proxy) {
      this.useClock(reason ?? UNPLAYABLE);
      return;
    }
    this.hasProxy = true;
    this.wanted = this.again = null;
    this.offset = this.episode.begin;
    this.video.src = proxy;
  }

  load(url) {
    const { video } = this;
    video.addEventListener("error", () => this.fail());
    video.addEventListener("loadedmetadata", () => {
      if (!video.videoWidth) this.fail();
      else if ((!this.episode.isWhole || this.hasProxy) && this.wanted === null) this.seek(this.time);
    });
    video.addEventListener("loadeddata", () => video.removeAttribute("poster")); // another frame than the boxes'
    video.addEventListener("seeked", () => this.hasSought());
    for (const name of ["play", "pause", "volumechange", "ratechange", "loadeddata", "canplay"]) video.addEventListener(name, () => this.on.state());
    video.addEventListener("ended", () => { // a busy browser may not report the last picture
      this.on.state();
      this.arrive(Math.min(video.currentTime + this.offset, this.episode.end - 0.002));
    });
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

  // Calls arrive() for every picture on screen, with its own time if the browser reports it.
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

  // Some players count from 0 whatever the file says. In a whole result, the first picture of the file is the first
  // frame; a later picture is another frame.
  calibrate(mediaTime) {
    if (this.isCalibrated) return;
    this.isCalibrated = true;
    const isFirst = this.episode.isWhole && this.video.currentTime === 0 && this.wanted === null;
    if (isFirst) this.offset = Math.max(0, this.episode.begin - mediaTime);
  }

  arrive(time) {
    if (this.wanted === null) this.time = time;
    if (this.only && this.isPlaying && this.wanted === null) this.skip(time);
    const stopAt = this.stopAt ?? this.only?.at(-1)[1] ?? (this.episode.isWhole ? null : this.episode.end);
    if (stopAt !== null && this.isPlaying && time >= stopAt - 0.001) {
      this.pause();
      this.seek(stopAt - 0.002); // back from pictures shown before the player stopped
    }
    this.on.frame(time);
  }

  // From between two parts to the next one.
  skip(time) {
    const next = this.only.find(([, end]) => end - 0.001 > time);
    if (next && time < next[0] - 0.001) this.seek(next[0], true);
  }

  hasSought() {
    const again = this.again;
    this.again = this.wanted = null;
    if (again !== undefined && again !== null) this.seek(again, true);
    else requestAnimationFrame(() => requestAnimationFrame(() => this.settle()));
  }

  // A busy browser may not report the picture of a seek; the picture of a paused video is known.
  settle() {
    if (!this.clock && this.wanted === null && this.video.paused && !this.video.seeking) this.on.frame(this.video.currentTime + this.offset);
  }

  seek(time, keepsStop = false) {
    if (!keepsStop) this.stopAt = null;
    const { begin, end, times } = this.episode;
    const frame = this.episode.frameAt(Math.min(time, end - 0.002));
    this.time = frame < 0 ? begin : times[frame]; // players are inexact near the end of a frame
    if (this.clock) {
      this.clock = { time: this.time, since: this.clock.since === null ? null : performance.now() };
      this.on.frame(this.time);
      return;
    }
    this.on.state();
    if (this.wanted !== null) { // one seek at a time: dragging requests more than a decoder can deliver
      this.again = this.time;
      return;
    }
    this.wanted = this.time;
    this.isCalibrated ||= this.video.readyState > 0;
    this.video.currentTime = Math.max(0, this.time - this.offset + NUDGE_SECONDS);
  }

  // Whether there is nothing left to play.
  get isOver() {
    const { episode, only } = this;
    if (only && episode.frameAt(this.time) >= episode.frameAt(only.at(-1)[1] - 0.002)) return true;
    return this.time >= episode.end - 0.05;
  }

  async play(stopAt = null) {
    this.stopAt = stopAt;
    if (this.isOver) this.seek(this.only?.[0][0] ?? this.episode.begin, true);
    if (this.clock) {
      this.clock = { time: this.time, since: performance.now() };
      this.on.state();
      this.tick();
      return;
    }
    try {
      await this.video.play();
    } catch { /* paused at once, or not playable: the error event reports it */ }
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
