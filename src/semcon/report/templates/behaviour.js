"use strict";
(() => {
  const root = document.documentElement;
  const store = {
    get() { try { return localStorage.getItem("semcon-theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("semcon-theme", value); } catch { /* private window: not kept */ } },
  };
  const themes = ["auto", "light", "dark"];
  const kept = store.get();
  let theme = themes.includes(kept) ? kept : "auto";
  const dress = () => { if (theme === "auto") { delete root.dataset.theme; } else { root.dataset.theme = theme; } };
  dress();

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector(".theme");
    const name = () => { button.textContent = `Theme: ${theme}`; };
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      store.set(theme);
      dress();
      name();
    });
    addEventListener("beforeprint", () => {
      for (const entry of document.querySelectorAll(".meanings > details")) { entry.open = true; }
    });
    gallery();
  });

  function gallery() {
    const list = document.querySelector(".gallery");
    const form = document.querySelector(".controls");
    if (!list || !form) { return; }
    const all = [...list.children];
    const more = document.querySelector(".more");
    const said = document.querySelector(".shown");
    const STEP = Number(list.dataset.step);
    let room = STEP;
    const of = (card, key) => Number(card.dataset[key] || "-Infinity");
    const drawn = () => form.elements.draws?.value ?? "";
    const change = (card) => {
      const draws = drawn();
      return draws ? of(card, draws) : Math.max(of(card, "random"), of(card, "worst"));
    };
    const orders = {
      mixed: (a, b) => of(a, "place") - of(b, "place"),
      change: (a, b) => change(b) - change(a),
      least: (a, b) => change(a) - change(b),
      pixels: (a, b) => of(a, "pixels") - of(b, "pixels"),
    };
    const matches = (card, control, key) => !control || !control.value || card.dataset[key] === control.value;

    function show() {
      const { perturbation, kind: classes, run, evidence, order } = form.elements;
      const draws = drawn();
      const fits = all.filter((card) =>
        matches(card, perturbation, "perturbation") && matches(card, classes, "kind") && matches(card, run, "run")
        && (!draws || draws in card.dataset) && (!evidence.checked || card.dataset.evidence === "1"));
      fits.sort((a, b) => orders[order.value](a, b) || orders.mixed(a, b));
      const seen = new Set(fits.slice(0, room));
      list.append(...fits, ...all.filter((card) => !fits.includes(card)));
      for (const card of all) {
        card.hidden = !seen.has(card);
        for (const copy of card.querySelectorAll(".copy")) {
          copy.hidden = Boolean(draws) && copy.dataset.draws !== draws;
        }
      }
      said.textContent = fits.length > seen.size ? `${seen.size} of ${fits.length} shown` : `${fits.length} shown`;
      more.hidden = fits.length <= seen.size;
      more.textContent = `Show all ${fits.length}`;
    }

    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { room = STEP; show(); });
    more.addEventListener("click", () => {
      const next = all.length && list.children[Math.min(room, list.children.length - 1)];
      room = Infinity;
      show();
      if (next) { next.focus({ preventScroll: true }); }
    });
    show();
  }
})();
