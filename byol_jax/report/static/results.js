// The top of the page: what the runs are, how good their features are, which classes they confuse.

function facts() {
  const names = [...new Set(RUNS.flatMap((run) => run.facts.map(([name]) => name)))];
  const place = document.getElementById("facts");
  if (!SEVERAL) {
    const pairs = (RUNS[0]?.facts ?? []).map(([name, value]) =>
      make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })),
    );
    if (pairs.length) place.append(make("dl", { className: "facts" }, ...pairs));
    return;
  }
  const rows = RUNS.map((run, i) => {
    const values = new Map(run.facts);
    return [runName(i), ...names.map((name) => values.get(name) ?? "–")];
  });
  place.append(scrolling("The runs", table("The runs", ["run", ...names], rows)));
}

/** Rows measured with other k or temperature get columns of their own. */
function protocolTitle(row) {
  const settings = new Map(row.settings);
  if (row.protocol !== "knn" || !settings.has("k")) return row.protocol;
  return `kNN (k=${settings.get("k")}, T=${settings.get("temperature") ?? "–"})`;
}

/** All measurements: {run, features, title, row}, in the order of the page. */
function measurements() {
  return RUNS.flatMap((run, number) =>
    run.evaluation.flatMap(([features, rows]) =>
      rows.map((row) => ({ run: number, features, title: protocolTitle(row), row })),
    ),
  );
}

function results() {
  const all = measurements();
  if (!all.length) return;
  const titles = [...new Set(all.map((one) => one.title))];
  const heads = (className, texts) =>
    texts.map((textContent) => make("th", { scope: "col", className, textContent }));
  const head = [...heads("", ["features"]), ...heads("number", titles)];
  const parts = [
    make("caption", {}, "Accuracy on the test split, %"),
    make("thead", {}, make("tr", {}, ...head)),
    ...RUNS.map((_, number) => resultsOf(number, titles, all)),
  ];
  const grid = make("table", { className: "numbers" }, ...parts);
  fill("results", scrolling("Accuracies", grid), bestNote(all), settingsOf(all));
}

function resultsOf(number, titles, all) {
  const rows = RUNS[number].evaluation.map(([features]) => {
    const own = all.filter((one) => one.run === number && one.features === features);
    const cells = titles.map((title) => resultCell(own.filter((one) => one.title === title), all));
    return make("tr", {}, make("th", { scope: "row" }, features), ...cells);
  });
  if (SEVERAL && rows.length) {
    const span = { scope: "rowgroup", colSpan: 1 + titles.length };
    rows.unshift(make("tr", { className: "group" }, make("th", span, runName(number))));
  }
  return make("tbody", {}, ...rows);
}

/** One accuracy, or several of one title (the seeds of a protocol). */
function resultCell(found, all) {
  const text = found.map((one) => percent(one.row.accuracy)).join(", ") || "–";
  const best = SEVERAL && found.some((one) => isBest(one, all));
  return make("td", { className: best ? "best" : "", textContent: text });
}

function isBest(one, all) {
  const rivals = all.filter((other) => other.features === "learned" && other.title === one.title);
  const best = Math.max(...rivals.map((other) => other.row.accuracy));
  return one.features === "learned" && rivals.length > 1 && one.row.accuracy === best;
}

function bestNote(all) {
  if (!SEVERAL || !all.some((one) => isBest(one, all))) return "";
  return make("p", { className: "note" }, "Bold: the best of the learned features in a column.");
}

function settingsOf(all) {
  const rows = all.map((one) => [
    [...(SEVERAL ? [RUNS[one.run].name] : []), one.features, one.title].join(", "),
    one.row.settings.map(([name, value]) => `${name}=${value}`).join("; "),
  ]);
  const grid = table("Settings of each measurement", ["measured", "settings"], rows);
  const summary = make("summary", {}, "How each was measured");
  return make("details", {}, summary, scrolling("Settings of each measurement", grid));
}

function confusion() {
  const found = measurements().filter((one) => one.row.confusion?.length);
  if (!found.length) return;
  const names = found.map((one) =>
    [...(SEVERAL ? [RUNS[one.run].name] : []), one.features, one.title].join(", "),
  );
  const place = make("div");
  const title = (i) => (names.length > 1 ? "" : `${names[i]}: `);
  const show = (i) => place.replaceChildren(confusionTable(found[i].row, title(i)));
  show(0);
  const note =
    "Counts of test examples. The stronger a cell, the larger its share of the row; the last " +
    "column is the share of a class that was guessed right.";
  fill("confusion", ...choice("Of", names, show), place, make("p", { className: "note" }, note));
}

function confusionTable(row, title) {
  const counts = row.confusion;
  const classes = row.classes ?? counts.map((_, i) => String(i));
  const corner = make("th", { scope: "col", className: "corner" }, "true \\ guessed");
  const turned = (text) =>
    make("th", { scope: "col" }, make("span", { className: "turned" }, text));
  const head = [corner, ...classes.map(turned), turned("right, %")];
  const body = counts.map((line, i) => confusionRow(classes[i], line, i));
  const grid = make(
    "table",
    { className: "confusion" },
    make("caption", {}, `${title}rows are the true class, columns the guess`),
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...body),
  );
  return scrolling("Confusion table", grid);
}

function confusionRow(name, line, own) {
  const total = line.reduce((sum, count) => sum + count, 0);
  const cells = line.map((count, i) => {
    const cell = make("td", { className: i === own ? "heat own" : "heat" });
    cell.textContent = count ? count.toLocaleString("en") : "·";
    cell.style.setProperty("--share", total ? Math.sqrt(count / total) : 0);
    return cell;
  });
  const right = make("td", { className: "right" }, total ? percent(line[own] / total) : "–");
  return make("tr", {}, make("th", { scope: "row" }, name), ...cells, right);
}
