// What a dashboard's page does beyond links and forms, which do all of it without a script too:
// figures are fetched anew in place, widgets are put elsewhere by dragging, and the editor shows
// what its form asks for.
"use strict";

(() => {
  const board = document.getElementById("board");
  const said = document.getElementById("said");
  const say = (text) => { if (said) said.textContent = text; };

  async function fetched(url, options) {
    const answer = await fetch(url, { credentials: "same-origin", redirect: "error", ...options });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  // --- refresh ---

  if (board && board.dataset.refresh) {
    const open = () => [...board.querySelectorAll(".hub-widget:has(details[open])")].map((item) => item.id);
    const refresh = async () => {
      try {
        const html = await fetched(board.dataset.refresh);
        const kept = open();
        board.innerHTML = html;
        for (const id of kept) {
          const details = document.getElementById(id)?.querySelector("details");
          if (details) details.open = true;
        }
        say("The figures are fresh.");
      } catch {
        say("The figures could not be fetched; those shown are as they were.");
      }
    };
    document.getElementById("refresh")?.addEventListener("click", (event) => {
      event.preventDefault();
      refresh();
    });
    const every = document.getElementById("every");
    if (every) {
      every.hidden = false;
      const box = every.querySelector("input");
      const key = "hub-refresh-each-minute";
      box.checked = localStorage.getItem(key) === "1";
      box.addEventListener("change", () => localStorage.setItem(key, box.checked ? "1" : "0"));
      setInterval(() => { if (box.checked && !document.hidden) refresh(); }, 60000);
    }
  }

  // --- arranging ---

  if (board && board.dataset.arrange) {
    const token = () => board.querySelector("[name=csrfmiddlewaretoken]").value;
    const keep = async () => {
      const places = [...board.querySelectorAll("[data-widget]")].map(
        ({ dataset }) => `${dataset.widget}:${dataset.width}x${dataset.height}`,
      );
      try {
        await fetched(board.dataset.arrange, {
          method: "POST",
          headers: { Accept: "application/json", "X-CSRFToken": token() },
          body: new URLSearchParams({ places: places.join(",") }),
        });
        say("The order is kept.");
      } catch {
        say("The order could not be kept; load the page again.");
        location.reload();
      }
    };
    const bound = {
      wider: ["width", 1], narrower: ["width", -1], taller: ["height", 1], shorter: ["height", -1],
    };
    const most = { width: 4, height: 3 };
    const tall = { 1: "7rem", 2: "11rem", 3: "20rem" };
    board.addEventListener("hub-sorted", () => setTimeout(keep));
    board.addEventListener("submit", (event) => {
      const button = event.submitter;
      const item = button?.closest("[data-widget]");
      if (!item || button.name !== "move") return;
      event.preventDefault();
      const move = button.value;
      if (move === "earlier" && item.previousElementSibling) {
        item.previousElementSibling.before(item);
      } else if (move === "later" && item.nextElementSibling) {
        item.nextElementSibling.after(item);
      } else if (bound[move]) {
        const [name, step] = bound[move];
        const value = Math.min(most[name], Math.max(1, Number(item.dataset[name]) + step));
        item.dataset[name] = String(value);
        item.style.setProperty(name === "width" ? "--wide" : "--plot", name === "width" ? value : tall[value]);
      }
      button.focus(); // moving a node takes the focus away
      keep();
    });
  }

  // --- the editor ---

  const form = document.getElementById("widget-form");
  const preview = document.getElementById("preview");
  if (form && preview) {
    let timer;
    let asked = 0;
    const look = async () => {
      const number = ++asked;
      try {
        const html = await fetched(form.dataset.preview, { method: "POST", body: new FormData(form) });
        if (number === asked) preview.innerHTML = html;
      } catch {
        if (number === asked) preview.textContent = "The preview could not be fetched.";
      }
    };
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(look, 300);
    });
  }
})();
