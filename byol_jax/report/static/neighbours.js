// The selected picture, its neighbours by each run that has the same pictures, and search.

function select(state, i) {
  const { pictures, neighbours, set } = current(state);
  Object.assign(state.plane, { selected: i, focused: i, near: neighbours[i] });
  state.plane.reveal(i);
  const rows = state.maps.filter((one) => one.pictures === set);
  state.panel.replaceChildren(
    make("h3", {}, "Selected picture"),
    selectedBox(pictures, i),
    make("h3", {}, "Nearest neighbours"),
    make("p", { className: "note" }, "The number is the cosine of the features."),
    make("div", { id: "neighbours" }, ...rows.map((one) => neighbourRow(state, one, pictures, i))),
  );
  state.told.textContent = `Selected: ${described(pictures, i)}`;
}

function selectedBox(pictures, i) {
  const number = `picture ${i} of ${pictures.names.length.toLocaleString("en")}, counted from 0`;
  const text = make("div", {}, ...lines(pictures.names[i], className(pictures, i), number));
  const box = make("div", { id: "selected", tabIndex: -1 }, thumbnail(pictures, i), text);
  box.dataset.index = i;
  return box;
}

function neighbourRow(state, one, pictures, i) {
  const near = one.neighbours[i];
  const items = near.map((j, rank) =>
    make("li", {}, neighbourButton(state, pictures, i, j, one.similarities[i][rank])),
  );
  const agreed = agreement(pictures, i, near);
  const title = SEVERAL ? make("h4", {}, runName(one.run), agreed) : agreed;
  const row = make("div", {}, title, make("ol", {}, ...items));
  row.dataset.run = one.run;
  return row;
}

function agreement(pictures, i, near) {
  if (!pictures.labels || !near.length) return "";
  const same = near.filter((j) => pictures.labels[j] === pictures.labels[i]).length;
  return make("span", { className: "note" }, `${same} of ${near.length} of its class`);
}

function neighbourButton(state, pictures, i, j, cosine) {
  const name = className(pictures, j);
  const differs = name !== className(pictures, i);
  const told = `${described(pictures, j)}, cosine ${cosine}`;
  const button = make("button", { type: "button", "aria-label": told, title: told });
  button.dataset.index = j;
  const texts = [cosine.toFixed(3), fileName(pictures.names[j]), differs ? `≠ ${name}` : name];
  button.append(thumbnail(pictures, j), ...lines(...texts));
  button.addEventListener("click", () => {
    select(state, j);
    document.getElementById("selected").focus({ preventScroll: true });
  });
  return button;
}

// ---- by name

function finder(state) {
  const hints = { autocomplete: "off", placeholder: "name or number" };
  const input = make("input", { type: "search", ...hints });
  const label = make("label", { className: "choice" }, "Find a picture", input);
  const told = make("span", { className: "note", role: "status" });
  const button = make("button", { type: "submit" }, "Find");
  const form = make("form", { className: "finder", role: "search" }, label, button, told);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    told.textContent = jump(state, input.value.trim());
  });
  return form;
}

/** To the first match, and with the same text again to the next. */
function jump(state, text) {
  if (!text) return "";
  const matches = matching(current(state).pictures.names, text.toLowerCase());
  if (!matches.length) return `no name has “${text}”`;
  const count = state.found.text === text ? (state.found.count + 1) % matches.length : 0;
  state.found = { text, count };
  select(state, matches[count]);
  if (matches.length === 1) return "";
  return `${count + 1} of ${matches.length.toLocaleString("en")}; again for the next`;
}

/** The same name first, then the picture of that number, then names with the text inside. */
function matching(names, text) {
  const all = names.map((name, i) => [name.toLowerCase(), i]);
  const same = all.filter(([name]) => name === text).map(([, i]) => i);
  const numbered = /^\d+$/.test(text) && Number(text) < names.length ? [Number(text)] : [];
  const inside = all.filter(([name]) => name.includes(text)).map(([, i]) => i);
  return [...new Set([...same, ...numbered, ...inside])];
}
