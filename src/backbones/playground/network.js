// LeNet-5, layer by layer, in plain JavaScript. Numbers are summed in double precision.
// Maps are { data, count, side }: `count` squares of `side` x `side`, one after the other.

const SQUASHED = 1.7159; // what the squashing function stays within

const ACTIVATIONS = {
  scaled_tanh: (a) => SQUASHED * Math.tanh((a * 2) / 3),
  relu: (a) => Math.max(a, 0),
};

// A convolution whose map `out` sees the maps `sources[out]`; their kernels follow each other in
// `weight`. Only connections that exist have one.
function convolve(maps, { weight, bias, sources, kernel }) {
  const [given, wide, side] = [maps.data, maps.side, maps.side - kernel + 1];
  const data = new Float64Array(sources.length * side * side);
  let at = 0; // the current kernel
  sources.forEach((seen, out) => {
    const made = data.subarray(out * side * side, (out + 1) * side * side).fill(bias[out]);
    for (const source of seen) {
      const from = source * wide * wide;
      for (let ky = 0; ky < kernel; ky++) {
        for (let kx = 0; kx < kernel; kx++) {
          const factor = weight[at++];
          for (let y = 0; y < side; y++) {
            const row = from + (y + ky) * wide + kx;
            for (let x = 0; x < side; x++) made[y * side + x] += factor * given[row + x];
          }
        }
      }
    }
  });
  return { data, count: sources.length, side };
}

// What `join` makes of each 2 x 2 pixels of each map.
function reduced(maps, join) {
  const [given, side] = [maps.data, maps.side >> 1];
  const data = new Float64Array(maps.count * side * side);
  for (let i = 0; i < data.length; i++) {
    const map = Math.floor(i / (side * side));
    const [y, x] = [Math.floor(i / side) % side, i % side];
    const at = (map * maps.side + 2 * y) * maps.side + 2 * x;
    const below = at + maps.side;
    data[i] = join([given[at], given[at + 1], given[below], given[below + 1]], map);
  }
  return { data, count: maps.count, side };
}

const maximum = (maps) => reduced(maps, (four) => Math.max(...four));

// The paper's subsampling: the sum, times a coefficient of the map, plus its bias, squashed.
const subsample = (maps, { weight, bias }) =>
  reduced(maps, (four, map) =>
    ACTIVATIONS.scaled_tanh(four.reduce((a, b) => a + b) * weight[map] + bias[map]),
  );

// A fully connected layer, or a convolution whose kernel covers all of its maps, as C5's does.
function connect({ data: given }, { weight, bias }) {
  const data = new Float64Array(bias.length);
  const inputs = given.length;
  for (let out = 0; out < data.length; out++) {
    let sum = bias[out];
    for (let i = 0; i < inputs; i++) sum += weight[out * inputs + i] * given[i];
    data[out] = sum;
  }
  return { data, count: data.length, side: 1 };
}

// The paper's output: minus the squared distance to the code of each class.
function distances(maps, { codes }) {
  const units = maps.data.length;
  const data = new Float64Array(codes.length / units);
  for (let out = 0; out < data.length; out++) {
    for (let i = 0; i < units; i++) data[out] -= (maps.data[i] - codes[out * units + i]) ** 2;
  }
  return { data, count: data.length, side: 1 };
}

const activated = (maps, activation) => ({ ...maps, data: maps.data.map(ACTIVATIONS[activation]) });

// The layers in order: what each computes, and the field of one of its units on the input: the
// first pixel is `step` x its place, and it sees `field` x `field`.
function layersOf(network) {
  const { row, parameters: p, sources } = network;
  const { activation } = row;
  const trainable = row.subsampling === "trainable";
  const convolution = (name, kernel, seen) => ({
    name,
    kind: "convolution",
    kernel,
    sources: seen,
    run: (maps) => activated(convolve(maps, { ...p[name], sources: seen, kernel }), activation),
  });
  const connected = (name) => (maps) => activated(connect(maps, p[name]), activation);
  const pooling = (name) => ({
    name,
    kind: "pooling",
    trainable,
    run: (maps) => (trainable ? subsample(maps, p[name]) : maximum(maps)),
  });
  const channels = Array.from({ length: network.channels }, (_, channel) => channel);
  const s4Side = (((row.input_px - 4) >> 1) - 4) >> 1;
  const layers = [
    convolution("c1", 5, Array(row.maps[0]).fill(channels)),
    pooling("s2"),
    convolution("c3", 5, sources),
    pooling("s4"),
    { name: "c5", kind: "convolution", kernel: s4Side, run: connected("c5") },
    { name: "f6", kind: "linear", run: connected("f6") },
    {
      name: "output",
      kind: "linear",
      run: (maps) => (row.output === "rbf" ? distances : connect)(maps, p.output),
    },
  ];
  let [step, field] = [1, 1];
  for (const layer of layers) {
    if (layer.kind === "convolution") field += step * (layer.kernel - 1);
    if (layer.kind === "pooling") [field, step] = [field + step, 2 * step];
    Object.assign(layer, { step, field });
  }
  return [{ name: "input", kind: "input", step: 1, field: 1 }, ...layers];
}

// Every layer's maps, the input's first, by name.
function run(layers, input) {
  const found = { input };
  let maps = input;
  for (const layer of layers.slice(1)) found[layer.name] = maps = layer.run(maps);
  return found;
}

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

// Parameters and multiply-accumulates of a layer, each with the sum written out.
function costOf(layer, network, maps) {
  const own = network.parameters[layer.name] || {};
  const size = (numbers) => (numbers ? numbers.length : 0);
  if (layer.kind === "pooling" && !layer.trainable) return null;
  if (layer.kind === "input" || own.codes) return null;
  const [weights, biases] = [size(own.weight), size(own.bias)];
  const parameters = `${counted(weights)} + ${counted(biases)} = ${counted(weights + biases)}`;
  if (layer.kind === "pooling") return { parameters };
  const places = maps.side * maps.side;
  const macs = `${counted(weights)} × ${places} = ${counted(weights * places)}`;
  return { parameters, macs };
}

// Weights as Python packed them: whole numbers of a step, signs last, in three planes of bytes,
// deflated.
async function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = planes.length / 3;
  const parameters = {};
  let at = 0;
  for (const { layer, name, length, step } of packed.tensors) {
    const numbers = new Float64Array(length);
    for (let i = 0; i < length; i++, at++) {
      const whole = (planes[at] << 16) | (planes[at + count] << 8) | planes[at + 2 * count];
      numbers[i] = (whole & 1 ? -(whole + 1) / 2 : whole / 2) * step;
    }
    (parameters[layer] ??= {})[name] = numbers;
  }
  return parameters;
}
