// Characters in the page: gallery, lanes, the panel of the one that is picked, and what can be done with it.

const SCENE_STEP_SECONDS = 0.01;
const SCENE_BACK_SECONDS = 0.5; // into a scene, "previous" still goes to the one before

class CharacterView {
  // Calls act.pick(character) when one is chosen, act.point(character | null), and act.changed() after names changed.
  constructor(characters, episode, player, act) {
    Object.assign(this, { characters, episode, player, act, picked: null });
    this.gallery = new Gallery(at("gallery"), at("gallery-more"), characters, {
      go: (character) => this.go(character),
      merge: (kept, other) => this.tell(characters.merge(kept, other)),
    });
    const rows = {
      id: ({ number }) => `character-lane-${number}`,
      words: ({ label, seconds }) => [label, span(seconds), ""],
      spoken: ({ label }) => label,
      title: ({ label, scenes }) => ` · ${label}, ${scenes.length} ${scenes.length === 1 ? "scene" : "scenes"}`,
      goal: (character, time) => this.sceneAfter(character, time),
    };
    this.lanes = new Lanes(at("character-lanes"), episode, { pick: (character, time) => { act.pick(character); player.seek(time); }, point: act.point }, rows);
    this.listen();
    this.show();
  }

  listen() {
    const clicks = {
      "character-next": () => this.goToScene(1), "character-before": () => this.goToScene(-1), only: () => this.toggleOnly(),
      merge: () => this.mergePicked(), "undo-name": () => this.tell(this.characters.undo()), "save-names": () => this.save(),
    };
    for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", act);
    at("character-name").addEventListener("change", () => this.rename());
    at("character-name").addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("storage", ({ key }) => { // the same page in another window
      if (key !== null && key !== this.characters.names.key) return;
      this.characters.names.read();
      this.characters.build();
      this.changed();
    });
  }

  // After a change, the one that was merged is the one that it became.
  changed() {
    this.show();
    this.act.changed();
    if (this.picked) this.act.pick(this.characters.numbered(this.picked.number));
  }

  show() {
    const { list, named, names } = this.characters;
    this.gallery.show();
    this.lanes.show(list);
    at("gallery-count").textContent = `${list.length.toLocaleString("en")}${named ? `, ${named} named` : ""}`;
    at("undo-name").disabled = at("save-names").disabled = names.changes.length === 0;
    at("names-hint").hidden = names.changes.length === 0;
    at("names-hint").textContent = names.isKept ? "This browser keeps your names. Save them as a file to give them to a cast." : "This browser does not keep names of this page. Save them before you close it.";
  }

  tell(message) {
    at("names-told").textContent = message;
    this.changed();
  }

  save() {
    URL.revokeObjectURL(this.address ?? "");
    this.address = URL.createObjectURL(new Blob([this.characters.names.file()], { type: "application/json" }));
    const link = element("a");
    link.href = this.address;
    link.download = at("save-names").dataset.name;
    link.click();
    at("names-told").textContent = `acfd-stream cast name reads ${link.download} with --from.`;
  }

  setTime(time) {
    this.lanes.setTime(time);
  }

  showHere(faces) {
    this.gallery.showHere(new Set(faces.map(({ track }) => track.character).filter(Boolean)));
  }

  // The panel and the marks of a character; null: none is picked.
  pick(character) {
    const isOther = character !== this.picked;
    this.picked = character;
    this.gallery.pick(character);
    this.lanes.pick(character);
    if (character && this.player.only) this.player.only = character.scenes;
    if (!character) this.player.only = null;
    this.showOnly();
    at("character-tools").hidden = character === null;
    if (character && (isOther || document.activeElement !== at("character-name"))) at("character-name").value = character.name;
    if (character) this.showMerges();
  }

  facts({ seconds, scenes, begin, tracks, confidence }) {
    const facts = { "on screen": span(seconds), scenes: `${scenes.length}`, from: clock(begin - this.episode.begin), tracks: `${tracks.length}` };
    return confidence === null ? facts : { ...facts, confidence: confidence.toFixed(2) };
  }

  showMerges() {
    const others = this.characters.list.filter((each) => each !== this.picked && !this.characters.meet(each, this.picked));
    at("merge-with").replaceChildren(...others.map((each) => {
      const option = element("option", "", each.label);
      option.value = each.number;
      return option;
    }));
    at("merge").disabled = at("merge-with").disabled = others.length === 0;
  }

  showOnly() {
    at("only").setAttribute("aria-pressed", String(this.player.only !== null));
  }

  // Names and merges

  rename() {
    const told = this.picked && this.characters.rename(this.picked, at("character-name").value);
    if (told) this.tell(told);
    if (this.picked) at("character-name").value = this.picked.name;
  }

  key(event) {
    if (event.key === "Escape") at("character-name").value = this.picked.name;
    if (event.key !== "Escape" && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    this.gallery.cards.get(this.picked)?.focus(); // leaving the field changes the name
  }

  editName() {
    if (!this.picked) return;
    at("character-name").focus();
    at("character-name").select();
  }

  mergePicked() {
    const other = this.characters.numbered(Number(at("merge-with").value));
    if (this.picked && other) this.tell(this.characters.merge(other, this.picked));
  }

  // Scenes

  // Where the next scene begins; after the last one, the first.
  sceneAfter(character, time) {
    return (character.scenes.find(([begin]) => begin > time + SCENE_STEP_SECONDS) ?? character.scenes[0])[0];
  }

  sceneBefore(character, time) {
    return (character.scenes.findLast(([begin]) => begin < time - SCENE_BACK_SECONDS) ?? character.scenes.at(-1))[0];
  }

  go(character) {
    this.act.pick(character);
    this.player.seek(this.sceneAfter(character, this.player.time));
  }

  goToScene(step) {
    if (this.picked) this.player.seek(step < 0 ? this.sceneBefore(this.picked, this.player.time) : this.sceneAfter(this.picked, this.player.time));
  }

  goTo(step) {
    const { list } = this.characters;
    const here = list.indexOf(this.picked);
    const character = list[here < 0 ? 0 : Math.max(0, Math.min(list.length - 1, here + step))];
    this.act.pick(character);
    this.player.seek(character.begin);
  }

  // Plays the scenes of the picked character and nothing else, until it is pressed again.
  toggleOnly() {
    if (!this.picked) return;
    this.player.only = this.player.only ? null : this.picked.scenes;
    this.showOnly();
    if (this.player.only) this.player.play();
  }
}
