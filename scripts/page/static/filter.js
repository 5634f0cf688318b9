// Hides the rows of a table that lack one of the words in the box above it. Without JavaScript the box is hidden.
"use strict";
for (const box of document.querySelectorAll("[data-filter]")) {
  const input = box.querySelector("input");
  const said = box.querySelector("output");
  const rows = [...document.getElementById(box.dataset.filter).tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of rows) {
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    said.textContent = words.length ? `${shown} of ${rows.length}` : "";
  };
  input.addEventListener("input", show);
  box.hidden = false;
  show(); // a browser keeps the words when it goes back
}
