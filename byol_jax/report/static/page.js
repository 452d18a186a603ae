// The page, section by section; what there is nothing to show of stays hidden.

function links() {
  const sections = [...document.querySelectorAll("main > section:not([hidden])")];
  const nav = document.querySelector("nav");
  const made = sections.map((section) =>
    make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent),
  );
  nav.append(...made);
  nav.hidden = made.length < 2;
}

facts();
results();
curves();
preview();
confusion();
configuration();
await map();
links();
