// The controls, and the clock.
function frameAt(view, time) {
  if (state.own) return time < view.frames ? Math.floor(time) : -1;
  if (time < view.start || time >= view.start + view.length) return -1;
  const frame = Math.min(Math.floor((time - view.start) * view.frames / view.length), view.frames - 1);
  return view.backwards ? view.frames - 1 - frame : frame;
}
function timeOf(view, frame) {
  if (state.own) return frame + 0.5;
  const place = view.backwards ? view.frames - 1 - frame : frame;
  return view.start + (place + 0.5) * view.length / view.frames;
}
function end() {
  return state.own ? Math.max(total, state.view.frames) : total;
}
function clock(frame, panel) {
  return `frame ${frame} / ${panel.frames - 1}`;
}
function show() {
  const now = Math.floor(state.time), frame = now < total ? now : -1, view = frameAt(state.view, state.time);
  draw(element("left"), original, frame, "over");
  draw(element("right"), state.view, view, state.own ? "over" : "left out: not in the window");
  element("time").max = end() - 1;
  element("time").value = now;
  element("time").setAttribute("aria-valuetext", `frame ${now} of ${end()}`);
  element("left-frame").textContent = frame < 0 ? "over" : `${clock(frame, original)} \u00b7 ${(frame / data.fps).toFixed(2)} s`;
  element("right-frame").textContent = view >= 0 ? clock(view, state.view) : state.own ? "over" : "left out";
  element("play").textContent = state.playing ? "pause" : "play";
  showNow(state.view, view);
  Object.assign(document.body.dataset, {
    frame, viewFrame: view, augmentation: state.view.title, playing: state.playing, own: state.own,
    look: [state.yaw, state.pitch, state.zoom].map((x) => x.toFixed(2)).join(" "),
  });
}
function choose(view) {
  state.view = view;
  for (const tab of element("tabs").children) {
    tab.setAttribute("aria-selected", String(tab.textContent === view.title));
    tab.tabIndex = tab.textContent === view.title ? 0 : -1;
    if (tab.tabIndex === 0) {
      const tabs = element("tabs");
      tabs.scrollLeft = tab.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - tab.offsetWidth) / 2;
    }
  }
  element("view-name").textContent = view.title;
  element("about").textContent = view.about;
  element("ranges").textContent = view.ranges;
  element("away").textContent = `The view lies ${view.away} m away from the original; here it is brought to the middle.`;
  element("away").hidden = view.away === 0;
  element("taken").style.left = `${100 * view.start / total}%`;
  element("taken").style.width = `${100 * view.length / total}%`;
  const last = Math.ceil(view.start + view.length) - 1;
  element("window").setAttribute("aria-label", `the view takes frames ${Math.floor(view.start)} to ${last} of ${total}`);
  set("own", view.ownClock);
  parameters(view);
  bones(view.effect);
  moved(view);
}
function point(v) {
  if (v !== state.joint) state.stale = true;
  state.joint = v;
}
function legend() {
  const place = element("legend"), colours = data.colours[dark.matches ? "dark" : "light"];
  place.replaceChildren();
  const entry = (text, colour, kind) => {
    const item = make("span", "", place);
    make("i", "", item, kind).style.background = colour;
    item.append(text);
  };
  for (let body = 0; body < Math.min(original.bodies, 2); body++)
    ["left", "right", "trunk"].forEach((text, k) =>
      entry(original.bodies > 1 ? `${text} of person ${body + 1}` : text, colours.bodies[body][k]));
  if (views.some((view) => view.marked.length)) entry("joint that was chosen", colours.mark, "dot");
  make("span", "blue bar under the slider: the frames that the view takes", place);
}
function range() {
  if (state.own || !state.within) return [0, end()];
  return [state.view.start, state.view.start + state.view.length];
}
function play(on) {
  state.playing = on;
  state.stale = true;
}
function go(time) {
  state.playing = false;
  state.time = Math.min(Math.max(time, 0.01), end() - 0.01);
  state.stale = true;
}
function goView(frame) {
  go(timeOf(state.view, Math.min(Math.max(frame, 0), state.view.frames - 1)));
}
function step(by, ofView) {
  if (ofView) goView(frameAt(state.view, state.time) + by);
  else go(Math.floor(state.time) + by + 0.5);
}
function set(name, on) {
  state[name] = on;
  element(name).setAttribute("aria-pressed", String(on));
  element("within").hidden = state.own || state.view.length === total;
  state.time = Math.min(state.time, end() - 0.01);
  state.stale = true;
}
const toggle = (name) => set(name, !state[name]);
function reset() {
  Object.assign(state, { yaw: data.yaw, pitch: data.pitch, zoom: 1, stale: true });
}
function turn(x, y) {
  state.yaw -= x * 0.01;
  state.pitch = Math.min(Math.max(state.pitch + y * 0.01, -1.5), 1.5);
  state.stale = true;
}
function zoom(by) {
  state.zoom = Math.min(Math.max(state.zoom * by, 0.2), 8);
  state.stale = true;
}

document.title = `${data.name} \u00b7 skelkit augment preview`;
element("name").textContent = data.name;
element("facts").textContent = data.facts.join(" \u00b7 ");
for (const view of views) {
  const tab = make("button", view.title, element("tabs"));
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", "panels");
  tab.addEventListener("click", () => choose(view));
}
element("play").addEventListener("click", () => play(!state.playing));
element("previous").addEventListener("click", () => step(-1, false));
element("next").addEventListener("click", () => step(1, false));
element("time").addEventListener("input", (event) => go(Number(event.target.value) + 0.5));
element("speed").addEventListener("change", (event) => { state.speed = Number(event.target.value); });
for (const name of ["own", "within", "overlay", "names"]) element(name).addEventListener("click", () => toggle(name));
element("reset").addEventListener("click", reset);
element("curve").addEventListener("pointerdown", (event) => {
  const box = element("curve").getBoundingClientRect();
  goView(Math.floor(state.view.frames * (event.clientX - box.left) / box.width));
});
for (const canvas of [element("left"), element("right")]) {
  const held = new Map();  // where each finger, or the mouse, was last
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId), now = [event.clientX, event.clientY];
    if (!before) return point(under(canvas, event.offsetX, event.offsetY));
    if (held.size === 1) turn(now[0] - before[0], now[1] - before[1]);
    const [other] = [...held].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    if (other) zoom(Math.hypot(now[0] - other[0], now[1] - other[1]) / Math.max(Math.hypot(before[0] - other[0], before[1] - other[1]), 1));
    held.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => held.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.001));
  }, { passive: false });
}
function under(canvas, x, y) {
  const near = shown[canvas.id].map(([a, b, v]) => [Math.hypot(a - x, b - y), v]);
  const [distance, v] = near.reduce((best, next) => (next[0] < best[0] ? next : best), [Infinity, -1]);
  return distance < 16 ? v : -1;
}
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  if (event.key === " " && event.target.tagName === "BUTTON") return;
  const number = Number(event.key), at = views.indexOf(state.view);
  if (event.key === " ") play(!state.playing);
  else if (event.key === "ArrowLeft") step(-1, event.shiftKey);
  else if (event.key === "ArrowRight") step(1, event.shiftKey);
  else if (event.key === "Home") go(0.5);
  else if (event.key === "End") go(end() - 0.5);
  else if (event.key === "c") toggle("own");
  else if (event.key === "o") toggle("overlay");
  else if (event.key === "n") toggle("names");
  else if (event.key === "r") reset();
  else if (event.key === "," || event.key === ".")
    choose(views[(at + (event.key === "." ? 1 : views.length - 1)) % views.length]);
  else if (number >= 1 && number <= views.length) choose(views[number - 1]);
  else return;
  event.preventDefault();
});
addEventListener("resize", () => { state.stale = true; });
dark.addEventListener("change", () => { legend(); state.stale = true; });

// A link to a moment: preview.html#augmentation=crop&frame=20
const moment = new URLSearchParams(location.hash.slice(1));
legend();
choose(views.find((view) => view.title === moment.get("augmentation")) || views[0]);
for (const name of ["own", "overlay", "names"]) if (moment.has(name)) set(name, moment.get(name) !== "false");
if (moment.has("frame")) go(Number(moment.get("frame")) + 0.5);

show();
let last = performance.now();
function tick(now) {
  const passed = Math.min(now - last, 100) / 1000;
  last = now;
  if (state.playing) {
    const [first, past] = range();
    state.time += passed * data.fps * state.speed;
    if (!(state.time >= first && state.time < past)) state.time = first;
    state.stale = true;
  }
  if (state.stale) {
    state.stale = false;
    show();
  }
  requestAnimationFrame(tick);
}
requestAnimationFrame(tick);
