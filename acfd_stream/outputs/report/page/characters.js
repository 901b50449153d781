// The characters of the result, with the names and merges of this page.

class Characters {
  constructor(data, episode) {
    this.episode = episode;
    this.sceneGap = data.sceneGap;
    const byId = new Map(episode.tracks.map((track) => [track.id, track]));
    const pictures = JSON.parse(at("portraits").textContent);
    this.given = data.characters.map((each) => ({ ...each, tracks: each.tracks.map((id) => byId.get(id)), thumbnail: pictures[each.number] ?? null }));
    this.names = new Names(data, this.given.map(({ number }) => number));
    this.byNumber = new Map(); // a character is one object as long as the page is open
    this.build();
  }

  // Everything anew from the result and the changes; `list` has the longest on screen first.
  build() {
    const { root, names } = this.names.outcome();
    const parts = new Map();
    for (const each of this.given) parts.set(root(each.number), [...(parts.get(root(each.number)) ?? []), each]);
    for (const track of this.episode.tracks) Object.assign(track, { character: null, colour: NO_CHARACTER });
    this.list = [...parts].map(([number, those]) => this.fill(number, those, names.get(number)));
    this.list.sort((one, other) => other.seconds - one.seconds || one.number - other.number);
    this.root = root;
  }

  fill(number, parts, name) {
    const first = parts.find((part) => part.number === number);
    const called = name ?? first.name;
    const tracks = parts.flatMap((part) => part.tracks).sort((one, other) => one.begin - other.begin);
    const times = tracks.flatMap((track) => track.times).sort((one, other) => one[0] - other[0]);
    const character = this.byNumber.get(number) ?? { number, id: number, colour: number % NO_CHARACTER };
    this.byNumber.set(number, character);
    for (const track of tracks) Object.assign(track, { character, colour: character.colour });
    return Object.assign(character, {
      name: called, label: called || `Character ${number}`, tracks, times,
      thumbnail: first.thumbnail ?? parts.find((part) => part.thumbnail)?.thumbnail ?? null,
      confidence: parts.length === 1 ? first.confidence : null, // a person merged them
      scenes: this.scenesOf(times), seconds: tracks.reduce((sum, track) => sum + track.seconds, 0),
      begin: times[0][0], end: Math.max(...times.map(([, end]) => end)),
    });
  }

  // Stays closer together than `sceneGap` seconds are one scene.
  scenesOf(times) {
    const scenes = [];
    for (const [begin, end] of times) {
      const last = scenes.at(-1);
      if (last && begin - last[1] < this.sceneGap) last[1] = Math.max(last[1], end);
      else scenes.push([begin, end]);
    }
    return scenes;
  }

  numbered(number) {
    return this.byNumber.get(this.root(number)) ?? null;
  }

  get named() {
    return this.list.filter(({ name }) => name).length;
  }

  // Whether both have a face in one frame; then they are two.
  meet(one, other) {
    const spans = [one, other].flatMap(({ tracks }, side) => tracks.flatMap((track) => track.spans.map(([first, last]) => [first, last, side])));
    const last = [-1, -1];
    return spans.sort((a, b) => a[0] - b[0]).some(([begin, end, side]) => {
      last[side] = Math.max(last[side], end);
      return begin <= last[1 - side];
    });
  }

  // Changes return what to tell about them; "": there is nothing to change.
  rename(character, text) {
    const name = cleanName(text);
    if (name === character.name) return "";
    const other = name && this.list.find((each) => each !== character && each.name === name);
    if (other) return this.merge(other, character);
    const before = character.label;
    this.names.add("name", character.number, name);
    this.build();
    return `${before} is ${character.label} now.`;
  }

  // `other` becomes part of `kept`; the one with a name keeps it.
  merge(kept, other) {
    if (kept === other) return "";
    if (this.meet(kept, other)) return `${kept.label} and ${other.label} are in one picture, so they cannot be one character.`;
    const [one, two] = other.name && !kept.name ? [other, kept] : [kept, other];
    const told = `${one.label} and ${two.label} are one character now.`;
    this.names.add("merge", one.number, two.number);
    this.build();
    return told;
  }

  undo() {
    const [kind] = this.names.undo() ?? [];
    this.build();
    return { name: "The name is as before.", merge: "The characters are apart again." }[kind] ?? "";
  }
}
