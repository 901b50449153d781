// The page of one video: handles clicks, keys and playback.

const JUMP_SECONDS = 5;
const ZOOM = 2;
const MANY_TRACKS = 40; // with more tracks, the lanes first show a part of the time with about FIRST_TRACKS
const FIRST_TRACKS = 16;

const data = JSON.parse(at("data").textContent);
const episode = new Episode(data);
const characters = data.characters ? new Characters(data, episode) : null; // null: tracks only
const state = { picked: null, hereIds: "", view: { from: episode.begin, to: episode.end }, shown: episode.tracks };

const player = new Player(at("video"), episode, { frame: showFrame, state: showState });
const stage = new Stage(at("stage"), episode, (track) => pickFace(track));
const overview = new Overview(at("overview"), episode, (time) => player.seek(time));
const lanes = new Lanes(at("lanes"), episode, {
  pick: (track, time) => { pick(track); player.seek(time); },
  point: showPointed,
});
const characterView = characters && new CharacterView(characters, episode, player, { pick: pickCharacter, point: showPointed, changed: showNames });

function showPointed(one) {
  stage.pointed = one;
  stage.draw();
}

// What is on screen

function showFrame(time) {
  const frame = episode.frameAt(time);
  stage.show(frame);
  at("frame").textContent = `${Math.max(0, frame)}`;
  at("shot").textContent = `${episode.shotAt(frame) + 1} of ${Math.max(1, episode.shots.length)}`;
  showHere();
  showTime();
}

function showTime() {
  const time = player.time;
  at("time").textContent = clock(time - episode.begin);
  overview.setTime(time);
  lanes.setTime(time);
  characterView?.setTime(time);
  const { from, to } = state.view;
  const lead = player.isPlaying ? 0.05 : 0.4; // of the view is before the playhead after it left the view
  if (time < from || time > to) setView(time - (to - from) * lead, to - from);
}

function showState() {
  at("play").classList.toggle("playing", player.isPlaying);
  at("play").setAttribute("aria-label", player.isPlaying ? "Pause" : "Play");
  at("mute").setAttribute("aria-pressed", String(player.isMuted));
  stage.hasPicture = player.clock === null;
  at("mute").hidden = player.clock !== null;
  at("no-picture").hidden = player.clock === null;
  at("no-picture").textContent = player.reason;
  document.body.dataset.plays = player.clock ? "boxes" : at("video").readyState >= 2 ? "video" : "";
  showTime();
}

function showHere() {
  const faces = stage.faces();
  const ids = faces.map(({ track }) => track.id).join();
  at("here-count").textContent = faces.length ? `${faces.length}` : "";
  if (ids === state.hereIds && at("here").childElementCount) return;
  state.hereIds = ids;
  characterView?.showHere(faces);
  if (player.isPlaying && faces.length && at("order").value === "begin") lanes.follow(faces[0].track);
  if (!faces.length) at("here").replaceChildren(element("li", "soft", "No faces."));
  else at("here").replaceChildren(...faces.map(({ track }) => element("li", "", faceButton(track))));
}

function faceButton(track) {
  const button = element("button", `face t${track.colour}`, thumb(track), element("b", "", labelOf(track)));
  button.type = "button";
  button.setAttribute("aria-pressed", String(track === state.picked || (track.character !== null && track.character === characterView?.picked)));
  button.setAttribute("aria-label", track.character ? `${track.character.label}, track ${track.id}` : `Track ${track.id}`);
  button.addEventListener("click", () => pickFace(track));
  return button;
}

// One track or one character

function pick(track) {
  select(track, null);
  at("picked-title").textContent = track ? `Track ${track.id}` : characters ? "Nobody selected" : "No track selected";
  if (track) showFacts(track, trackFacts(track));
  if (track && characterView) {
    fold(false);
    at("picked-character").hidden = track.character === null;
    at("picked-character").textContent = labelOf(track);
  }
}

function pickCharacter(character) {
  select(null, character);
  at("picked-title").textContent = character.label;
  showFacts(character, characterView.facts(character));
}

const pickFace = (track) => (track?.character ? pickCharacter(track.character) : pick(track));

function select(track, character) {
  state.picked = track;
  stage.picked = track ?? character;
  state.hereIds = null;
  lanes.pick(track);
  characterView?.pick(character);
  stage.draw();
  showHere();
  at("picked").hidden = stage.picked === null;
  at("picked-hint").hidden = stage.picked !== null;
  at("track-tools").hidden = track === null;
}

function trackFacts(track) {
  return {
    "on screen": span(track.seconds),
    from: clock(track.begin - episode.begin),
    to: clock(track.end - episode.begin),
    frames: track.filled ? `${track.frames}, ${track.filled} filled in` : `${track.frames}`,
    size: `${Math.round(track.size)} px`,
    score: `${track.score.toFixed(2)}, best ${track.bestScore.toFixed(2)}`,
  };
}

function showFacts(one, facts) {
  at("portrait").replaceChildren(thumb(one));
  at("picked-facts").replaceChildren(...Object.entries(facts).map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value))));
}

// Labels after a name has changed.
function showNames() {
  state.hereIds = null;
  list();
  showHere();
  stage.draw();
}

// The next track where one is picked or its lanes have the focus, else the next character.
function goTo(step) {
  if (characterView && !state.picked && !at("lanes").matches(":focus-within")) characterView.goTo(step);
  else goToTrack(step);
}

function goToTrack(step) {
  const { passing } = state;
  if (!passing.length) return;
  const here = passing.indexOf(state.picked);
  const track = passing[here < 0 ? nearest() : Math.max(0, Math.min(passing.length - 1, here + step))];
  pick(track);
  player.seek(track.begin);
}

// Without a selection: the first track in the list that has not ended yet.
function nearest() {
  const found = state.passing.findIndex((track) => track.end > player.time);
  return found < 0 ? state.passing.length - 1 : found;
}

function playPicked() {
  if (characterView?.picked) characterView.toggleOnly();
  if (!state.picked) return;
  player.seek(state.picked.begin);
  player.play(state.picked.end);
}

// Filters, order, zoom

const scaleOf = (values) => {
  const [low, high] = [Math.max(0.1, Math.min(...values)), Math.max(...values, 0.2)];
  return (place) => (place === 0 ? 0 : low * (high / low) ** (place / 100));
};
const leastLength = scaleOf(episode.tracks.map((track) => track.seconds));
const leastSize = scaleOf(episode.tracks.map((track) => track.size));
const scoreAt = scaleOf(episode.tracks.map((track) => track.bestScore));
const leastScore = (place) => Math.floor(scoreAt(place) * 100 + 1e-6) / 100; // the value that is shown

function readFilter(id, scale, words) {
  const value = scale(Number(at(id).value));
  const text = value ? words(value) : "any";
  at(`${id}-text`).textContent = text;
  at(id).setAttribute("aria-valuetext", text);
  return value - 1e-6; // so that the longest track passes the highest value
}

function filter() {
  const seconds = readFilter("least-length", leastLength, span);
  const size = readFilter("least-size", leastSize, (value) => `${Math.round(value)} px`);
  const score = readFilter("least-score", leastScore, (value) => value.toFixed(2));
  const passes = (track) => track.seconds >= seconds && track.size >= size && track.bestScore >= score;
  stage.hidden = Uint8Array.from(episode.tracks, (track) => (passes(track) ? 0 : 1));
  overview.setShown(stage.hidden.map((isHidden) => 1 - isHidden));
  state.passing = episode.tracks.filter(passes);
  const order = at("order").value;
  if (order !== "begin") state.passing.sort((one, other) => other[order] - one[order] || one.row - other.row);
  list();
  stage.draw();
  state.hereIds = null;
  showHere();
}

// The lanes: tracks that pass the filters and overlap the view.
function list() {
  const { from, to } = state.view;
  state.shown = state.passing.filter((track) => track.begin < to && track.end > from);
  const [shown, all] = [state.shown.length, episode.tracks.length].map((number) => number.toLocaleString("en"));
  at("shown-count").textContent = shown === all ? all : `${shown} of ${all}`;
  lanes.show(state.shown);
  lanes.pick(state.picked);
}

function setView(from, length) {
  const all = episode.end - episode.begin;
  const size = Math.max(Math.min(LEAST_VIEW_SECONDS, all), Math.min(all, length));
  const begin = Math.max(episode.begin, Math.min(from, episode.end - size));
  state.view = { from: begin, to: begin + size };
  overview.setView(state.view);
  lanes.setView(state.view);
  characterView?.lanes.setView(state.view);
  list();
}

function zoom(factor, around = player.time) {
  const { from, to } = state.view;
  const share = Math.max(0, Math.min(1, (around - from) / (to - from)));
  const isInside = around >= from && around <= to;
  const size = Math.max(LEAST_VIEW_SECONDS, (to - from) * factor);
  setView(isInside ? around - size * share : around - size / 2, size);
}

// Keys

const step = (frames) => {
  player.pause();
  const frame = Math.max(0, Math.min(episode.frames - 1, episode.frameAt(player.time) + frames));
  if (episode.frames) player.seek(episode.times[frame]);
};

function goToShot(move) {
  const shot = episode.shotAt(episode.frameAt(player.time - (move < 0 ? 0.5 : 0)));
  const frame = episode.shots[move < 0 ? shot : shot + 1];
  if (frame !== undefined) player.seek(episode.times[frame]);
}

function toggleBoxes() {
  stage.isOn = !stage.isOn;
  at("show-boxes").setAttribute("aria-pressed", String(stage.isOn));
  stage.draw();
}

function fillScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else at("stage").parentElement.requestFullscreen?.();
}

const KEYS = {
  " ": () => player.toggle(), k: () => player.toggle(), ArrowLeft: () => player.seek(player.time - JUMP_SECONDS),
  ArrowRight: () => player.seek(player.time + JUMP_SECONDS), ",": () => step(-1), ".": () => step(1),
  "[": () => goToShot(-1), "]": () => goToShot(1), ArrowUp: () => goTo(-1), ArrowDown: () => goTo(1),
  Enter: playPicked, Home: () => player.seek(episode.begin), End: () => player.seek(episode.end), "+": () => zoom(1 / ZOOM),
  "=": () => zoom(1 / ZOOM), "-": () => zoom(ZOOM), "−": () => zoom(ZOOM), 0: () => setView(episode.begin, Infinity),
  b: toggleBoxes, m: () => player.toggleMuted(), f: fillScreen, "?": () => at("keys").showModal(), Escape: () => pick(null),
  n: () => characterView?.goToScene(1), N: () => characterView?.goToScene(-1), o: () => characterView?.toggleOnly(), r: () => characterView?.editName(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("keys").open) return;
  const target = event.target instanceof Element ? event.target : document.body;
  if (target.matches("input, select, textarea")) return;
  if (target.matches("button, a, summary") && (event.key === " " || event.key === "Enter")) return; // these keys press the element
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

const clicks = {
  play: () => player.toggle(), "shot-before": () => goToShot(-1), "shot-after": () => goToShot(1), mute: () => player.toggleMuted(),
  "show-boxes": toggleBoxes, fill: fillScreen, help: () => at("keys").showModal(), "picked-play": playPicked,
  "picked-before": () => goToTrack(-1), "picked-after": () => goToTrack(1), "zoom-in": () => zoom(1 / ZOOM),
  "zoom-out": () => zoom(ZOOM), "zoom-all": () => setView(episode.begin, Infinity),
};
for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", act);
for (const id of ["least-length", "least-size", "least-score", "order"]) at(id).addEventListener("input", filter);
at("order").addEventListener("input", () => { if (at("order").value !== "begin") setView(episode.begin, Infinity); });
at("rate").addEventListener("change", () => player.setRate(Number(at("rate").value)));
for (const id of characterView ? ["lanes", "character-lanes"] : ["lanes"]) at(id).addEventListener("wheel", (event) => {
  const { from, to } = state.view;
  if (event.ctrlKey) zoom(event.deltaY > 0 ? 1.25 : 0.8);
  else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) setView(from + (event.deltaX / lanes.width) * (to - from), to - from);
  else return;
  event.preventDefault();
}, { passive: false });

// The lanes of tracks, below those of characters, can be folded away.
function fold(isFolded) {
  at("fold").setAttribute("aria-expanded", String(!isFolded));
  at("lanes").hidden = isFolded;
  at("track-filters").classList.toggle("folded", isFolded);
  if (!isFolded) lanes.refit();
}

if (characterView) {
  at("fold").addEventListener("click", () => fold(!at("lanes").hidden));
  at("picked-character").addEventListener("click", () => pickFace(state.picked));
  fold(episode.tracks.length > MANY_TRACKS);
}

offer(at("save-csv"), "text/csv", () => csvOf(episode));
offer(at("save-vtt"), "text/vtt", () => vttOf(episode));

// #t=12.5, #track=7 or #character=3: a position that a link points to.
function followAddress() {
  const wish = new URLSearchParams(location.hash.slice(1));
  const track = episode.tracks.find(({ id }) => String(id) === wish.get("track"));
  const character = characters?.numbered(Number(wish.get("character")));
  if (track) pick(track);
  else if (character) pickCharacter(character);
  const time = wish.has("t") ? episode.begin + Number(wish.get("t")) : (track ?? character)?.begin;
  if (Number.isFinite(time)) player.seek(time);
}

const { length: tracks } = episode.tracks;
filter();
setView(episode.begin, tracks > MANY_TRACKS && !characterView ? ((episode.end - episode.begin) * FIRST_TRACKS) / tracks : Infinity);
player.open();
showFrame(episode.begin);
followAddress();
window.addEventListener("hashchange", followAddress);
document.body.dataset.shown = "yes";
