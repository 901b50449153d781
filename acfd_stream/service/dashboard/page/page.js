// Polls /streams.json every two seconds and shows it. Text from clients (names, errors) is never used as HTML.
import { Chart, spark, svg } from "/charts.js";

const POLL_MS = 2000;
const PREVIEW_MS = 500;
const BOTTLENECK_OF = {
  ingest: "data", decode: "decode", queue: "queue", preprocess: "engine", infer: "engine", decode_boxes: "engine",
  nms: "engine", track: "track", encode: "client", send: "client",
};
const BOTTLENECK_NAMES = { data: "waiting for data", decode: "decoding", queue: "queue", engine: "network", track: "tracking", client: "client", media: "media" };
const STAGE_NAMES = {
  ingest: "wait for data", decode: "decode", queue: "wait for engine", preprocess: "preprocess", infer: "network",
  decode_boxes: "decode boxes", nms: "NMS", track: "track", encode: "encode result", send: "send result",
};

const at = (id) => document.getElementById(id);
const text = (id, value) => { if (at(id).textContent !== value) at(id).textContent = value; };
const ms = (value) => (value === null || value === undefined ? "–" : value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value).toLocaleString("en")} ms`);
const percent = (share) => {
  if (share === null || share === undefined) return "–";
  if (share > 0.999 && share < 1) return `${(Math.floor(share * 10000) / 100).toFixed(2)} %`;
  return `${share === 0 || share === 1 ? share * 100 : (share * 100).toFixed(share >= 0.9 ? 1 : 0)} %`;
};
const rate = (value) => (value > 0 && value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
const clockTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });
const span = (seconds) => {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min` : `${Math.round(seconds / 86400)} days`;
};

function element(name, className = "", ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

let objective = 50;
let chosen = null; // id of the selected stream; null: the worst one
let last = null; // the latest data
let isPaused = false;
let failures = 0;

const charts = {
  latency: new Chart(at("latency-chart"), {
    name: "Latency of live frames", format: ms, tick: (value) => `${value}`,
    high: (top) => Math.max(objective * 1.3, top * 1.08), isLog: (top) => top > objective * 6,
    rule: { value: () => objective, label: (value) => `objective ${value} ms` },
  }),
  goodput: new Chart(at("goodput-chart"), {
    name: "Share of live frames in time", format: percent, tick: (value) => `${Math.round(value * 100)}%`,
    high: () => 1, low: (bottom) => (bottom > 0.92 ? 0.9 : bottom > 0.55 ? 0.5 : 0),
    rule: { value: () => 0.99, label: () => "" },
  }),
  load: new Chart(at("load-chart"), {
    name: "Frames per second", format: rate, tick: (value) => `${value}`, stacked: true,
    high: (top) => Math.max(5, top * 1.1),
  }),
  stages: new Chart(at("stage-chart"), {
    name: "Mean time per frame", format: ms, tick: (value) => `${value}`, stacked: true,
    high: (top) => Math.max(10, top * 1.08),
    rule: { value: () => (last?.stages_of === "live" ? objective : null), label: (value) => `${value} ms` },
  }),
};

function showHeader({ service }) {
  objective = service.objective_ms;
  text("model", service.model || "–");
  text("engine", (service.engine || "–") + (service.is_fallback ? " (fallback)" : ""));
  at("engine").classList.toggle("bad", service.is_fallback);
  text("objective", ms(objective));
  text("uptime", span(service.uptime_seconds));
  text("state", service.state);
  at("state").dataset.state = service.state;
}

function showVerdict({ verdict, notes, service }) {
  at("verdict").dataset.level = verdict.level;
  text("headline", verdict.headline);
  text("detail", verdict.detail);
  const since = verdict.since === null ? ""
    : `${verdict.is_older ? "since before" : "since"} ${clockTime(verdict.since)} (${span(service.now - verdict.since)})`;
  text("since", since);
  document.title = { good: "✓ ", fair: "! ", poor: "‼ ", idle: "" }[verdict.level] + "acfd_stream";
  at("notes").hidden = notes.length === 0;
  at("notes").replaceChildren(...notes.map((note) => element("li", "", note)));
}

function showTiles({ now }) {
  text("goodput", percent(now.goodput));
  at("goodput").dataset.level = now.goodput === null ? "" : now.goodput >= 0.99 ? "good" : now.goodput >= 0.9 ? "fair" : "poor";
  text("goodput-small", now.frames ? `of ${now.frames.toLocaleString("en")} live frames` : "no live frames");
  text("p95", ms(now.p95_ms));
  at("p95").dataset.level = now.p95_ms === null ? "" : now.p95_ms <= objective ? "good" : "poor";
  text("p95-small", `p50 ${ms(now.p50_ms)} · p99 ${ms(now.p99_ms)}`);
  text("fps", rate(now.fps_live + now.fps_file));
  text("fps-small", `${rate(now.fps_live)} live · ${rate(now.fps_file)} file${now.batch ? ` · batch ${now.batch}` : ""}`);
  text("count", `${now.streams_live + now.streams_file}`);
  text("count-small", `${now.streams_live} live · ${now.streams_file} file`);
  text("headroom", percent(now.headroom));
  at("headroom").dataset.level = now.headroom < 0.1 ? "fair" : "";
  at("headroom-meter").replaceChildren(
    svg("rect", { class: "track", x: 0, y: 0, width: "100%", height: 6, rx: 3 }),
    svg("rect", { class: now.headroom < 0.1 ? "fill fair" : "fill", x: 0, y: 0, width: `${Math.max(0, Math.min(1, now.headroom)) * 100}%`, height: 6, rx: 3 }),
  );
  text("lost", now.dropped.toLocaleString("en"));
  at("lost").dataset.level = now.dropped ? "fair" : "";
  const held = (now.held_bytes / 2 ** 20).toFixed(0);
  text("lost-small", `dropped · ${now.queue} wait, ${held} MiB held`);
}

function showCharts({ series, stages_of }) {
  const common = { end: series.end, step: series.step_seconds };
  const line = (name, label, values) => ({ name, label, values });
  charts.latency.show({ ...common, series: ["p50", "p95", "p99"].map((name) => line(name, name, series[`${name}_ms`])) });
  charts.goodput.show({ ...common, series: [line("goodput", "", series.goodput)] });
  charts.load.show({ ...common, series: [line("live", "live", series.fps_live), line("file", "file", series.fps_file),
    line("dropped", "dropped", series.dropped.map((count) => count / series.step_seconds))] });
  const parts = Object.keys(BOTTLENECK_NAMES).filter((name) => name !== "media").map((name) => {
    const stages = Object.entries(series.stages_ms).filter(([stage]) => BOTTLENECK_OF[stage] === name).map(([, values]) => values);
    const values = series.p50_ms.map((_, index) => {
      const known = stages.map((stage) => stage[index]).filter((value) => value !== null);
      return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
    });
    return line(name, BOTTLENECK_NAMES[name], values);
  });
  text("stage-title", `Time per stage of ${stages_of} frames`);
  charts.stages.show({ ...common, series: parts });
}

function p95Cell(row) {
  const cell = element("td", "n", ms(row.p95_ms));
  if (row.objective_ms && row.p95_ms > row.objective_ms) cell.classList.add("bad");
  return cell;
}

function streamRow(row) {
  const isShown = row.id === shownId();
  const pick = element("button", "pick", element("span", "name", row.name || row.id));
  pick.type = "button";
  pick.dataset.id = row.id;
  pick.setAttribute("aria-pressed", String(isShown));
  pick.addEventListener("click", () => { chosen = row.id; showStreams(last); preview(); });
  const title = element("th", "", pick, element("span", `chip ${row.mode}`, row.mode));
  if (row.state !== "running") title.append(element("span", "chip", row.state));
  title.scope = "row";
  const size = row.size ? `${row.size[1]}×${row.size[0]}` : "–";
  const fps = element("td", row.is_starved ? "n warn" : "n", rate(row.fps));
  if (row.nominal_fps) fps.append(element("span", "of", ` of ${rate(row.nominal_fps)}`));
  const lost = row.outcomes.dropped + row.outcomes.failed;
  const inTime = element("td", "n", row.mode === "live" ? percent(row.goodput) : "–");
  if (row.mode === "live" && row.goodput !== null && row.goodput < 0.99) inTime.classList.add(row.goodput < 0.9 ? "bad" : "warn");
  const place = element("td", "", row.place ? element("span", `key ${row.place}`, BOTTLENECK_NAMES[row.place]) : "–");
  const line = element("tr", isShown ? "shown" : "", title, element("td", "", size, element("span", "of", ` ${row.codec ?? ""}`)), fps,
    element("td", "n", ms(row.p50_ms)), p95Cell(row), element("td", "", spark(row.spark_ms, row.objective_ms)), inTime,
    element("td", lost ? "n warn" : "n", lost.toLocaleString("en")), place, element("td", "n", row.tracks.toLocaleString("en")));
  line.dataset.id = row.id;
  return line;
}

function shownId() {
  const ids = last.streams.map((row) => row.id);
  if (ids.includes(chosen)) return chosen;
  return ids.includes(last.verdict.stream_id) ? last.verdict.stream_id : ids[0] ?? null;
}

function showStreams(data) {
  const focused = document.activeElement?.dataset?.id;
  at("rows").replaceChildren(...data.streams.map(streamRow));
  if (focused) at("rows").querySelector(`button[data-id="${CSS.escape(focused)}"]`)?.focus();
  at("empty").hidden = data.streams.length > 0;
  const hidden = data.now.streams_live + data.now.streams_file - data.streams.length;
  text("order", hidden > 0 ? `worst first, ${hidden} more not listed` : "worst first");
  at("details").hidden = data.streams.length === 0;
  at("gone").hidden = data.ended.length === 0;
  at("ended").replaceChildren(...data.ended.map((row) => {
    const parts = [element("b", "", row.name || row.id), ` ${row.mode}, ended ${span(row.ended_ago_seconds)} ago after ${span(row.age_seconds)}, ${row.frames.toLocaleString("en")} frames`];
    if (row.error) parts.push(element("span", "bad", ` – ${row.error}`));
    return element("li", "", ...parts);
  }));
  showDetails(data.streams.find((row) => row.id === shownId()));
}

function showDetails(row) {
  if (!row) return;
  text("details-title", row.name || row.id);
  const top = Math.max(...row.stages.map((stage) => stage.share), 0.01);
  at("split").replaceChildren(...row.stages.map((stage) => {
    const bar = svg("svg", { class: "bar", "aria-hidden": "true" }, [
      svg("rect", { class: `area ${BOTTLENECK_OF[stage.name]}`, x: 0, y: 0, height: 8, rx: 2, width: `${(stage.share / top) * 100}%` }),
    ]);
    const title = element("th", "", STAGE_NAMES[stage.name] ?? stage.name);
    title.scope = "row";
    return element("tr", "", title, element("td", "n", ms(stage.mean_ms)), element("td", "wide", bar));
  }));
  const drops = Object.entries(row.drops).map(([reason, count]) => `${count.toLocaleString("en")} dropped (${reason.replace("_", " ")})`);
  const facts = [`open for ${span(row.age_seconds)}`, `input: ${row.path}`, `${row.frames.toLocaleString("en")} frames`, row.shots ? `${row.shots + 1} shots` : "1 shot", ...drops];
  if (row.reused) facts.push(`${percent(row.reused / row.frames)} held frames`);
  if (row.error) facts.push(row.error);
  text("details-facts", facts.join(" · "));
  if (!row.has_overlay) showNoPicture("Preview is off for this stream.");
}

let isFetching = false;
let shown = { id: null, url: null };

// The last frame of the selected stream. The service draws it on request.
async function preview() {
  const row = last?.streams.find((each) => each.id === shownId());
  if (isFetching || document.hidden || isPaused || !row?.has_overlay) return;
  isFetching = true;
  try {
    const answer = await fetch(`/streams/${encodeURIComponent(row.id)}/overlay.jpg`, { signal: AbortSignal.timeout(5000) });
    const picture = answer.status === 200 ? await answer.blob() : null;
    if (row.id !== shownId()) return; // another one was selected meanwhile
    if (picture) showPicture(row, picture);
    else if (shown.id !== row.id) showNoPicture("Waiting for the next frame …");
  } catch { /* the next poll reports it */ } finally {
    isFetching = false;
  }
}

function showPicture(row, blob) {
  if (shown.url) URL.revokeObjectURL(shown.url);
  shown = { id: row.id, url: URL.createObjectURL(blob) };
  at("overlay").src = shown.url;
  at("overlay").alt = `The last frame of ${row.name || row.id} with its faces`;
  at("whole").href = `/streams/${encodeURIComponent(row.id)}/overlay.jpg`;
  at("whole").hidden = false;
  at("no-picture").hidden = true;
}

function showNoPicture(why) {
  at("whole").hidden = true;
  at("no-picture").hidden = false;
  text("no-picture", why);
}

function showOffline() {
  at("verdict").dataset.level = "poor";
  text("headline", "The service does not answer.");
  text("detail", last ? `Last updated ${clockTime(last.service.now)}.` : "Is it running?");
  text("since", "");
  document.body.classList.add("stale");
}

async function poll() {
  if (isPaused || document.hidden) return;
  try {
    const answer = await fetch("/streams.json", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    last = await answer.json();
  } catch {
    failures += 1;
    if (failures > 1 || !last) showOffline();
    return;
  }
  failures = 0;
  document.body.classList.remove("stale");
  for (const show of [showHeader, showVerdict, showTiles, showCharts, showStreams]) show(last);
  document.body.dataset.shown = last.service.now;
}

at("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  at("pause").setAttribute("aria-pressed", String(isPaused));
  text("pause", isPaused ? "Resume" : "Pause");
  poll();
});
document.addEventListener("visibilitychange", () => { poll(); preview(); });
setInterval(poll, POLL_MS);
setInterval(preview, PREVIEW_MS);
poll().then(preview);
