// Who is in which video: small pictures in the table, and a list of the named characters that narrows it.

const SHOWN_FACES = 6; // of a video
const SHOWN_CAST = 20;

// A row's characters are lists as the page's data has them, the named ones first.
const roleOf = ([number, name, seconds, scenes, face]) => ({ number, name, seconds, scenes, picture: data.faces[face], label: name || `Character ${number}` });
const rolesOf = (row, name) => (row.x ?? []).filter((values) => values[1] === name).map(roleOf);

function isFound(row, wish) {
  const has = (text) => text.toLocaleLowerCase().includes(wish);
  return has(row.n) || (wish !== "" && (row.x ?? []).some(([, name]) => has(name)));
}

const scenesOf = ({ scenes }) => `${count(scenes)} ${scenes === 1 ? "scene" : "scenes"}`;

function picture(role) {
  if (!role.picture) {
    const disc = element("span", "disc", role.name ? [...role.name][0] : `${role.number}`);
    disc.setAttribute("aria-hidden", "true");
    return disc;
  }
  const image = element("img");
  image.src = role.picture;
  image.alt = "";
  return image;
}

// A link to the first scene.
function roleLink(row, role, ...words) {
  const link = element(row.u ? "a" : "span", "role", picture(role), ...words);
  if (row.u) link.href = `${row.u}#character=${role.number}`;
  link.title = `${role.label}, ${clock(role.seconds)}, ${scenesOf(role)}`;
  if (!words.length) link.append(element("span", "out", role.label));
  return link;
}

// The faces of a video, or the one that the table is narrowed to.
function whoCell(row) {
  const cell = element("td", "who");
  if (state.who) cell.append(...rolesOf(row, state.who).map((role) => roleLink(row, role, `${clock(role.seconds)} · ${scenesOf(role)}`)));
  else cell.append(...(row.x ?? []).slice(0, SHOWN_FACES).map((values) => roleLink(row, roleOf(values))));
  const more = state.who ? 0 : (row.h ?? 0) - SHOWN_FACES;
  if (more > 0) cell.append(element("span", "soft", `+${more}`));
  return cell;
}

// Named characters with their time in all videos, longest first.
function castOf(videos) {
  const found = new Map();
  for (const row of videos) {
    for (const role of (row.x ?? []).map(roleOf).filter(({ name }) => name)) {
      const one = found.get(role.name) ?? { ...role, seconds: 0, videos: new Set() };
      one.seconds += role.seconds;
      one.videos.add(row);
      found.set(role.name, one);
    }
  }
  return [...found.values()].sort((one, other) => other.seconds - one.seconds || one.name.localeCompare(other.name));
}

function castButton(one) {
  const videos = `${count(one.videos.size)} ${one.videos.size === 1 ? "video" : "videos"}`;
  const button = element("button", "", picture(one), element("b", "", one.name), element("span", "soft", `${clock(one.seconds)} · ${videos}`));
  button.type = "button";
  button.title = one.name;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    state.who = state.who === one.name ? "" : one.name;
    for (const each of at("cast").querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button && state.who !== ""));
    show();
  });
  return element("li", "", button);
}

function showCast() {
  const cast = castOf(rows);
  const unnamed = rows.reduce((sum, { x = [] }) => sum + x.filter(([, name]) => !name).length, 0);
  at("cast-count").textContent = cast.length ? count(cast.length) : unnamed ? "None has a name yet. acfd-stream cast names them." : "";
  at("cast").append(...cast.slice(0, SHOWN_CAST).map(castButton));
  at("cast-more").hidden = cast.length <= SHOWN_CAST;
  at("cast-more").textContent = `Show all ${count(cast.length)}`;
  at("cast-more").addEventListener("click", () => {
    at("cast").append(...cast.slice(SHOWN_CAST).map(castButton));
    at("cast-more").hidden = true;
  });
}
