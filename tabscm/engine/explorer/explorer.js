// The graph of a page, drawn and explored. All that is shown of the user's table goes through textContent or setAttribute
// of plain attributes, so that no name is ever read as markup.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const ROWS = 100; // of the table, until all are asked for
  const BUSIEST = 8; // variables that are offered to begin with
  const NODE = 30; // height in pixels, as in layered.py
  const SMALLEST = 0.7; // below this scale letters cannot be read: the drawing scrolls instead
  const state = {
    threshold: Math.max(data.threshold, data.floor), acyclic: data.acyclic, chosen: null, query: "",
    sort: "p", descending: true, all: false, scale: null, current: 0,
  };
  const at = (id) => document.getElementById(id);
  const stage = at("stage"), tip = at("tip"), slider = at("threshold"), search = at("search"), list = at("list");
  const sheet = { layout: undefined, svg: null, nodes: [], edges: new Map(), hint: null, rule: null };

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const key of Object.keys(attributes)) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function html(name, text, kind) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  const number = (value) => value.toFixed(2);
  // a threshold of more digits than the slider has is not rounded away
  const written = (value) => (Number.isInteger(Math.round(value * 1e8) / 1e6) ? number(value) : String(Number(value.toFixed(6))));
  const percent = (value) => `${Math.round(100 * value)} %`;
  const neither = (edge) => Math.max(0, 1 - edge.often[0] - edge.often[1]);
  const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

  // Of what holds from one threshold to the next, what holds here.
  function holding(list) {
    const fitting = list.filter((one) => one.above <= state.threshold + 1e-12);
    return fitting.length ? fitting[fitting.length - 1] : null;
  }

  const layout = () => holding(data.layouts);
  const without = () => holding(data.without_cycles);

  // The edges of the graph at this threshold, by number, and those of them that are drawn upwards and close a cycle.
  function graph() {
    const here = layout();
    const upwards = new Set(here ? here.left_out : []);
    const best = state.acyclic ? without() : null;
    const leftOut = new Set(best ? best.left_out : []);
    const shown = new Set();
    data.edges.forEach((edge, index) => {
      const above = edge.required || edge.p > state.threshold;
      if (above && !leftOut.has(index)) shown.add(index);
    });
    const effects = data.names.map(() => []);
    for (const index of shown) effects[data.edges[index].from].push(data.edges[index].to);
    const cycles = new Set();
    for (const index of shown) {
      if (upwards.has(index) && leads(effects, data.edges[index].to, data.edges[index].from)) cycles.add(index);
    }
    return { shown, cycles };
  }

  function leads(effects, from, to) {
    const seen = new Set([from]);
    const waiting = [from];
    while (waiting.length) {
      const node = waiting.pop();
      if (node === to) return true;
      for (const next of effects[node]) {
        if (!seen.has(next)) {
          seen.add(next);
          waiting.push(next);
        }
      }
    }
    return false;
  }

  function draw(now) {
    const here = layout();
    if (here !== sheet.layout) lay(here);
    if (!here) return;
    const busy = new Set();
    for (const [index, group] of sheet.edges) {
      const there = now.shown.has(index);
      group.style.display = there ? "" : "none";
      group.classList.toggle("cycle", now.cycles.has(index));
      if (there) busy.add(data.edges[index].from).add(data.edges[index].to);
    }
    const chosen = state.chosen;
    const beside = new Set();
    for (const index of now.shown) {
      const edge = data.edges[index];
      if (edge.from === chosen) beside.add(edge.to);
      if (edge.to === chosen) beside.add(edge.from);
    }
    for (const [index, group] of sheet.edges) {
      const edge = data.edges[index];
      group.classList.toggle("beside", edge.from === chosen || edge.to === chosen);
    }
    const words = state.query.toLowerCase();
    sheet.nodes.forEach((group, node) => {
      group.classList.toggle("lone", !busy.has(node));
      group.classList.toggle("chosen", node === chosen);
      group.classList.toggle("beside", beside.has(node));
      group.classList.toggle("found", words !== "" && data.names[node].toLowerCase().includes(words));
      group.setAttribute("aria-pressed", String(node === chosen));
      group.setAttribute("tabindex", node === state.current ? "0" : "-1");
      group.setAttribute("aria-label", described(node, now));
    });
    sheet.svg.classList.toggle("choosing", chosen !== null);
    sheet.svg.setAttribute("aria-label",
      `Graph of ${many(data.names.length, "variable")} with ${many(now.shown.size, "edge")}; they stand in the table below`);
  }

  function described(node, now) {
    let causes = 0, effects = 0;
    for (const index of now.shown) {
      if (data.edges[index].to === node) causes += 1;
      if (data.edges[index].from === node) effects += 1;
    }
    return `${data.names[node]}: ${many(causes, "cause")}, ${many(effects, "effect")}`;
  }

  // Move the nodes to where they stand in a layout, and draw all its edges anew.
  function lay(here) {
    sheet.layout = here;
    sheet.edges.clear();
    if (!here) {
      stage.replaceChildren(html("p", "Too many edges to draw. Move the slider to the right; the table below has them."));
      sheet.svg = null;
      return;
    }
    const fresh = !sheet.svg;
    if (fresh) {
      sheet.svg = element("svg", { role: "group" });
      sheet.rule = element("line", { class: "rule" });
      sheet.hint = element("text", { class: "hint" });
      sheet.lines = element("g", { "aria-hidden": "true" });
      sheet.nodes = data.names.map(node);
      sheet.svg.append(sheet.rule, sheet.hint, sheet.lines, ...sheet.nodes);
      stage.replaceChildren(sheet.svg);
    }
    sheet.svg.setAttribute("viewBox", `0 0 ${here.width} ${here.height}`);
    here.centres.forEach(([x, y], index) => { sheet.nodes[index].style.transform = `translate(${x}px, ${y}px)`; });
    // the most probable last, on top of the others
    sheet.lines.replaceChildren(...[...here.routes].sort((a, b) => b.edge - a.edge).map(line));
    const alone = here.alone !== null && here.alone > 40;
    sheet.rule.style.display = sheet.hint.style.display = alone ? "" : "none";
    if (alone) {
      for (const [key, value] of [["x1", 16], ["x2", here.width - 16], ["y1", here.alone - 34], ["y2", here.alone - 34]]) {
        sheet.rule.setAttribute(key, value);
      }
      sheet.hint.setAttribute("x", 16);
      sheet.hint.setAttribute("y", here.alone - 14);
      sheet.hint.textContent = "without an edge";
    }
    resize();
    if (fresh) squeeze();
  }

  function node(name, index) {
    const wide = data.widths[index];
    const group = element("g", { class: "node", role: "button" });
    const text = element("text", { y: 4.5 }, data.labels[index]);
    group.append(element("rect", { x: -wide / 2, y: -NODE / 2, width: wide, height: NODE, rx: 7 }), text);
    group.addEventListener("click", () => choose(state.chosen === index ? null : index));
    group.addEventListener("focus", () => { state.current = index; rove(); });
    group.addEventListener("keydown", (event) => press(event, index));
    group.addEventListener("pointermove", (event) => explain(event, [name, ...summary(index)]));
    group.addEventListener("pointerleave", hush);
    return group;
  }

  function line(route) {
    const edge = data.edges[route.edge];
    const group = element("g", { class: edge.required ? "edge required" : "edge" });
    const width = 1 + 2 * edge.p;
    const shade = 0.35 + 0.65 * edge.p;
    group.append(
      element("path", { class: "near", d: route.line }),
      element("path", { class: "line", d: route.line, "stroke-width": width, opacity: shade }),
      element("path", { class: "head", d: route.head, opacity: shade }),
    );
    group.querySelector(".line").style.strokeWidth = String(width);
    group.addEventListener("pointermove", (event) => explain(event, figures(edge)));
    group.addEventListener("pointerleave", hush);
    sheet.edges.set(route.edge, group);
    return group;
  }

  function figures(edge) {
    const lines = [`${data.names[edge.from]} → ${data.names[edge.to]}`];
    lines.push(edge.required ? "required by what was known" : `probability ${number(edge.p)}`);
    lines.push(`turned round ${number(edge.back)}`);
    if (edge.often) {
      const [there, back] = edge.often;
      lines.push(`bootstrap, ${data.repeats} tables: → ${percent(there)}, ← ${percent(back)}, neither ${percent(neither(edge))}`);
    }
    return lines;
  }

  function summary(index) {
    const now = graph();
    return [described(index, now).slice(data.names[index].length + 2)];
  }

  function explain(event, lines) {
    tip.replaceChildren(...lines.map((words) => html("p", words)));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${below + box.height < window.innerHeight ? below : Math.max(8, event.clientY - box.height - 12)}px`;
  }

  function hush() {
    tip.hidden = true;
  }

  function resize() {
    if (!sheet.layout || !sheet.svg) return;
    const room = stage.clientWidth - 2;
    const fitting = Math.max(SMALLEST, Math.min(1, room / sheet.layout.width));
    const scale = state.scale === null ? fitting : state.scale;
    sheet.svg.style.width = `${sheet.layout.width * scale}px`;
    sheet.svg.style.height = `${sheet.layout.height * scale}px`;
    return scale;
  }

  function zoom(factor) {
    const middle = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
    const before = resize();
    if (!before) return;
    state.scale = Math.min(4, Math.max(0.1, before * factor));
    resize();
    stage.scrollLeft = middle[0] * state.scale / before - stage.clientWidth / 2;
    stage.scrollTop = middle[1] * state.scale / before - stage.clientHeight / 2;
  }

  function choose(index) {
    state.chosen = index;
    if (index !== null) state.current = index;
    refresh();
  }

  function rove() {
    sheet.nodes.forEach((group, index) => group.setAttribute("tabindex", index === state.current ? "0" : "-1"));
  }

  // Keys on a node: along the edges up and down, along its row to the sides.
  function press(event, index) {
    const now = graph();
    const edges = [...now.shown].map((number) => data.edges[number]);
    const centres = sheet.layout.centres;
    const row = centres.map(([x, y], other) => [x, y, other]).filter(([, y]) => Math.abs(y - centres[index][1]) < 1)
      .sort((a, b) => a[0] - b[0]).map(([, , other]) => other);
    const moves = {
      ArrowUp: () => edges.filter((edge) => edge.to === index).map((edge) => edge.from)[0],
      ArrowDown: () => edges.filter((edge) => edge.from === index).map((edge) => edge.to)[0],
      ArrowLeft: () => row[row.indexOf(index) - 1],
      ArrowRight: () => row[row.indexOf(index) + 1],
      Home: () => 0,
      End: () => data.names.length - 1,
    };
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(state.chosen === index ? null : index);
    } else if (Object.hasOwn(moves, event.key)) {
      event.preventDefault();
      const target = moves[event.key]();
      if (target !== undefined) sheet.nodes[target].focus();
    }
  }

  function panel(now) {
    const aside = at("chosen");
    if (state.chosen === null) {
      aside.replaceChildren(html("p", "Choose a variable to see its causes and effects."), ...busiest(now));
      return;
    }
    const name = html("h3");
    name.append(html("bdi", data.names[state.chosen]));
    const close = html("button", "Let go");
    close.type = "button";
    close.addEventListener("click", () => choose(null));
    const edges = [...now.shown].map((index) => data.edges[index]);
    aside.replaceChildren(name,
      ...neighbours("Causes", edges.filter((edge) => edge.to === state.chosen), "from"),
      ...neighbours("Effects", edges.filter((edge) => edge.from === state.chosen), "to"), html("p"), close);
  }

  // Where to begin: the variables with the most edges.
  function busiest(now) {
    const counts = data.names.map(() => 0);
    for (const index of now.shown) {
      counts[data.edges[index].from] += 1;
      counts[data.edges[index].to] += 1;
    }
    const first = counts.map((_, node) => node).filter((node) => counts[node])
      .sort((one, other) => counts[other] - counts[one] || one - other).slice(0, BUSIEST);
    const found = html("ul");
    found.append(...first.map((node) => entry(node, String(counts[node]))));
    return first.length ? [html("h4", "Most edges"), found] : [];
  }

  function entry(node, figure) {
    const button = html("button");
    button.type = "button";
    button.append(html("bdi", data.names[node]), html("span", figure));
    button.addEventListener("click", () => choose(node));
    const item = html("li");
    item.append(button);
    return item;
  }

  function neighbours(title, edges, end) {
    const found = html("ul");
    for (const edge of edges) {
      const item = entry(edge[end], edge.required ? "required" : number(edge.p));
      if (edge.often) item.append(html("p", `bootstrap → ${percent(edge.often[0])}, ← ${percent(edge.often[1])}`));
      found.append(item);
    }
    return [html("h4", `${title}: ${edges.length || "none"}`), found];
  }

  const values = {
    from: (edge) => data.names[edge.from], to: (edge) => data.names[edge.to], p: (edge) => edge.p,
    back: (edge) => edge.back, often: (edge) => (edge.often ? edge.often[0] : 0),
    turned: (edge) => (edge.often ? edge.often[1] : 0), neither: (edge) => (edge.often ? neither(edge) : 0),
  };

  function table(now) {
    const words = state.query.toLowerCase();
    const said = (index) => data.names[index].toLowerCase().includes(words);
    const value = values[state.sort];
    const turn = state.descending ? -1 : 1;
    const rows = [...now.shown].filter((index) => said(data.edges[index].from) || said(data.edges[index].to));
    rows.sort((one, other) => {
      const a = value(data.edges[one]), b = value(data.edges[other]);
      const order = typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b;
      return turn * order || one - other;
    });
    const shown = state.all ? rows : rows.slice(0, ROWS);
    list.tBodies[0].replaceChildren(...shown.map((index) => {
      const edge = data.edges[index];
      const row = html("tr");
      row.classList.toggle("cycle", now.cycles.has(index));
      for (const end of [edge.from, edge.to]) {
        const cell = html("td");
        cell.append(html("bdi", data.names[end]));
        row.append(cell);
      }
      row.append(html("td", edge.required ? "required" : number(edge.p)), html("td", number(edge.back)));
      if (edge.often) row.append(...[...edge.often, neither(edge)].map((share) => html("td", percent(share))));
      row.addEventListener("pointerenter", () => point(index, true));
      row.addEventListener("pointerleave", () => point(index, false));
      return row;
    }));
    const more = at("more");
    more.hidden = shown.length === rows.length;
    more.textContent = `Show all ${rows.length}`;
    for (const head of list.tHead.rows[0].cells) {
      const own = head.dataset.sort === state.sort;
      head.setAttribute("aria-sort", own ? (state.descending ? "descending" : "ascending") : "none");
    }
    return rows.length;
  }

  function point(index, on) {
    const group = sheet.edges.get(index);
    if (group) group.classList.toggle("pointed", on);
  }

  function say(now, listed) {
    const parts = [`${many(now.shown.size, "edge")} above ${written(state.threshold)} between ${many(data.names.length, "variable")}.`];
    if (now.cycles.size === 1) parts.push("One goes upwards, because it closes a cycle with others.");
    if (now.cycles.size > 1) parts.push(`${now.cycles.size} go upwards, because they close cycles with others.`);
    if (state.acyclic && !without()) parts.push("Cycles are left in: there are too many edges to draw the graph without.");
    if (state.query) {
      const found = data.names.filter((name) => name.toLowerCase().includes(state.query.toLowerCase())).length;
      parts.push(`${many(found, "variable")} found, in ${many(listed, "edge")}.`);
    }
    at("said").textContent = parts.join(" ");
    at("above").textContent = written(state.threshold);
    at("acyclic").disabled = !without();
    for (const key of at("keys").querySelectorAll("[data-key]")) {
      const there = key.dataset.key === "cycle" ? now.cycles.size : [...now.shown].some((index) => data.edges[index].required);
      key.style.display = there ? "" : "none";
    }
  }

  function refresh() {
    const now = graph();
    draw(now);
    panel(now);
    say(now, table(now));
  }

  // Names whose letters are wider than they look to Python are squeezed into their nodes.
  function squeeze() {
    sheet.nodes.forEach((group, index) => {
      const text = group.querySelector("text");
      const room = data.widths[index] - 12;
      if (text.getComputedTextLength() > room) {
        text.setAttribute("textLength", room);
        text.setAttribute("lengthAdjust", "spacingAndGlyphs");
      }
    });
  }

  function begin() {
    for (const id of ["bar", "panes", "keys", "help"]) at(id).hidden = false;
    // it stops where the graph without cycles is known, and begins beside a threshold that lies between
    slider.step = 1 / data.steps;
    slider.min = Math.ceil(data.floor * data.steps - 1e-9) / data.steps;
    slider.value = state.threshold;
    at("acyclic").checked = state.acyclic;
    slider.addEventListener("input", () => { state.threshold = Number(slider.value); refresh(); });
    search.addEventListener("input", () => { state.query = search.value.trim(); refresh(); });
    search.addEventListener("keydown", (event) => {
      const found = data.names.findIndex((name) => name.toLowerCase().includes(state.query.toLowerCase()));
      if (event.key === "Enter" && state.query && found >= 0) {
        choose(found);
        if (sheet.svg) sheet.nodes[found].scrollIntoView({ block: "nearest", inline: "center" });
      }
    });
    at("acyclic").addEventListener("change", (event) => { state.acyclic = event.target.checked; refresh(); });
    at("smaller").addEventListener("click", () => zoom(1 / 1.25));
    at("larger").addEventListener("click", () => zoom(1.25));
    at("fit").addEventListener("click", () => { state.scale = null; fit(); });
    at("more").addEventListener("click", () => { state.all = true; refresh(); });
    for (const head of list.tHead.rows[0].cells) {
      const button = html("button", head.textContent);
      button.type = "button";
      button.addEventListener("click", () => {
        state.descending = state.sort === head.dataset.sort ? !state.descending : !["from", "to"].includes(head.dataset.sort);
        state.sort = head.dataset.sort;
        refresh();
      });
      head.replaceChildren(button);
    }
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hush(); choose(null); }
    });
    window.addEventListener("resize", resize);
    stage.addEventListener("wheel", (event) => {
      if (event.ctrlKey) { event.preventDefault(); zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15); }
    }, { passive: false });
    drag();
    refresh();
  }

  // The whole drawing at once, however small.
  function fit() {
    if (!sheet.layout) return;
    state.scale = Math.min(1, (stage.clientWidth - 2) / sheet.layout.width, 730 / sheet.layout.height);
    resize();
  }

  function drag() {
    let from = null;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && event.pointerType === "mouse" && !event.target.closest(".node")) {
        from = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
        stage.classList.add("held");
      }
    });
    window.addEventListener("pointermove", (event) => {
      if (from) {
        stage.scrollLeft = from[0] - event.clientX;
        stage.scrollTop = from[1] - event.clientY;
      }
    });
    window.addEventListener("pointerup", () => { from = null; stage.classList.remove("held"); });
  }

  begin();
})();
