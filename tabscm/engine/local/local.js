// The page of the app. Names of columns and messages are shown through textContent alone.
"use strict";

(() => {
  const base = location.pathname.replace(/\/?$/, "/");
  const at = (id) => document.getElementById(id);
  const FORMS = [["html", "page"], ["json", "JSON"], ["csv", "edges, CSV"], ["gml", "GML"], ["dot", "DOT"]];
  let table = null; // { id, columns: [{ name, use, category, tier }] }

  function html(name, text) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function say(place, words, wrong) {
    at(place).textContent = words;
    at(place).classList.toggle("wrong", Boolean(wrong));
  }

  // The answer to a request, or an Error with the one line that says why there is none.
  async function ask(address, type, body) {
    let answer;
    try {
      answer = await fetch(base + address, { method: "POST", headers: { "Content-Type": type }, body });
    } catch {
      throw new Error("The app does not answer. Is it still running?");
    }
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  // Show how long something takes while it does.
  async function timed(place, words, work) {
    const start = Date.now();
    say(place, words);
    const clock = setInterval(() => say(place, `${words} ${Math.round((Date.now() - start) / 1000)} s`), 1000);
    try {
      return await work;
    } finally {
      clearInterval(clock);
    }
  }

  async function drop(file) {
    at("checks").hidden = at("wishes").hidden = at("graph").hidden = true;
    try {
      const address = `tables?name=${encodeURIComponent(file.name)}`;
      const found = await timed("state", `Looking at ${file.name} …`, ask(address, "application/octet-stream", file));
      const variables = new Set(found.variables);
      table = {
        id: found.table,
        columns: found.columns.map((name) => ({ name, use: variables.has(name), text: !variables.has(name), tier: 0 })),
      };
      say("state", `${found.name}: ${found.columns.length} columns${found.rows === null ? "" : `, ${found.rows} rows`}`);
      at("trouble").hidden = found.trouble === null;
      at("trouble").textContent = found.trouble === null ? "" : `${found.trouble}. Or leave the column out below.`;
      at("notes").replaceChildren(...found.notes.map((note) => html("li", note)));
      list();
      at("checks").hidden = at("wishes").hidden = false;
      say("said", "");
    } catch (error) {
      say("state", error.message, true);
    }
  }

  function list() {
    at("columns").tBodies[0].replaceChildren(...table.columns.map((column) => {
      const row = html("tr"), tick = html("input"), tier = html("input"), name = html("td");
      tick.type = "checkbox";
      tick.checked = column.use;
      tick.setAttribute("aria-label", `use ${column.name}`);
      tick.addEventListener("change", () => { column.use = tick.checked; lanes(); });
      tier.type = "number";
      tier.min = "1";
      tier.max = "99";
      tier.value = column.tier || "";
      tier.setAttribute("aria-label", `tier of ${column.name}`);
      tier.addEventListener("input", () => { column.tier = Math.max(0, Math.min(99, Math.floor(Number(tier.value)))) || 0; lanes(); });
      name.append(html("bdi", column.name));
      if (column.text) name.append(html("span", "text: its values are numbered if it is ticked"));
      for (const part of [tick, name, tier]) {
        const cell = part.tagName === "TD" ? part : html("td");
        if (cell !== part) cell.append(part);
        row.append(cell);
      }
      return row;
    }));
    lanes();
  }

  // The tiers side by side, one more than there are, to drag to.
  function lanes() {
    const used = table.columns.filter((column) => column.use);
    const last = Math.max(0, ...used.map((column) => column.tier));
    const found = [];
    for (let tier = 0; tier <= Math.min(99, last + 1); tier += 1) {
      const lane = html("div");
      lane.className = "tier";
      lane.append(html("h3", tier === 0 ? "anywhere" : `tier ${tier}`));
      for (const column of used.filter((one) => one.tier === tier)) {
        const chip = html("span", column.name);
        chip.className = "chip";
        chip.draggable = true;
        chip.addEventListener("dragstart", (event) => {
          event.dataTransfer.setData("text/plain", String(table.columns.indexOf(column)));
        });
        lane.append(chip);
      }
      over(lane, (event) => {
        const column = table.columns[Number(event.dataTransfer.getData("text/plain"))];
        if (column) {
          column.tier = tier;
          list();
        }
      });
      found.push(lane);
    }
    at("tiers").replaceChildren(...found);
  }

  function over(place, dropped) {
    place.addEventListener("dragover", (event) => { event.preventDefault(); place.classList.add("over"); });
    place.addEventListener("dragleave", () => place.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      place.classList.remove("over");
      dropped(event);
    });
  }

  async function read() {
    const used = table.columns.filter((column) => column.use);
    const numbers = [...new Set(used.map((column) => column.tier))].filter(Boolean).sort((a, b) => a - b);
    const wishes = {
      variables: used.map((column) => column.name),
      categories: used.filter((column) => column.text).map((column) => column.name),
      tiers: numbers.map((tier) => used.filter((column) => column.tier === tier).map((column) => exactly(column.name))),
      threshold: at("threshold").valueAsNumber,
      acyclic: at("acyclic").checked,
    };
    if (!(wishes.threshold >= 0 && wishes.threshold <= 1)) { // NaN where nothing is written
      say("said", "How probable edges have to be is a number from 0 to 1, such as 0.5.", true);
      return;
    }
    at("go").disabled = true;
    at("graph").hidden = true;
    try {
      const address = `tables/${table.id}/graphs`;
      const found = await timed("said", "Reading …", ask(address, "application/json", JSON.stringify(wishes)));
      say("said", `${found.edges} ${found.edges === 1 ? "edge" : "edges"}`);
      show(found.graph);
    } catch (error) {
      say("said", error.message, true);
    }
    at("go").disabled = false;
  }

  // Names of tiers may be patterns; these are names.
  function exactly(name) {
    return name.replace(/[*?[]/g, "[$&]");
  }

  function show(graph) {
    const address = (form) => `${base}graphs/${graph}/${form}`;
    const links = FORMS.map(([form, words]) => {
      const link = html("a", words);
      link.className = "button";
      link.href = `${address(form)}?save`;
      link.download = `graph.${form}`;
      return link;
    });
    const own = html("a", "Open on a page of its own");
    own.href = address("html");
    own.target = "_blank";
    own.rel = "noopener";
    at("files").replaceChildren(html("span", "Download:"), ...links, own);
    at("page").src = address("html");
    at("graph").hidden = false;
  }

  over(at("drop"), (event) => { if (event.dataTransfer.files.length) drop(event.dataTransfer.files[0]); });
  at("file").addEventListener("change", (event) => { if (event.target.files.length) drop(event.target.files[0]); });
  at("go").addEventListener("click", read);
})();
