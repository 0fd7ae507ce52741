// The page from top to bottom.
const titles = { linear: "Linear evaluation", retrieval: "Retrieval", semi: "Few labels", finetune: "Fine-tuning", supervised: "Supervised from random weights" };
const titleOf = ({ task, settings }) => titles[task] + (settings.quick ? ", quick (logistic regression)" : "");
const encoderOf = (row) => `${row.encoder} ${row.representation}`.trim() + (row.share === null ? "" : `, ${row.share} % labels`);

function results(place) {
  if (!report.evaluations.length) {
    add(place, "p", {}, "No evaluation has been made of this run yet. This makes one:");
    add(place, "pre", {}, `skelkit-train eval linear ${report.run} DATA.h5 --protocol ${setting("protocol")}`);
    return;
  }
  add(place, "p", { class: "note" }, "Every figure is that of the last epoch, on the test part, but for the column that says otherwise. Rows named published are of the paper, arXiv 2108.03656.");
  for (const evaluation of report.evaluations) table(place, evaluation);
}
function table(place, evaluation) {
  const block = add(place, "div", { class: "evaluation" }), { rows, published, dataset, protocol, settings, fused_with: others } = evaluation;
  add(block, "h3", {}, `${titleOf(evaluation)}, ${dataset || "dataset not known"} ${protocol}`);
  const held = evaluation.validation ? `, ${evaluation.validation} for validation` : "";
  add(block, "p", { class: "note" }, `${evaluation.train} training and ${evaluation.test} test samples${held}; checkpoint after ${counted(evaluation.epoch, "epoch")}${evaluation.epoch === report.epoch ? "" : `, while the run is at ${report.epoch}`}${others.map(({ run, epoch }) => `, fused with ${run} after ${counted(epoch, "epoch")}`).join("")}; `
    + Object.entries(settings).filter(([name, value]) => value !== null && value !== false && name !== "quick" && !(name === "subjects" && value === 0)).map(([name, value]) => `${name.replaceAll("_", " ")} ${written(value)}`).join(", "));
  const columns = [["top1", "top-1"], ["top5", "top-5"], ["mean_class", "mean over classes"], ["mean_average_precision", "mAP"], ["validation", "top-1 on validation"], ["best_on_test", "best epoch on test (no result)"]]
    .filter(([name]) => rows.some((row) => row[name] !== null) && (name !== "top5" || evaluation.task === "retrieval" || evaluation.classes.length > 5));
  const figures = add(add(block, "div", { class: "scroll" }), "table", { class: "figures" });
  const head = add(figures, "tr");
  add(head, "th", {}, "encoder");
  for (const [name, title] of columns) add(head, "th", name === "best_on_test" ? { class: "aside" } : {}, title);
  const kinds = { top1: "result", best_on_test: "aside" };
  const line = (kind, title, cell) => {
    const made = add(figures, "tr", { class: kind });
    add(made, "td", {}, title);
    for (const [name] of columns) cell(add(made, "td", { class: kinds[name] || "" }), name);
  };
  rows.forEach((row, k) => {
    line("", encoderOf(row), (cell, name) => {
      cell.append(percent(row[name]));
      const deviation = row.deviation && row.deviation[name];
      if (deviation !== null && deviation !== undefined) add(cell, "span", { class: "deviation" }, ` \u00b1 ${(100 * deviation).toFixed(1)}`);
    });
    if (k === rows.length - 1 || rows[k + 1].share !== row.share)
      published.filter((one) => one.share === row.share).forEach((one) => line("published", paper(one), (cell, name) => cell.append(name === "top1" ? percent(one.top1) : "")));
  });
  line("chance", "chance", (cell, name) => cell.append(name === "top1" ? percent(evaluation.chance) : ""));
  if (evaluation.test < 100) line("chance", `one of ${evaluation.test} test samples`, (cell, name) => cell.append(name === "top1" ? percent(1 / evaluation.test) : ""));
  const several = Math.max(...rows.map((row) => row.trials.length));
  const why = dataset ? `The paper has no figures for ${dataset} ${protocol} under these settings.`
    : `Whether the paper has figures for it is not known: the store ${evaluation.data} has gone, or has changed. Given to skelkit-train report, it tells.`;
  const fewer = evaluation.complete && evaluation.test < 0.9 * evaluation.complete
    ? `The published figures are on the ${evaluation.complete.toLocaleString("en")} test samples of the whole dataset, these on ${evaluation.test}.` : "";
  const notes = [several > 1 ? `Means of ${several} trainings \u00b1 standard deviation.` : "", published.length ? fewer : why];
  add(block, "p", { class: "note" }, notes.filter(Boolean).join(" "));
}
const paper = (one) => `published, ${one.encoder}` + (one.share === null ? "" : `, ${one.share} % labels`) + (one.pretrained_on ? `, pretrained on ${one.pretrained_on}` : "");
const setting = (name) => report.settings.find((field) => field.name === name).value;

function detail(place) {
  const options = report.evaluations.flatMap((evaluation) => evaluation.rows.map((row) => ({ evaluation, row })));
  if (!options.length) return place.remove();
  const pick = add(add(place, "label", { class: "pick" }, "result"), "select", { id: "result" });
  options.forEach(({ evaluation, row }, k) =>
    add(pick, "option", { value: k }, `${titleOf(evaluation)}, ${evaluation.dataset || evaluation.data} ${evaluation.protocol}: ${encoderOf(row)}, ${percent(row.top1)} (${evaluation.file})`));
  const parts = add(place, "div", { class: "two" }), course = add(place, "div", { class: "two" });
  const show = () => {
    const { evaluation, row } = options[pick.value], { classes } = evaluation;
    parts.replaceChildren();
    course.replaceChildren();
    const left = add(parts, "div"), right = add(parts, "div", { class: "stacked" });
    add(left, "h3", {}, "Confusion matrix");
    add(left, "p", { class: "note" }, "Percent of the true class; blue is right, orange wrong; all trainings together.");
    matrix(left, { ...row, classes });
    const each = add(right, "div");
    add(each, "h3", {}, "Accuracy of each class");
    bars(each, { ...row, classes });
    const pairs = add(right, "div");
    add(pairs, "h3", {}, "Most confused");
    const list = add(pairs, "ol", { class: "confused" });
    for (const pair of row.confused)
      add(list, "li", {}, `${classes[pair.true]} taken for ${classes[pair.predicted]}: ${pair.count} (${percent(pair.share)})`);
    if (!row.confused.length) pairs.append("None.");
    classifier(course, row);
  };
  pick.addEventListener("change", show);
  show();
}
function classifier(place, { trials }) {
  const names = [...new Set(trials.flatMap((trial) => trial.curve.flatMap(Object.keys)))].filter((name) => name !== "epoch");
  const lines = (kept) => names.filter(kept).flatMap((name) => trials.map((trial) => ({
    name: trials.length > 1 ? `${name}, seed ${trial.seed}` : name,
    points: trial.curve.filter((row) => name in row).map((row) => [row.epoch, row[name]]),
    faint: trials.length > 1,
  })));
  const loss = lines((name) => name.startsWith("loss")), scores = lines((name) => !name.startsWith("loss"));
  if (loss.length) curves(place, "Loss of the classifier", loss);
  if (!scores.length) return;
  const best = trials.filter((trial) => trial.best_on_test).map((trial) => ({ epoch: trial.best_on_test.epoch, value: trial.best_on_test.top1, hollow: true }));
  const marks = trials.map((trial) => ({ epoch: trial.curve.at(-1).epoch, value: trial.top1 }));
  const block = add(place, "div");
  curves(block, "Top-1 of the classifier", scores, { form: rough, marks: [...best, ...marks] });
  add(block, "p", { class: "note" }, "Filled: the last epoch, the result. Ring: the best epoch on test, which nobody can know without the test labels.");
}

function training(place) {
  const { course, damaged } = report;
  if (damaged) add(place, "p", { id: "damaged" }, `${counted(damaged, "damaged line")} of metrics.jsonl left out.`);
  if (!course.length) {
    if (!damaged) add(place, "p", {}, "This run has no metrics: its weights were not trained here.");
    return;
  }
  const last = course.at(-1), seconds = course.reduce((sum, row) => sum + (row.seconds || 0), 0);
  add(place, "p", { class: "note" }, `${counted(course.length, "epoch")} in ${(seconds / 60).toFixed(1)} minutes, ${number(seconds / course.length)} seconds each; in the last ${number(last.samples_per_second)} samples a second, ${(last.memory_bytes / 2 ** 30).toFixed(1)} GiB.`);
  const grid = add(place, "div", { class: "two" });
  const queued = report.settings.some(({ name, value }) => name === "queue" && value > 0);
  const kinds = [
    ["loss", "Contrastive loss", {}],
    ["accuracy", `Contrastive accuracy: the key is nearer than ${queued ? "all of the queue" : "all others of the batch"}`, { form: rough, fromZero: true }],
    ["retrieval", "Retrieval on the training subjects held out", { form: rough, fromZero: true }],
    ["learning_rate", "Learning rate", { fromZero: true }],
  ];
  for (const [kind, title, how] of kinds) {
    const names = [...new Set(course.flatMap(Object.keys))].filter((name) => name.split(" ")[0] === kind);
    const lines = names.map((name) => ({ name: name === kind ? name.replaceAll("_", " ") : name.slice(kind.length + 1), points: course.filter((row) => name in row).map((row) => [row.epoch, row[name]]) }));
    if (lines.length) curves(grid, title, lines, how);
  }
}

function settings(place) {
  const list = add(place, "dl", { class: "told" });
  const told = (name, value) => { add(list, "dt", {}, name); add(list, "dd", {}, value); };
  told("joint layout", report.layout);
  told("recipe", report.recipe);
  for (const step of report.steps)
    told("", `${step.step}: ` + (Object.entries(step).filter(([name]) => name !== "step").map(([name, value]) => `${name} ${written(value)}`).join(", ") || "no parameters"));
  told("bodies", String(report.bodies));
  told("data trained on", report.content_hash || "not known");
  if (space) told("data shown here", space.data);
  const rows = add(place, "table", { class: "settings" });
  for (const { name, value, about } of report.settings) {
    const row = add(rows, "tr");
    for (const text of [name, written(value), about]) add(row, "td", {}, text);
  }
}

document.title = `${report.run} \u00b7 skelkit-train report`;
element("name").textContent = report.run;
element("facts").textContent = [setting("representations"), counted(report.epoch, "epoch"), setting("protocol"), `${report.layout}, recipe ${report.recipe}`].join(" \u00b7 ");
results(element("results"));
detail(element("detail"));
training(element("training"));
featureMap(element("space"));
gallery(element("gallery"));
settings(element("settings"));
for (const change of looked.changed) change();
