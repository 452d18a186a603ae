// What the runs were asked to do, and what training saw of it: configuration and views.

function preview() {
  const groups = new Map();
  RUNS.forEach((run, i) => {
    if (run.preview) groups.set(run.preview, [...(groups.get(run.preview) ?? []), i]);
  });
  if (!groups.size) return;
  const figures = [...groups].map(([source, runs]) => previewFigure(source, runs));
  fill("preview", ...figures);
}

function previewFigure(src, runs) {
  const alt = "A sheet of pictures: a row per image, the image first and then its augmented views";
  const image = make("img", { src, alt });
  const names = SEVERAL ? [make("h3", { className: "runs" }, ...runs.map(runName))] : [];
  const text = "Each row is an image; beside it draws of the views that training makes of it.";
  const caption = make("figcaption", {}, text);
  return make("figure", { className: "preview" }, ...names, scrolling("Views", image), caption);
}

function configuration() {
  if (!RUNS.some((run) => run.config.length)) return;
  if (!SEVERAL) return fill("configuration", make("div", { id: "config" }, configList(RUNS[0])));
  const values = RUNS.map((run) => new Map(run.config));
  const names = [...new Set(RUNS.flatMap((run) => run.config.map(([name]) => name)))];
  const differing = names.filter((name) => new Set(values.map((of) => of.get(name))).size > 1);
  const full = configTable("All fields", names, values);
  const summary = make("summary", {}, `All ${names.length} fields`);
  fill(
    "configuration",
    make("div", { id: "differences" }, differences(differing, values)),
    make("details", { id: "config" }, summary, full),
  );
}

function differences(names, values) {
  if (!names.length) return make("p", {}, "The runs have the same configuration.");
  return configTable("Fields that differ", names, values);
}

function configTable(caption, names, values) {
  const rows = names.map((name) => [name, ...values.map((of) => of.get(name) ?? "–")]);
  return scrolling(caption, table(caption, ["field", ...RUNS.map((_, i) => runName(i))], rows));
}

function configList(run) {
  const pairs = run.config.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })),
  );
  return make("dl", { className: "config" }, ...pairs);
}
