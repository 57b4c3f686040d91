import {Labels, Sketch} from "./boards.js";

const at = id => document.getElementById(id);
const RUNS = 9;

function tell(text, error = false) {
  at("message").textContent = text;
  at("message").classList.toggle("error", error);
}

const number = (value, digits = 3) => Number(value.toPrecision(digits)).toLocaleString("en");
const times = value => `${value < 10 ? value.toFixed(1) : Math.round(value)}×`;

/** A network: its card on the page, its thread, and what it is busy with. */
class Network {
  constructor(model, demo) {
    this.model = model;
    this.size = demo.size;
    this.card = document.createElement("article");
    this.card.className = "network" + (model.name === "compressed" ? " small-one" : "");
    this.card.innerHTML = `<h2></h2><canvas role="img"></canvas><dl>
      <dt>this frame</dt><dd data-of="ms">–</dd><dt>frames a second</dt><dd data-of="fps">–</dd>
      <dt>alone</dt><dd data-of="alone">–</dd><dt>MACs</dt><dd data-of="macs"></dd>
      <dt>parameters</dt><dd data-of="params"></dd><dt>file</dt><dd data-of="bytes"></dd></dl>`;
    this.card.querySelector("h2").textContent = model.title;
    this.canvas = this.card.querySelector("canvas");
    this.canvas.id = model.name;
    this.canvas.setAttribute("aria-label", `picture of the ${model.name} network`);
    [this.canvas.height, this.canvas.width] = demo.size;
    this.context = this.canvas.getContext("2d");
    this.say("macs", model.macs >= 1e9 ? `${number(model.macs / 1e9)} G` : `${number(model.macs / 1e6)} M`);
    this.say("params", model.params >= 1e6 ? `${number(model.params / 1e6)} M` : `${number(model.params / 1e3)} k`);
    this.say("bytes", `${number(model.bytes / 1e6)} MB`);
    at("outputs").append(this.card);
    this.finished = [];
    this.worker = new Worker("worker.js", {type: "module"});
    this.worker.onerror = event => this.waiting?.reject(new Error(event.message || "worker.js does not run"));
    this.worker.onmessage = ({data}) => this.hear(data);
  }

  say(of, text) { this.card.querySelector(`[data-of="${of}"]`).textContent = text; }

  ask(message, transfer = []) {
    return new Promise((resolve, reject) => {
      this.waiting = {resolve, reject};
      this.worker.postMessage(message, transfer);
    });
  }

  hear(data) {
    const {resolve, reject} = this.waiting ?? {};
    this.waiting = undefined;
    if (data.type === "error") reject?.(new Error(`${this.model.title}: ${data.message}`));
    else resolve?.(data);
  }

  async open(shape, threads, gpu) {
    const file = new URL(this.model.file, location.href).href;
    this.engine = await this.ask({type: "open", file, shape, threads, gpu});
  }

  /** Colour the newest input; what came in between while one ran is passed over. */
  async colour(input, frame) {
    this.next = {input, frame};
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.next) {
        const {input, frame} = this.next;
        this.next = undefined;
        const made = await this.ask({type: "run", input, frame});
        if (!blank) this.show(made);
        this.shown = frame;
      }
    } catch (error) {
      tell(error.message, true);
    } finally {
      this.busy = false;
    }
  }

  show({pixels, milliseconds}) {
    this.context.putImageData(new ImageData(pixels, this.size[1], this.size[0]), 0, 0);
    this.say("ms", `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms`);
    const now = performance.now();
    this.finished = [...this.finished.filter(then => now - then < 2000), now];
    if (this.finished.length > 2)
      this.say("fps", ((this.finished.length - 1) * 1000 / (now - this.finished[0])).toFixed(1));
  }

  empty() { this.next = undefined; this.context.clearRect(0, 0, this.canvas.width, this.canvas.height); }

  async measure(input) {
    this.median = (await this.ask({type: "measure", input, runs: RUNS})).median;
    this.say("alone", `${this.median.toFixed(1)} ms`);
  }
}

let demo, board, networks = [], blank = true, frame = 0, measuring = Promise.resolve();

/** Something changed: every network gets the new drawing. */
function changed() {
  const input = board.input();
  blank = input === null;
  frame += 1;
  if (blank) { networks.forEach(network => network.empty()); tell("Draw something, or choose an example."); return; }
  tell("");
  networks.forEach(network => network.colour(input, frame));
}

function ratios() {
  const small = networks.find(network => network.model.name === "compressed");
  const large = networks.find(network => network.model.name === "original");
  if (!small || !large) return;
  const shown = [[large.model.macs / small.model.macs, "fewer multiply-accumulates"],
    [large.median / small.median, "faster here"], [large.model.bytes / small.model.bytes, "smaller file"]];
  at("ratios").replaceChildren(...shown.filter(([value]) => value > 0).map(([value, told]) => {
    const box = document.createElement("div");
    box.innerHTML = "<strong></strong><span></span>";
    box.firstChild.textContent = times(value);
    box.lastChild.textContent = told;
    return box;
  }));
}

/** Each network alone, one after the other, on noise. */
async function measure() {
  at("measure").disabled = true;
  const length = demo.shape.reduce((a, b) => a * b);
  const noise = Float32Array.from({length}, () => Math.random() * 2 - 1);
  try {
    await until(() => networks.every(network => !network.busy));
    for (const network of networks) { network.busy = true; await network.measure(noise); network.busy = false; }
    ratios();
    if (!blank) changed();
  } catch (error) {
    tell(error.message, true);
  } finally {
    networks.forEach(network => { network.busy = false; });
    at("measure").disabled = false;
  }
}

const until = async condition => { while (!condition()) await new Promise(done => setTimeout(done, 10)); };

// --- drawing -------------------------------------------------------------------------------------

let erasing = false, last = null;

function choose(eraser) {
  erasing = eraser;
  at("pencil").setAttribute("aria-pressed", String(!eraser));
  at("eraser").setAttribute("aria-pressed", String(eraser));
}

function drawing() {
  const canvas = at("board"), width = () => Number(at("width").value);
  canvas.addEventListener("pointerdown", event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    board.remember();
    last = board.at(event);
    board.line(last, last, width(), erasing);
    changed();
  });
  canvas.addEventListener("pointermove", event => {
    if (!last) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) {
      const point = board.at(one);
      board.line(last, point, width(), erasing);
      last = point;
    }
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });

  const pen = {x: board.width / 2, y: board.height / 2, down: false};
  canvas.addEventListener("keydown", event => {
    const step = board.width / 32, move = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step]}[event.key];
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) { board.remember(); board.line(pen, pen, width(), erasing); changed(); }
      tell(pen.down ? "Pen down" : "Pen up");
    } else if (move) {
      const to = {x: Math.min(board.width, Math.max(0, pen.x + move[0])), y: Math.min(board.height, Math.max(0, pen.y + move[1]))};
      if (pen.down) { board.line(pen, to, width(), erasing); changed(); }
      Object.assign(pen, to);
      if (!pen.down) tell(`Pen at ${Math.round(pen.x)}, ${Math.round(pen.y)} of ${board.width}, ${board.height}`);
    } else return;
    event.preventDefault();
  });
  addEventListener("keydown", event => {
    if (event.target instanceof HTMLInputElement) return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key === "z") undo();
    else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if (key === "p") choose(false);
    else if (key === "e") choose(true);
    else if (key === "delete") clear();
    else if (/^[1-9]$/.test(key)) at("examples").children[Number(key) - 1]?.click();
    else return;
    event.preventDefault();
  });
}

function undo() { board.undo(); changed(); }
function clear() { board.remember(); board.wipe(); changed(); }

async function load(source, told) {
  try {
    const image = await createImageBitmap(source);
    board.remember();
    await board.show(image);
    changed();
    if (!blank && (image.width !== board.width || image.height !== board.height))
      tell(`${told} is ${image.width} × ${image.height}; it is drawn at ${board.width} × ${board.height}, the size of training, in its proportions.`);
  } catch {
    tell(`${told} is no picture that this browser reads.`, true);
  }
}

async function example(file) { await load(await (await fetch(file)).blob(), file); }

function controls() {
  at("pencil").onclick = () => choose(false);
  at("eraser").onclick = () => choose(true);
  at("undo").onclick = undo;
  at("clear").onclick = clear;
  at("measure").onclick = () => { measuring = measure(); };
  at("load").onclick = () => at("file").click();
  at("file").onchange = () => { const [file] = at("file").files; if (file) load(file, file.name); at("file").value = ""; };
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => { event.preventDefault(); const [file] = event.dataTransfer.files; if (file) load(file, file.name); });
  at("width").max = Math.max(10, 2 * demo.pencil);
  at("width").value = demo.pencil;
  demo.examples.forEach((file, index) => {
    const button = document.createElement("button"), image = new Image();
    button.type = "button";
    button.title = `Example ${index + 1}`;
    image.src = file;
    image.alt = `example ${index + 1}`;
    button.append(image);
    button.onclick = () => example(file);
    at("examples").append(button);
  });
}

const hex = colour => `#${colour.map(part => part.toString(16).padStart(2, "0")).join("")}`;

/** What one paints with: classes, or colours. */
function paints() {
  if (demo.classes.length)
    return demo.classes.map(({name, colour}, id) => ({name, colour, chosen: id === board.chosen, choose() { board.chosen = id; }}));
  return demo.palette.map((colour, place) => ({colour, chosen: !place, choose() { board.colour = hex(colour); }}));
}

function palette() {
  const choices = paints();
  if (!choices.length) return;
  at("palette").hidden = false;
  at("pencil").textContent = "Brush";
  const mark = chosen => [...at("palette").querySelectorAll("button")].forEach(one => one.setAttribute("aria-checked", String(one === chosen)));
  for (const {name, colour, chosen, choose: take} of choices) {
    const button = document.createElement("button"), swatch = document.createElement("canvas");
    swatch.width = swatch.height = 1;
    swatch.getContext("2d").putImageData(new ImageData(Uint8ClampedArray.from([...colour, 255]), 1, 1), 0, 0);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(chosen));
    button.setAttribute("aria-label", name ?? hex(colour));
    button.append(swatch, ...(name ? [name] : []));
    button.onclick = () => { take(); choose(false); mark(button); };
    if (chosen) take();
    at("palette").append(button);
  }
  if (demo.classes.length) return;
  const own = document.createElement("input");
  own.type = "color";
  own.title = "another colour";
  own.setAttribute("aria-label", "another colour");
  own.oninput = () => { board.colour = own.value; choose(false); mark(null); };
  at("palette").append(own);
}

async function begin() {
  demo = await (await fetch("demo.json")).json();
  document.title = at("title").textContent = demo.title;
  board = demo.classes.length ? new Labels(at("board"), demo) : new Sketch(at("board"), demo);
  palette();
  controls();
  drawing();
  networks = demo.models.map(model => new Network(model, demo));
  const asked = new URLSearchParams(location.search).get("engine");
  const cores = Math.max(1, Math.min(4, navigator.hardwareConcurrency || 1));
  tell("Loading the networks …");
  for (const network of networks) await network.open(demo.shape, cores, asked !== "wasm");
  const {provider, threads} = networks[0].engine;
  at("engine").textContent = provider === "webgpu" ? "On WebGPU." : `On WebAssembly, ${threads} thread${threads > 1 ? "s" : ""}` +
    (asked === "wasm" ? "." : "; this browser offers no WebGPU on hardware.");
  await (measuring = measure());
  if (blank && demo.examples.length) await example(demo.examples[0]);
  document.documentElement.dataset.ready = "true";
}

// For those who test or embed the page: the input that the networks read, and what they made of it.
globalThis.gancomp = {
  input: () => board.input(),
  settled: () => until(() => networks.every(network => !network.busy && !network.next && (blank || network.shown === frame))),
  output: name => networks.find(network => network.model.name === name).context.getImageData(0, 0, board.width, board.height).data,
  blank: () => blank,
};

begin().catch(error => tell(`The page cannot start: ${error.message}`, true));
