// The page of the app. Names of columns and messages are shown through textContent alone.
"use strict";

(() => {
  const base = location.pathname.replace(/\/?$/, "/");
  const at = (id) => document.getElementById(id);
  const FORMS = [["html", "page"], ["json", "JSON"], ["csv", "edges, CSV"], ["gml", "GML"], ["dot", "DOT"]];
  const LONGEST = 1 << 19; // bytes of a file of text; the app takes twice as many in all
  const SECTIONS = ["checks", "known", "wishes"];
  let table = null; // { id, columns: [{ name, use, text, tier, cause, effect }], edges: [{ sort, from, to }], labels }

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

  // Show how long something takes while it does, and what is said of how far it is.
  async function timed(place, words, work, asked) {
    const start = Date.now();
    let far = "";
    say(place, words);
    const clock = setInterval(async () => {
      say(place, `${words} ${Math.round((Date.now() - start) / 1000)} s${far ? ` · ${far}` : ""}`);
      if (asked) far = await asked();
    }, 1000);
    try {
      return await work;
    } finally {
      clearInterval(clock);
    }
  }

  async function progress(id) {
    try {
      const answer = await fetch(`${base}tables/${id}/progress`);
      return answer.ok ? (await answer.json()).line : "";
    } catch {
      return "";
    }
  }

  async function drop(file) {
    for (const place of [...SECTIONS, "graph"]) at(place).hidden = true;
    try {
      const address = `tables?name=${encodeURIComponent(file.name)}`;
      const found = await timed("state", `Looking at ${file.name} …`, ask(address, "application/octet-stream", file));
      const variables = new Set(found.variables);
      table = {
        id: found.table,
        columns: found.columns.map((name) => ({
          name, use: variables.has(name), text: !variables.has(name), tier: 0, cause: true, effect: true,
        })),
        edges: [],
        labels: null,
      };
      say("state", `${found.name}: ${found.columns.length} columns${found.rows === null ? "" : `, ${found.rows} rows`}`);
      at("trouble").hidden = found.trouble === null;
      at("trouble").textContent = found.trouble === null ? "" : `${found.trouble}. Or leave the column out below.`;
      at("notes").replaceChildren(...found.notes.map((note) => html("li", note)));
      at("labels").replaceChildren(new Option("none", ""), ...table.columns.map(({ name }, index) => new Option(name, index)));
      forget();
      list();
      edges();
      for (const place of SECTIONS) at(place).hidden = false;
      say("said", "");
      at("graph").hidden = true; // it may have come since
    } catch (error) {
      say("state", error.message, true);
    }
  }

  // What was said of one table holds for no other.
  function forget() {
    for (const place of ["knowledge", "targets"]) {
      at(place).value = at(`${place}-file`).value = "";
      delete at(place).dataset.file;
      say(`${place}-said`, "");
    }
    at("cause").value = at("effect").value = "";
    at("means").value = "targets";
    meant();
  }

  // Which words belong to what the column of labels names.
  function meant() {
    at("of-conditions").hidden = at("means").value !== "conditions";
    at("of-targets").hidden = !at("of-conditions").hidden;
  }

  // The columns that are variables.
  function used() {
    return table.columns.filter((column) => column.use && column !== table.labels);
  }

  function list() {
    at("columns").tBodies[0].replaceChildren(...table.columns.map((column) => {
      const row = html("tr"), tier = html("input"), name = html("td");
      tier.type = "number";
      tier.min = "1";
      tier.max = "99";
      tier.value = column.tier || "";
      tier.setAttribute("aria-label", `tier of ${column.name}`);
      tier.addEventListener("input", () => { column.tier = Math.max(0, Math.min(99, Math.floor(Number(tier.value)))) || 0; lanes(); });
      name.append(html("bdi", column.name));
      const own = column === table.labels;
      if (own) name.append(html("span", "says what was set in each row"));
      else if (column.text) name.append(html("span", "text: its values are numbered if it is ticked"));
      const use = tick(`use ${column.name}`, column.use && !own, (on) => { column.use = on; lanes(); });
      use.disabled = own;
      for (const part of [
        use, name, tier,
        tick(`nothing causes ${column.name}`, !column.effect, (on) => { column.effect = !on; }),
        tick(`${column.name} causes nothing`, !column.cause, (on) => { column.cause = !on; }),
      ]) {
        const cell = part.tagName === "TD" ? part : html("td");
        if (cell !== part) cell.append(part);
        row.append(cell);
      }
      return row;
    }));
    lanes();
  }

  function tick(label, on, changed) {
    const box = html("input");
    box.type = "checkbox";
    box.checked = on;
    box.setAttribute("aria-label", label);
    box.addEventListener("change", () => changed(box.checked));
    return box;
  }

  function edges() {
    at("edges").replaceChildren(...table.edges.map((edge) => {
      const item = html("li"), gone = html("button", "Remove");
      gone.type = "button";
      gone.setAttribute("aria-label", `remove ${edge.from} to ${edge.to}`);
      gone.addEventListener("click", () => { table.edges = table.edges.filter((other) => other !== edge); edges(); });
      item.append(html("bdi", edge.from), html("span", " → "), html("bdi", edge.to), html("span", ` is ${edge.sort} `), gone);
      return item;
    }));
  }

  function add() {
    const [cause, effect] = [at("cause"), at("effect")];
    const blank = [cause, effect].find((field) => !field.value.trim());
    if (blank) {
      blank.focus();
      return;
    }
    table.edges.push({ sort: at("sort").value, from: cause.value.trim(), to: effect.value.trim() });
    cause.value = effect.value = "";
    cause.focus();
    edges();
  }

  // The tiers side by side, one more than there are, to drag to.
  function lanes() {
    const variables = used();
    const last = variables.reduce((most, column) => Math.max(most, column.tier), 0);
    const found = [];
    for (let tier = 0; tier <= Math.min(99, last + 1); tier += 1) {
      const lane = html("div");
      lane.className = "tier";
      lane.append(html("h3", tier === 0 ? "anywhere" : `tier ${tier}`));
      for (const column of variables.filter((one) => one.tier === tier)) {
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
    at("names").replaceChildren(...variables.map((column) => new Option("", column.name)));
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

  // What stands in a field of text, as a file; null where nothing does.
  function written(place) {
    const field = at(place);
    return field.value.trim() ? { name: field.dataset.file || "what was typed", text: field.value } : null;
  }

  // A file goes into its field, where it can be changed; then it is that file no more.
  function filled(place) {
    const field = at(place), choose = at(`${place}-file`);
    const take = async (file) => {
      try {
        if (file.size > LONGEST) throw new Error(`${file.name}: at most ${LONGEST >> 10} KiB are taken`);
        const bytes = await file.arrayBuffer();
        try {
          field.value = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
        } catch {
          throw new Error(`${file.name}: this is not UTF-8 text; save it as UTF-8`);
        }
        field.dataset.file = file.name;
        say(`${place}-said`, file.name);
      } catch (error) {
        say(`${place}-said`, error.message, true);
      }
    };
    choose.addEventListener("change", () => { if (choose.files.length) take(choose.files[0]); });
    over(field, (event) => { if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]); });
    field.addEventListener("input", () => { delete field.dataset.file; say(`${place}-said`, ""); });
  }

  function wished() {
    const variables = used();
    const names = (columns) => columns.map((column) => column.name);
    const last = variables.reduce((most, column) => Math.max(most, column.tier), 0);
    const sorted = (sort) => table.edges.filter((edge) => edge.sort === sort).map((edge) => [edge.from, edge.to]);
    const conditions = at("means").value === "conditions";
    return {
      variables: names(variables),
      categories: names(variables.filter((column) => column.text)),
      tiers: Array.from({ length: last }, (_, tier) => names(variables.filter((column) => column.tier === tier + 1))),
      required: sorted("required"),
      forbidden: sorted("forbidden"),
      exogenous: names(variables.filter((column) => !column.effect)),
      sinks: names(variables.filter((column) => !column.cause)),
      knowledge: written("knowledge"),
      labels: table.labels && { column: table.labels.name, targets: conditions ? written("targets") : null },
      bootstrap: at("bootstrap").valueAsNumber,
      threshold: at("threshold").valueAsNumber,
      acyclic: at("acyclic").checked,
    };
  }

  // What is to be mended in the wishes before they are sent; NaN stands where nothing is written.
  function fault(wishes) {
    const most = Number(at("bootstrap").max);
    if (!(wishes.threshold >= 0 && wishes.threshold <= 1)) {
      return "How probable edges have to be is a number from 0 to 1, such as 0.5.";
    }
    if (!(Number.isInteger(wishes.bootstrap) && wishes.bootstrap >= 0 && wishes.bootstrap <= most)) {
      return `How often rows are drawn again is a whole number from 0 to ${most}, such as 100.`;
    }
    if (wishes.labels && !wishes.labels.targets && at("means").value === "conditions") {
      return "What each condition sets is to be typed, or dropped, under the variables.";
    }
    return null;
  }

  async function read() {
    const wishes = wished(), wrong = fault(wishes);
    if (wrong) {
      say("said", wrong, true);
      return;
    }
    const own = table; // another may be dropped before there is an answer
    at("go").disabled = true;
    at("graph").hidden = true;
    try {
      const asked = ask(`tables/${own.id}/graphs`, "application/json", JSON.stringify(wishes));
      const found = await timed("said", "Reading …", asked, () => progress(own.id));
      if (table === own) {
        say("said", `${found.edges} ${found.edges === 1 ? "edge" : "edges"}`);
        show(found.graph);
      }
    } catch (error) {
      if (table === own) say("said", error.message, true);
    }
    if (table !== own) say("said", "");
    at("go").disabled = false;
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
  at("labels").addEventListener("change", (event) => {
    table.labels = event.target.value === "" ? null : table.columns[Number(event.target.value)];
    list();
  });
  at("means").addEventListener("change", meant);
  at("edge").addEventListener("submit", (event) => { event.preventDefault(); add(); });
  filled("targets");
  filled("knowledge");
  at("go").addEventListener("click", read);
})();
