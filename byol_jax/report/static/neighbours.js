// The panel of the selected image: its nearest neighbours by each run, and the search by name.

function select(state, i) {
  const { pictures, neighbours, set } = current(state);
  Object.assign(state.plane, { selected: i, focused: i, near: neighbours[i] });
  state.plane.reveal(i);
  const maps = state.maps.filter((entry) => entry.pictures === set);
  const rows = maps.map((entry) => neighbourRow(state, entry, pictures, i));
  state.panel.replaceChildren(
    make("h3", {}, "Selected image"),
    selectedBox(pictures, i),
    make("h3", {}, "Nearest neighbours"),
    make("p", { className: "note" }, "Each number is the cosine similarity of the features."),
    make("div", { id: "neighbours" }, ...rows),
  );
  state.status.textContent = `Selected: ${described(pictures, i)}`;
}

function selectedBox(pictures, i) {
  const number = `image ${i} of ${pictures.names.length.toLocaleString("en")} (counted from 0)`;
  const text = make("div", {}, ...lines(pictures.names[i], className(pictures, i), number));
  const box = make("div", { id: "selected", tabIndex: -1 }, thumbnail(pictures, i), text);
  box.dataset.index = i;
  return box;
}

function neighbourRow(state, entry, pictures, i) {
  const near = entry.neighbours[i];
  const items = near.map((j, rank) =>
    make("li", {}, neighbourButton(state, pictures, i, j, entry.similarities[i][rank])),
  );
  const note = agreement(pictures, i, near);
  const title = SEVERAL ? make("h4", {}, runName(entry.run), note) : note;
  const row = make("div", {}, title, make("ol", {}, ...items));
  row.dataset.run = entry.run;
  return row;
}

function agreement(pictures, i, near) {
  if (!pictures.labels || !near.length) return "";
  const same = near.filter((j) => pictures.labels[j] === pictures.labels[i]).length;
  return make("span", { className: "note" }, `${same} of ${near.length} have the same class`);
}

function neighbourButton(state, pictures, i, j, cosine) {
  const name = className(pictures, j);
  const differs = name !== className(pictures, i);
  const label = `${described(pictures, j)}, cosine similarity ${cosine}`;
  const button = make("button", { type: "button", "aria-label": label, title: label });
  button.dataset.index = j;
  const texts = [cosine.toFixed(3), fileName(pictures.names[j]), differs ? `≠ ${name}` : name];
  button.append(thumbnail(pictures, j), ...lines(...texts));
  button.addEventListener("click", () => {
    select(state, j);
    document.getElementById("selected").focus({ preventScroll: true });
  });
  return button;
}

// ---- search

function finder(state) {
  const hints = { autocomplete: "off", placeholder: "name or number" };
  const input = make("input", { type: "search", ...hints });
  const label = make("label", { className: "choice" }, "Find an image", input);
  const status = make("span", { className: "note", role: "status" });
  const button = make("button", { type: "submit" }, "Find");
  const form = make("form", { className: "finder", role: "search" }, label, button, status);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    status.textContent = selectMatch(state, input.value.trim());
  });
  return form;
}

/**
 * Selects the first match of a text, or the next match if the text is the same as before.
 * Returns the message for the reader.
 */
function selectMatch(state, text) {
  if (!text) return "";
  const matches = matching(current(state).pictures.names, text.toLowerCase());
  if (!matches.length) return `No image name contains “${text}”.`;
  const { search } = state;
  const match = search.text === text ? (search.match + 1) % matches.length : 0;
  state.search = { text, match };
  select(state, matches[match]);
  if (matches.length === 1) return "";
  return `Match ${match + 1} of ${matches.length.toLocaleString("en")}. Find again for the next.`;
}

/** Indices of matches: equal names, then the image with that number, then names with the text. */
function matching(names, text) {
  const all = names.map((name, i) => [name.toLowerCase(), i]);
  const same = all.filter(([name]) => name === text).map(([, i]) => i);
  const numbered = /^\d+$/.test(text) && Number(text) < names.length ? [Number(text)] : [];
  const inside = all.filter(([name]) => name.includes(text)).map(([, i]) => i);
  return [...new Set([...same, ...numbered, ...inside])];
}
