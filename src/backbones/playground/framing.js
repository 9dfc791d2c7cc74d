// From the drawing to what the network sees: resized, cut, normalised, as the package does it.

// Pillow's filters: the weight at a distance, and how far they reach.
const FILTERS = {
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
