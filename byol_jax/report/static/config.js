// The sections of the configuration and of the augmented views.

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
  const alt = "A grid of images. Each row shows an image, followed by its augmented views.";
  const image = make("img", { src, alt });
  const names = SEVERAL ? [make("h3", { className: "runs" }, ...runs.map(runName))] : [];
  const text = "Each row shows a training image, followed by random draws of its augmented views.";
  const caption = make("figcaption", {}, text);
  const box = scrolling("Augmented views", image);
  return make("figure", { className: "preview" }, ...names, box, caption);
}

function configuration() {
  if (!RUNS.some((run) => run.config.length)) return;
  if (!SEVERAL) return fill("configuration", make("div", { id: "config" }, configList(RUNS[0])));
  const values = RUNS.map((run) => new Map(run.config));
  const names = [...new Set(RUNS.flatMap((run) => run.config.map(([name]) => name)))];
  const valuesOf = (name) => new Set(values.map((fields) => fields.get(name)));
  const differing = names.filter((name) => valuesOf(name).size > 1);
  const full = configTable("All fields", names, values);
  const summary = make("summary", {}, `All ${names.length} fields`);
  fill(
    "configuration",
    make("div", { id: "differences" }, differences(differing, values)),
    make("details", { id: "config" }, summary, full),
  );
}

function differences(names, values) {
  if (!names.length) return make("p", {}, "All runs have the same configuration.");
  return configTable("Fields that differ between the runs", names, values);
}

function configTable(caption, names, values) {
  const rows = names.map((name) => [name, ...values.map((fields) => fields.get(name) ?? "–")]);
  return scrolling(caption, table(caption, ["field", ...RUNS.map((_, i) => runName(i))], rows));
}

function configList(run) {
  const pairs = run.config.map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })),
  );
  return make("dl", { className: "config" }, ...pairs);
}
