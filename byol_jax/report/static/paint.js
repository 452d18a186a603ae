// Draws a plane: its points, or images instead, and rings around the marked points.

const RADIUS = 3.2;

function paint(plane) {
  const { canvas } = plane;
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const all = plane.points.map((_, i) => i);
  const inside = all.filter((i) => isInside(plane.position(i), width, height));
  const front = inside.filter((i) => plane.isShown(i));
  context.globalAlpha = 0.12;
  if (front.length < inside.length) paintPoints(plane, context, inside);
  context.globalAlpha = plane.pictures ? 1 : 0.85;
  if (plane.pictures) paintPictures(plane, context, front);
  else paintPoints(plane, context, front);
  context.globalAlpha = 1;
  paintMarks(plane, context);
}

function isInside([x, y], width, height) {
  return x > -20 && y > -20 && x < width + 20 && y < height + 20;
}

function radius(plane) {
  return RADIUS * Math.min(2, plane.zoom ** 0.25);
}

/** Draws points, with one path per group: a canvas draws few long paths fastest. */
function paintPoints(plane, context, indices) {
  const size = radius(plane);
  const paths = plane.colours.map(() => new Path2D());
  for (const i of indices) {
    const [x, y] = plane.position(i);
    paths[plane.groups[i]].moveTo(x + size, y);
    paths[plane.groups[i]].arc(x, y, size, 0, 2 * Math.PI);
  }
  paths.forEach((path, group) => {
    context.fillStyle = resolved(plane.colours[group]);
    context.fill(path);
  });
}

function pictureSide(plane) {
  return Math.min(48, 14 * plane.zoom ** 0.4);
}

function paintPictures(plane, context, indices) {
  const side = pictureSide(plane);
  const colours = plane.colours.map(resolved);
  for (const i of indices) {
    const [left, top] = plane.position(i).map((middle) => middle - side / 2);
    context.fillStyle = colours[plane.groups[i]];
    context.fillRect(left - 1.5, top - 1.5, side + 3, side + 3);
    plane.picture(context, i, left, top, side);
  }
}

/** Draws rings around the selected point, its neighbours, and the points under pointer and keys. */
function paintMarks(plane, context) {
  const size = plane.pictures ? 0.75 * pictureSide(plane) : radius(plane);
  context.strokeStyle = resolved("var(--ink)");
  const ring = (i, gap, width, dash = []) => {
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    context.arc(...plane.position(i), size + gap, 0, 2 * Math.PI);
    context.stroke();
  };
  if (plane.selected !== null) {
    const start = plane.position(plane.selected);
    context.lineWidth = 1;
    context.beginPath();
    for (const i of plane.near) {
      context.moveTo(...start);
      context.lineTo(...plane.position(i));
    }
    context.globalAlpha = 0.55;
    context.stroke();
    context.globalAlpha = 1;
    for (const i of plane.near) ring(i, 1, 1.25);
    ring(plane.selected, 4, 3);
  }
  if (plane.hovered !== null) ring(plane.hovered, 2.5, 2);
  if (plane.focused !== null && document.activeElement === plane.canvas) {
    ring(plane.focused, 7, 1.5, [3, 3]);
  }
}
