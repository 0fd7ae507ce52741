// The skeletons on their canvases: the same projection as skelkit/preview/stage.py, with the angles free.
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const original = data.original, views = data.views, total = original.frames;
const state = {
  view: views[0], time: 0.5, playing: !calm.matches, own: false, within: false, overlay: false, names: false,
  speed: 1, yaw: data.yaw, pitch: data.pitch, zoom: 1, joint: -1, stale: true,
};

for (const panel of [original, ...views]) {
  const bytes = Uint8Array.from(atob(panel.data), (letter) => letter.charCodeAt(0));
  const whole = new DataView(bytes.buffer);
  panel.values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < panel.values.length; i++) panel.values[i] = whole.getInt16(2 * i, true) * panel.step;
  panel.isMarked = data.joints.map((_, v) => panel.marked.includes(v));
}

// ---- geometry
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
function camera() {
  const [side, up, front] = data.axes;
  const cy = Math.cos(state.yaw), sy = Math.sin(state.yaw), cp = Math.cos(state.pitch), sp = Math.sin(state.pitch);
  const level = front.map((f, k) => cy * f + sy * side[k]);
  return [
    side.map((s, k) => cy * s - sy * front[k]),
    up.map((u, k) => cp * u - sp * level[k]),
    level.map((l, k) => cp * l + sp * up[k]),
  ];
}
function scale(panel, width, height) {
  // Both sides at one scale, at which the view fits as well, unless the original would be too small to see.
  const most = panel === original ? 2 : Infinity;
  const [across, up] = original.extent.map((x, k) => Math.min(Math.max(x, state.view.extent[k]), most * x));
  return 0.45 * Math.min(width / across, height / up);
}
function projector(panel, centre, width, height) {
  const axes = camera(), metre = state.zoom * scale(panel, width, height);
  return (point) => {
    const from = point.map((x, k) => x - centre[k]);
    return [width / 2 + metre * dot(axes[0], from), height / 2 - metre * dot(axes[1], from), dot(axes[2], from)];
  };
}
function points(panel, frame, body) {
  return data.joints.map((_, v) => {
    const at = ((frame * panel.bodies + body) * data.joints.length + v) * 3;
    return [panel.values[at], panel.values[at + 1], panel.values[at + 2]];
  });
}
function bodiesIn(panel, frame) {
  return [...Array(panel.bodies).keys()].filter((body) => panel.present[frame * panel.bodies + body] === "1");
}

// ---- drawing
const shown = { left: [], right: [] };  // where the joints are on the canvas, for the pointer
function draw(canvas, panel, frame, absent) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d"), colours = data.colours[dark.matches ? "dark" : "light"];
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineCap = pen.lineJoin = "round";
  const place = projector(panel, panel.centre, width, height);
  const thick = Math.max(2.5, Math.min(width, height) / 75 * Math.sqrt(state.zoom));
  ground(pen, panel, place, colours);
  triad(pen, height, colours);
  size(pen, panel, width, height, colours);
  shown[canvas.id] = [];
  pen.font = "15px system-ui, sans-serif";
  pen.textAlign = "center";
  if (frame < 0) return sign(pen, width, height, absent, colours);
  if (state.overlay && panel !== original)
    behind(pen, projector(panel, original.centre, width, height), frame, thick, colours);
  const bodies = bodiesIn(panel, frame);
  if (!bodies.length) return sign(pen, width, height, "empty frame", colours);
  const drawn = bodies.map((body) => {
    const at = points(panel, frame, body);
    shadow(pen, panel, at, place, thick, colours);
    return { body, at: at.map(place) };
  });
  const depth = ({ at }) => at.reduce((sum, p) => sum + p[2], 0);
  for (const { body, at } of drawn.sort((a, b) => depth(a) - depth(b))) {
    skeleton(pen, panel, body, at, thick, colours);
    if (original.bodies > 1) {
      const top = at.reduce((best, p) => (p[1] < best[1] ? p : best));
      label(pen, String(body + 1), top[0], top[1] - 14, colours);
    }
    at.forEach((p, v) => shown[canvas.id].push([p[0], p[1], v]));
  }
  for (const { at } of drawn)
    for (let v = 0; v < at.length; v++)
      if (state.names || v === state.joint) label(pen, data.joints[v], at[v][0], at[v][1] - 11, colours, v === state.joint);
}
function behind(pen, place, frame, thick, colours) {
  const below = Math.floor(state.view.moments[frame]), share = state.view.moments[frame] - below;
  for (const body of bodiesIn(original, below)) {
    const first = points(original, below, body), second = points(original, Math.min(below + 1, total - 1), body);
    const at = first.map((p, v) => place(p.map((x, k) => x + share * (second[v][k] - x))));
    for (const [a, b] of data.bones) line(pen, at[a], at[b], colours.behind, 0.7 * thick);
  }
}
function sign(pen, width, height, text, colours) {
  pen.fillStyle = colours.muted;
  pen.fillText(text, width / 2, height / 2, width - 12);
}
function line(pen, a, b, colour, width) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.beginPath();
  pen.moveTo(a[0], a[1]);
  pen.lineTo(b[0], b[1]);
  pen.stroke();
}
function disc(pen, p, radius, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(p[0], p[1], radius, 0, 2 * Math.PI);
  pen.fill();
}
function label(pen, text, x, y, colours, strong) {
  pen.font = (strong ? "600 13px" : "11px") + " system-ui, sans-serif";
  pen.lineWidth = 4;
  pen.strokeStyle = colours.back;
  pen.strokeText(text, x, y);
  pen.fillStyle = strong ? colours.ink : colours.muted;
  pen.fillText(text, x, y);
}
function ground(pen, panel, place, colours) {
  const [side, up, front] = data.axes, reach = Math.ceil(data.radius / data.grid) * data.grid;
  const point = (a, b) => panel.centre.map((c, k) => c + data.ground * up[k] + a * side[k] + b * front[k]);
  for (let step = -reach; step < reach + data.grid / 2; step += data.grid) {
    line(pen, place(point(step, -reach)), place(point(step, reach)), colours.grid, 1);
    line(pen, place(point(-reach, step)), place(point(reach, step)), colours.grid, 1);
  }
}
function triad(pen, height, colours) {
  const axes = camera(), middle = [34, height - 32];
  pen.textAlign = "center";
  ["x", "y", "z"].forEach((name, k) => {
    const end = [middle[0] + 20 * axes[0][k], middle[1] - 20 * axes[1][k]];
    line(pen, middle, end, colours.muted, 1.5);
    label(pen, name, middle[0] + 28 * axes[0][k], middle[1] - 28 * axes[1][k] + 4, colours);
  });
}
function size(pen, panel, width, height, colours) {
  const share = Math.round(100 * scale(panel, width, height) / scale(original, width, height));
  if (share > 98) return;
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "right";
  pen.fillStyle = colours.muted;
  pen.fillText(`${share} % of the size`, width - 10, height - 12);
}
function shadow(pen, panel, at, place, thick, colours) {
  const up = data.axes[1];
  const fallen = at.map((p) => {
    const height = dot(up, p) - dot(up, panel.centre) - data.ground;
    return place(p.map((x, k) => x - height * up[k]));
  });
  for (const [a, b] of data.bones) line(pen, fallen[a], fallen[b], colours.shadow, thick);
}
function skeleton(pen, panel, body, at, thick, colours) {
  const shades = colours.bodies[body % 2];
  const depth = ([a, b]) => at[a][2] + at[b][2];
  for (const [a, b] of data.bones) line(pen, at[a], at[b], colours.back, thick + 3);
  for (const [a, b] of [...data.bones].sort((p, q) => depth(p) - depth(q)))
    line(pen, at[a], at[b], shades[Math.min(data.side[a], data.side[b])], thick);
  const order = at.map((_, v) => v).sort((a, b) => at[a][2] - at[b][2]);
  for (const v of order) {
    const shade = shades[data.side[v]];
    if (v === state.joint) disc(pen, at[v], 1.5 * thick, colours.ink);
    if (panel.isMarked[v]) {
      disc(pen, at[v], 0.85 * thick + 1.5, colours.ink);
      disc(pen, at[v], 0.85 * thick, colours.mark);
    } else {
      disc(pen, at[v], 0.75 * thick, shade);
      if (body % 2) disc(pen, at[v], 0.4 * thick, colours.back);
    }
  }
}
