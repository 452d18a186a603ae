// The section of the feature map: images as points, with their classes and a card for each image.

const CLASS_COLOURS = 10;
const MAX_BUTTONS = 24; // for classes; more classes get a drop-down list
const NOTES = {
  PCA: "the two directions of largest variance",
  UMAP: "nearby points have similar features, but distances between groups mean little",
};

async function map() {
  const maps = RUNS.flatMap((run, number) => (run.map ? [{ run: number, ...run.map }] : []));
  if (!maps.length) return;
  await Promise.all([...new Set(maps.map((entry) => DATA.pictures[entry.pictures]))].map(load));
  const state = { maps, at: 0, projection: 0, search: { text: "", match: 0 } };
  for (const name of ["controls", "card", "caption", "legend", "panel", "status"]) {
    state[name] = make("div", { className: `map-${name}` });
  }
  state.card.hidden = true;
  state.status.setAttribute("aria-live", "polite");
  state.plane = new Plane(planeCanvas(), {
    hover: (i, x, y) => showCard(state, i, x, y),
    focus: (i) => (state.status.textContent = described(current(state).pictures, i)),
    select: (i) => select(state, i),
  });
  const box = make("div", { className: "map-box" }, state.plane.canvas, state.card, buttons(state));
  const left = make("div", {}, box, state.caption, state.legend);
  const grid = make("div", { className: "map-grid" }, left, state.panel);
  fill("map", state.controls, grid, state.status);
  showMap(state);
  window.mapPosition = (i) => onScreen(state.plane, i);
}

/** Decodes a sprite. If that fails, the page shows no images but still works. */
async function load(pictures) {
  const image = new Image();
  image.src = pictures.sprite;
  pictures.image = await image.decode().then(() => image, () => null);
}

function planeCanvas() {
  const canvas = make("canvas", { id: "plane", tabIndex: 0, role: "application" });
  canvas.setAttribute("aria-roledescription", "map");
  canvas.setAttribute("aria-describedby", "map-keys");
  return canvas;
}

function buttons(state) {
  const { plane } = state;
  const button = (textContent, title, onclick) =>
    make("button", { type: "button", textContent, title, "aria-label": title, onclick });
  return make(
    "div",
    { className: "map-buttons" },
    button("+", "Zoom in", () => plane.enlarge(1.5)),
    button("−", "Zoom out", () => plane.enlarge(1 / 1.5)),
    button("all", "Show all points", () => plane.reset()),
  );
}

/** The position of a point in the window. */
function onScreen(plane, i) {
  const box = plane.canvas.getBoundingClientRect();
  const [x, y] = plane.position(i);
  return [box.left + plane.canvas.clientLeft + x, box.top + plane.canvas.clientTop + y];
}

function current(state) {
  const entry = state.maps[state.at];
  return { ...entry, pictures: DATA.pictures[entry.pictures], set: entry.pictures };
}

/** Fills the whole section: at the start, and when a run with other images is chosen. */
function showMap(state) {
  const { pictures } = current(state);
  showControls(state);
  showLegend(state, pictures);
  showProjection(state);
  select(state, 0);
}

function showControls(state) {
  const runs = state.maps.map((entry) => RUNS[entry.run].name);
  const names = current(state).projections.map(([name]) => name);
  state.controls.replaceChildren(
    ...runChoice(state, runs),
    ...choice("Projection", names, (i) => showProjection(state, i)),
    pictureBox(state),
    finder(state),
  );
}

function runChoice(state, names) {
  const labels = choice("Run", names, (i) => changeRun(state, i));
  if (labels.length) labels[0].querySelector("select").value = state.at;
  return labels;
}

/** Shows another run. The selection stays if that run has the same images. */
function changeRun(state, at) {
  const before = current(state).set;
  Object.assign(state, { at, projection: 0 });
  if (current(state).set !== before) return showMap(state);
  showControls(state);
  showProjection(state);
  select(state, state.plane.selected);
  state.controls.querySelector("select").focus();
}

function pictureBox(state) {
  const box = make("input", { type: "checkbox", checked: state.plane.pictures });
  box.addEventListener("change", () => {
    state.plane.pictures = box.checked;
    state.plane.redraw();
  });
  return make("label", { className: "choice" }, box, "Show images instead of points");
}

function showProjection(state, at = 0) {
  state.projection = at;
  const { run, projections, pictures, explained } = current(state);
  const [name, points] = projections[at];
  const groups = pictures.labels ?? points.map(() => 0);
  const colours = classNames(pictures).map((_, i, all) => classColour(i, all.length));
  const picture = (context, i, x, y, side) => paintTile(context, pictures, i, x, y, side);
  state.plane.set({ points, groups, colours, picture });
  const owner = SEVERAL ? ` of ${RUNS[run].name}` : "";
  const label = `${name}${owner}: map of ${points.length} images by their features`;
  state.plane.canvas.setAttribute("aria-label", label);
  const isShare = name === "PCA" && explained !== null;
  const share = isShare ? ` (${percent(explained, 0)} % of the total)` : "";
  const note = NOTES[name] ? `: ${NOTES[name]}${share}` : "";
  const keys = make("span", { id: "map-keys" }, KEYS);
  state.caption.replaceChildren(make("p", {}, `${name}${owner}${note}. `, keys));
}

const KEYS =
  "Click a point to select it. Drag to move the map. Pinch, or turn the wheel after a click, to " +
  "zoom. Keys: arrows move to the next point, Enter selects it, + and − zoom, 0 shows all points.";

// ---- classes

function classNames({ labels, classes }) {
  if (!labels) return [""];
  const most = labels.reduce((a, b) => Math.max(a, b), 0);
  return classes ?? Array.from({ length: most + 1 }, (_, label) => String(label));
}

/** One of ten colours that colour-blind readers can tell apart, or a hue for more classes. */
function classColour(i, count) {
  if (count <= CLASS_COLOURS) return `var(--class-${i})`;
  return `hsl(${Math.round((i * 360) / count)} 60% var(--class-light${i % 2}))`;
}

function className(pictures, i) {
  return pictures.labels ? classNames(pictures)[pictures.labels[i]] : null;
}

function showLegend(state, pictures) {
  state.plane.only = null;
  state.legend.replaceChildren();
  if (!pictures.labels) return;
  const names = classNames(pictures);
  const labels = [...new Set(pictures.labels)].sort((a, b) => a - b);
  if (labels.length > MAX_BUTTONS) {
    const options = ["all", ...labels.map((label) => names[label])];
    const change = (i) => showOnly(state, i ? labels[i - 1] : null);
    return state.legend.append(...choice("Class", options, change));
  }
  for (const label of labels) state.legend.append(classButton(state, label, names));
}

function classButton(state, label, names) {
  const dot = make("span", { className: "dot", "aria-hidden": "true" });
  dot.style.background = classColour(label, names.length);
  const button = make("button", { type: "button", "aria-pressed": "false" }, dot, names[label]);
  button.addEventListener("click", () => {
    const pressed = button.getAttribute("aria-pressed") === "true";
    for (const other of state.legend.children) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(!pressed));
    showOnly(state, pressed ? null : label);
  });
  return button;
}

function showOnly(state, label) {
  state.plane.only = label;
  state.plane.redraw();
}

// ---- images

function paintTile(context, pictures, i, x, y, side) {
  if (!pictures.image) return;
  const { tile, columns } = pictures;
  const from = [(i % columns) * tile, Math.floor(i / columns) * tile, tile, tile];
  context.drawImage(pictures.image, ...from, x, y, side, side);
}

function thumbnail(pictures, i) {
  const { tile } = pictures;
  const coarse = tile < 48 ? " coarse" : "";
  const size = { width: tile, height: tile, className: `picture${coarse}` };
  const canvas = make("canvas", { ...size, "aria-hidden": "true" });
  paintTile(canvas.getContext("2d"), pictures, i, 0, 0, tile);
  return canvas;
}

/** The name and the class of an image. */
function described(pictures, i) {
  return [pictures.names[i], className(pictures, i)].filter((text) => text !== null).join(", ");
}

/** Texts below each other, the first one emphasized; null is left out. */
function lines(...texts) {
  const present = texts.filter((text) => text !== null);
  return present.map((text, i) => make("span", { className: i ? "" : "name", title: text }, text));
}

function fileName(path) {
  return path.split(/[\\/]/).at(-1) || path;
}

/** Shows the image under the pointer on a card next to it, within the map. */
function showCard(state, i, x, y) {
  state.card.hidden = i === null;
  if (i === null) return;
  const { pictures } = current(state);
  const text = lines(pictures.names[i], className(pictures, i));
  state.card.replaceChildren(thumbnail(pictures, i), ...text);
  const { clientWidth: width, clientHeight: height } = state.plane.canvas;
  const [w, h] = [state.card.offsetWidth, state.card.offsetHeight];
  state.card.style.left = `${x + w + 16 > width ? Math.max(0, x - w - 12) : x + 14}px`;
  state.card.style.top = `${Math.max(0, Math.min(y - h / 2, height - h))}px`;
}
