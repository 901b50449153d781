// The results as files, made of what the page has: they are there also where the page was sent alone.

function csvOf(episode) {
  const rows = ["frame,time,shot,track_id,x1,y1,x2,y2,score,state"];
  for (let frame = 0; frame < episode.frames; frame += 1) {
    const before = [frame, Number(episode.times[frame].toFixed(6)), episode.shotAt(frame)];
    for (const { track, isFilled, box, score } of episode.facesOf(frame)) {
      rows.push([...before, track.id, ...box.map((value) => Number(value.toFixed(2))), score, isFilled ? "filled" : "detected"].join());
    }
  }
  return `${rows.join("\n")}\n`;
}

// A cue for every span in which a track is on screen, by its start.
function vttOf(episode) {
  const time = (seconds) => {
    const milliseconds = Math.max(0, Math.round(seconds * 1000));
    return `${String(Math.floor(milliseconds / 36e5)).padStart(2, "0")}${new Date(milliseconds).toISOString().slice(13, 23)}`;
  };
  const cues = episode.tracks.flatMap(({ id, times }) => times.map(([begin, end], place) => ({ id, begin, end, name: `${id}.${place + 1}` })));
  cues.sort((one, other) => one.begin - other.begin || one.id - other.id);
  const texts = cues.filter(({ end }) => end > 0).map(({ id, begin, end, name }) => `${name}\n${time(begin)} --> ${time(end)}\nface ${id}\n`);
  return ["WEBVTT\n", ...texts].join("\n");
}

// The file is made at the first click, and kept for the next one.
function offer(link, kind, textOf) {
  link.href = "#";
  link.addEventListener("click", () => {
    if (!link.href.startsWith("blob:")) link.href = URL.createObjectURL(new Blob([textOf()], { type: kind }));
  });
}
