// The results as files, made of what the page has: they are there also where the page was sent alone.

function csvOf(episode) {
  const hasCharacters = episode.tracks.some(({ character }) => character);
  const rows = [`frame,time,shot,track_id,x1,y1,x2,y2,score,state${hasCharacters ? ",character,name" : ""}`];
  for (let frame = 0; frame < episode.frames; frame += 1) {
    const before = [frame, Number(episode.times[frame].toFixed(6)), episode.shotAt(frame)];
    for (const { track, isFilled, box, score } of episode.facesOf(frame)) {
      const row = [...before, track.id, ...box.map((value) => Number(value.toFixed(2))), score, isFilled ? "filled" : "detected"];
      if (hasCharacters) row.push(track.character?.number ?? 0, cell(track.character?.name ?? ""));
      rows.push(row.join());
    }
  }
  return `${rows.join("\n")}\n`;
}

// Controls become "?", as in the files that acfd-stream writes; joiners are no controls.
const printable = (text) => text.replace(/(?![\u200c\u200d])[\p{C}\p{Zl}\p{Zp}]/gu, "?");

// Spreadsheets run a text that begins so as a formula; an apostrophe before it stops them.
const cell = (text) => quoted(printable(text).replace(/^[=+\-@\uff1d\uff0b\uff0d\uff20]/, "'$&"));

const quoted = (text) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

// What a cue says, with the signs that would be markup as entities.
function cueOf({ id, character }) {
  if (!character) return `face ${id}`;
  if (!character.name) return `character ${character.number}`;
  return printable(character.name.split(/\s+/u).join(" ")).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// A cue for every span in which a track is on screen, by its start.
function vttOf(episode) {
  const time = (seconds) => {
    const milliseconds = Math.max(0, Math.round(seconds * 1000));
    return `${String(Math.floor(milliseconds / 36e5)).padStart(2, "0")}${new Date(milliseconds).toISOString().slice(13, 23)}`;
  };
  const cues = episode.tracks.flatMap((track) => track.times.map(([begin, end], place) => ({ id: track.id, begin, end, text: cueOf(track), name: `${track.id}.${place + 1}` })));
  cues.sort((one, other) => one.begin - other.begin || one.id - other.id);
  const texts = cues.filter(({ end }) => end > 0).map(({ text, begin, end, name }) => `${name}\n${time(begin)} --> ${time(end)}\n${text}\n`);
  return ["WEBVTT\n", ...texts].join("\n");
}

// The file is made at the click, with the names that the page has then.
function offer(link, kind, textOf) {
  link.href = "#";
  link.addEventListener("click", () => {
    if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([textOf()], { type: kind }));
  });
}
