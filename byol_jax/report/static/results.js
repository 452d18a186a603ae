// The sections at the top of the page, facts and results, and the confusion matrix.

function facts() {
  const names = [...new Set(RUNS.flatMap((run) => run.facts.map(([name]) => name)))];
  const header = document.getElementById("facts");
  if (!SEVERAL) {
    const pairs = (RUNS[0]?.facts ?? []).map(([name, value]) =>
      make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })),
    );
    if (pairs.length) header.append(make("dl", { className: "facts" }, ...pairs));
    return;
  }
  const rows = RUNS.map((run, i) => {
    const values = new Map(run.facts);
    return [runName(i), ...names.map((name) => values.get(name) ?? "–")];
  });
  header.append(scrolling("Runs", table("Runs", ["run", ...names], rows)));
}

/** The title of a result's column. kNN with another k or temperature gets its own column. */
function protocolTitle(row) {
  const settings = new Map(row.settings);
  if (row.protocol !== "knn" || !settings.has("k")) return row.protocol;
  return `kNN (k=${settings.get("k")}, T=${settings.get("temperature") ?? "–"})`;
}

/** All evaluations, {run, features, title, row}, in the order of the page. */
function evaluations() {
  return RUNS.flatMap((run, number) =>
    run.evaluation.flatMap(([features, rows]) =>
      rows.map((row) => ({ run: number, features, title: protocolTitle(row), row })),
    ),
  );
}

function results() {
  const all = evaluations();
  if (!all.length) return;
  const titles = [...new Set(all.map((entry) => entry.title))];
  const heads = (className, texts) =>
    texts.map((textContent) => make("th", { scope: "col", className, textContent }));
  const head = [...heads("", ["features"]), ...heads("number", titles)];
  const parts = [
    make("caption", {}, "Accuracy on the test split in %"),
    make("thead", {}, make("tr", {}, ...head)),
    ...RUNS.map((_, number) => resultsOf(number, titles, all)),
  ];
  const grid = make("table", { className: "numbers" }, ...parts);
  fill("results", scrolling("Accuracies", grid), bestNote(all), settingsOf(all));
}

function resultsOf(number, titles, all) {
  const rows = RUNS[number].evaluation.map(([features]) => {
    const entries = all.filter((entry) => entry.run === number && entry.features === features);
    const ofTitle = (title) => entries.filter((entry) => entry.title === title);
    const cells = titles.map((title) => resultCell(ofTitle(title), all));
    return make("tr", {}, make("th", { scope: "row" }, features), ...cells);
  });
  if (SEVERAL && rows.length) {
    const span = { scope: "rowgroup", colSpan: 1 + titles.length };
    rows.unshift(make("tr", { className: "group" }, make("th", span, runName(number))));
  }
  return make("tbody", {}, ...rows);
}

/** A cell with one accuracy, or with several for the seeds of a protocol. */
function resultCell(entries, all) {
  const text = entries.map((entry) => percent(entry.row.accuracy)).join(", ") || "–";
  const best = SEVERAL && entries.some((entry) => isBest(entry, all));
  return make("td", { className: best ? "best" : "", textContent: text });
}

function isBest(entry, all) {
  const { features, title } = entry;
  const rivals = all.filter((other) => other.features === "learned" && other.title === title);
  const best = Math.max(...rivals.map((other) => other.row.accuracy));
  return features === "learned" && rivals.length > 1 && entry.row.accuracy === best;
}

function bestNote(all) {
  if (!SEVERAL || !all.some((entry) => isBest(entry, all))) return "";
  return make("p", { className: "note" }, "Bold: the best learned features in each column.");
}

function settingsOf(all) {
  const rows = all.map((entry) => [
    evaluationName(entry),
    entry.row.settings.map(([name, value]) => `${name}=${value}`).join("; "),
  ]);
  const grid = table("Settings of each evaluation", ["evaluation", "settings"], rows);
  const summary = make("summary", {}, "Settings of each evaluation");
  return make("details", {}, summary, scrolling("Settings of each evaluation", grid));
}

function evaluationName({ run, features, title }) {
  return [...(SEVERAL ? [RUNS[run].name] : []), features, title].join(", ");
}

function confusion() {
  const entries = evaluations().filter((entry) => entry.row.confusion?.length);
  if (!entries.length) return;
  const names = entries.map(evaluationName);
  const box = make("div");
  const title = (i) => (names.length > 1 ? "" : `${names[i]}: `);
  const show = (i) => box.replaceChildren(confusionTable(entries[i].row, title(i)));
  show(0);
  const text =
    "Cells count test examples. A stronger colour means a larger share of the row. The last " +
    "column is the share of each class that is predicted correctly.";
  const note = make("p", { className: "note" }, text);
  fill("confusion", ...choice("Evaluation", names, show), box, note);
}

function confusionTable(row, title) {
  const counts = row.confusion;
  const classes = row.classes ?? counts.map((_, i) => String(i));
  const corner = make("th", { scope: "col", className: "corner" }, "true \\ predicted");
  const turned = (text) =>
    make("th", { scope: "col" }, make("span", { className: "turned" }, text));
  const head = [corner, ...classes.map(turned), turned("correct, %")];
  const body = counts.map((line, i) => confusionRow(classes[i], line, i));
  const grid = make(
    "table",
    { className: "confusion" },
    make("caption", {}, `${title}rows are true classes, columns are predicted classes`),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...body),
  );
  return scrolling("Confusion matrix", grid);
}

function confusionRow(name, line, trueClass) {
  const total = line.reduce((sum, count) => sum + count, 0);
  const cells = line.map((count, i) => {
    const cell = make("td", { className: i === trueClass ? "heat own" : "heat" });
    cell.textContent = count ? count.toLocaleString("en") : "·";
    cell.style.setProperty("--share", total ? Math.sqrt(count / total) : 0);
    return cell;
  });
  const share = total ? percent(line[trueClass] / total) : "–";
  const correct = make("td", { className: "right" }, share);
  return make("tr", {}, make("th", { scope: "row" }, name), ...cells, correct);
}
