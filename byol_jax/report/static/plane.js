// A plane of points on a canvas that pointer and keys move, zoom and select from.

const REACH = { mouse: 12, touch: 24 }; // pixels: largest distance from the pointer to a point
const MAX_ZOOM = 80;
const EDGE = 18;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * handlers: {hover(i or null, x, y), focus(i), select(i)}, called for the reader's actions.
 * set() supplies the points [[x, y]], the group of each point, the colours of the groups, and
 * picture(context, i, x, y, side), which draws one image.
 */
class Plane {
  constructor(canvas, handlers) {
    Object.assign(this, { canvas, handlers, points: [], groups: [], colours: [], near: [] });
    Object.assign(this, { selected: null, focused: null, hovered: null, only: null });
    this.pictures = false;
    this.reset();
    listenToPointers(this);
    listenToKeys(this);
    new ResizeObserver(() => this.redraw()).observe(canvas);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.redraw());
  }

  set({ points, groups, colours, picture }) {
    Object.assign(this, { points, groups, colours, picture, hovered: null });
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    this.box = [xs, ys].map((values) => [Math.min(...values), Math.max(...values)]);
    this.reset();
  }

  reset() {
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
    this.moved();
  }

  /** The position of a point in the canvas. Both axes have the same scale. */
  position(i) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [[left, right], [low, high]] = this.box;
    const across = (width - 2 * EDGE) / (right - left || 1);
    const unit = this.zoom * Math.min(across, (height - 2 * EDGE) / (high - low || 1));
    const [x, y] = this.points[i];
    return [
      width / 2 + this.x + unit * (x - (left + right) / 2),
      height / 2 + this.y - unit * (y - (low + high) / 2),
    ];
  }

  enlarge(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    const [fromX, fromY] = [x - this.canvas.clientWidth / 2, y - this.canvas.clientHeight / 2];
    this.x = fromX - ((fromX - this.x) * zoom) / this.zoom;
    this.y = fromY - ((fromY - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.moved();
  }

  move(x, y) {
    this.x += x;
    this.y += y;
    this.moved();
  }

  /** Limits the offset to half of the plane. In a zoomed plane, a finger moves it, not the page. */
  moved() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.x = clamped(this.x, 0.5 * width * this.zoom);
    this.y = clamped(this.y, 0.5 * height * this.zoom);
    this.canvas.style.touchAction = this.zoom > 1 ? "none" : "pan-y";
    this.redraw();
  }

  isShown(i) {
    return this.only === null || this.groups[i] === this.only;
  }

  /** The nearest point within `reach` of a position, or null. */
  at(x, y, reach) {
    return this.least((i) => {
      const [left, top] = this.position(i);
      const distance = Math.hypot(left - x, top - y);
      return distance <= reach ? distance : Infinity;
    });
  }

  /** The nearest point whose direction is within 45 degrees of the given one, or null. */
  towards(from, [right, down]) {
    const [x, y] = this.position(from);
    return this.least((i) => {
      const [dx, dy] = [this.position(i)[0] - x, this.position(i)[1] - y];
      const along = dx * right + dy * down;
      const aside = Math.abs(dx * down - dy * right);
      return along > 0 && aside <= along ? along + aside : Infinity;
    });
  }

  least(cost) {
    let best = null;
    let lowest = Infinity;
    for (let i = 0; i < this.points.length; i++) {
      const value = this.isShown(i) ? cost(i) : Infinity;
      if (value < lowest) [best, lowest] = [i, value];
    }
    return best;
  }

  /** Moves the plane if a point is outside the canvas. */
  reveal(i) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const [x, y] = this.position(i);
    if (x < 0 || y < 0 || x > width || y > height) this.move(width / 2 - x, height / 2 - y);
    this.redraw();
  }

  hover(i) {
    if (i === null && this.hovered === null) return;
    this.hovered = i;
    this.handlers.hover(i, ...(i === null ? [] : this.position(i)));
    this.redraw();
  }

  redraw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      if (this.points.length) paint(this);
    });
  }
}

function clamped(value, most) {
  return Math.min(most, Math.max(-most, value));
}

/** The position of an event in the canvas, in pixels. */
function positionOf(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left - canvas.clientLeft, event.clientY - box.top - canvas.clientTop];
}

function reachOf(event) {
  return REACH[event.pointerType] ?? REACH.mouse;
}

function listenToPointers(plane) {
  const { canvas } = plane;
  const down = new Map(); // the position of each pressed pointer
  let travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (!down.size) travelled = 0;
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, positionOf(event, canvas));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = positionOf(event, canvas);
    const before = down.get(event.pointerId);
    if (!before) return plane.hover(plane.at(...now, reachOf(event)));
    const others = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (travelled > 4) drag(plane, before, now, others[0]);
    down.set(event.pointerId, now);
  });
  canvas.addEventListener("pointerup", (event) => {
    const reach = reachOf(event);
    if (!down.delete(event.pointerId) || down.size || travelled > reach / 2) return;
    const i = plane.at(...positionOf(event, canvas), reach);
    if (i !== null) plane.handlers.select(i);
    plane.hover(i);
  });
  canvas.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") plane.hover(null); // lifting a finger also counts as leaving
  });
  canvas.addEventListener("wheel", (event) => turnWheel(plane, event), { passive: false });
}

/** Moves the plane with one finger; zooms it too if a second finger rests. */
function drag(plane, before, now, resting) {
  plane.hover(null);
  const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
  if (!resting) return plane.move(dx, dy);
  const apart = ([x, y]) => Math.hypot(x - resting[0], y - resting[1]) || 1;
  const middle = [(now[0] + resting[0]) / 2, (now[1] + resting[1]) / 2];
  plane.enlarge(apart(now) / apart(before), ...middle);
  plane.move(dx / 2, dy / 2);
}

/** Zooms only a focused map, so that scrolling the page over the map still works. */
function turnWheel(plane, event) {
  if (!event.ctrlKey && document.activeElement !== plane.canvas) return;
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode ? 16 : 1);
  const factor = Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)); // a pinch comes in fine steps
  plane.enlarge(factor, ...positionOf(event, plane.canvas));
  plane.hover(null);
}

function listenToKeys(plane) {
  const keys = {
    "+": () => plane.enlarge(1.5),
    "=": () => plane.enlarge(1.5),
    "-": () => plane.enlarge(1 / 1.5),
    0: () => plane.reset(),
    Escape: () => plane.hover(null),
    Enter: () => plane.focused !== null && plane.handlers.select(plane.focused),
    " ": () => plane.focused !== null && plane.handlers.select(plane.focused),
  };
  plane.canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in ARROWS) walk(plane, ARROWS[event.key]);
    else if (event.key in keys) keys[event.key]();
    else return;
    event.preventDefault();
  });
  plane.canvas.addEventListener("blur", () => plane.hover(null));
}

/** Moves the keyboard focus to the next point in a direction, first from the selected point. */
function walk(plane, direction) {
  const start = plane.focused ?? plane.selected ?? 0;
  const next = plane.towards(start, direction) ?? start;
  plane.focused = next;
  plane.reveal(next);
  plane.handlers.focus(next);
  plane.hover(next);
}
