// The table of videos: searchable, sortable, and filled while scrolling.

const at = (id) => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";
const PART = 100; // rows at a time
const STEPS = 8; // per face, in the strips
const data = JSON.parse(at("data").textContent);
const rows = data.rows.map((row, place) => ({ ...row, place }));
const hasCharacters = at("cast") !== null;
const hasPosters = rows.some(({ i }) => i);
const state = { key: "n", isFalling: false, list: rows, shown: 0, who: "" };

function element(name, className = "", ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

function svg(name, attributes) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function clock(seconds) {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const count = (number) => number.toLocaleString("en");

function percent(row) {
  const share = row.d > 0 ? Math.min(1, row.f / row.d) : 0;
  if (share > 0 && share < 0.01) return "< 1 %";
  return `${share > 0.99 ? Math.floor(share * 100) : Math.round(share * 100)} %`;
}

// Draws the mean number of faces over time; all strips share one scale.
let most = 2 * STEPS;
for (const { p = "" } of rows) for (const digit of p) most = Math.max(most, parseInt(digit, 36));

function strip(digits) {
  const picture = svg("svg", { viewBox: `0 0 ${digits.length} ${most}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const path = [...digits].map((digit, place) => (digit === "0" ? "" : `M${place} ${most}v-${parseInt(digit, 36)}h1v${parseInt(digit, 36)}z`)).join("");
  picture.append(svg("path", { d: path }), svg("line", { x1: 0, x2: digits.length, y1: most, y2: most }));
  return picture;
}

function poster(row) {
  if (!row.i) return element("span", "poster");
  const image = element("img", "poster");
  image.loading = "lazy";
  image.alt = "";
  image.src = row.i;
  return image;
}

function line(row) {
  const name = row.u ? element("a", "", row.n) : element("span", "", row.n);
  if (row.u) name.href = row.u;
  const title = element("th", "", name);
  title.scope = "row";
  if (hasPosters) title.prepend(poster(row));
  title.title = row.n;
  if (row.s !== "done") title.append(element("span", `chip ${row.s}`, row.s));
  if (row.s === "done" && row.w) {
    const odd = element("span", "chip odd", "odd");
    odd.title = row.w;
    title.append(odd);
  }
  const cells = [title];
  if (row.s === "done" && row.p !== undefined) cells.push(element("td", "strip", strip(row.p)));
  else cells.push(element("td", row.e ? "strip why" : "strip soft", row.e ?? ""));
  if (hasCharacters) cells.push(whoCell(row));
  cells.push(
    element("td", "n length", row.d === undefined ? "–" : clock(row.d)), element("td", "n faces", row.d === undefined ? "–" : percent(row)),
    element("td", "n tracks", row.t === undefined ? "–" : count(row.t)), element("td", "n shots", row.c === undefined ? "–" : count(row.c)),
    element("td", "n fps", row.v === undefined ? "–" : row.v.toFixed(1)),
  );
  return element("tr", "", ...cells);
}

function more() {
  const part = state.list.slice(state.shown, state.shown + PART);
  at("rows").append(...part.map(line));
  state.shown += part.length;
  document.body.dataset.shown = state.shown;
}

// Add rows until the next one is below the window.
function fillUp() {
  do more(); while (state.shown < state.list.length && at("more").getBoundingClientRect().top < innerHeight + 600);
}

const valueOf = (row) => (state.key === "f" ? (row.d > 0 ? row.f / row.d : -1) : row[state.key] ?? -1);

function compare(one, other) {
  if (state.key === "n") return one.place - other.place;
  return valueOf(one) - valueOf(other) || other.place - one.place;
}

function show() {
  const wish = at("search").value.trim().toLocaleLowerCase();
  const wanted = at("state").value;
  state.list = rows.filter((row) => (!wanted || row.s === wanted) && (!state.who || rolesOf(row, state.who).length > 0) && isFound(row, wish)).sort(compare);
  if (state.isFalling) state.list.reverse();
  at("shown").textContent = state.list.length === rows.length ? count(rows.length) : `${count(state.list.length)} of ${count(rows.length)}`;
  at("empty").hidden = state.list.length > 0 || rows.length === 0;
  at("rows").replaceChildren();
  state.shown = 0;
  fillUp();
}

// #before=… and #after=…: from one page to its neighbour in this list; the ends of the list lead here.
function goToNeighbour() {
  const wish = new URLSearchParams(location.hash.slice(1));
  const pages = rows.filter(({ u }) => u);
  for (const [name, step] of [["before", -1], ["after", 1]]) {
    const here = pages.findIndex(({ u }) => u === wish.get(name));
    if (here >= 0 && pages[here + step]) location.replace(pages[here + step].u);
  }
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const { key } = button.dataset;
    state.isFalling = state.key === key ? !state.isFalling : key !== "n"; // numbers from the highest, names from A
    state.key = key;
    for (const head of document.querySelectorAll("[aria-sort]")) head.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", state.isFalling ? "descending" : "ascending");
    show();
  });
}
at("search").addEventListener("input", show);
at("state").addEventListener("change", show);
if (hasCharacters) showCast();
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && state.shown < state.list.length) fillUp();
}, { rootMargin: "600px" }).observe(at("more"));
show();
goToNeighbour();
window.addEventListener("hashchange", goToNeighbour);
