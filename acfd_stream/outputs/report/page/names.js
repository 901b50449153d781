// What somebody says in this page about characters: names and merges. The browser keeps it; a file takes it out.

const LONGEST_NAME = 100;

// Joiners (U+200C, U+200D) are parts of emoji and of Persian and Indic words.
const cleanName = (text) => [...text.replace(/(?:(?![\u200c\u200d])[\p{C}\p{Zl}\p{Zp}\s])+/gu, " ").trim()].slice(0, LONGEST_NAME).join("").trim();

class Names {
  // Changes are ["name", number, text] and ["merge", kept number, other number]; `numbers` are those of the result.
  constructor({ source, numbering }, numbers) {
    this.source = source;
    this.numbering = numbering;
    this.key = `acfd-stream names ${numbering}`;
    this.numbers = new Set(numbers);
    this.isKept = true; // by the browser
    this.read();
  }

  read() {
    try {
      const found = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      this.changes = Array.isArray(found) ? found.filter((change) => this.isChange(change)) : [];
    } catch {
      this.changes = [];
    }
  }

  isChange(change) {
    if (!Array.isArray(change) || change.length !== 3 || !this.numbers.has(change[1])) return false;
    const [kind, , value] = change;
    return kind === "name" ? typeof value === "string" && value === cleanName(value) : kind === "merge" && this.numbers.has(value);
  }

  add(...change) {
    this.changes.push(change);
    this.keep();
  }

  undo() {
    const change = this.changes.pop();
    this.keep();
    return change;
  }

  keep() {
    try {
      if (this.changes.length) localStorage.setItem(this.key, JSON.stringify(this.changes));
      else localStorage.removeItem(this.key);
      this.isKept = true;
    } catch {
      this.isKept = false;
    }
  }

  // What all changes amount to: root(number) is the number that a merged one has now.
  outcome() {
    const [kept, names] = [new Map(), new Map()];
    const root = (number) => (kept.has(number) ? root(kept.get(number)) : number);
    for (const [kind, number, value] of this.changes) {
      const [one, other] = [root(number), kind === "merge" ? root(value) : null];
      if (kind === "name") names.set(one, value);
      else if (one !== other) {
        names.delete(other);
        kept.set(other, one);
      }
    }
    return { root, names, merges: [...kept.keys()].map((number) => [root(number), number]) };
  }

  // The file that `acfd-stream cast name --from` reads.
  file() {
    const { names, merges } = this.outcome();
    const ordered = merges.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
    const values = { type: "names", version: 1, result: this.source, characters: this.numbering, names: Object.fromEntries(names), merges: ordered };
    return `${JSON.stringify(values, null, 2)}\n`;
  }
}
