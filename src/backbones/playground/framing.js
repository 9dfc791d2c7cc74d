// From the drawing to what the network sees: resized, cut, normalised, as the package does it.

// Pillow's filters: the weight at a distance, and how far they reach.
const FILTERS = {
  box: { reach: 0.5, at: (d) => (d > -0.5 && d <= 0.5 ? 1 : 0) },
  bilinear: { reach: 1, at: (d) => Math.max(0, 1 - Math.abs(d)) },
  bicubic: {
    reach: 2,
    at: (d) => {
      const x = Math.abs(d);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
};

// For each new pixel: the first old pixel that it is made of, and their shares.
function shares(oldSide, newSide, filter) {
  const scale = oldSide / newSide;
  const wide = Math.max(scale, 1);
  const reach = filter.reach * wide;
  return Array.from({ length: newSide }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(oldSide, Math.trunc(centre + reach + 0.5));
    const found = [];
    for (let old = first; old < last; old++) found.push(filter.at((old - centre + 0.5) / wide));
    const sum = found.reduce((a, b) => a + b, 0);
    return { first, weights: found.map((weight) => weight / sum) };
  });
}

// One axis of a resize with antialiasing: grey bytes (side x side), along the rows, turned over.
// Twice, it is the whole resize.
function resizeRows(bytes, side, columns) {
  const rows = bytes.length / side;
  const out = new Uint8ClampedArray(rows * columns.length);
  columns.forEach(({ first, weights }, column) => {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * bytes[row * side + first + i];
      out[column * rows + row] = Math.floor(sum + 0.5);
    }
  });
  return out;
}

// The square around the ink of a drawing, its longer side full: { left, top, side }.
function inkBox(bytes, side, paper) {
  let [left, top, right, bottom] = [side, side, 0, 0];
  bytes.forEach((byte, at) => {
    if (Math.abs(byte - paper) < 64) return;
    const [x, y] = [at % side, Math.floor(at / side)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  });
  if (right <= left) return { left: 0, top: 0, side };
  const full = Math.max(right - left, bottom - top);
  const middle = (low, high) => Math.round((low + high - full) / 2);
  return { left: middle(left, right), top: middle(top, bottom), side: full };
}

// What lies in a box of a drawing, paper where it reaches beyond, reduced to `px` a side: as small
// as the images that the network learned from.
function trimmed(bytes, side, paper, box, px) {
  const cut = new Uint8ClampedArray(box.side * box.side).fill(paper);
  for (let at = 0; at < cut.length; at++) {
    const [x, y] = [box.left + (at % box.side), box.top + Math.floor(at / box.side)];
    const inside = Math.min(x, y) >= 0 && Math.max(x, y) < side;
    if (inside) cut[at] = bytes[y * side + x];
  }
  const columns = shares(box.side, px, FILTERS.box);
  return resizeRows(resizeRows(cut, box.side, columns), box.side, columns);
}

// Grey bytes of a square drawing -> grey bytes of the square that the network sees, which begins
// at `spec.start`, in pixels of the resized drawing; negative where black is added.
function framed(bytes, side, spec) {
  const columns = shares(side, spec.resize, FILTERS[spec.interpolation]);
  const resized = resizeRows(resizeRows(bytes, side, columns), side, columns);
  const out = new Uint8ClampedArray(spec.size * spec.size); // what lies outside is black
  for (let y = 0; y < spec.size; y++) {
    for (let x = 0; x < spec.size; x++) {
      const [top, left] = [y + spec.start, x + spec.start];
      const inside = Math.min(top, left) >= 0 && Math.max(top, left) < spec.resize;
      if (inside) out[y * spec.size + x] = resized[top * spec.resize + left];
    }
  }
  return out;
}

// Grey bytes -> (channels, size, size) numbers: (byte / 255 - mean) / std.
function normalised(bytes, spec) {
  const data = new Float64Array(spec.channels * bytes.length);
  for (let channel = 0; channel < spec.channels; channel++) {
    const scale = 1 / (255 * spec.std[channel]);
    const offset = -spec.mean[channel] / spec.std[channel];
    bytes.forEach((byte, i) => (data[channel * bytes.length + i] = byte * scale + offset));
  }
  return { data, count: spec.channels, side: spec.size };
}
