// Which representation is looked at, in the map and in the gallery.
const space = report.space;
const looked = { seen: space && space.representations[0], changed: [] };
function choices(parent) {
  if (space.representations.length < 2) return;
  const tabs = add(parent, "div", { role: "tablist", "aria-label": "representation" });
  for (const seen of space.representations) {
    const tab = add(tabs, "button", { role: "tab" }, seen.representation);
    tab.addEventListener("click", () => {
      looked.seen = seen;
      for (const change of looked.changed) change();
    });
    looked.changed.push(() => tab.setAttribute("aria-selected", String(looked.seen === seen)));
  }
}

// The test samples on the plane of their features' two principal components.
function featureMap(parent) {
  if (!space) {
    add(parent, "p", {}, "The map of the features needs the store. This writes it, and the retrieval gallery below:");
    add(parent, "pre", {}, `skelkit-train report ${report.run} DATA.h5`);
    return;
  }
  const { classes, samples } = space, used = [...new Set(samples.map((sample) => sample.label))].sort((a, b) => a - b);
  const shades = new Map(used.map((label, k) => [label, k]));
  let lit = -1;
  add(parent, "p", {}, `Principal component analysis (PCA) of the features that the test samples of ${space.protocol} have, scaled to unit length as retrieval by the cosine sees them; coloured by class.`);
  choices(parent);
  const facts = add(parent, "p", { class: "note" });
  const at = (width, height) => {
    const points = looked.seen.points, range = [0, 1].map((c) => [Math.min(...points.map((p) => p[c])), Math.max(...points.map((p) => p[c]))]);
    const metre = Math.min(...[width, height].map((size, c) => (size - 36) / (range[c][1] - range[c][0] || 1)));
    const middle = range.map(([low, high]) => (low + high) / 2);
    return points.map(([x, y]) => [width / 2 + metre * (x - middle[0]), height / 2 - metre * (y - middle[1])]);
  };
  const order = () => samples.map((_, k) => k).sort((a, b) => (samples[a].label === lit) - (samples[b].label === lit));
  const paint = (pen, width, height) => {
    pen.clearRect(0, 0, width, height);
    const places = at(width, height), radius = samples.length > 600 ? 3 : 4;
    for (const k of order()) {
      const { label } = samples[k];
      pen.globalAlpha = lit < 0 ? 0.8 : label === lit ? 1 : 0.12;
      disc(pen, places[k], radius, hue(shades.get(label), used.length));
    }
    pen.globalAlpha = 1;
  };
  const told = (x, y, width, height) => {
    let best = 14, text = "";
    at(width, height).forEach(([a, b], k) => {
      const distance = Math.hypot(a - x, b - y);
      if (distance >= best) return;
      best = distance;
      text = `${classes[samples[k].label]}\n${samples[k].name}`;
    });
    return text;
  };
  const redraw = picture(parent, "map", "map of the features", paint, told);
  const keys = add(parent, "div", { class: "keys" });
  const legend = () => {
    keys.replaceChildren();
    used.forEach((label, k) => {
      const key = add(keys, "button", { "aria-pressed": String(label === lit), title: "this class alone" });
      add(key, "i", { style: `background: ${hue(k, used.length)}` });
      key.append(classes[label]);
      key.addEventListener("click", () => {
        lit = lit === label ? -1 : label;
        legend();
        redraw();
      });
    });
  };
  dark.addEventListener("change", legend);
  looked.changed.push(redraw, () => {
    const shown = samples.length < space.test ? `${samples.length} of the ${space.test}` : `All ${space.test}`;
    const [one, two] = looked.seen.explained;
    facts.textContent = `${shown} test samples; ${looked.seen.representation}: the two components hold ${percent(one)} and ${percent(two)} of the variance.`;
  });
  legend();
}
