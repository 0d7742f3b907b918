"use strict";
// Filters and sorts the samples; the page is complete without it.
(() => {
  const form = document.getElementById("controls");
  const list = document.getElementById("list");
  if (!form || !list) return;
  const samples = Array.from(list.children);
  const count = document.getElementById("count");
  const chosen = (name) => (form.elements[name] ? form.elements[name].value : "");

  const judged = (article) =>
    Array.from(article.querySelectorAll("li")).some(
      (item) =>
        (chosen("detector") === "" || item.dataset.detector === chosen("detector")) &&
        (chosen("change") === "" || item.dataset.change === chosen("change")),
    );

  const matches = (article) =>
    (chosen("rewriter") === "" || article.dataset.rewriter === chosen("rewriter")) &&
    (chosen("change") === "" || judged(article));

  const shown = (sample) => Array.from(sample.querySelectorAll("article")).filter((article) => !article.hidden);
  const keys = {
    order: (sample) => Number(sample.dataset.order),
    changed: (sample) => -Math.max(0, ...shown(sample).map((article) => Number(article.dataset.changed))),
    evaded: (sample) =>
      -Math.max(0, ...shown(sample).map((article) => article.querySelectorAll('li[data-change="evaded"]').length)),
  };

  const apply = () => {
    let visible = 0;
    for (const sample of samples) {
      for (const article of sample.querySelectorAll("article")) {
        article.hidden = !matches(article);
        for (const item of article.querySelectorAll("li"))
          item.hidden = chosen("detector") !== "" && item.dataset.detector !== chosen("detector");
      }
      sample.hidden = shown(sample).length === 0;
      visible += sample.hidden ? 0 : 1;
    }
    const key = keys[chosen("sort")];
    samples.sort((a, b) => key(a) - key(b) || keys.order(a) - keys.order(b));
    list.append(...samples);
    count.textContent = `${visible} of ${samples.length} shown`;
  };

  form.hidden = false;
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
