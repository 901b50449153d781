// A card per character: the longest on screen first. Click or Enter goes to the next scene; a card dragged onto another
// one is merged with it.

const FIRST_CARDS = 24;
const DRAG_PIXELS = 6; // less is a click

class Gallery {
  // Calls act.go(character) and act.merge(kept, other).
  constructor(root, more, characters, act) {
    this.root = root;
    this.more = more;
    this.characters = characters;
    this.act = act;
    this.most = FIRST_CARDS;
    this.cards = new Map(); // character → its card in the page
    this.picked = null;
    this.here = new Set();
    root.addEventListener("click", (event) => this.click(event));
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("pointerdown", (event) => this.take(event));
    more.addEventListener("click", () => { this.most = Infinity; this.show(); });
  }

  show() {
    const hasFocus = this.root.contains(document.activeElement);
    const { list } = this.characters;
    this.shown = list.slice(0, this.most);
    if (this.picked && list.includes(this.picked) && !this.shown.includes(this.picked)) this.shown.push(this.picked);
    this.cards = new Map(this.shown.map((character) => [character, this.card(character)]));
    this.root.replaceChildren(...this.cards.values());
    this.more.hidden = this.shown.length === list.length;
    this.more.textContent = `Show all ${list.length.toLocaleString("en")}`;
    this.mark();
    if (hasFocus) this.cards.get(this.entry)?.focus();
  }

  card(character) {
    const { scenes, seconds, label, number } = character;
    const words = `${span(seconds)} · ${scenes.length} ${scenes.length === 1 ? "scene" : "scenes"}`;
    const card = element("li", `character t${character.colour}`, thumb(character), element("b", "", label), element("span", "soft", words));
    card.id = `character-${number}`;
    card.title = label;
    card.setAttribute("role", "option");
    card.setAttribute("aria-label", `${label}, on screen for ${words.replace(" · ", " in ")}`);
    return card;
  }

  pick(character) {
    this.picked = character;
    if (character && !this.cards.has(character)) this.show();
    else this.mark();
    const card = this.cards.get(character);
    if (card && this.root.contains(document.activeElement)) card.focus();
  }

  // Marks the characters on screen.
  showHere(here) {
    this.here = here;
    for (const [character, card] of this.cards) card.classList.toggle("on-screen", here.has(character));
  }

  // One card is in the order of the Tab key.
  get entry() {
    return this.cards.has(this.picked) ? this.picked : this.shown[0];
  }

  mark() {
    for (const [character, card] of this.cards) {
      card.setAttribute("aria-selected", String(character === this.picked));
      card.tabIndex = character === this.entry ? 0 : -1;
    }
    this.showHere(this.here);
  }

  of(target) {
    const card = target instanceof Element ? target.closest(".character") : null;
    return this.shown.find((character) => this.cards.get(character) === card) ?? null;
  }

  click(event) {
    const character = this.of(event.target);
    if (character) this.act.go(character);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = this.shown.indexOf(this.of(event.target));
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: this.shown.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.act.go(this.shown[here]);
    else if (to === undefined) return;
    else this.cards.get(this.shown[Math.max(0, Math.min(this.shown.length - 1, to))]).focus();
    event.preventDefault();
    event.stopPropagation();
  }

  // Drag with a mouse; with a finger the page scrolls, and the panel merges.
  take(event) {
    const taken = this.of(event.target);
    if (!taken || event.button !== 0 || event.pointerType !== "mouse") return;
    const card = this.cards.get(taken);
    const stop = new AbortController();
    let onto = null;
    const leave = () => {
      stop.abort();
      card.classList.remove("dragged");
      card.style.translate = "";
      this.target(null);
    };
    const move = ({ clientX, clientY }) => {
      const [x, y] = [clientX - event.clientX, clientY - event.clientY];
      if (!card.classList.contains("dragged") && Math.hypot(x, y) < DRAG_PIXELS) return;
      card.classList.add("dragged"); // lets the pointer through
      card.style.translate = `${x}px ${y}px`;
      onto = this.of(document.elementFromPoint(clientX, clientY));
      this.target(onto);
    };
    const drop = () => {
      leave();
      if (onto) this.act.merge(onto, taken);
    };
    for (const [name, act] of Object.entries({ pointermove: move, pointerup: drop, pointercancel: leave, blur: leave })) {
      window.addEventListener(name, act, { signal: stop.signal });
    }
  }

  target(onto) {
    for (const [character, card] of this.cards) card.classList.toggle("target", character === onto);
  }
}
