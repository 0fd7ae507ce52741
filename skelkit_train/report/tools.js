// Elements, words for numbers, colours, and pictures that answer the pointer.
const report = data.report;
function add(parent, tag, attributes = {}, ...content) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  parent.append(made);
  return made;
}
const percent = (share, digits = 1) => (share === null || share === undefined ? "" : `${(100 * share).toFixed(digits)} %`);
const number = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4))));
const rough = (share) => `${Number((100 * share).toFixed(1))} %`;
const counted = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const written = (value) => (Array.isArray(value) ? value.map(written).join(", ") : value === "" ? "none" : String(value));

const PALETTE = {
  light: ["#2f6fde", "#d4621c", "#0f9f8f", "#c2409a", "#8a6d00", "#7a4fd0", "#4a8a1f", "#c8402f", "#2a8fb5", "#6b7480"],
  dark: ["#6ea8ff", "#ff9d5c", "#3fd0bd", "#ec7cc8", "#e0bf4a", "#b79bff", "#93d068", "#ff8071", "#6fcbe8", "#aab4bf"],
};
function hue(k, of) {
  const scheme = dark.matches ? "dark" : "light";
  if (of <= PALETTE[scheme].length) return PALETTE[scheme][k];
  const lightness = (dark.matches ? [72, 60, 82] : [45, 58, 34])[k % 3];  // neighbours in hue differ in it
  return `hsl(${(k * 137.508) % 360} 65% ${lightness}%)`;
}
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function note(event, text) {
  const place = element("note");
  place.hidden = !text;
  place.textContent = text;
  const { offsetWidth: width, offsetHeight: height } = place;
  place.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8))}px`;
  place.style.top = `${event.clientY + 20 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 20}px`;
}
addEventListener("scroll", (event) => note(event, ""), { passive: true });
function explained(target, text) {
  target.addEventListener("pointermove", (event) => note(event, text(event)));
  target.addEventListener("pointerdown", (event) => note(event, text(event)));
  target.addEventListener("pointerleave", (event) => note(event, ""));
  return target;
}

// A canvas that paints itself again when its size or the colours change; `told` is what the pointer is told.
function picture(parent, kind, label, paint, told) {
  const canvas = add(parent, "canvas", { class: `chart ${kind}`, role: "img", "aria-label": label });
  const redraw = () => {
    const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !canvas.isConnected) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = "12px system-ui, sans-serif";
    pen.lineCap = pen.lineJoin = "round";
    paint(pen, width, height);
  };
  new ResizeObserver(redraw).observe(canvas);
  dark.addEventListener("change", redraw);
  explained(canvas, (event) => told(event.offsetX, event.offsetY, canvas.clientWidth, canvas.clientHeight));
  return redraw;
}
