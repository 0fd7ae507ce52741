// What was drawn and what it does: lists, a chart of bone lengths and curves of displacement.
const make = (tag, text, parent, kind) => {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
};
const signed = (number, digits) => (number < 0 ? "\u2212" : "+") + Math.abs(number).toFixed(digits);
const metres = (number) => `${number.toFixed(3)} m`;

function parameters(view) {
  const place = element("parameters");
  place.replaceChildren();
  for (const group of view.groups) {
    const section = make("section", "", place);
    make("h2", group.part, section);
    const list = make("dl", "", section);
    for (const row of group.rows) {
      make("dt", row.label, list, row.joints && "joints");
      const value = make("dd", row.text || "", list, row.joints && "joints");
      for (const numbers of row.matrix || []) {
        const table = value.querySelector("table") || make("table", "", value);
        const cells = make("tr", "", table);
        for (const number of numbers) make("td", number.toFixed(3).replace("-", "\u2212"), cells);
      }
      (row.joints || []).forEach((v, k) => {
        const number = row.numbers ? ` ${row.numbers[k].toFixed(2)}` : "";
        const chip = make("span", data.joints[v] + number, value, row.numbers ? "chip" : "chip marked");
        chip.addEventListener("pointerenter", () => point(v));
        chip.addEventListener("pointerleave", () => point(-1));
      });
    }
  }
  const section = make("section", "", place);
  make("h2", "drawn with", section);
  make("div", data.draws, section);
}

function bones(effect) {
  const place = element("bones");
  place.replaceChildren();
  make("h2", "bone lengths", place);
  if (effect.bone_change === null) return make("div", "nobody to compare", place, "figure");
  if (effect.bone_change < data.least.change) return make("div", "kept", place, "figure");
  make("div", `${(100 * effect.bone_change).toFixed(1)} %`, place, "figure");
  make("p", "mean change of a bone's length; those that change most:", place, "note");
  const chart = make("div", "", place, "bars"), changes = effect.bones.map(([, change]) => change);
  const least = Math.min(0, ...changes), percent = (change) => 100 * change / (Math.max(0, ...changes) - least);
  for (const [name, change] of effect.bones) {
    make("span", name, chart);
    const track = make("div", "", chart, "bar"), bar = make("i", "", track);
    track.style.backgroundPositionX = `${percent(-least)}%`;
    bar.style.left = `${percent(Math.min(change, 0) - least)}%`;
    bar.style.width = `${percent(Math.abs(change))}%`;
    bar.style.background = `var(--${change < 0 ? "shorter" : "longer"})`;
    make("span", `${signed(100 * change, Math.abs(change) < 0.0995 ? 1 : 0)} %`, chart);
  }
}

function curve(numbers, most) {
  let path = "", pen = "M";
  numbers.forEach((number, f) => {
    path += number === null ? "" : `${pen}${f + 0.5} ${(95 - 90 * number / most).toFixed(2)}h0`;
    pen = number === null ? "M" : "L";
  });
  return path;
}
function moved(view) {
  const { moved: mean, farthest, movedFrames, farthestFrames } = view.effect;
  const moves = mean !== null && farthest >= data.least.move;
  element("moved").textContent = mean === null ? "nobody to compare" : moves ? metres(mean) : "none";
  element("curves").hidden = !moves;
  if (!moves) return;
  element("farthest").textContent = `mean distance from the same moment of the original; the largest ${metres(farthest)}`;
  element("curve").setAttribute("viewBox", `0 0 ${view.frames} 100`);
  element("curve-mean").setAttribute("d", curve(movedFrames, farthest));
  element("curve-largest").setAttribute("d", curve(farthestFrames, farthest));
  element("last").textContent = view.frames - 1;
}
function showNow(view, frame) {
  const known = frame >= 0 && view.effect.movedFrames[frame] !== null;
  const cursor = element("now");
  cursor.setAttribute("visibility", frame >= 0 ? "visible" : "hidden");
  cursor.setAttribute("x1", frame + 0.5);
  cursor.setAttribute("x2", frame + 0.5);
  element("now-mean").textContent = "mean" + (known ? ` ${metres(view.effect.movedFrames[frame])}` : "");
  element("now-largest").textContent = "largest" + (known ? ` ${metres(view.effect.farthestFrames[frame])}` : "");
}
