"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);

  /* What each procedure is. */
  const PROCEDURES = {
    secure: "From no access to a live security subscription: SUBSCRIBE, 401, SUBSCRIBE in ESP, 200, NOTIFY.",
    registration: "From no access to a registration: REGISTER, 401, REGISTER, 200; without access security REGISTER, 200.",
    fallback: "From the security SUBSCRIBE that the network refused to the 200 to the REGISTER.",
    fallback_return: "From the decision to try the extension again to the end of the registration that was fallen back to.",
    refresh: "The refresh of a security subscription, or of a registration.",
    release: "The end of a security subscription, or of a registration, by its UE.",
    reauthenticate: "A refresh without credentials: 401, SUBSCRIBE on new security associations, 200, NOTIFY.",
    identity_change: "From the operator’s call to the NOTIFY that has, or lacks, the identity.",
    network_reauthenticate: "From the operator’s call that lowers the lifetime to the 200 and the NOTIFY of the refresh.",
    network_release: "From the operator’s call to the NOTIFY that terminates.",
    register_over_connection: "REGISTER over the secure connection, to its 200.",
    reg_event: "SUBSCRIBE to the registration event package, to its 200 and NOTIFY.",
    message: "MESSAGE to another UE, to its 2xx.",
    call_setup: "A session with another UE: INVITE to its 2xx.",
    session_refresh: "The refresh of a session: UPDATE or re-INVITE to its 2xx.",
    call_release: "The end of a session by one of its parties: BYE to its 2xx.",
    handover: "All that a user has goes to another access: from the decision to the end of the old connection.",
    handover_secure: "The set-up of the new connection in a handover.",
    handover_sessions: "From the first INVITE that moves a session to the ACK of the last one.",
    handover_subscriptions: "From the first SUBSCRIBE that moves a subscription to the NOTIFY of the last one.",
    handover_bindings: "REGISTER over the new connection, to its 200.",
    handover_release: "The re-SUBSCRIBE that ends the old connection, to its 200.",
    interruption: "Of each session that is moved: from the decision, or the loss of the access, to the ACK over the new one.",
    subscription_move: "Of each subscription that is moved: SUBSCRIBE to its 2xx and NOTIFY.",
    switch: "The operator switches the extension on or off: from the call to its answer.",
  };
  const words = (name) => name.replaceAll("_", " ");

  /* How numbers are written. */
  const three = (value) => {
    const digits = Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
    return value.toLocaleString("en-GB", { minimumFractionDigits: 0, maximumFractionDigits: digits });
  };
  const count = (value) => value.toLocaleString("en-GB", { maximumFractionDigits: 0 });
  const plain = (value) => value.toLocaleString("en-GB", { maximumFractionDigits: 3 });
  const us = (value) =>
    value < 1e3 ? `${three(value)} µs` : value < 1e6 ? `${three(value / 1e3)} ms` : `${three(value / 1e6)} s`;
  const latency = (value) => (value === 0 ? "–" : us(value));
  const seconds = (value) => (value < 1 ? us(value * 1e6) : `${plain(Math.round(value * 10) / 10)} s`);
  const bytes = (value) => {
    const [unit, name] = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]].find(([it]) => value >= it) ?? [1, "B"];
    return `${three(value / unit)} ${name}`;
  };
  const percent = (value) => `${three(value * 100)} %`;
  const rate = (value) => `${three(value)}/s`;
  const cores = (value) => `${three(value * 100)} %`;
  const clock = (value, all) => {
    const whole = Math.round(value * 10) / 10;
    if (all < 180) return `${whole} s`;
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, Math.floor(whole % 60)];
    const two = (n) => String(n).padStart(2, "0");
    return all < 7200 ? `${h * 60 + m}:${two(s)}` : `${h}:${two(m)}:${two(s)}`;
  };
  const share = (nines) => {
    if (Math.abs(nines - Math.log10(2)) < 1e-3) return "50 %";
    const digits = Number.isInteger(nines) ? Math.max(0, nines - 2) : Math.floor(nines);
    return `${((1 - 10 ** -nines) * 100).toFixed(Math.min(digits, 7))} %`;
  };

  /* Elements. */
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  };
  const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
  const mark = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
  /* A child that stays the same element from one look at the data to the next, so that what is open stays open. */
  const keyed = (parent, key, make) => {
    for (const child of parent.children) if (child.dataset.key === key) return child;
    const child = make();
    child.dataset.key = key;
    parent.append(child);
    return child;
  };
  const body = (section) => document.querySelector(`#${section} > .body`);
  const part = (section, key) => keyed(body(section), key, () => el("div"));

  /* Figures of report.json. */
  let page = null;
  const at = (path) => path.split(".").reduce((value, key) => value?.[key], page.report);
  const figure = (path, write) => {
    const value = at(path);
    if (value === null || value === undefined) return el("span", { "data-path": path, "data-value": "null" }, "–");
    return el("span", { "data-path": path, "data-value": String(value) }, write(value));
  };
  const table = (label, head, rows, attributes) =>
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      el(
        "table",
        attributes,
        el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))),
        el(
          "tbody",
          {},
          rows.map(([first, ...rest]) =>
            el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell))),
          ),
        ),
      ),
    );
  const verdictCell = (good, text) => el("td", { class: good ? "word good" : "word bad" }, text);

  /* Where ticks go. */
  const niceStep = (span, ticks) => {
    const raw = span / ticks;
    const power = 10 ** Math.floor(Math.log10(raw));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= raw * 0.999);
  };
  /* Of memory: 1, 2 or 5 times ten of a unit, not of a byte. */
  const byteStep = (most) => {
    const unit = most >= 2 ** 30 ? 2 ** 30 : most >= 2 ** 20 ? 2 ** 20 : 2 ** 10;
    return unit * niceStep(most / unit, 4);
  };
  const timeTicks = (end, ticks) => {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
    const step = steps.find((it) => end / it <= ticks) ?? niceStep(end, ticks);
    return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => i * step);
  };
  const logTicks = (low, high) => {
    const all = [];
    for (let e = Math.floor(Math.log10(low)); 10 ** e <= high * 1.001; e += 1) {
      for (const n of [1, 2, 5]) all.push(n * 10 ** e);
    }
    const inside = all.filter((it) => it >= low * 0.999 && it <= high * 1.001);
    const decades = inside.filter((it) => Math.abs(Math.log10(it) - Math.round(Math.log10(it))) < 1e-6);
    return inside.length <= 6 || decades.length < 2 ? inside : decades;
  };

  /* A chart: title, legend, drawing, what the pointer or the keys are at, and its values as a table. */
  let numbers = 0;
  const charts = new Map();
  class Chart {
    constructor(parent, title) {
      numbers += 1;
      this.id = `chart-${numbers}`;
      this.legend = el("span", { class: "legend" });
      this.readout = el("output", { class: "readout", "aria-live": "polite" });
      this.plot = el("div", { class: "plot" });
      this.values = el("details", { class: "values" }, el("summary", {}, "As a table"));
      const caption = el("figcaption", {}, el("span", { class: "title" }, title), this.legend);
      parent.append(el("figure", {}, caption, this.plot, el("div", { class: "foot" }, this.values, this.readout)));
      this.title = title;
      this.cursor = null;
      this.values.addEventListener("toggle", () => this.tabulate());
      new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(this.plot);
    }
    set(spec) {
      this.spec = spec;
      const named = spec.lines ? spec.lines.filter((line) => line.name) : [];
      this.legend.replaceChildren(
        ...(named.length > 1 ? named : []).map((line) =>
          el("span", {}, mark("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, mark("path", { class: `line ${line.style}`, d: "M0 4H24" })), line.name),
        ),
      );
      this.drawn = 0;
      this.draw();
      this.tabulate();
    }
    draw() {
      const width = Math.floor(this.plot.clientWidth);
      if (!this.spec || width < 60 || this.drawn === width) return;
      this.drawn = width;
      const spec = this.spec;
      const height = spec.height ?? 190;
      const yTexts = spec.yTicks.map((tick) => spec.y(tick));
      const left = 10 + 6.6 * Math.max(3, ...yTexts.map((text) => text.length));
      const box = { left, right: width - 12, top: spec.bands?.length || spec.marks?.length ? 20 : 8, bottom: height - 22 };
      const [x0, x1] = spec.xRange;
      const [y0, y1] = spec.log ? spec.yRange.map(Math.log10) : spec.yRange;
      const toX = (value) => box.left + ((value - x0) / (x1 - x0 || 1)) * (box.right - box.left);
      const toY = (value) => {
        const v = spec.log ? Math.log10(Math.max(value, spec.yRange[0])) : value;
        return box.bottom - ((v - y0) / (y1 - y0 || 1)) * (box.bottom - box.top);
      };
      this.scale = { toX, box, x0, x1 };
      const svg = mark("svg", {
        viewBox: `0 0 ${width} ${height}`, width, height, role: "img", tabindex: "0",
        "aria-labelledby": `${this.id}-title ${this.id}-desc`,
      });
      svg.append(
        mark("title", { id: `${this.id}-title` }, this.title),
        mark("desc", { id: `${this.id}-desc` }, `${spec.summary} Left and right keys read it value by value.`),
      );
      for (const band of spec.bands ?? []) {
        const [from, to] = [Math.max(toX(band.from), box.left), Math.min(toX(band.to), box.right)];
        if (to <= from) continue;
        svg.append(mark("rect", { class: "band", x: from.toFixed(1), y: box.top, width: (to - from).toFixed(1), height: box.bottom - box.top }));
        if (to - from > 6.4 * band.label.length) svg.append(mark("text", { class: "band-label", x: ((from + to) / 2).toFixed(1), y: 13, "text-anchor": "middle" }, band.label));
      }
      spec.yTicks.forEach((tick, i) => {
        const y = toY(tick).toFixed(1);
        svg.append(mark("path", { class: "rule", d: `M${box.left} ${y}H${box.right}` }));
        svg.append(mark("text", { x: box.left - 6, y: +y + 4, "text-anchor": "end" }, yTexts[i]));
      });
      let last = -Infinity;
      for (const tick of spec.xTicks(Math.max(2, Math.floor((box.right - box.left) / 70)))) {
        const text = spec.x(tick);
        const x = toX(tick);
        const half = 3.4 * text.length;
        if (x > box.right + 1 || x - half < last + 14) continue;
        last = x + half;
        svg.append(mark("path", { class: "rule", d: `M${x.toFixed(1)} ${box.top}V${box.bottom}` }));
        const anchor = x + half > width ? "end" : "middle";
        svg.append(mark("text", { x: Math.min(x, width - 2).toFixed(1), y: height - 6, "text-anchor": anchor }, text));
      }
      if (spec.cells) this.drawCells(svg, toX, toY);
      for (const line of spec.lines ?? []) this.drawLine(svg, line, toX, toY);
      for (const it of spec.marks ?? []) {
        const x = toX(it.at);
        svg.append(mark("path", { class: "done", d: `M${x.toFixed(1)} ${box.top - 4}V${box.bottom}` }));
        svg.append(mark("text", { class: "band-label", x: x.toFixed(1), y: 12, "text-anchor": x > width - 60 ? "end" : "start" }, it.label));
      }
      this.hair = mark("path", { class: "hair", d: "" });
      svg.append(this.hair);
      svg.addEventListener("pointermove", (event) => {
        const x = event.clientX - svg.getBoundingClientRect().left;
        this.read(x0 + ((x - box.left) / (box.right - box.left)) * (x1 - x0));
      });
      svg.addEventListener("pointerleave", () => this.read(null));
      svg.addEventListener("blur", () => this.read(null));
      svg.addEventListener("keydown", (event) => this.key(event));
      const hadFocus = this.plot.contains(document.activeElement);
      this.plot.replaceChildren(svg);
      if (hadFocus) svg.focus({ preventScroll: true });
      if (this.cursor !== null) this.read(this.cursor);
    }
    drawLine(svg, line, toX, toY) {
      let d = "";
      let open = false;
      line.points.forEach(([x, y], i) => {
        if (y === null) {
          open = false;
          return;
        }
        const place = `${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`;
        const alone = !open && (line.points[i + 1]?.[1] ?? null) === null;
        d += open ? `L${place}` : `M${place}${alone ? "h.1" : ""}`;
        open = true;
      });
      if (d) svg.append(mark("path", { class: `line ${line.style}`, d }));
    }
    /* Cells of the same shade are one path. */
    drawCells(svg, toX, toY) {
      const { columns, width_s, rowEdge } = this.spec.cells;
      const most = this.spec.cells.most;
      const shades = Array.from({ length: 7 }, () => "");
      const level = (n) => Math.min(6, Math.floor((6.999 * Math.log(n + 1)) / Math.log(most + 1)));
      columns.forEach((column, i) => {
        const [from, to] = [toX(i * width_s), toX((i + 1) * width_s)];
        for (let k = 0; k < column.length; k += 2) {
          const [top, bottom] = [toY(rowEdge(column[k] + 1)), toY(rowEdge(column[k]))];
          shades[level(column[k + 1])] += `M${from.toFixed(1)} ${bottom.toFixed(1)}V${top.toFixed(1)}H${to.toFixed(1)}V${bottom.toFixed(1)}z`;
        }
      });
      shades.forEach((d, i) => {
        if (d) svg.append(mark("path", { class: `cell shade-${i}`, d }));
      });
    }
    /* Says what is at a place, or nothing. */
    read(x) {
      const { toX, box, x0, x1 } = this.scale;
      if (x === null || x < x0 - (x1 - x0) / 20) {
        this.cursor = null;
        this.hair.setAttribute("d", "");
        this.readout.replaceChildren();
        return;
      }
      const found = this.spec.at(Math.min(Math.max(x, x0), x1));
      if (!found) return;
      this.cursor = found.x;
      this.hair.setAttribute("d", `M${toX(found.x).toFixed(1)} ${box.top}V${box.bottom}`);
      this.readout.replaceChildren(el("b", {}, found.title), ` ${found.text}`);
    }
    key(event) {
      const stops = this.spec.stops;
      if (!stops.length) return;
      const now = this.cursor === null ? -1 : stops.findIndex((it) => it >= this.cursor - 1e-9);
      const next = { ArrowRight: now + 1, ArrowLeft: Math.max(now - 1, 0), Home: 0, End: stops.length - 1, Escape: null }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      this.read(next === null ? null : stops[Math.min(next, stops.length - 1)]);
    }
    tabulate() {
      if (!this.values.open || !this.spec) return;
      const { head, rows } = this.spec.table();
      this.values.replaceChildren(this.values.firstChild, table(`${this.title}, as a table`, head, rows));
    }
  }
  const chart = (parent, key, title, spec) => {
    const name = `${parent.dataset.chart ?? ""}${key}`;
    let known = charts.get(parent)?.get(name);
    if (!known) {
      known = new Chart(parent, title);
      if (!charts.has(parent)) charts.set(parent, new Map());
      charts.get(parent).set(name, known);
    }
    known.set(spec);
  };

  /* Lines over time. */
  const overTime = (lines, write, more) => {
    const { ends_s, width_s } = page.series;
    const end = Math.max(ends_s.at(-1) ?? 1, 1);
    const middles = ends_s.map((it) => it - width_s / 2);
    const span = (i) => `${clock(ends_s[i] - width_s, end)} to ${clock(ends_s[i], end)}`;
    const drawn = lines.map((line) => ({ ...line, points: middles.map((x, i) => [x, line.values[i] ?? null]) }));
    const all = lines.flatMap((line) => line.values.filter((value) => value !== null && value !== undefined));
    const most = Math.max(0, ...all);
    const step = write === bytes ? byteStep(most || 1) : niceStep(most || 1, 4);
    const top = Math.max(step, Math.ceil(most / step - 1e-9) * step);
    const text = (value) => (value === null || value === undefined ? "–" : write(value));
    const index = (x) => Math.min(Math.max(Math.round(x / width_s - 0.5), 0), ends_s.length - 1);
    return {
      lines: drawn,
      xRange: [0, end],
      yRange: [0, top],
      marks: interventions(),
      yTicks: Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step),
      y: write,
      x: (value) => clock(value, end),
      xTicks: (n) => timeTicks(end, n),
      stops: middles,
      summary: lines
        .map((line) => {
          const values = line.values.filter((value) => value !== null && value !== undefined);
          return values.length ? `${line.name}: from ${write(values[0])} to ${write(values.at(-1))}, at most ${write(Math.max(...values))}.` : "";
        })
        .join(" "),
      at: (x) => {
        const i = index(x);
        if (!ends_s.length) return null;
        return { x: middles[i], title: span(i), text: lines.map((line) => `${line.name} ${text(line.values[i])}`).join(" · ") };
      },
      table: () => ({
        head: ["time", ...lines.map((line) => line.name)],
        rows: ends_s.map((_, i) => [span(i), ...lines.map((line) => text(line.values[i]))]),
      }),
      ...more,
    };
  };

  /* Percentiles, on an axis of nines. */
  const percentiles = ({ corrected, raw }) => {
    const differ = JSON.stringify(corrected) !== JSON.stringify(raw) && raw.length > 0;
    const lines = [
      { name: differ ? "from the intended start" : "from the start", style: "s1", points: corrected },
      ...(differ ? [{ name: "raw", style: "s2", points: raw }] : []),
    ];
    const all = lines.flatMap((line) => line.points.map((point) => point[1]));
    const [least, most] = [Math.max(1, Math.min(...all)), Math.max(...all, 2)];
    const ticks = logTicks(1, 1e9);
    const fine = Array.from({ length: 10 }, (_, e) => [1, 2, 5].map((n) => n * 10 ** e)).flat();
    const low = fine.filter((it) => it <= least).at(-1) ?? ticks[0];
    const high = fine.find((it) => it >= most) ?? most;
    const last = Math.max(1, ...lines.map((line) => line.points.at(-1)?.[0] ?? 0));
    const value = (line, x) => (line.points.find((point) => point[0] >= x - 1e-9) ?? line.points.at(-1))?.[1];
    const named = [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7];
    const at = (x) => lines.map((line) => `${line.name} ${us(value(line, x))}`).join(" · ");
    return {
      lines,
      log: true,
      xRange: [0, last],
      yRange: [low, high],
      yTicks: logTicks(low, high),
      y: us,
      x: share,
      xTicks: () => named.filter((it) => it <= last + 1e-9),
      stops: corrected.map((point) => point[0]),
      summary: `Half took at most ${us(value(lines[0], Math.log10(2)))}, 99 % at most ${us(value(lines[0], 2))}, the longest ${us(corrected.at(-1)[1])}.`,
      at: (x) => ({ x, title: share(x), text: `took at most: ${at(x)}` }),
      table: () => ({
        head: ["share", ...lines.map((line) => line.name)],
        rows: named
          .filter((it) => it <= last)
          .map((it) => [share(it), ...lines.map((line) => us(value(line, it)))])
          .concat([["longest", ...lines.map((line) => us(line.points.at(-1)[1]))]]),
      }),
    };
  };

  /* Latencies over time. */
  const heatMap = (columns) => {
    const { ends_s, width_s, rows_per_decade } = page.series;
    const end = Math.max(ends_s.at(-1) ?? 1, 1);
    const rowEdge = (row) => 10 ** (row / rows_per_decade);
    let [low, high, most] = [Infinity, 0, 1];
    for (const column of columns) {
      for (let k = 0; k < column.length; k += 2) {
        low = Math.min(low, column[k]);
        high = Math.max(high, column[k]);
        most = Math.max(most, column[k + 1]);
      }
    }
    if (low > high) [low, high] = [16, 24];
    const range = [rowEdge(low), rowEdge(Math.max(high + 1, low + 4))];
    const span = (i) => `${clock(ends_s[i] - width_s, end)} to ${clock(ends_s[i], end)}`;
    const sum = (column) => column.reduce((all, n, k) => (k % 2 ? all + n : all), 0);
    const fullest = (column) => {
      let best = 0;
      for (let k = 2; k < column.length; k += 2) if (column[k + 1] > column[best + 1]) best = k;
      return `${us(rowEdge(column[best]))} to ${us(rowEdge(column[best] + 1))}`;
    };
    const rangeOf = (column) => `${us(rowEdge(column[0]))} to ${us(rowEdge(column.at(-2) + 1))}`;
    const seen = columns.map((column, i) => [column, i]).filter(([column]) => column.length);
    return {
      cells: { columns, width_s, rowEdge, most },
      log: true,
      xRange: [0, end],
      yRange: range,
      yTicks: logTicks(...range),
      y: us,
      x: (value) => clock(value, end),
      xTicks: (n) => timeTicks(end, n),
      stops: ends_s.map((it) => it - width_s / 2),
      summary: `Each column is ${seconds(width_s)}; the darker a cell, the more latencies are in it, at most ${count(most)}.`,
      at: (x) => {
        const i = Math.min(Math.max(Math.floor(x / width_s), 0), columns.length - 1);
        const column = columns[i];
        if (!column) return null;
        const text = column.length ? `${count(sum(column))} of ${rangeOf(column)}, most of ${fullest(column)}` : "none";
        return { x: ends_s[i] - width_s / 2, title: span(i), text };
      },
      table: () => ({
        head: ["time", "latencies", "from and to", "most of"],
        rows: seen.map(([column, i]) => [span(i), count(sum(column)), rangeOf(column), fullest(column)]),
      }),
    };
  };

  const bands = () =>
    (page.report.steps ?? []).map((step, i) => ({
      from: step.began_s,
      to: step.ended_s,
      label: step.load === step.load_to ? `step ${i + 1}, ×${plain(step.load)}` : `step ${i + 1}, ×${plain(step.load)}–${plain(step.load_to)}`,
    }));
  /* What a person did to the load while it ran. */
  const DONE = { pause: "paused", resume: "resumed" };
  const interventions = () => (page.report.interventions ?? []).map((it) => ({ at: it.at_s, label: DONE[it.action] ?? `rate ${it.percent} %` }));
  const known = (line) => line?.some((value) => value !== null);
  const anything = (line) => line?.some((value) => value);
  const ran = () => Object.entries(page.report.procedures).filter(([, row]) => row.attempted > 0);

  /* The sections. */
  const sections = {
    thresholds() {
      const { thresholds } = page.report;
      if (!thresholds.length) return false;
      const so_far = page.running ? " so far" : "";
      /* Those that do not hold come first. */
      const order = thresholds.map((it, i) => [it, i]).sort(([one], [other]) => one.held - other.held);
      const rows = order.map(([it, i]) => [
        el("code", {}, it.path),
        el("code", {}, it.condition),
        figure(`thresholds.${i}.value`, (value) => (it.path.includes("_us.") ? `${plain(value)} (${us(value)})` : plain(value))),
        verdictCell(it.held, it.value === null ? "not measured" : (it.held ? "✓ held" : "✗ not held") + so_far),
      ]);
      part("thresholds", "table").replaceChildren(table("Thresholds", ["value", "condition", "measured", "outcome"], rows, { class: "last-left" }));
      return true;
    },
    latency() {
      const procedures = ran();
      if (!procedures.length) return false;
      const row = (kind) => ([name, it]) => {
        const path = `${kind}.${name}`;
        const one = (of, write) => figure(`${path}.${of}`, write);
        return [
          kind === "procedures" ? el("a", { href: `#procedure-${name}` }, words(name)) : name,
          ...["attempted", "completed", "failed", ...(page.report.abandoned ? ["abandoned"] : []), "pending"].map((of) =>
            of === "failed" && it.failed > 0 ? el("td", { class: "bad" }, one(of, count)) : one(of, count)),
          one("rate_per_s", three),
          ...["p50", "p90", "p99", "p999", "max", "mean"].map((of) => one(`latency_us.${of}`, latency)),
        ];
      };
      const head = ["attempted", "completed", "failed", ...(page.report.abandoned ? ["given up"] : []), "pending", "per s", "p50", "p90", "p99", "p99.9", "max", "mean"];
      part("latency", "table").replaceChildren(table("Procedures", ["procedure", ...head], procedures.map(row("procedures"))));
      const blocks = part("latency", "blocks");
      procedures.forEach(([name], i) => {
        const block = keyed(blocks, name, () =>
          el("details", { class: "procedure", id: `procedure-${name}`, open: i < 6 },
            el("summary", {}, el("h3", {}, words(name)), el("span", { class: "sums" })),
            el("p", { class: "about" }, PROCEDURES[name] ?? ""), el("div", { class: "pair" })));
        const path = `procedures.${name}.latency_us`;
        block.querySelector(".sums").replaceChildren(
          figure(`procedures.${name}.completed`, count), " completed · p50 ", figure(`${path}.p50`, latency),
          " · p99 ", figure(`${path}.p99`, latency), " · max ", figure(`${path}.max`, latency));
        const pair = block.querySelector(".pair");
        const box = (key) => keyed(pair, key, () => el("div"));
        if (page.curves[name]) chart(box("curve"), "curve", `${words(name)}: percentiles`, percentiles(page.curves[name]));
        if (page.series.heat[name]?.some((column) => column.length)) {
          chart(box("heat"), "heat", `${words(name)}: latencies over time`, { ...heatMap(page.series.heat[name]), bands: bands() });
        }
        const rates = page.series.procedures[name];
        if (rates) chart(box("rates"), "rates", `${words(name)}: rates`, ratesOf(rates));
      });
      const transactions = Object.entries(page.report.transactions).filter(([, it]) => it.attempted > 0);
      if (transactions.length) {
        const block = keyed(body("latency"), "transactions", () =>
          el("details", { class: "more" }, el("summary", {}, el("h3", {}, "SIP transactions")), el("div")));
        block.lastChild.replaceChildren(table("SIP transactions", ["method", ...head], transactions.map(row("transactions"))));
      }
      return true;
    },
    rates() {
      const all = Object.values(page.series.procedures);
      if (!all.length) return false;
      const sum = (of) => page.series.ends_s.map((_, i) => {
        const values = all.map((it) => it[of]?.[i] ?? null).filter((value) => value !== null);
        return values.length ? values.reduce((total, value) => total + value, 0) : null;
      });
      const total = { offered: sum("offered"), started: sum("started"), completed: sum("completed"), failed: sum("failed") };
      if (!known(total.offered)) delete total.offered;
      chart(part("rates", "all"), "all", "All procedures", { ...ratesOf(total), height: 230 });
      const done = interventions();
      part("rates", "done").replaceChildren(...(done.length ? [el("p", {}, "Changed by hand while it ran: ",
        done.map((it) => `${it.label} at ${seconds(it.at)}`).join(", "), ". What was offered is no longer the profile’s, and is not drawn.")] : []));
      const phases = Object.entries(page.report.phases);
      const end = Math.max(page.report.duration_s, ...phases.map(([, it]) => it.ended_s), 0.001);
      const lanes = phases.map(([name, it]) => {
        const bar = el("span", { class: "bar" });
        bar.style.left = `${(100 * it.began_s) / end}%`;
        bar.style.width = `${Math.max(0.5, (100 * (it.ended_s - it.began_s)) / end)}%`;
        return el("li", {}, el("span", { class: "name" }, words(name)), el("span", { class: "track" }, bar),
          el("span", { class: "value" }, figure(`phases.${name}.began_s`, (value) => plain(Math.floor(value))), " to ",
            figure(`phases.${name}.ended_s`, (value) => `${plain(Math.ceil(value))} s`)));
      });
      part("rates", "phases").replaceChildren(el("h3", {}, "When each procedure was going on"), el("ul", { class: "lanes" }, lanes));
      return true;
    },
    failures() {
      const failures = Object.entries(page.report.failures);
      const given_up = page.report.abandoned;
      const box = part("failures", "table");
      if (!failures.length) {
        box.replaceChildren(el("p", {}, el("span", { class: "good" }, "✓ none"), given_up ? el("span", {}, " · ", figure("abandoned", count), " given up as the profile wants") : null));
        return true;
      }
      const most = (values) => Math.max(1, ...values);
      const lanes = Object.entries(page.series.failures).map(([name, values]) => {
        const high = most(values);
        const bars = values.map((value, i) => (value ? `M${i} 20V${(19 - (17 * value) / high).toFixed(1)}h1V20z` : "")).join("");
        const total = values.reduce((all, value) => all + (value ?? 0), 0);
        const svg = mark("svg", { viewBox: `0 0 ${values.length} 20`, preserveAspectRatio: "none", role: "img", "aria-label": `${words(name)} over time: at most ${count(high)} in ${seconds(page.series.width_s)}` },
          mark("path", { class: "fail-bar", d: bars }));
        const value = page.report.failures[name] === undefined ? count(total) : figure(`failures.${name}`, count);
        return el("li", {}, el("span", { class: "name" }, el("code", {}, name)), el("span", { class: "track" }, svg), el("span", { class: "value" }, value));
      });
      box.replaceChildren(
        el("ul", { class: "lanes" }, lanes),
        el("p", { class: "note" }, `Bars are failures in each ${seconds(page.series.width_s)}, every cause on a scale of its own. `,
          "An example of a cause, and what to check: ", el("code", {}, "imstorm explain DIR --failure CAUSE"), "."),
        given_up ? el("p", {}, figure("abandoned", count), " procedures were given up as the profile wants.") : "",
        el("details", { class: "values" }, el("summary", {}, "As a table"), table("Failures by cause", ["cause", "failures"], failures.map(([name]) => [el("code", {}, name), figure(`failures.${name}`, count)]))),
      );
      return true;
    },
    calls() {
      const { sessions, procedures } = page.report;
      const interrupted = procedures.interruption;
      if (!sessions.established && !interrupted.attempted) return false;
      const facts = [["established", "established"], ["moved", "moved to another access"], ["released", "ended as wanted"], ["lost", "lost"]]
        .map(([of, text]) => el("div", {}, el("dt", {}, text), el("dd", { class: of === "lost" && sessions.lost ? "bad" : "" }, figure(`sessions.${of}`, count))));
      part("calls", "sessions").replaceChildren(el("dl", { class: "facts" }, facts));
      if (interrupted.attempted) {
        const path = "procedures.interruption";
        part("calls", "interruption").replaceChildren(el("h3", {}, "Interruption by handovers"),
          el("p", {}, figure(`${path}.completed`, count), " calls went on over the new access. Half of them were interrupted for at most ",
            figure(`${path}.latency_us.p50`, latency), ", 99 of 100 for at most ", figure(`${path}.latency_us.p99`, latency), ", the longest for ",
            figure(`${path}.latency_us.max`, latency), ". ", figure(`${path}.failed`, count), " failed."));
        if (page.curves.interruption) chart(part("calls", "curve"), "curve", "How long calls were interrupted", percentiles(page.curves.interruption));
      }
      if (anything(page.series.generator.sessions)) {
        chart(part("calls", "up"), "up", "Sessions that are up", { ...overTime([{ name: "sessions", style: "s1", values: page.series.generator.sessions }], count), bands: bands() });
      }
      return true;
    },
    steps() {
      const { steps, capacity, course } = page.report;
      if (!steps?.length && !capacity && !course) return false;
      if (capacity) capacityOf(capacity);
      if (steps?.length) {
        const rows = steps.flatMap((step, i) => Object.keys(step.procedures).map((name, k) => {
          const path = `steps.${i}.procedures.${name}`;
          const one = (of, write) => figure(`${path}.${of}`, write);
          const row = step.procedures[name];
          const measured_s = step.ended_s - step.measured_from_s;
          return [
            k ? "" : `${i + 1}`, k ? "" : bands()[i].label.split(", ")[1], k ? "" : `${clock(step.began_s, 1e3)} to ${clock(step.ended_s, 1e3)}`,
            el("td", { class: "text" }, words(name)), one("offered_per_s", three), measured_s > 0 ? three(row.attempted / measured_s) : "–", one("attempted", count), one("completed", count),
            row.failed ? el("td", { class: "bad" }, one("failed", count)) : one("failed", count), one("skipped", count), one("inadequate", count),
            one("delay_limit_ms", (value) => us(value * 1e3)), one("latency_us.p50", latency), one("latency_us.p99", latency),
          ];
        }));
        part("steps", "load").replaceChildren(table("Steps of the load",
          ["step", "load", "time", "procedure", "offered/s", "started/s", "attempted", "completed", "failed", "skipped", "inadequate", "limit", "p50", "p99"], rows, { class: "load" }));
      }
      if (course) {
        const each = (step, of) => three(step[of] / Math.max(1, step.users));
        const rows = course.steps.map((step, i) => [
          words(step.step), figure(`course.steps.${i}.users`, count),
          step.failed ? el("td", { class: "bad" }, figure(`course.steps.${i}.failed`, count)) : figure(`course.steps.${i}.failed`, count),
          each(step, "gm_messages"), each(step, "mw_messages"), us(step.engine_cpu_us / Math.max(1, step.users)),
          figure(`course.steps.${i}.latency_us.p50`, latency), figure(`course.steps.${i}.latency_us.p99`, latency),
        ]);
        part("steps", "course").replaceChildren(el("h3", {}, "The course of all users together"),
          table("Steps of the course", ["step", "users", "failed", "Gm messages each", "Mw messages each", "engine CPU each", "p50", "p99"], rows));
      }
      return true;
    },
    engine() {
      const { engine } = page.report;
      const lines = page.series.engine;
      if (!engine && !Object.keys(lines).length) {
        part("engine", "none").replaceChildren(el("p", {}, "The core under test was not asked how it is: ", el("code", {}, "--admin"), " names its control plane."));
        return true;
      }
      if (engine) {
        const rows = [
          ["security subscriptions", "subscriptions", count], ["security associations", "security_associations", count], ["registrations", "registrations", count],
          ["sessions", "sessions", count], ["messages in", "messages_in", count], ["messages out", "messages_out", count], ["messages at Gm", "gm_messages", count],
          ["messages at Mw", "mw_messages", count], ["hops from shard to shard", "shard_hops", count], ["ESP packets rejected", "esp_rejected", count],
          ["CPU", "cpu_s", seconds], ["memory", "rss_bytes", bytes],
        ].map(([text, of, write]) => el("div", {}, el("dt", {}, text), el("dd", {}, figure(`engine.${of}`, write))));
        part("engine", "facts").replaceChildren(el("h3", {}, page.running ? "As last heard of" : "At the end"), el("dl", { class: "facts small six" }, rows));
      }
      grid("engine", [
        ["Security subscriptions and associations", count, [["subscriptions", "subscriptions"], ["associations", "security_associations"]]],
        ["Registrations and sessions", count, [["registrations", "registrations"], ["sessions", "sessions"]]],
        ["Messages a second", rate, [["in", "messages_in_per_s"], ["out", "messages_out_per_s"]]],
        ["Messages a second by interface", rate, [["Gm", "gm_messages_per_s"], ["Mw", "mw_messages_per_s"]]],
        ["CPU, of one core", cores, [["CPU", "cpu"]]],
        ["Memory", bytes, [["process", "rss_bytes"], ["its tables", "table_bytes"]]],
        ["Hops from shard to shard a second", rate, [["hops", "shard_hops_per_s"]]],
        ["ESP packets rejected a second", rate, [["rejected", "esp_rejected_per_s"]]],
      ], lines);
      return true;
    },
    generator() {
      const { health, generator } = page.report;
      const late = (of, text) => (health[of].count ? [text, figure(`health.${of}.p50`, us), figure(`health.${of}.p99`, us), figure(`health.${of}.max`, us)] : null);
      const rows = [late("lateness_us", "starts came late by"), late("socket_wait_us", "datagrams waited in its sockets"), late("tick_us", "each look at what is due took")].filter(Boolean);
      part("generator", "facts").replaceChildren(el("dl", { class: "facts small four" }, [
        ["late starts", "generator.late_starts", count], ["skipped starts", "generator.skipped_starts", count], ["socket drops", "generator.socket_drops", count],
        ["softnet drops", "health.softnet.dropped", count], ["its thread ran", "health.generator_thread.cpu_share", percent],
        ["in its busiest second", "health.generator_thread.cpu_share_max", percent], ["CPU", "generator.cpu_s", seconds], ["memory", "generator.rss_bytes", bytes],
      ].map(([text, path, write]) => el("div", {}, el("dt", {}, text), el("dd", {}, figure(path, write))))));
      if (rows.length) part("generator", "table").replaceChildren(table("How the generator kept its times", ["", "p50", "p99", "at most"], rows));
      const said = [];
      if (!health.latency_usable) said.push(el("p", {}, el("span", { class: "bad" }, "✗ latencies are not usable"), " engine and generator share a core"));
      if (health.loosened.length) said.push(el("p", {}, `Rules laxer than the default: ${health.loosened.join(", ")}`));
      if (generator.links_lost || generator.links_doubled) said.push(el("p", {}, "Links lost ", figure("generator.links_lost", count), " datagrams and doubled ", figure("generator.links_doubled", count), ", as the profile wants."));
      part("generator", "said").replaceChildren(...said);
      grid("generator", [
        ["UEs secured", count, [["secured", "secured"]]],
        ["Procedures under way", count, [["under way", "under_way"]]],
        ["Starts late, 99 of 100 in the worst second", us, [["late by", "lateness_p99_us"]]],
        ["Datagrams waited, 99 of 100 in the worst second", us, [["waited", "socket_wait_p99_us"]]],
        ["Its thread ran, of the time", cores, [["ran", "thread_share"]]],
        ["CPU of the process, of one core", cores, [["CPU", "cpu"]]],
        ["Memory of the process", bytes, [["memory", "rss_bytes"]]],
        ["Requests sent again a second", rate, [["sent again", "retransmissions_per_s"]]],
        ["Late starts", count, [["late", "late_starts"]]],
        ["Datagrams dropped at its sockets", count, [["dropped", "socket_drops"]]],
      ], page.series.generator);
      return true;
    },
    plan() {
      const { plan } = page;
      if (!plan) return false;
      const write = { count, seconds, bytes };
      const rows = plan.rows.map((row) => {
        const ratio = row.happened !== null && row.planned > 0 ? row.happened / row.planned : null;
        const bar = el("span", { class: "ratio", "aria-hidden": "true" }, el("span"));
        bar.firstChild.style.width = `${Math.min(100, 50 * (ratio ?? 0))}%`;
        return [words(row.what), write[row.unit](row.planned), row.happened === null ? "–" : write[row.unit](row.happened),
          el("td", {}, ratio === null ? "–" : percent(ratio), ratio === null ? null : bar)];
      });
      part("plan", "table").replaceChildren(table("Plan and outcome", ["quantity", "planned", "happened", "of the plan"], rows),
        el("p", { class: "note" }, `What goes on at one time is planned by Little’s law, with ${us(plan.procedure_s * 1e6)} for a procedure without a delay limit; memory is what a million UEs were measured to take.`),
        ...plan.misfits.map((it) => el("p", {}, el("span", { class: "bad" }, "✗ was not expected to fit"), ` ${it}`)));
      return true;
    },
    flows() {
      return body("flows").childElementCount > 0;
    },
    environment() {
      const { run, report } = page;
      const it = run.environment;
      const facts = [
        ["imstorm", run.imstorm + (it.build ? ` (${it.build} build)` : "")], ["Rust", it.rust], ["command", it.command?.join(" ")],
        ["profile", report.profile], ["seed of arrivals", run.seed], ["part", run.part && run.part.of > 1 ? `${run.part.number} of ${run.part.of}` : null],
        ["put together of", run.parts ? `${run.parts} parts` : null], ["target", run.target ?? "an engine of its own"], ["began", moment(run.epoch_ns)], ["host", it.host], ["kernel", it.kernel],
        ["processor", it.processor], ["cores", it.cores], ["memory", it.memory_bytes ? bytes(it.memory_bytes) : null],
        ["longest socket buffer", it.rmem_max_bytes ? bytes(it.rmem_max_bytes) : null],
        ["cores of the generator", report.health.cores.generator?.join(", ")], ["cores of the engine", report.health.cores.engine?.join(", ")],
      ].filter(([, value]) => value !== null && value !== undefined && value !== "");
      part("environment", "facts").replaceChildren(table("Environment", ["what", "value"], facts.map(([name, value]) => [name, el("td", { class: "text" }, String(value))]), { class: "plain" }));
      const block = keyed(body("environment"), "profile", () => el("details", { class: "more" }, el("summary", {}, el("h3", {}, "The profile, with what was replaced in it")), el("pre", { tabindex: "0" })));
      if (block.lastChild.textContent !== run.profile_text) block.lastChild.textContent = run.profile_text;
      return true;
    },
  };

  const ratesOf = (it) => {
    const lines = [
      it.offered ? { name: "offered", style: "s2", values: it.offered } : null,
      { name: "started", style: "s4", values: it.started },
      { name: "completed", style: "s1", values: it.completed },
      anything(it.failed) ? { name: "failed", style: "s5", values: it.failed } : null,
    ].filter(Boolean);
    return { ...overTime(lines, rate), bands: bands() };
  };
  /* Small charts of what was seen; those of what never was are left out. */
  const grid = (section, specs, lines) => {
    const box = keyed(body(section), "grid", () => el("div", { class: "grid" }));
    for (const [title, write, named] of specs) {
      const drawn = named.map(([name, of], i) => ({ name, style: ["s1", "s2"][i], values: lines[of] ?? [] })).filter((line) => anything(line.values));
      if (!drawn.length) continue;
      chart(keyed(box, title, () => el("div")), "one", title, { ...overTime(drawn, write), height: 150 });
    }
  };
  const capacityOf = (capacity) => {
    const objective = `At most ${percent(capacity.inadequate_share_max)} handled inadequately, with ${percent(capacity.confidence)} confidence`;
    const limit = {
      target: "The target is the limit: a little more was handled inadequately.",
      generator: "The generator could not keep to its own times: the target’s capacity is at least that.",
      highest_load: "The highest load that the profile has was handled adequately: the capacity is at least that.",
      lowest_load: "Even the lowest load that was tried was handled inadequately.",
      interrupted: "The search was ended before.",
    }[capacity.limit];
    const found = capacity.capacity_per_s === null
      ? el("p", { class: "big" }, "No capacity found")
      : el("p", { class: "big" }, "Capacity ", figure("capacity.capacity_per_s", (value) => `${three(value)} starts a second`), " ", el("small", {}, "(load ", figure("capacity.load", plain), ")"));
    const text = { adequate: "✓ adequate", inadequate: "✗ inadequate", undecided: "? undecided", generator_limit: "! the generator was late" };
    const rows = capacity.steps.map((step, i) => [
      `${i + 1}`, figure(`capacity.steps.${i}.load`, plain), figure(`capacity.steps.${i}.attempts`, count), figure(`capacity.steps.${i}.inadequate`, count),
      percent(step.inadequate / Math.max(1, step.attempts)), verdictCell(step.verdict === "adequate", text[step.verdict] ?? step.verdict),
    ]);
    part("steps", "capacity").replaceChildren(found, el("p", {}, `${objective}. ${limit ?? ""}`),
      table("Steps of the search", ["step", "load", "attempts", "inadequate", "share", "verdict"], rows, { class: "last-left" }), el("h3", {}, "What came of each procedure"));
  };
  const moment = (epoch_ns) => new Date(epoch_ns / 1e6).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");

  const head = () => {
    const { report, run, running, reason } = page;
    const name = running ? "RUNNING" : report.verdict.toUpperCase();
    $("verdict").className = `verdict ${running ? "running" : report.verdict}`;
    $("verdict-name").textContent = name;
    $("verdict-reason").textContent = running ? soFar() : reason;
    document.title = `${report.profile}: ${name}`;
    const part_of = run.parts ? `, ${run.parts} parts put together` : report.part ? `, part ${report.part.number} of ${report.part.of}` : "";
    $("when").replaceChildren(`${moment(run.epoch_ns)}${part_of}${report.interrupted ? " · ended early by its user" : ""}`);
    const [main] = ran();
    const failed = Object.values(report.failures).reduce((all, it) => all + it, 0);
    const fact = (text, ...value) => el("div", {}, el("dt", {}, text), el("dd", {}, ...value));
    const facts = [
      report.capacity?.capacity_per_s ? fact("capacity", figure("capacity.capacity_per_s", (value) => `${three(value)}/s`)) : null,
      fact("UEs secured at one time", figure("ues.secured", count), el("small", {}, " of ", figure("ues.configured", count))),
      main ? fact(`${words(main[0])}, median`, figure(`procedures.${main[0]}.latency_us.p50`, latency)) : null,
      main ? fact(`${words(main[0])}, 99 of 100 within`, figure(`procedures.${main[0]}.latency_us.p99`, latency)) : null,
      report.procedures.interruption.attempted && main?.[0] !== "interruption"
        ? fact("interruption of calls, 99 of 100 within", figure("procedures.interruption.latency_us.p99", latency)) : null,
      fact("failed procedures", failed ? el("span", { class: "bad" }, count(failed)) : "0"),
      fact(running ? "running for" : "took", figure("duration_s", seconds)),
      report.engine ? fact("engine’s CPU", figure("engine.cpu_s", seconds)) : null,
    ];
    $("facts").replaceChildren(...facts.filter(Boolean));
  };
  const soFar = () => {
    const { report } = page;
    const crossed = report.thresholds.filter((it) => !it.held && it.value !== null).length;
    const warned = report.invalid_reasons.length ? `; it would be INVALID now: ${report.invalid_reasons.join("; ")}` : "";
    return `${seconds(report.duration_s)}${crossed ? `; ${crossed} of ${report.thresholds.length} thresholds do not hold so far` : ""}${warned}`;
  };
  const show = (data) => {
    page = data;
    head();
    const links = [];
    for (const section of document.querySelectorAll("main > section")) {
      const is_there = sections[section.id]?.() ?? false;
      section.hidden = !is_there;
      if (is_there) links.push(el("a", { href: `#${section.id}` }, section.querySelector("h2").textContent));
    }
    if ($("toc").childElementCount !== links.length) $("toc").replaceChildren(...links);
    document.documentElement.dataset.seconds = String(page.report.duration_s);
  };
  /* What a link leads to is opened. */
  const follow = () => {
    const target = location.hash.length > 1 ? $(decodeURIComponent(location.hash.slice(1))) : null;
    if (!target) return;
    for (let it = target; it; it = it.parentElement) if (it instanceof HTMLDetailsElement) it.open = true;
    target.scrollIntoView();
    (target.querySelector("summary") ?? target).focus?.({ preventScroll: true });
  };
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => document.querySelectorAll("details.procedure").forEach((it) => { it.open = true; }));

  const first = JSON.parse($("data").textContent);
  if (first) show(first);
  follow();
  if (!("live" in document.documentElement.dataset)) return;

  /* While the run goes on. */
  $("kind").textContent = "live";
  let silent = 0;
  const ask = async () => {
    try {
      const answer = await fetch("data.json", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const data = await answer.json();
      silent = 0;
      if (data) show(data);
      if (data && !data.running) {
        $("kind").textContent = "live, and now over: report.html has this too";
        return;
      }
    } catch {
      silent += 1;
      if (silent >= 3) {
        $("kind").textContent = "live until the program ended: the rest is in report.html";
        $("verdict-name").textContent = "NO ANSWER";
        return;
      }
    }
    setTimeout(ask, 1000);
  };
  ask();
})();
