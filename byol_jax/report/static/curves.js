// The section of the curves: one plot per metric with all runs, and one cursor for all plots.

const PROBE = "on augmented training images";
const PLOTS = [
  { metric: "loss", title: "loss" },
  { metric: "learning_rate", title: "learning rate", from: 0 },
  { metric: "decay", title: "decay", note: "of the target network" },
  { metric: "spread", title: "projection spread", from: 0, to: 1, note: "near 0 after a collapse" },
  { metric: "feature_spread", title: "feature spread", from: 0, to: 1 },
  { metric: "effective_rank", title: "effective rank", from: 0, note: "of the projections" },
  { metric: "probe_accuracy", title: "probe accuracy, %", from: 0, times: 100, note: PROBE },
];
const NOT_PLOTTED = ["step", "epoch"];
const PLOT_HEIGHT = 170;
const MARGIN = { left: 46, right: 10, top: 8, bottom: 24 };

function curves() {
  const lines = RUNS.map((run) => run.metrics);
  const steps = [...new Set(lines.flatMap((columns) => columns.step ?? []))];
  steps.sort((a, b) => a - b);
  const main = PLOTS.filter((spec) => hasValues(spec.metric));
  const other = otherMetrics().map((metric) => ({ metric, title: metric.replaceAll("_", " ") }));
  if (!steps.length || !(main.length + other.length)) return;
  const cursor = { steps, at: steps.length - 1, moved: false, plots: [] };
  const grid = (specs) =>
    make("div", { className: "plots" }, ...specs.map((spec) => plotFigure(spec, cursor)));
  const parts = [legend(cursor), grid(main)];
  if (other.length) {
    parts.push(make("details", {}, make("summary", {}, "More curves"), grid(other)));
  }
  fill("curves", ...parts);
  moveCursor(cursor, cursor.at, false);
}

function hasValues(metric) {
  return RUNS.some((run) => run.metrics[metric]?.some((value) => value !== null));
}

function otherMetrics() {
  const names = new Set(RUNS.flatMap((run) => Object.keys(run.metrics)));
  const excluded = [...NOT_PLOTTED, ...PLOTS.map((spec) => spec.metric)];
  return [...names].filter((name) => !excluded.includes(name) && hasValues(name));
}

function legend(cursor) {
  cursor.text = make("p", { className: "cursor-step" });
  const runs = RUNS.map((run, i) => make("li", {}, runName(i)));
  const list = SEVERAL ? [make("ul", { className: "legend" }, ...runs)] : [];
  return make("div", { className: "curves-head" }, ...list, cursor.text);
}

/** One plot. It is a slider over the steps, so that it works with arrow keys and screen readers. */
function plotFigure(spec, cursor) {
  const slider = { class: "plot", tabindex: 0, role: "slider", "aria-valuemin": cursor.steps[0] };
  const svg = draw("svg", { ...slider, "aria-valuemax": cursor.steps.at(-1) });
  svg.setAttribute("aria-label", `${spec.title} as a function of the step`);
  const title = make("h3", {}, spec.title);
  if (spec.note) title.append(" ", make("span", { className: "note" }, spec.note));
  const plot = { spec, svg, readout: make("p", { className: "readout" }), lines: linesOf(spec) };
  cursor.plots.push(plot);
  listen(plot, cursor);
  new ResizeObserver(() => drawPlot(plot, cursor)).observe(svg);
  return make("figure", {}, title, svg, make("figcaption", {}, plot.readout));
}

/** The lines of a plot, {run, steps, points: [[step, value or null]]}: one per run with values. */
function linesOf(spec) {
  const times = spec.times ?? 1;
  return RUNS.map((run, number) => {
    const values = run.metrics[spec.metric] ?? [];
    const points = values.map((v, i) => [run.metrics.step[i], v === null ? null : v * times]);
    return { run: number, steps: run.metrics.step, points };
  }).filter((line) => line.points.some(([, value]) => value !== null));
}

function listen(plot, cursor) {
  const last = cursor.steps.length - 1;
  const page = Math.max(1, Math.round(last / 10));
  const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page };
  Object.assign(moves, { PageUp: page, Home: -last, End: last });
  plot.svg.addEventListener("keydown", (event) => {
    if (!(event.key in moves)) return;
    event.preventDefault();
    moveCursor(cursor, Math.min(last, Math.max(0, cursor.at + moves[event.key])));
  });
  const follow = (event) => {
    const step = plot.scale?.stepAt(event.clientX - plot.svg.getBoundingClientRect().left);
    if (step !== undefined) moveCursor(cursor, nearestIndex(cursor.steps, step));
  };
  plot.svg.addEventListener("pointermove", follow);
  plot.svg.addEventListener("pointerdown", follow);
}

function nearestIndex(sorted, value) {
  let low = 0;
  let high = sorted.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return Math.abs(sorted[low] - value) <= Math.abs(sorted[high] - value) ? low : high;
}

function moveCursor(cursor, at, moved = true) {
  cursor.at = at;
  cursor.moved ||= moved;
  const step = shown(cursor.steps[at]);
  const hint = "Point at a plot, or use its arrow keys, to see other steps.";
  cursor.text.textContent = `Values at step ${step}.${cursor.moved ? "" : ` ${hint}`}`;
  for (const plot of cursor.plots) showValues(plot, cursor);
}

/** The last point of a line up to a step; undefined before the line's start and after its end. */
function valueAt(line, step) {
  const { steps } = line;
  if (step < steps[0] || step > steps.at(-1)) return undefined;
  let i = nearestIndex(steps, step);
  if (steps[i] > step) i -= 1;
  return line.points[i];
}

function showValues(plot, cursor) {
  const step = cursor.steps[cursor.at];
  const values = plot.lines.map((line) => [line.run, valueAt(line, step)?.[1]]);
  const parts = values.map(([run, value]) =>
    make("span", {}, ...(SEVERAL ? [swatch(run), " "] : []), shown(value)),
  );
  plot.readout.replaceChildren(...parts);
  const texts = values.map(([run, value]) => `${SEVERAL ? RUNS[run].name : ""} ${shown(value)}`);
  plot.svg.setAttribute("aria-valuenow", step);
  plot.svg.setAttribute("aria-valuetext", `step ${shown(step)}: ${texts.join(", ")}`);
  if (plot.scale) drawCursor(plot, cursor);
}

function drawPlot(plot, cursor) {
  const width = plot.svg.clientWidth;
  if (!width) return;
  plot.svg.setAttribute("viewBox", `0 0 ${width} ${PLOT_HEIGHT}`);
  plot.scale = scaleOf(plot, cursor.steps, width);
  plot.cursor = draw("g", { class: "cursor" });
  plot.svg.replaceChildren(...axes(plot.scale), ...plot.lines.map((l) => curve(l, plot.scale)));
  plot.svg.append(plot.cursor);
  drawCursor(plot, cursor);
}

function scaleOf(plot, steps, width) {
  const points = plot.lines.flatMap((line) => line.points);
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  const least = values.reduce((a, b) => Math.min(a, b), plot.spec.from ?? Infinity);
  const most = values.reduce((a, b) => Math.max(a, b), plot.spec.to ?? -Infinity);
  const [low, high] = padded(least, most, plot.spec.from);
  const [first, last] = steps.length > 1 ? [steps[0], steps.at(-1)] : padded(steps[0], steps[0]);
  const across = width - MARGIN.left - MARGIN.right;
  const up = PLOT_HEIGHT - MARGIN.top - MARGIN.bottom;
  return {
    x: (step) => MARGIN.left + (across * (step - first)) / (last - first),
    y: (value) => MARGIN.top + (up * (high - value)) / (high - low),
    stepAt: (x) => first + ((x - MARGIN.left) / across) * (last - first),
    width,
    steps: steps.length > 1 ? ticks(first, last, Math.max(2, width / 70)) : steps,
    values: ticks(low, high, 4),
  };
}

function padded(low, high, fixed) {
  const room = high > low ? 0.06 * (high - low) : 0.5 * Math.abs(high) || 1;
  return [low === fixed ? low : low - room, high + room];
}

/** About `count` round numbers between low and high. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((times) => times * power >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const numbers = [];
  for (let i = first; i * step <= high + 1e-9 * step; i++) numbers.push(i * step);
  return numbers;
}

function axes(scale) {
  const bottom = PLOT_HEIGHT - MARGIN.bottom;
  const right = scale.width - MARGIN.right;
  const atEnd = { x: MARGIN.left - 6, class: "at-end" };
  const rows = scale.values.flatMap((value) => [
    draw("path", { class: "rule", d: `M${MARGIN.left} ${scale.y(value)}H${right}` }),
    draw("text", { ...atEnd, y: scale.y(value) + 4 }, shown(value)),
  ]);
  const columns = scale.steps.map((step) => {
    const isLast = scale.x(step) > right - 24;
    const position = { x: isLast ? right : scale.x(step), class: isLast ? "at-end" : "at-middle" };
    return draw("text", { ...position, y: bottom + 17 }, shown(step));
  });
  return [...rows, ...columns, draw("text", { ...atEnd, y: bottom + 17 }, "step")];
}

/** A run's line. A missing value breaks it; a value without neighbours is drawn as a dot. */
function curve(line, scale) {
  const pieces = [[]];
  for (const [step, value] of line.points) {
    if (value === null) pieces.push([]);
    else pieces.at(-1).push([scale.x(step), scale.y(value)]);
  }
  const joined = (piece) => piece.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
  const d = pieces.filter((p) => p.length > 1).map((p) => `M${joined(p)}`).join("");
  const group = draw("g", { class: "curve" }, draw("path", { d }));
  for (const [[x, y]] of pieces.filter((p) => p.length === 1)) {
    group.append(draw("circle", { cx: x, cy: y, r: 3 }));
  }
  group.style.setProperty("--colour", runColour(line.run));
  group.style.strokeDasharray = DASHES[line.run % DASHES.length];
  return group;
}

function drawCursor(plot, cursor) {
  const step = cursor.steps[cursor.at];
  const x = plot.scale.x(step);
  const ends = { x1: x, x2: x, y1: MARGIN.top, y2: PLOT_HEIGHT - MARGIN.bottom };
  const parts = cursor.moved ? [draw("line", ends)] : [];
  for (const line of plot.lines) {
    const [at, value] = valueAt(line, step) ?? [step, null];
    if (value === null) continue;
    const dot = draw("circle", { cx: plot.scale.x(at), cy: plot.scale.y(value), r: 3.5 });
    dot.style.fill = runColour(line.run);
    parts.push(dot);
  }
  plot.cursor.replaceChildren(...parts);
}
