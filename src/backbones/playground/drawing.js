// The sheet: strokes, fills, shapes and images as grey pixels, by pointer or keyboard.

const SIDE = 256;
const STEP = 8; // of the pen, for each arrow key

function newSheet(canvas, penMark, changed) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pen = { x: SIDE / 2, y: SIDE / 2, down: false };
  const settings = { tool: "pen", width: 26, inverted: false };
  const paper = () => (settings.inverted ? "#fff" : "#000");
  const ink = () => (settings.inverted ? "#000" : "#fff");

  function clear() {
    context.fillStyle = paper();
    context.fillRect(0, 0, SIDE, SIDE);
    changed();
  }

  function line(from, to) {
    context.strokeStyle = settings.tool === "eraser" ? paper() : ink();
    context.lineWidth = settings.width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y); // a line without any length is not drawn
    context.stroke();
    changed();
  }

  // Everything around a place becomes ink, as far as there is none.
  function fill({ x, y }) {
    const image = context.getImageData(0, 0, SIDE, SIDE);
    const grey = settings.inverted ? 0 : 255;
    const waiting = [[Math.floor(x), Math.floor(y)]];
    while (waiting.length) {
      const [left, top] = waiting.pop();
      const at = 4 * (top * SIDE + left);
      const outside = Math.min(left, top) < 0 || Math.max(left, top) >= SIDE;
      if (outside || Math.abs(image.data[at] - grey) < 32) continue;
      image.data.fill(grey, at, at + 3);
      waiting.push([left + 1, top], [left - 1, top], [left, top + 1], [left, top - 1]);
    }
    context.putImageData(image, 0, 0);
    changed();
  }

  function shape(name) {
    clear();
    const path = new Path2D();
    path.addPath(new Path2D(SHAPES[name]), new DOMMatrix().scale(SIDE / 100));
    context.fillStyle = context.strokeStyle = ink();
    context.lineWidth = settings.width;
    context.lineCap = context.lineJoin = "round";
    if (/^\d$/.test(name)) context.stroke(path);
    else context.fill(path, "evenodd");
    changed();
  }

  // Its middle square, in grey as the package makes it.
  function place(image) {
    const side = Math.min(image.width, image.height);
    const [left, top] = [(image.width - side) / 2, (image.height - side) / 2];
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
    context.imageSmoothingQuality = "high";
    context.drawImage(image, left, top, side, side, 0, 0, SIDE, SIDE);
    const pixels = context.getImageData(0, 0, SIDE, SIDE);
    for (let at = 0; at < pixels.data.length; at += 4) {
      const [red, green, blue] = pixels.data.subarray(at, at + 3);
      pixels.data.fill((red * 299 + green * 587 + blue * 114) / 1000, at, at + 3);
    }
    context.putImageData(pixels, 0, 0);
    changed();
  }

  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = SIDE / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  };

  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    last = placeOf(event);
    if (settings.tool === "fill") {
      fill(last);
      last = null;
    } else line(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = placeOf(event);
    line(last, now);
    last = now;
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));

  function showPen() {
    penMark.hidden = document.activeElement !== canvas || !canvas.matches(":focus-visible");
    penMark.style.left = `${(pen.x / SIDE) * 100}%`;
    penMark.style.top = `${(pen.y / SIDE) * 100}%`;
    penMark.classList.toggle("down", pen.down);
  }

  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in arrows) {
      const within = (place) => Math.min(Math.max(place, 0), SIDE - 1);
      const before = { ...pen };
      pen.x = within(pen.x + STEP * arrows[key][0]);
      pen.y = within(pen.y + STEP * arrows[key][1]);
      if (pen.down) line(before, pen);
    } else if (key === " ") {
      pen.down = !pen.down;
      if (pen.down) line(pen, pen);
    } else if (key === "f") fill(pen);
    else if (key === "Delete") clear();
    else return;
    event.preventDefault();
    showPen();
  });
  canvas.addEventListener("focus", showPen);
  canvas.addEventListener("blur", () => {
    pen.down = false;
    showPen();
  });

  return {
    settings,
    clear,
    shape,
    place,
    // The grey of every pixel, row by row.
    bytes: () => context.getImageData(0, 0, SIDE, SIDE).data.filter((_, at) => at % 4 === 0),
    invert() {
      settings.inverted = !settings.inverted;
      const image = context.getImageData(0, 0, SIDE, SIDE);
      image.data.forEach((value, at) => at % 4 < 3 && (image.data[at] = 255 - value));
      context.putImageData(image, 0, 0);
      changed();
    },
    paperGrey: () => (settings.inverted ? 255 : 0),
  };
}
