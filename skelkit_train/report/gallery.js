// Test samples and the training samples nearest to them, moving; the drawing is scene.js's.
function gallery(parent) {
  if (!space) {
    add(parent, "p", {}, "The retrieval gallery needs the store, like the map above.");
    return;
  }
  const panels = new Map(views.map((panel) => [panel.title, panel])), frames = views[0].frames, fps = 30;
  const visible = new Map();
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.set(target, panels.get(target.dataset.sample));
      else visible.delete(target);
    }
    state.stale = true;
  });
  let wanted = "all";

  add(parent, "p", {}, `Test samples of ${space.protocol}, each beside its nearest of the ${space.train} training samples by the cosine of their features. They are chosen to show the most frequent confusions beside right answers, and are no fair sample. Each is seen from its own front, as the encoder is given it: the middle 95 % of its frames, resampled to ${frames}.`);
  choices(parent);
  const row = add(parent, "div", { class: "row" });
  const play = add(row, "button", { id: "play" });
  const moment = add(row, "input", { type: "range", id: "moment", min: 0, max: frames - 1, "aria-label": "frame" });
  for (const which of ["all", "wrong", "right"]) {
    const pick = add(row, "button", { "aria-pressed": String(which === wanted) }, which);
    pick.addEventListener("click", () => {
      wanted = which;
      for (const other of row.querySelectorAll("[aria-pressed]")) other.setAttribute("aria-pressed", String(other === pick));
      lay();
    });
  }
  const rows = add(parent, "div");

  function figure(place, sample, kind, verdict) {
    const made = add(place, "figure", { class: kind });
    const canvas = add(made, "canvas", { id: `skeleton-${place.parentNode.querySelectorAll("canvas").length}`, role: "img", "aria-label": `${space.classes[sample.label]}, moving` });
    canvas.dataset.sample = sample.name;
    watch.observe(canvas);
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      state.yaw -= 0.01 * event.movementX;
      state.stale = true;
    });
    const caption = add(made, "figcaption");
    add(caption, "strong", { class: "verdict" }, verdict);
    add(caption, "strong", {}, space.classes[sample.label]);
    add(caption, "span", {}, sample.name);
    if (sample.similarity !== undefined) add(caption, "span", {}, `cosine ${sample.similarity.toFixed(3)}`);
  }
  function lay() {
    watch.disconnect();
    visible.clear();
    rows.replaceChildren();
    const queries = looked.seen.queries.filter((query) => wanted === "all" || (query.neighbours[0].label === query.label) === (wanted === "right"));
    for (const query of queries) {
      const place = add(rows, "div", { class: "query" });
      figure(place, query, "asked", "query");
      for (const found of query.neighbours) {
        const right = found.label === query.label;
        figure(place, found, right ? "right" : "wrong", right ? "\u2713 right" : "\u2717 wrong");
      }
    }
    if (!queries.length) add(rows, "p", {}, `None of the queries is ${wanted}.`);
  }
  function show() {
    const frame = Math.floor(state.time);
    for (const [canvas, panel] of visible) {
      // scene.js takes directions and ground from `data`, and the scale from the view and the original.
      Object.assign(data, panel.stage);
      original.extent = panel.extent;
      state.view = panel;
      draw(canvas, panel, Math.min(frame, panel.frames - 1), "");
    }
    moment.value = frame;
    play.textContent = state.playing ? "pause" : "play";
    Object.assign(document.body.dataset, { frame, playing: state.playing, drawn: visible.size });
  }
  play.addEventListener("click", () => {
    state.playing = !state.playing;
    state.stale = true;
  });
  moment.addEventListener("input", () => {
    state.playing = false;
    state.time = Number(moment.value) + 0.5;
    state.stale = true;
  });
  addEventListener("resize", () => { state.stale = true; });
  dark.addEventListener("change", () => { state.stale = true; });
  looked.changed.push(lay);

  let before = performance.now();
  (function tick(now) {
    if (state.playing) {
      state.time = (state.time + Math.min(Math.max(now - before, 0), 100) * fps / 1000) % frames;
      state.stale = true;
    }
    before = now;
    if (state.stale) {
      state.stale = false;
      show();
    }
    requestAnimationFrame(tick);
  })(before);
}
