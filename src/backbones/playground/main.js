// The page: a drawing is framed, run through the network, and every layer shown, at each change.

const byId = (id) => document.getElementById(id);
const network = JSON.parse(byId("network").textContent);
const { spec, row } = network;

let layers, sheet;
let image = null; // what is predicted: { bytes, side }, and the box of the drawing that it is of
let found = null; // every layer's maps
let chosen = null; // { layer, map, y, x }
let waiting = false;
const panels = new Map(); // by the layer's name
const codes = []; // by class, once painted

const percent = (share) => (100 * share).toFixed(1);
const classNames = () => network.classes[language];
const nameOf = (layer) => (layer.name === "input" ? word("names").input : layer.name.toUpperCase());

function describe(layer) {
  const names = word("names");
  if (layer.name === "output" && row.output === "rbf") return names.rbf;
  const done = {
    input: () => word("seen"),
    convolution: () => names.convolution(layer.kernel),
    pooling: () => (layer.trainable ? names.subsampling : names.maximum),
    linear: () => names.linear,
  }[layer.kind]();
  const squashed = layer.kind === "convolution" || layer.name === "f6";
  return squashed ? `${done}, ${names[row.activation]}` : done;
}

// A layer's panel: heading, maps, what they are and what they cost; under C3 its table.
function newPanel(layer) {
  const section = element("section", { className: `layer ${layer.kind}` });
  const head = element("h3");
  const about = element("p", { className: "faint" });
  const range = element("p", { className: "faint" });
  const maps = newMaps(layer, choose, (own) => (chosen && chosen.layer === own ? chosen : null));
  section.append(head, about, maps.box, range);
  let table = null;
  if (layer.name === "c3") {
    table = connectionTable(network.sources, row.maps[0]);
    const scroll = element("div", { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "group");
    scroll.append(table);
    section.append(scroll);
  }
  byId("maps").append(section);
  return { head, about, range, maps, table };
}

function choose(unit) {
  chosen = unit;
  render();
}

// The receptive field of a unit, in pixels of the input, both ends included.
function fieldOf({ layer, y, x }) {
  const [top, left] = [y * layer.step, x * layer.step];
  const [bottom, right] = [top + layer.field - 1, left + layer.field - 1];
  return { top, left, bottom, right };
}

function showField() {
  const frame = byId("field");
  frame.hidden = !chosen;
  byId("unit").textContent = "";
  if (!chosen) return;
  const { layer, map, y, x } = chosen;
  const maps = found[layer.name];
  const value = rounded(maps.data[(map * maps.side + y) * maps.side + x]);
  const box = fieldOf(chosen);
  byId("unit").textContent =
    word("unit")({ name: nameOf(layer), map, y, x, value }) + word("field")(box);
  const scale = image.box.side / spec.resize;
  const share = (pixels) => `${(100 * pixels) / SIDE}%`;
  frame.style.left = share(image.box.left + (box.left + spec.start) * scale);
  frame.style.top = share(image.box.top + (box.top + spec.start) * scale);
  frame.style.width = share((box.right - box.left + 1) * scale);
  frame.style.height = share((box.bottom - box.top + 1) * scale);
}

// Which maps of the layer before are seen by the chosen unit, where not all are.
function feeding(layer) {
  const next = layers[layers.indexOf(layer) + 1];
  if (!chosen || !next || chosen.layer !== next) return null;
  if (next.kind === "pooling") return [chosen.map];
  return next.sources ? next.sources[chosen.map] : null;
}

function showAnswer() {
  const scores = found.output.data;
  const shares = softmax(scores);
  const order = Array.from(shares.keys()).sort((a, b) => shares[b] - shares[a]);
  byId("said").textContent = word("said")(classNames()[order[0]], percent(shares[order[0]]));
  const rows = order.slice(0, 10).map((place) => {
    const item = element("li");
    const name = element("span", { textContent: classNames()[place] });
    const share = element("span", { className: "share", textContent: `${percent(shares[place])} %` });
    const score = element("span", {
      className: "score faint",
      textContent: `${word("score")} ${rounded(scores[place])}`,
    });
    const bar = element("i");
    bar.append(element("b"));
    bar.firstChild.style.width = `${percent(shares[place])}%`;
    item.append(name, score, share, bar);
    if (row.output === "rbf") item.prepend(codeOf(place));
    return item;
  });
  byId("classes").replaceChildren(...rows);
}

// The code that F6 is compared with, as the paper's figure 3 draws it: rows of 7.
function codeOf(place) {
  const canvas = codes[place] ?? (codes[place] = paintedCode(place));
  canvas.setAttribute("aria-label", word("code")(classNames()[place]));
  return canvas;
}

function paintedCode(place) {
  const { units } = row;
  const canvas = element("canvas", { width: 7, height: Math.ceil(units / 7), className: "code" });
  canvas.setAttribute("role", "img");
  const context = canvas.getContext("2d");
  for (let i = 0; i < units; i++) {
    context.fillStyle = network.parameters.output.codes[place * units + i] > 0 ? "#fff" : "#000";
    context.fillRect(i % 7, Math.floor(i / 7), 1, 1);
  }
  return canvas;
}

function showLayer(layer) {
  const { head, about, range, maps, table } = panels.get(layer.name);
  const made = found[layer.name];
  const cost = costOf(layer, network, made);
  const shape =
    made.side > 1 ? word("shape")(made.count, made.side) : word("units")(counted(made.count));
  head.textContent = nameOf(layer);
  about.textContent = [describe(layer), shape, cost && word("cost")(cost)].filter(Boolean).join(" · ");
  maps.box.setAttribute("aria-label", word("mapsOf")(nameOf(layer)));
  const own = chosen && chosen.layer === layer ? chosen : null;
  const ends = maps.paint(made, own, feeding(layer));
  range.textContent = word("range")(...ends.map(rounded));
  if (!table) return;
  const note = row.c3 === "table" ? word("tablePaper") : word("tableFull");
  table.caption.textContent = `${word("table")}: ${note}`;
  table.parentElement.setAttribute("aria-label", word("table"));
  for (const cell of table.querySelectorAll("td[data-out]")) {
    cell.setAttribute("aria-label", word(cell.className));
    cell.classList.toggle("chosen", Boolean(own) && Number(cell.dataset.out) === own.map);
  }
}

// Shows what was computed last.
function render() {
  showAnswer();
  layers.forEach(showLayer);
  showField();
}

// The drawing as an image for the package: the whole sheet, or like the images of the data.
function imageOf(bytes) {
  if (!byId("trim").checked) return { bytes, side: SIDE, box: { left: 0, top: 0, side: SIDE } };
  const [paper, side] = [sheet.paperGrey(), network.data_px];
  const box = inkBox(bytes, SIDE, paper);
  return { bytes: trimmed(bytes, SIDE, paper, box, side), side, box };
}

function seenBytes() {
  image = imageOf(sheet.bytes());
  return framed(image.bytes, image.side, spec);
}

function compute() {
  found = run(layers, normalised(seenBytes(), spec));
  render();
}

function save() {
  const { bytes, side } = imageOf(sheet.bytes());
  const canvas = element("canvas", { width: side, height: side });
  const pixels = new ImageData(side, side);
  bytes.forEach((grey, at) => pixels.data.set([grey, grey, grey, 255], 4 * at));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  element("a", { download: "drawing.png", href: canvas.toDataURL("image/png") }).click();
}

// A stroke comes in many events; one answer a frame is enough.
function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    compute();
  });
}

function speak() {
  document.documentElement.lang = language;
  document.title = `${word("title")} · ${network.name}`;
  for (const each of document.querySelectorAll("[data-word]")) each.textContent = word(each.dataset.word);
  document.querySelector("nav").setAttribute("aria-label", word("networks"));
  for (const link of document.querySelectorAll("nav a")) link.hash = language;
  byId("drawing").setAttribute("aria-label", word("drawing"));
  byId("trim-word").textContent = word("trim")(network.data_px);
  byId("language").textContent = word("otherLanguage");
  byId("language").lang = language === "en" ? "zh" : "en";
  byId("about").textContent = word("about")({
    ...network,
    classes: classNames().length,
    input_px: row.input_px,
  });
  const { recipe, measured } = network;
  byId("origin").textContent = word("origin")({
    ...network,
    trained: recipe ? word("trained")(recipe.name, recipe.length) : "",
    measured: measured ? word("measured")(measured.error, counted(measured.images)) : "",
  });
  for (const option of byId("shapes").options) {
    option.textContent = option.value ? classNames()[option.dataset.place] : word("nothing");
  }
}

async function openImage(file) {
  if (!file) return;
  try {
    sheet.place(await createImageBitmap(file));
  } catch {
    byId("said").textContent = word("notAnImage")(file.name);
  }
}

function listen() {
  const { settings } = sheet;
  for (const tool of document.querySelectorAll("[name=tool]")) {
    tool.addEventListener("change", () => (settings.tool = tool.value));
  }
  byId("width").addEventListener("input", (event) => (settings.width = event.target.valueAsNumber));
  byId("inverted").addEventListener("change", sheet.invert);
  byId("clear").addEventListener("click", sheet.clear);
  byId("save").addEventListener("click", save);
  byId("trim").addEventListener("change", changed);
  byId("image").addEventListener("change", (event) => openImage(event.target.files[0]));
  byId("shapes").addEventListener("change", ({ target }) =>
    target.value ? sheet.shape(target.value) : sheet.clear(),
  );
  byId("language").addEventListener("click", () => {
    language = language === "en" ? "zh" : "en";
    history.replaceState(null, "", `#${language}`);
    speak();
    render();
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    openImage(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => openImage(event.clipboardData.files[0]));
}

// A class has a shape to start from where the drawing of its name is known.
function offerShapes() {
  byId("shapes").append(element("option", { value: "" }));
  network.classes.en.forEach((name, place) => {
    if (!(name in SHAPES)) return;
    const option = element("option", { value: name });
    option.dataset.place = place;
    byId("shapes").append(option);
  });
  const first = byId("shapes").options[Math.min(4, byId("shapes").options.length - 1)];
  byId("shapes-label").hidden = !first.value;
  byId("shapes").value = first.value;
}

async function start() {
  network.parameters = await unpacked(network.packed);
  layers = layersOf(network);
  for (const layer of layers) panels.set(layer.name, newPanel(layer));
  byId("command").textContent = `backbones predict ${network.name} drawing.png`;
  byId("trim").checked = Boolean(network.data_px);
  byId("trim-label").hidden = !network.data_px;
  sheet = newSheet(byId("drawing"), byId("pen"), changed);
  // For the console: the input's bytes, and every layer's numbers.
  window.playground = {
    network,
    bytes: seenBytes,
    run: (bytes) => run(layers, normalised(bytes, spec)),
  };
  offerShapes();
  speak();
  listen();
  if (byId("shapes").value) sheet.shape(byId("shapes").value);
  else sheet.clear();
}

start();
