"use strict";
(() => {
  const all = (where, what) => [...where.querySelectorAll(what)];

  // One slider and the charts that it moves together.
  function steered(part) {
    const data = JSON.parse(part.querySelector("script[type='application/json']").textContent);
    const slider = part.querySelector("input[type=range]");
    const play = part.querySelector(".play");
    const now = part.querySelector(".now");
    const charts = Object.entries(data.charts).map(([name, chart]) => collected(name, chart));
    let timer = 0;

    function show(step) {
      slider.value = step;
      slider.setAttribute("aria-valuetext", data.steps[step]);
      now.textContent = data.steps[step];
      for (const chart of charts) {
        for (const line of chart.lines) place(line, step);
        if (chart.cross) {
          const x = chart.lines[0].x[step];
          chart.cross.setAttribute("visibility", x === null ? "hidden" : "visible");
          if (x !== null) chart.cross.setAttribute("transform", `translate(${x} 0)`);
        }
      }
    }

    function stop() {
      clearInterval(timer);
      timer = 0;
      play.setAttribute("aria-pressed", "false");
      play.textContent = "Play";
    }

    function start() {
      const last = data.steps.length - 1;
      if (+slider.value >= last) show(0);
      play.setAttribute("aria-pressed", "true");
      play.textContent = "Pause";
      timer = setInterval(() => (+slider.value >= last ? stop() : show(+slider.value + 1)), Math.max(40, 9000 / last));
    }

    slider.addEventListener("input", () => { stop(); show(+slider.value); });
    play.addEventListener("click", () => (timer ? stop() : start()));
    for (const chart of charts.filter((one) => one.cross)) {
      const pick = (event) => { stop(); show(nearest(chart, event)); };
      chart.svg.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") pick(event); });
      chart.svg.addEventListener("click", pick);
    }
    show(+slider.value);
  }

  function collected(name, chart) {
    const figure = document.getElementById(name);
    const lines = Object.entries(chart.lines).map(([number, line]) => ({
      ...line,
      dot: figure.querySelector(`[data-dot="${number}"]`),
      value: figure.querySelector(`[data-value="${number}"]`),
    }));
    return { lines, svg: figure.querySelector("svg[role=img]"), cross: figure.querySelector(".cross") };
  }

  function place(line, step) {
    const [x, y] = [line.x[step], line.y[step]];
    const there = x !== null && y !== null && y > 3 && y < 195;
    line.dot.setAttribute("visibility", there ? "visible" : "hidden");
    if (there) line.dot.setAttribute("transform", `translate(${x} ${y})`);
    if (line.value) line.value.textContent = line.t[step];
  }

  function nearest(chart, event) {
    const box = chart.svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * chart.svg.viewBox.baseVal.width;
    let best = 0;
    chart.lines[0].x.forEach((x, step, row) => {
      if (x !== null && Math.abs(x - at) < Math.abs((row[best] ?? -1e9) - at)) best = step;
    });
    return best;
  }

  // Entries of a legend show and hide their lines.
  function toggles(figure) {
    for (const button of all(figure, ".legend button")) {
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        const number = button.dataset.for;
        for (const mark of all(figure, `[data-line="${number}"], [data-dot="${number}"]`)) mark.classList.toggle("off", !shown);
      });
    }
  }

  function sortable(table) {
    const heads = all(table, "thead th");
    const status = table.closest("section").querySelector(".status");
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        // Numbers start with the largest, words with the first of the alphabet.
        const before = head.getAttribute("aria-sort");
        const first = head.classList.contains("number") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const way = before === first ? other : first;
        for (const each of heads) each.setAttribute("aria-sort", each === head ? way : "none");
        const rows = all(table, "tbody tr");
        rows.sort((one, two) => compared(one.cells[column], two.cells[column], way === "ascending" ? 1 : -1));
        table.tBodies[0].append(...rows);
        if (status) status.textContent = `Sorted by ${head.textContent}, ${way}.`;
      });
    });
  }

  function compared(one, two, sign) {
    const [a, b] = [one, two].map((cell) => cell.dataset.order ?? cell.textContent);
    if (a === "" || b === "") return (a === "") - (b === "");
    const numbers = [Number(a), Number(b)];
    return sign * (numbers.some(Number.isNaN) ? a.localeCompare(b) : numbers[0] - numbers[1]);
  }

  function finder(box) {
    const rows = all(box.closest("section"), "table[data-sortable] tbody tr");
    box.addEventListener("input", () => {
      const wanted = box.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  // On paper nothing can be opened, and a heading repeats on every page only where it holds no button.
  const buttons = all(document, "th > button").map((button) => [button.parentElement, button]);
  addEventListener("beforeprint", () => {
    for (const part of all(document, "details")) part.open = true;
    for (const [head, button] of buttons) head.replaceChildren(button.textContent);
  });
  addEventListener("afterprint", () => { for (const [head, button] of buttons) head.replaceChildren(button); });

  document.documentElement.classList.add("scripted");
  all(document, ".steered").forEach(steered);
  all(document, ".chart").forEach(toggles);
  all(document, "table[data-sortable]").forEach(sortable);
  all(document, ".find input").forEach(finder);
})();
