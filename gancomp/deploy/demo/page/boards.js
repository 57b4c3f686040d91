// What one draws on. A board keeps a drawing and says what a network reads of it.

const HISTORY = 40;

class Board {
  constructor(canvas, demo) {
    this.canvas = canvas;
    [this.height, this.width] = demo.size;
    this.history = [];
    // Drawn finer than the network sees, as a pen on paper is.
    const scale = Math.max(1, Math.round(512 / Math.max(this.height, this.width)));
    canvas.width = this.width * scale;
    canvas.height = this.height * scale;
    this.context = canvas.getContext("2d", {willReadFrequently: true});
  }

  /** A point of the screen in the units of the network's picture. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return {x: (event.clientX - box.left) / box.width * this.width, y: (event.clientY - box.top) / box.height * this.height};
  }

  /** Where a picture lies on a canvas: left, top, width and height, as large as fits without distortion. */
  fitted(image, {width, height}) {
    const factor = Math.min(width / image.width, height / image.height), w = image.width * factor, h = image.height * factor;
    return [(width - w) / 2, (height - h) / 2, w, h];
  }

  remember() {
    this.history.push(this.state());
    if (this.history.length > HISTORY) this.history.shift();
  }

  undo() {
    const state = this.history.pop();
    if (state) this.restore(state);
  }
}

/** Pencil, or a brush of any colour, and eraser on white, for networks that read pictures. */
export class Sketch extends Board {
  constructor(canvas, demo) {
    super(canvas, demo);
    this.channels = demo.channels;
    this.colour = "#000";
    this.small = new OffscreenCanvas(this.width, this.height).getContext("2d", {willReadFrequently: true});
    this.wipe();
  }

  wipe() {
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  state() { return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height); }
  restore(state) { this.context.putImageData(state, 0, 0); }

  /** From one point to the next; *width* in pixels of the network's picture. */
  line(from, to, width, erase) {
    const scale = this.canvas.width / this.width, pen = this.context;
    pen.strokeStyle = erase ? "#fff" : this.colour;
    pen.lineWidth = width * scale * (erase ? 4 : 1);
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(from.x * scale, from.y * scale);
    pen.lineTo(to.x * scale + .01, to.y * scale);
    pen.stroke();
  }

  /** A picture, on white. */
  async show(image) {
    this.wipe();
    this.context.imageSmoothingQuality = "high";
    this.context.drawImage(image, ...this.fitted(image, this.canvas));
  }

  /** Red, green, blue, alpha of the picture that the network reads, row by row. */
  pixels() {
    this.small.imageSmoothingQuality = "high";
    this.small.drawImage(this.canvas, 0, 0, this.width, this.height);
    return this.small.getImageData(0, 0, this.width, this.height).data;
  }

  /** float32 (channels, height, width) in [-1, 1]; null for a drawing of one colour, of which no network makes sense. */
  input() {
    const data = this.pixels(), count = this.width * this.height, out = new Float32Array(this.channels * count);
    let varies = false;
    for (let i = 0; i < count; i++) {
      const r = data[4 * i], g = data[4 * i + 1], b = data[4 * i + 2];
      varies ||= r !== data[0] || g !== data[1] || b !== data[2];
      if (this.channels === 1) out[i] = Math.round((299 * r + 587 * g + 114 * b) / 1000) / 127.5 - 1;
      else { out[i] = r / 127.5 - 1; out[count + i] = g / 127.5 - 1; out[2 * count + i] = b / 127.5 - 1; }
    }
    return varies ? out : null;
  }
}

/** A brush that paints classes, for networks that read label maps. */
export class Labels extends Board {
  constructor(canvas, demo) {
    super(canvas, demo);
    this.classes = demo.classes;
    this.chosen = Math.min(1, this.classes.length - 1);
    this.ids = new Uint8Array(this.width * this.height);
    this.small = new OffscreenCanvas(this.width, this.height).getContext("2d", {willReadFrequently: true});
    this.draw();
  }

  wipe() { this.ids.fill(0); this.draw(); }
  state() { return this.ids.slice(); }
  restore(state) { this.ids.set(state); this.draw(); }

  draw() {
    const image = this.small.createImageData(this.width, this.height);
    this.ids.forEach((id, i) => image.data.set([...this.classes[id].colour, 255], 4 * i));
    this.small.putImageData(image, 0, 0);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(this.small.canvas, 0, 0, this.canvas.width, this.canvas.height);
  }

  line(from, to, width, erase) {
    const radius = width * 2, id = erase ? 0 : this.chosen;
    const steps = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) * 2) + 1;
    for (let step = 0; step <= steps; step++) {
      const x = from.x + (to.x - from.x) * step / steps, y = from.y + (to.y - from.y) * step / steps;
      for (let row = Math.max(0, Math.floor(y - radius)); row < Math.min(this.height, y + radius); row++)
        for (let column = Math.max(0, Math.floor(x - radius)); column < Math.min(this.width, x + radius); column++)
          if ((column + .5 - x) ** 2 + (row + .5 - y) ** 2 <= radius ** 2) this.ids[row * this.width + column] = id;
    }
    this.draw();
  }

  /** A map in the classes' colours, on the first class; each pixel becomes the class of the nearest colour. */
  async show(image) {
    this.wipe();
    this.small.imageSmoothingEnabled = false;
    this.small.drawImage(image, ...this.fitted(image, this));
    const data = this.small.getImageData(0, 0, this.width, this.height).data;
    for (let i = 0; i < this.ids.length; i++) {
      let best = Infinity;
      this.classes.forEach(({colour}, id) => {
        const far = (data[4 * i] - colour[0]) ** 2 + (data[4 * i + 1] - colour[1]) ** 2 + (data[4 * i + 2] - colour[2]) ** 2;
        if (far < best) { best = far; this.ids[i] = id; }
      });
    }
    this.draw();
  }

  /** float32 (classes + 1, height, width): a plane for each class, and one of the borders between them. */
  input() {
    const {width, height, ids} = this, count = width * height, out = new Float32Array((this.classes.length + 1) * count);
    const edges = this.classes.length * count;
    let varies = false;
    for (let i = 0; i < count; i++) {
      out[ids[i] * count + i] = 1;
      const below = i + width < count && ids[i] !== ids[i + width];
      const right = (i + 1) % width !== 0 && ids[i] !== ids[i + 1];
      if (below) out[edges + i] = out[edges + i + width] = 1;
      if (right) out[edges + i] = out[edges + i + 1] = 1;
      varies ||= below || right;
    }
    return varies ? out : null;
  }
}
