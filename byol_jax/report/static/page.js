// Fills the page section by section. Sections without data stay hidden.

function links() {
  const sections = [...document.querySelectorAll("main > section:not([hidden])")];
  const nav = document.querySelector("nav");
  const anchors = sections.map((section) =>
    make("a", { href: `#${section.id}` }, section.querySelector("h2").textContent),
  );
  nav.append(...anchors);
  nav.hidden = anchors.length < 2;
}

facts();
results();
curves();
preview();
confusion();
configuration();
await map();
links();
