// The maps of a layer as small images, and the choice of one unit among them.

const AMBER = [255, 194, 10]; // as the package paints receptive fields

// One row of maps for a layer: a canvas a map; vectors are one canvas, as near to a square as their
// length allows. F6's 84 units are 12 rows of 7, as the paper draws its codes. `choose` is told
// which unit was chosen, and `chosenIn` tells the one of this layer.
function newMaps(layer, choose, chosenIn) {
  const box = element("div", { className: "maps", tabIndex: 0 });
  box.setAttribute("role", "application");
  box.setAttribute("aria-describedby", "unit-keys");
  box.dataset.layer = layer.name;
  let columns = 1;
  let shown = null;

  function pixelsOf(count) {
    if (count === 84) return 7;
    const root = Math.floor(Math.sqrt(count));
    for (let width = root; width > root / 2; width--) if (count % width === 0) return count / width;
    return root + 1;
  }

  // Where units lie: (map, y, x) -> canvas and pixel.
  const isVector = () => shown.side === 1;
  const locate = ({ map, y, x }) =>
    isVector()
      ? { canvas: 0, left: map % columns, top: Math.floor(map / columns) }
      : { canvas: map, left: x, top: y };

  function paint(maps, unit, feeding) {
    shown = maps;
    const { count, side, data } = maps;
    const vector = side === 1;
    columns = vector ? pixelsOf(count) : side;
    const rows = vector ? Math.ceil(count / columns) : side;
    const canvases = vector ? 1 : count;
    while (box.children.length < canvases) box.append(element("canvas"));
    const [low, high] = rangeOf(data);
    const scale = high > low ? 255 / (high - low) : 0;
    Array.from(box.children).forEach((canvas, number) => {
      [canvas.width, canvas.height] = [columns, rows];
      const image = new ImageData(columns, rows);
      for (let i = 0; i < columns * rows; i++) {
        const value = data[number * columns * rows + i];
        const grey = value === undefined ? 0 : (value - low) * scale;
        image.data.set([grey, grey, grey, value === undefined ? 0 : 255], 4 * i);
      }
      const at = unit && locate(unit);
      if (at && at.canvas === number) image.data.set(AMBER, 4 * (at.top * columns + at.left));
      canvas.getContext("2d").putImageData(image, 0, 0);
      canvas.classList.toggle("feeds", Boolean(feeding && feeding.includes(number)));
      canvas.classList.toggle("chosen", Boolean(at && at.canvas === number));
    });
    return [low, high];
  }

  box.addEventListener("click", (event) => {
    const number = Array.from(box.children).indexOf(event.target);
    if (number < 0) return;
    const area = event.target.getBoundingClientRect();
    const scale = columns / area.width;
    const x = Math.min(Math.floor((event.clientX - area.left) * scale), columns - 1);
    const y = Math.floor((event.clientY - area.top) * scale);
    const unit = isVector()
      ? { map: y * columns + x, y: 0, x: 0 }
      : { map: number, y: Math.min(y, columns - 1), x };
    if (unit.map < shown.count) choose({ layer, ...unit });
  });

  box.addEventListener("keydown", (event) => {
    const { side, count } = shown;
    if (event.key === "Escape") return choose(null);
    const wide = isVector() ? columns : side;
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide };
    const pages = { PageUp: -side * side, PageDown: side * side };
    const move = { ...moves, ...pages }[event.key];
    if (move === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const unit = chosenIn(layer);
    const place = unit ? (unit.map * side + unit.y) * side + unit.x : -move;
    const next = place + move;
    if (next < 0 || next >= count * side * side) return;
    choose({
      layer,
      map: Math.floor(next / (side * side)),
      y: Math.floor(next / side) % side,
      x: next % side,
    });
  });

  return { box, paint };
}

function rangeOf(data) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of data) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

// Table I, or all with all: a cell for each pair of maps of S2 and C3.
function connectionTable(sources, maps) {
  const table = element("table");
  table.createCaption();
  const head = table.createTHead().insertRow();
  head.append(element("td"));
  sources.forEach((_, out) => head.append(element("th", { scope: "col", textContent: out })));
  const body = table.createTBody();
  for (let source = 0; source < maps; source++) {
    const row = body.insertRow();
    row.append(element("th", { scope: "row", textContent: source }));
    sources.forEach((seen, out) => {
      const cell = row.insertCell();
      cell.dataset.out = out;
      cell.className = seen.includes(source) ? "connected" : "apart";
      cell.textContent = seen.includes(source) ? "X" : "·";
    });
  }
  return table;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
