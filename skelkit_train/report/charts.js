// Curves over the epochs, the confusion matrix, and bars.
function ticks(low, high, most) {
  const rough = (high - low) / most || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return [...Array(Math.floor(high / step + 1e-9) - first + 1).keys()].map((k) => (first + k) * step);
}

// Lines of { name, points: [[epoch, value]], faint }, all finite; `mark` is { epoch, value, text }.
function curves(parent, title, lines, { form = number, fromZero = false, marks = [] } = {}) {
  const block = add(parent, "div"), edge = { left: 50, right: 14, top: 12, bottom: 26 };
  add(block, "h3", {}, title);
  const all = lines.flatMap((line) => line.points), values = all.map(([, y]) => y);
  const last = Math.max(...all.map(([x]) => x)), first = Math.min(...all.map(([x]) => x));
  const top = Math.max(...values), least = Math.min(...values);
  const low = fromZero ? 0 : least - 0.05 * (top - least || Math.abs(top) || 1), high = top + 0.05 * (top - low || 1);
  const across = (x, width) => edge.left + (width - edge.left - edge.right) * (last === first ? 0.5 : (x - first) / (last - first));
  const upward = (y, height) => height - edge.bottom - (height - edge.top - edge.bottom) * (y - low) / (high - low);
  const paint = (pen, width, height) => {
    pen.lineWidth = 1;
    pen.fillStyle = colour("muted");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const y of ticks(low, high, 4)) {
      pen.strokeStyle = colour("line");
      pen.beginPath();
      pen.moveTo(edge.left, upward(y, height));
      pen.lineTo(width - edge.right, upward(y, height));
      pen.stroke();
      pen.fillText(form(Math.abs(y) < 1e-12 ? 0 : y), edge.left - 6, upward(y, height));
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const whole = ticks(first, last, Math.max(1, Math.min(8, width / 90))).filter(Number.isInteger);
    for (const x of whole) pen.fillText(x, across(x, width), height - edge.bottom + 6);
    pen.lineWidth = 2;
    lines.forEach(({ points, faint }, k) => {
      pen.strokeStyle = pen.fillStyle = hue(k, lines.length);
      pen.globalAlpha = faint ? 0.6 : 1;
      pen.beginPath();
      for (const [x, y] of points) pen.lineTo(across(x, width), upward(y, height));
      pen.stroke();
      if (points.length <= 20) for (const [x, y] of points) disc(pen, [across(x, width), upward(y, height)], 3, pen.fillStyle);
      pen.globalAlpha = 1;
    });
    for (const { epoch, value, hollow } of marks) {
      const at = [across(epoch, width), upward(value, height)];
      disc(pen, at, 6, colour("ink"));
      if (hollow) disc(pen, at, 4, colour("card"));
    }
  };
  const told = (x, _, width) => {
    const epochs = [...new Set(all.map(([epoch]) => epoch))];
    const near = epochs.reduce((best, epoch) => (Math.abs(across(epoch, width) - x) < Math.abs(across(best, width) - x) ? epoch : best));
    const here = lines.flatMap(({ name, points }) => points.filter(([epoch]) => epoch === near).map(([, y]) => `${name}: ${form(y)}`));
    return [`epoch ${near}`, ...here].join("\n");
  };
  picture(block, "", `${title}, by epoch`, paint, told);
  const keys = add(block, "div", { class: "keys" });
  const paintKeys = () => {
    keys.replaceChildren();
    lines.forEach(({ name }, k) => { add(add(keys, "span"), "i", { style: `background: ${hue(k, lines.length)}` }).after(name); });
  };
  paintKeys();
  dark.addEventListener("change", paintKeys);
}

function shortened(pen, text, room) {
  let shown = text;
  for (let kept = text.length; kept && pen.measureText(shown).width > room; ) shown = `${text.slice(0, --kept)}\u2026`;
  return shown;
}
// Along an axis: the classes' names where each has room for a line, else numbers, so few that they do not touch.
function axis(pen, classes, size) {
  const wide = (texts) => Math.max(...texts.map((text) => pen.measureText(text).width));
  const room = Math.min(wide(classes), 0.36 * size);
  if ((size - room) / classes.length >= 13) return { named: true, room, after: 0, texts: classes.map((name) => shortened(pen, name, room)) };
  const numbers = classes.map((_, k) => String(k + 1)), digits = wide(numbers), cell = (size - 1.5 * digits) / classes.length;
  const step = [1, 2, 5, 10, 20, 50, 100].find((count) => count * cell > digits + 6) || numbers.length;
  return { named: false, room: digits, after: digits / 2, texts: numbers.map((text, k) => ((k + 1) % step ? "" : text)) };
}
function matrix(parent, { confusion, classes }) {
  const k = classes.length, totals = confusion.map((row) => row.reduce((sum, n) => sum + n, 0)), title = 22, space = 6;
  const share = (a, b) => (totals[a] ? confusion[a][b] / totals[a] : 0);
  let edge = title, cell = 1;
  const turned = (pen, x, y, text) => {
    pen.save();
    pen.translate(x, y);
    pen.rotate(-Math.PI / 2);
    pen.fillText(text, 0, 0);
    pen.restore();
  };
  const paint = (pen, width) => {
    const { named, room, after, texts } = axis(pen, classes, width - title - space);
    edge = title + room + space;
    cell = (width - edge - after) / k;
    const middle = (n) => edge + (n + 0.5) * cell, centre = edge + (k * cell) / 2;
    pen.fillStyle = colour("muted");
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText("predicted class", centre, title / 2);
    turned(pen, title / 2, centre, "true class");
    if (!named) texts.forEach((text, b) => pen.fillText(text, middle(b), edge - space - 4));
    pen.textAlign = "right";
    texts.forEach((text, a) => pen.fillText(text, edge - space, middle(a)));
    pen.textAlign = "left";
    if (named) texts.forEach((text, b) => turned(pen, middle(b), edge - space, text));
    pen.textAlign = "center";
    pen.font = `${Math.min(12, Math.floor(cell / 2))}px system-ui, sans-serif`;
    pen.fillStyle = colour("chip");
    pen.fillRect(edge, edge, k * cell, k * cell);
    for (let a = 0; a < k; a++) {
      for (let b = 0; b < k; b++) {
        if (!confusion[a][b]) continue;
        pen.globalAlpha = 0.15 + 0.85 * share(a, b);
        pen.fillStyle = colour(a === b ? "longer" : "shorter");
        const gap = cell > 8 ? 1 : 0;
        pen.fillRect(edge + b * cell, edge + a * cell, cell - gap, cell - gap);
        pen.globalAlpha = 1;
        if (cell < 18) continue;
        pen.fillStyle = colour(share(a, b) > 0.55 ? "on-accent" : "ink");
        pen.fillText((100 * share(a, b)).toFixed(0), middle(b), middle(a));
      }
    }
  };
  const told = (x, y) => {
    const a = Math.floor((y - edge) / cell), b = Math.floor((x - edge) / cell);
    if (!(a >= 0 && b >= 0 && a < k && b < k)) return "";
    const how = a === b ? `${classes[a]}\nright` : `${classes[a]}\ntaken for ${classes[b]}`;
    return `${how}: ${confusion[a][b]} of ${totals[a]} (${percent(share(a, b))})`;
  };
  picture(parent, "square", "confusion matrix", paint, told);
}

function bars(parent, { per_class: shares, confusion, classes }) {
  const list = add(parent, "div", { class: "classes" });
  const order = shares.map((_, k) => k).filter((k) => shares[k] !== null).sort((a, b) => shares[b] - shares[a]);
  for (const k of order) {
    const total = confusion[k].reduce((sum, n) => sum + n, 0);
    add(add(list, "span"), "small", {}, String(k + 1)).after(` ${classes[k]}`);
    const track = add(list, "div", { class: "track" });
    add(track, "i", { style: `width: ${100 * shares[k]}%` });
    explained(track, () => `${classes[k]}\n${confusion[k][k]} of ${total} right`);
    add(list, "span", {}, percent(shares[k]));
  }
}
