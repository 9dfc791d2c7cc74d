// Every sentence of the page, in both languages.
const WORDS = {
  en: {
    title: "LeNet-5 reads what you draw",
    networks: "Networks",
    otherLanguage: "中文",
    drawHere: "Draw here",
    drawing: "Drawing",
    penKeys:
      "Draw with a finger, pen or mouse. With the keyboard: arrow keys move the pen, space lowers and lifts it, F fills, Delete clears.",
    tool: "Tool",
    pen: "pen",
    eraser: "eraser",
    fill: "fill",
    width: "Width",
    inverted: "dark ink on light paper",
    trim: (px) => `trim, and shrink to ${px} × ${px} px as in the data`,
    startFrom: "Start from",
    nothing: "an empty sheet",
    openImage: "Open an image",
    notAnImage: (name) => `${name} is not an image that this browser can decode; expected PNG, JPEG or WebP`,
    clear: "Clear",
    save: "Save the drawing",
    sameAnswer: "The package gives the same answer for the saved file:",
    answer: "Answer",
    said: (name, percent) => `${name}, ${percent} %`,
    limits:
      "A network answers with one of its classes, whatever the drawing shows, and is sure of what it has never seen.",
    layers: "What each layer makes of it",
    unitKeys:
      "Click a unit of a map to see its receptive field on the drawing. With the keyboard: Tab to a layer, arrow keys move from unit to unit, page keys from map to map, Escape ends.",
    about: ({ variant, summary, classes, input_px }) =>
      `${variant}: ${summary}. ${classes} classes, ${input_px} × ${input_px} px. LeCun, Bottou, Bengio & Haffner (1998).`,
    origin: ({ trained, measured, difference, version }) =>
      `${trained}${measured} The weights are inside this page, rounded by at most one part in two million of each layer's largest, which moves scores by up to ${difference}. Nothing leaves this page. Made by backbones ${version}.`,
    trained: (recipe, length) => `Trained by recipe ${recipe}, ${length}. `,
    measured: (error, count) =>
      `Top-1 error ${error} % of ${count} images that were held out to choose the weights.`,
    names: {
      input: "Input",
      convolution: (kernel) => `${kernel} × ${kernel} convolution`,
      subsampling: "subsampling: sum of 2 × 2, times a coefficient, plus a bias, squashed",
      maximum: "2 × 2 maximum",
      linear: "fully connected",
      rbf: "minus the squared distance to each class's code",
      scaled_tanh: "1.7159 tanh(2a/3)",
      relu: "ReLU",
    },
    shape: (count, side) => `${count} ${count === 1 ? "map" : "maps"} of ${side} × ${side}`,
    units: (count) => `${count} units`,
    seen: "what the network sees of the drawing",
    cost: ({ parameters, macs }) =>
      `parameters: ${parameters}` + (macs ? `; multiply-accumulates: ${macs}` : ""),
    range: (low, high) => `black is ${low}, white ${high}`,
    mapsOf: (name) => `Maps of ${name}`,
    table: "Which maps of S2 (rows) feed which map of C3 (columns)",
    tablePaper: "Table I of the paper",
    tableFull: "all with all; the paper connects by its Table I",
    mapNumber: (map) => `map ${map}`,
    connected: "connected",
    apart: "not connected",
    unit: ({ name, map, y, x, value }) =>
      `${name}, map ${map}, row ${y}, column ${x} (counted from 0): ${value}.`,
    field: ({ top, left, bottom, right }) =>
      ` Its receptive field: rows ${top} to ${bottom} and columns ${left} to ${right} of the input, ${bottom - top + 1} × ${right - left + 1} px.`,
    code: (name) => `code of ${name}`,
    score: "score",
  },
  zh: {
    title: "LeNet-5 读你所画",
    networks: "网络",
    otherLanguage: "English",
    drawHere: "在此作画",
    drawing: "画板",
    penKeys: "用手指、触控笔或鼠标作画。键盘：方向键移动画笔，空格落笔或提笔，F 填充，Delete 清空。",
    tool: "工具",
    pen: "画笔",
    eraser: "橡皮",
    fill: "填充",
    width: "粗细",
    inverted: "浅底深墨",
    trim: (px) => `裁去空白，缩至 ${px} × ${px} 像素，与训练数据一致`,
    startFrom: "起始图形",
    nothing: "空白",
    openImage: "打开图片",
    notAnImage: (name) => `${name} 不是浏览器能解码的图片；请选择 PNG、JPEG 或 WebP`,
    clear: "清空",
    save: "保存画作",
    sameAnswer: "对保存的文件，本软件包给出相同的答案：",
    answer: "答案",
    said: (name, percent) => `${name}，${percent} %`,
    limits: "无论画的是什么，网络总会答出它的某一类；对从未见过的东西也可能十分肯定。",
    layers: "每一层看到的",
    unitKeys:
      "点击特征图中的一个单元，画板上会显示它的感受野。键盘：Tab 选择层，方向键移动单元，翻页键切换特征图，Esc 结束。",
    about: ({ variant, classes, input_px }) =>
      `${variant}：${classes} 类，${input_px} × ${input_px} 像素。LeCun、Bottou、Bengio 与 Haffner（1998）。`,
    origin: ({ trained, measured, difference, version }) =>
      `${trained}${measured}权重就在本页内，舍入误差至多为各层最大值的二百万分之一，得分因此至多相差 ${difference}。任何内容都不会离开本页。由 backbones ${version} 生成。`,
    trained: (recipe, length) => `用配方 ${recipe} 训练，${length.replace("epochs", " 轮")}。`,
    measured: (error, count) => `在用于挑选权重的 ${count} 张留出图像上，top-1 错误率为 ${error} %。`,
    names: {
      input: "输入",
      convolution: (kernel) => `${kernel} × ${kernel} 卷积`,
      subsampling: "下采样：2 × 2 求和，乘系数，加偏置，再压缩",
      maximum: "2 × 2 最大值",
      linear: "全连接",
      rbf: "到各类编码的平方距离的相反数",
      scaled_tanh: "1.7159 tanh(2a/3)",
      relu: "ReLU",
    },
    shape: (count, side) => `${count} 张 ${side} × ${side} 的特征图`,
    units: (count) => `${count} 个单元`,
    seen: "网络所见的画",
    cost: ({ parameters, macs }) => `参数：${parameters}` + (macs ? `；乘加次数：${macs}` : ""),
    range: (low, high) => `黑为 ${low}，白为 ${high}`,
    mapsOf: (name) => `${name} 的特征图`,
    table: "S2 的哪些特征图（行）连到 C3 的哪张特征图（列）",
    tablePaper: "论文表 I",
    tableFull: "全部相连；论文按表 I 连接",
    mapNumber: (map) => `第 ${map} 张`,
    connected: "相连",
    apart: "不相连",
    unit: ({ name, map, y, x, value }) =>
      `${name}，第 ${map} 张特征图，第 ${y} 行，第 ${x} 列（从 0 数起）：${value}。`,
    field: ({ top, left, bottom, right }) =>
      `感受野：输入的第 ${top} 至 ${bottom} 行、第 ${left} 至 ${right} 列，${bottom - top + 1} × ${right - left + 1} 像素。`,
    code: (name) => `${name} 的编码`,
    score: "得分",
  },
};

// A page keeps its language in its address, which links to other pages carry on.
const asked = location.hash.slice(1);
let language = asked in WORDS ? asked : navigator.language.startsWith("zh") ? "zh" : "en";

const word = (key) => WORDS[language][key];
const counted = (number) => number.toLocaleString("en");
// Four digits say enough to compare, and fit on a phone.
const rounded = (number) => String(Number(number.toPrecision(4)));
