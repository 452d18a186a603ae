// Elements that all sections use. Text is always inserted as text, never as HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs;
const SEVERAL = RUNS.length > 1;
const RUN_COLOURS = 6;
const DASHES = ["", "7 4", "2 3", "9 3 2 3"]; // with 6 colours, 12 runs look different

/** Makes an HTML element. Names that are not properties of the element become attributes. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const NAMESPACE = document.getElementById("drawing").content.firstElementChild.namespaceURI;

/** Makes an SVG element, which has attributes only. */
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Fills a section of the page and shows it. */
function fill(id, ...children) {
  const section = document.getElementById(id);
  section.append(...children);
  section.hidden = false;
}

/** Makes a scrollable box for wide contents. It takes keyboard focus if its contents overflow. */
function scrolling(label, ...children) {
  const properties = { className: "scrolling", role: "group", "aria-label": label };
  const box = make("div", properties, ...children);
  const check = () => (box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1);
  new ResizeObserver(check).observe(box);
  return box;
}

/** Formats a number with about four digits, short enough for a label. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0"; // also for -0
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e9) return minus(value.toExponential(1));
  const options = size >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 };
  return minus(value.toLocaleString("en", options));
}

function minus(text) {
  return text.replaceAll("-", "−");
}

function percent(fraction, digits = 1) {
  return (100 * fraction).toFixed(digits);
}

function runColour(number) {
  return `var(--run-${number % RUN_COLOURS})`;
}

/** Makes a short sample of the run's line in the curves, for legends. */
function swatch(number) {
  const line = draw("line", { x1: 1, y1: 5, x2: 27, y2: 5, "stroke-width": 2.5 });
  line.style.stroke = runColour(number);
  line.style.strokeDasharray = DASHES[number % DASHES.length];
  const size = { width: 28, height: 10, viewBox: "0 0 28 10", class: "swatch" };
  return draw("svg", { ...size, "aria-hidden": "true" }, line);
}

function runName(number) {
  const text = RUNS[number].name;
  const name = make("span", { className: "run-name", textContent: text, title: text });
  return SEVERAL ? make("span", { className: "run" }, swatch(number), name) : name;
}

/** Makes a labelled drop-down list; [] for fewer than 2 options. change(i) receives the choice. */
function choice(label, options, change) {
  if (options.length < 2) return [];
  const select = make("select");
  options.forEach((text, i) => select.append(make("option", { value: i, textContent: text })));
  select.addEventListener("change", () => change(Number(select.value)));
  return [make("label", { className: "choice" }, label, select)];
}

/** Makes a table from the titles of the columns and from rows that start with their name. */
function table(caption, titles, rows) {
  const head = titles.map((title) => make("th", { scope: "col" }, title));
  const body = rows.map(([name, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((c) => make("td", {}, c))),
  );
  return make(
    "table",
    {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...body),
  );
}

/** Replaces the style sheet's variables in a colour by their values, for use in a canvas. */
function resolved(colour) {
  const style = getComputedStyle(document.documentElement);
  return colour.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
}
